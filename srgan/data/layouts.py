"""How datasets are laid out: HR and LR folders next to or inside each other, splits, `image_SRF_4`."""

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from srgan.common.errors import UserError, describe, warn
from srgan.common.files import walk
from srgan.common.images import list_images

MOST_BESIDE, MOST_INSIDE = 100, 10
SRF_FOLDER = re.compile(r"image_SRF_(\d+)")
LR_FOLDER = re.compile(r"(?:.*[_-])?(?:LR|LQ)(?:[_-]?bic(?:ubic)?)?(?:[_-]?X\d+)?", re.IGNORECASE)
SPLITS = {
    True: re.compile(r"(?:^|[_-])train(?:ing)?(?:$|[_\d-])", re.IGNORECASE),
    False: re.compile(r"(?:^|[_-])(?:val|valid|validation|test|testing)(?:$|[_\d-])", re.IGNORECASE),
}


@dataclass(frozen=True)
class PairFolders:
    """A folder of HR images and a folder of LR images, matched by name; `{hr: ..., lr: ...}` in a config."""

    hr: str
    lr: str

    def __post_init__(self) -> None:
        for key, folder in (("hr", self.hr), ("lr", self.lr)):
            if not folder:
                raise UserError(f"{key}: expected a folder, found nothing")

    def __str__(self) -> str:
        return f"{{hr: {self.hr}, lr: {self.lr}}}"


def srf_folder(folder: Path, scale: int) -> Path | None:
    """This folder or one inside it that is called `image_SRF_<scale>`, else one of another scale, else None."""
    found = [path for path in (folder, *subfolders(folder)) if SRF_FOLDER.fullmatch(path.name)]
    # Without pairs of this scale, the HR images of another scale will do.
    return next((path for path in found if path.name == f"image_SRF_{scale}"), found[-1] if found else None)


def images_of(folder: Path, nested: bool = False) -> list[Path]:
    """The images of a folder, and of its subfolders if it has none itself or if they are wanted as well (nested).

    Raises:
        UserError: a folder can't be read.
    """
    own = list_images(folder)
    return own if own and not nested else sorted(image for inner in walk(folder) for image in list_images(inner))


def images_of_split(folder: Path, training: bool) -> list[Path]:
    """As `images_of`, nested for training; of a folder with only subfolders, without those of the other split.

    Raises:
        UserError: a folder can't be read, or holds only images of the other split.
    """
    images = images_of(folder, nested=training)
    folders = {image.parent.relative_to(folder) for image in images}
    asked, other = (
        {inner for inner in folders if any(map(SPLITS[split].search, inner.parts))}
        for split in (training, not training)
    )
    other -= asked
    if not other or Path() in folders:
        return images
    names = listed(sorted(other), 5)
    if other == folders:
        wanted = "training" if training else "validation"
        raise UserError(f"{folder}: images in {names}: none of them for {wanted}; name one of them")
    if not asked:
        warn(f"{folder}: left out {names}, because of the names; pass the folders themselves to use them")
    return [image for image in images if image.parent.relative_to(folder) not in other]


def folders_beside(folder: Path) -> Iterator[Path]:
    """Where the LR images of an HR folder may be: inside it, around it or next to it, as in `LR/bicubic/X4`."""
    yield from subfolders(folder)
    yield folder.absolute().parent
    for beside in siblings(folder):
        yield beside
        for inner in (inside := _few(beside)):
            yield inner
            # A folder with many subfolders is not a folder of LR images.
            yield from _few(inner) if len(inside) <= MOST_INSIDE else ()


def folders_apart(folder: Path) -> Iterator[Path]:
    """Where else they may be, unless it is another dataset: `LR/train` for `HR/train`, `LR_bicubic/train/X4`."""
    for beside in siblings(folder.absolute().parent):
        for inner in (beside, *_few(beside)):
            if (namesake := inner / folder.name).is_dir():
                yield namesake
                yield from _few(namesake)


def siblings(folder: Path) -> list[Path]:
    """The folders next to one; none if there are more than a hundred, which are classes, clips or users."""
    folder = folder.absolute()
    return [path for path in _few(folder.parent) if not path.samefile(folder)]


def _few(folder: Path) -> list[Path]:
    """The subfolders, unless there are many, or the folder can't be read: then it isn't part of a dataset."""
    with suppress(UserError):
        inside = subfolders(folder)
        return inside if len(inside) <= MOST_BESIDE else []
    return []


def subfolders(folder: Path) -> list[Path]:
    """The folders in a folder, without hidden ones. Raises: UserError, it can't be read."""
    try:
        with os.scandir(folder) as entries:
            return sorted(folder / entry.name for entry in entries if entry.is_dir() and entry.name[0] != ".")
    except OSError as error:
        raise UserError(f"{folder}: expected a folder of images: {describe(error)}") from error


def listed(paths: Sequence[Path], most: int = 20) -> str:
    """The first paths in one line, for a message."""
    return ", ".join(map(str, paths[:most])) + ", ..." * (len(paths) > most)
