"""Recognise the HR and LR images of a dataset by the usual names of folders and files.

Folders: `HR`, `GT`, `train_HR`, `DIV2K_train_HR`, `GTmod12` beside `LR`, `LQ`, `train_LR`, `DIV2K_train_LR_bicubic/X4`,
`LRbicx4`; files: `baby_HR`, `baby_GT`, `img_001_SRF_4_HR` beside `baby_LR`, `baby_LQ`, `babyx4`,
in upper or lower case.
"""

import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from srgan.common.errors import UserError, describe
from srgan.common.images import list_images

HR_FOLDER = re.compile(r"(?P<set>(?:.*[_-])?)(?:HR|GT)(?:mod\d+)?", re.IGNORECASE)
LR_FOLDER = re.compile(r"(?P<set>(?:.*[_-])?)(?:LR|LQ)(?:[_-]?bic(?:ubic)?)?(?:[_-]?X(?P<scale>\d+))?", re.IGNORECASE)
SRF_FOLDER = re.compile(r"image_SRF_\d+")
HR_FILE = re.compile(r"(?:[_-]SRF[_-]\d+)?[_-](?:HR|GT)$", re.IGNORECASE)
LR_FILE = re.compile(r"(?:[_-]SRF[_-]\d+)?[_-](?:LR|LQ)(?:[_-]?x\d+)?$", re.IGNORECASE)
SPLITS = {
    True: re.compile(r"(?:^|[_-])train", re.IGNORECASE),
    False: re.compile(r"(?:^|[_-])(?:val|test)", re.IGNORECASE),
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


def hr_folder_of(folder: Path, scale: int, training: bool) -> Path:
    """The folder with the HR images: a subfolder if `folder` is the root of a dataset, else `folder` itself.

    Raises:
        UserError: the choice is ambiguous, the wanted split is missing, or the folder has LR images.
    """
    inside = _subfolders(folder)
    srf = [path for path in inside if SRF_FOLDER.fullmatch(path.name)]
    if srf:
        # The HR images of another scale do where there are no pairs of this one.
        return next((path for path in srf if path.name == f"image_SRF_{scale}"), srf[-1])
    if (match := LR_FOLDER.fullmatch(folder.name)) and (beside := _of_set(HR_FOLDER, match["set"], folder.parent)):
        raise UserError(f"{folder}: LR images, by its name; the HR images are in {listed(beside)}")
    found = [path for path in inside if _is_hr_folder(path)]
    if not found or list_images(folder):
        return folder
    asked, other = SPLITS[training], SPLITS[not training]
    candidates = [path for path in found if asked.search(path.name)]
    candidates = candidates or [path for path in found if not other.search(path.name)]
    if len(candidates) == 1:
        return candidates[0]
    problem = "ambiguous" if candidates else f"none of them for {'training' if training else 'validation'}"
    raise UserError(f"{folder}: HR images in {listed(found)}: {problem}; name one of them")


def lr_folder_of(folder: Path, scale: int) -> Path | None:
    """The folder with the LR images that belong to a folder of HR images, or None.

    Raises:
        UserError: there are several.
    """
    match = HR_FOLDER.fullmatch(folder.name)
    if not match:
        return None
    candidates = []
    for path in _of_set(LR_FOLDER, match["set"], folder.parent):
        by_scale = [inner for inner in _subfolders(path) if re.fullmatch(r"X\d+", inner.name, re.IGNORECASE)]
        if LR_FOLDER.fullmatch(path.name)["scale"] in (None, str(scale)):
            candidates += [inner for inner in by_scale if int(inner.name[1:]) == scale] if by_scale else [path]
    if len(candidates) > 1:
        raise UserError(
            f"{folder}: LR images in {listed(candidates)}: ambiguous; name both folders, {{hr: ..., lr: ...}}"
        )
    return candidates[0] if candidates else None


def walk_images(folder: Path) -> Iterable[Path]:
    """The images of a folder and its subfolders, without hidden ones.

    Raises:
        UserError: a folder can't be read, or a subfolder has LR images, by its name.
    """
    seen = set()
    for root, names, _ in os.walk(folder, followlinks=True):
        # A link may lead back to a folder above it.
        real = Path(root).resolve()
        if real in seen:
            names.clear()
            continue
        seen.add(real)
        names[:] = [name for name in names if not name.startswith(".")]
        for name in names:
            if LR_FOLDER.fullmatch(name) or SRF_FOLDER.fullmatch(name):
                raise UserError(
                    f"{Path(root) / name}: LR images, by its name, inside a folder of HR images: "
                    "name the folders of HR images, or {hr: ..., lr: ...} for pairs"
                )
        yield from list_images(Path(root))


def split_by_name(images: Sequence[Path]) -> tuple[list[Path], list[Path]]:
    """(HR, LR) images of a folder that has both, by their names; otherwise all of them are HR images.

    Raises:
        UserError: there are HR images, LR images and others.
    """
    hr = [image for image in images if HR_FILE.search(image.stem)]
    lr = [image for image in images if LR_FILE.search(image.stem) and image not in set(hr)]
    if not hr or not lr:
        return list(images), []
    others = [image for image in images if image not in {*hr, *lr}]
    if others:
        raise UserError(
            f"{others[0].parent}: besides *_HR and *_LR images there are others: {listed(others)}; keep them apart"
        )
    return hr, lr


def _is_hr_folder(path: Path) -> bool:
    """Whether this is a dataset's folder of HR images: not each `911_GT` among a person's photographs is."""
    match = HR_FOLDER.fullmatch(path.name)
    if not match:
        return False
    of_a_split = any(split.search(match["set"]) for split in SPLITS.values())
    return not match["set"] or of_a_split or bool(_of_set(LR_FOLDER, match["set"], path.parent))


def _subfolders(folder: Path) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    except OSError as error:
        raise UserError(f"{folder}: expected a folder of images: {describe(error)}") from error


def _of_set(names: re.Pattern, name: str, parent: Path) -> list[Path]:
    """The subfolders of HR or of LR images whose names begin alike, such as with `train_`."""
    matches = {path: names.fullmatch(path.name) for path in _subfolders(parent)}
    return [path for path, match in matches.items() if match and match["set"].lower() == name.lower()]


def listed(paths: Sequence[Path], most: int = 20) -> str:
    """The first paths in one line, for a message."""
    return ", ".join(map(str, paths[:most])) + ", ..." * (len(paths) > most)
