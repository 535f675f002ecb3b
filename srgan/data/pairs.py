"""Pairs of HR and LR images, and how they are found in folders."""

import glob
import os
import re
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from PIL import ImageMode

from srgan.common.errors import ImageError, UserError, warn
from srgan.common.images import list_images, open_image, read_rgb
from srgan.data.degrade import BICUBIC, Degradation
from srgan.data.layouts import (
    HR_FILE,
    LR_FILE,
    SRF_FOLDER,
    PairFolders,
    hr_folder_of,
    listed,
    lr_folder_of,
    split_by_name,
    walk_images,
)
from srgan.data.prepare import AS_IT_IS, Preparation

DOWNLOAD = "python -m scripts.download_div2k"
LR_SUFFIX = re.compile(rf"{LR_FILE.pattern}|[_-]?x\d+$", re.IGNORECASE)
NO_SUFFIX = re.compile("$")


@dataclass(frozen=True)
class ImagePair:
    """An HR image and its LR image, which comes from a file or from a degradation of the HR image.

    Args:
        name: the name in tables and pictures.
        hr: the HR file.
        lr: the LR file; it is used with the `Bicubic` degradation and an unprepared HR image only.
        degradation: makes the LR image where no LR file is used.
        preparation: of the HR image.
    """

    name: str
    hr: Path
    lr: Path | None = None
    degradation: Degradation = BICUBIC
    preparation: Preparation = AS_IT_IS

    def read(self, scale: int) -> tuple[np.ndarray, np.ndarray]:
        """(LR h x w x 3, HR scale*h x scale*w x 3), uint8; a random degradation is seeded by the pair's name.

        Raises:
            ImageError: a file can't be read, or the LR file isn't the HR file's size over the scale.
        """
        hr = self.read_hr(scale)
        if self.lr_file is None:
            return self.degradation(hr, scale, np.random.default_rng(zlib.crc32(os.fsencode(self.name)))), hr
        lr, (height, width) = read_rgb(self.lr_file), (side // scale for side in hr.shape[:2])
        if lr.shape[:2] != (height, width):
            raise ImageError(
                f"{self.lr}: expected {width} x {height} pixels, {self.hr.name}'s size over {scale}, "
                f"found {lr.shape[1]} x {lr.shape[0]}"
            )
        return lr, hr

    def read_hr(self, scale: int) -> np.ndarray:
        """The HR image, uint8 H x W x 3, prepared and cropped to multiples of the scale.

        Raises:
            ImageError: the file can't be read, or has too few pixels.
        """
        hr = self.preparation.apply(read_rgb(self.hr), self.hr)
        height, width = (side // scale * scale for side in hr.shape[:2])
        if not height or not width:
            raise ImageError(f"{self.hr}: {hr.shape[1]} x {hr.shape[0]} pixels are too few for scale {scale}")
        return hr[:height, :width]

    @property
    def lr_file(self) -> Path | None:
        """The LR file, if it is used. Raises: ImageError, the HR file can't be read."""
        used = self.degradation == BICUBIC and not self.preparation.applies_to(self.hr)
        return self.lr if used else None

    @property
    def is_grey(self) -> bool:
        """Whether the LR image is grey: its file is, or that of the HR image which it is made from."""
        if self.degradation.per_crop:
            # Noise and compression may have added colours.
            return False
        with open_image(self.lr_file or self.hr) as image:
            return ImageMode.getmode(image.mode).basemode == "L"


def find_pairs(folder: str | Path | PairFolders, scale: int, training: bool = False) -> list[ImagePair]:
    """Find the image pairs of a folder, sorted by name.

    - `image_SRF_<scale>`, or a folder that holds it: pairs `*_HR`, `*_LR`;
    - `X_HR` beside `X_LR_bicubic/X<scale>` (DIV2K), `HR` beside `LR`, `GT` beside `LQ` (see `layouts`), or the folder
      that contains both; of a dataset with several splits, the training or the validation split is used;
    - `*_HR` beside `*_LR` files in one folder;
    - any other folder, or a pattern such as `photos/2024*.jpg`: every image is an HR image;
    - `skimage:coffee.png`: a photograph that comes with scikit-image.

    Args:
        training: use the training split of a dataset, and include the subfolders of a plain folder.

    Raises:
        UserError: the folder is missing, has no images or is ambiguous, or a file has no partner.
    """
    if isinstance(folder, PairFolders):
        return match_pairs(Path(folder.hr), Path(folder.lr), scale)
    if str(folder).startswith("skimage:"):
        folder = Path(find_spec("skimage").origin).parent / "data" / str(folder).removeprefix("skimage:")
    folder = Path(folder)
    if folder.is_file():
        return [ImagePair(folder.stem, folder)]
    # A folder may have brackets in its name.
    if glob.has_magic(str(folder)) and not folder.is_dir():
        images = sorted(path for path in map(Path, glob.glob(str(folder))) if path.is_file())  # noqa: PTH207
        if not images:
            raise UserError(f"{folder}: no file has a name like this")
        return [ImagePair(image.stem, image) for image in images]
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder of images; for DIV2K: {DOWNLOAD}")
    folder = hr_folder_of(folder, scale, training)
    if SRF_FOLDER.fullmatch(folder.name):
        return _srf_pairs(folder, scale)
    images = sorted(walk_images(folder)) if training else list_images(folder)
    if not images:
        raise UserError(f"{folder}: no images in this folder; for DIV2K: {DOWNLOAD}")
    lr_folder = lr_folder_of(folder, scale)
    if lr_folder:
        return _matched(images, list_images(lr_folder), scale)
    hr, lr = split_by_name(images)
    return _matched(hr, lr, scale) if lr else [ImagePair(image.stem, image) for image in images]


def with_degradation(
    pairs: Iterable[ImagePair], degradation: Degradation, preparation: Preparation = AS_IT_IS
) -> list[ImagePair]:
    """The same pairs with another degradation; LR files that it replaces are reported in a warning."""
    pairs = [replace(pair, degradation=degradation, preparation=preparation) for pair in pairs]
    unused = [pair.lr for pair in pairs if pair.lr and degradation != BICUBIC]
    if unused:
        warn(f"{len(unused)} LR files are not used, since data.degradation makes the LR images: {listed(unused, 1)}")
    return pairs


def match_pairs(hr_folder: Path, lr_folder: Path, scale: int) -> list[ImagePair]:
    """The pairs of two folders, matched and sorted by name.

    `baby.png`, `baby_HR.png` or `baby_GT.png` is matched with `baby.png`, `baby_LR.png`, `baby_LQ.png` or `babyx4.png`,
    of any image format.

    Raises:
        UserError: a folder is missing or has no images, or images have no partners (the message lists them).
    """
    images = list_images(hr_folder)
    if not images:
        raise UserError(f"{hr_folder}: no images in this folder")
    return _matched(images, list_images(lr_folder), scale)


def _srf_pairs(folder: Path, scale: int) -> list[ImagePair]:
    stored = int(folder.name.removeprefix("image_SRF_"))
    images = list_images(folder)
    # Some releases keep other methods' results beside the pairs.
    hr, lr = ([image for image in images if image.stem.endswith(f"_SRF_{stored}_{kind}")] for kind in ("HR", "LR"))
    if not hr:
        raise UserError(f"{folder}: expected pairs *_SRF_{stored}_HR.png and *_SRF_{stored}_LR.png, found none")
    if stored != scale:
        warn(f"{folder}: LR images of scale {stored}; those of scale {scale} are made from the HR images, by bicubic")
        return [ImagePair(name, image) for name, image in _by_name(hr, HR_FILE).items()]
    return _matched(hr, lr, stored)


def _matched(hr: Sequence[Path], lr: Sequence[Path], scale: int) -> list[ImagePair]:
    hr_by_name = _by_name(hr, HR_FILE)
    # An HR image may itself be called box4.png.
    plain = [image for image in lr if image.stem in hr_by_name]
    others = [image for image in lr if image.stem not in hr_by_name]
    lr_by_name = _by_name(plain, NO_SUFFIX) | _by_name(others, LR_SUFFIX)
    problems = [
        f"{len(alone)} {kind} images without {other}: {listed(alone)}"
        for kind, other, alone in (
            ("HR", "LR", [image for name, image in hr_by_name.items() if name not in lr_by_name]),
            ("LR", "HR", [image for name, image in lr_by_name.items() if name not in hr_by_name]),
        )
        if alone
    ]
    if problems:
        raise UserError("; ".join(problems))
    return [ImagePair(name, image, lr_by_name[name]) for name, image in hr_by_name.items()]


def _by_name(images: Iterable[Path], suffix: re.Pattern) -> dict[str, Path]:
    named = {}
    for image in images:
        name = suffix.sub("", image.stem)
        if name in named:
            raise UserError(f"{named[name]} and {image}: two images of one name")
        named[name] = image
    return named
