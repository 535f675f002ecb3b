"""The released weights."""

from pathlib import Path

from srgan.common.shipped import shipped_folder


def released_weights() -> dict[str, Path]:
    """The released weights by their short names: "srgan" for `srgan_x4.safetensors`, "srresnet_x2" for another scale.

    Empty without any.
    """
    files = sorted(shipped_folder("weights").glob("*_x[248].safetensors"))
    return {file.stem.removesuffix("_x4"): file for file in files}
