"""Where the released weights are: in `weights/` of a clone, or inside the installed package."""

from pathlib import Path

PACKAGE = Path(__file__).parents[1]


def released_weights() -> dict[str, Path]:
    """The released weights by their short names: "srgan" for `srgan_x4.safetensors`, "srresnet_x2" for another scale.

    Empty without any.
    """
    for folder in (PACKAGE.parent / "weights", PACKAGE / "weights"):
        if files := sorted(folder.glob("*_x[248].safetensors")):
            return {file.stem.removesuffix("_x4"): file for file in files}
    return {}
