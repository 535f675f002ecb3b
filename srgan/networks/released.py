"""Where the released weights are: in `weights/` of a clone, or inside the installed package."""

from pathlib import Path

PACKAGE = Path(__file__).parents[1]


def released_weights() -> dict[str, Path]:
    """The released weights by their short names, such as "srgan" for `srgan_x4.safetensors`; empty without any."""
    for folder in (PACKAGE.parent / "weights", PACKAGE / "weights"):
        if files := sorted(folder.glob("*_x4.safetensors")):
            return {file.name.removesuffix("_x4.safetensors"): file for file in files}
    return {}
