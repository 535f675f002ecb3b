"""Where the released weights are: in `weights/` of a clone, or inside the installed package."""

from pathlib import Path

from srgan.common.errors import UserError

PACKAGE = Path(__file__).parents[1]


def released_weights(name: str) -> Path:
    """The file of released weights such as "srgan_x4".

    Raises:
        UserError: they are in neither place.
    """
    candidates = [folder / "weights" / f"{name}.safetensors" for folder in (PACKAGE.parent, PACKAGE)]
    for path in candidates:
        if path.exists():
            return path
    raise UserError(
        f"expected the released weights at {' or '.join(map(str, candidates))}, found neither; "
        "take them from the repository's weights/ folder, or name others with --weights"
    )
