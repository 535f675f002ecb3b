"""What the commands come with: released weights and configs, in a clone or inside the installed package."""

from pathlib import Path

PACKAGE = Path(__file__).parents[1]
FOLDERS = ("weights", "configs")


def shipped_folder(name: str) -> Path:
    """The folder of this name in `FOLDERS`; it may not exist."""
    inside = PACKAGE / name
    return inside if inside.is_dir() else PACKAGE.parent / name


def shipped(path: Path) -> Path:
    """A file that the commands come with, by its path in a clone, such as `configs/srgan_vgg54.yaml`.

    A file of that path in the working directory comes first; other paths are returned as they are.
    """
    if path.exists() or path.parts[:1] not in [(name,) for name in FOLDERS]:
        return path
    found = shipped_folder(path.parts[0]).joinpath(*path.parts[1:])
    return found if found.is_file() else path
