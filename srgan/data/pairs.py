"""Pairs of HR and LR images, and how they are found in folders."""

import glob
import os
import zlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import ImageMode

from srgan.common.errors import ImageError, UserError, warn
from srgan.common.images import list_images, open_image, read_rgb
from srgan.data.degrade import BICUBIC, Degradation
from srgan.data.layouts import PairFolders, images_of, images_of_split, listed, srf_folder
from srgan.data.matching import match_among, match_beside, match_folders
from srgan.data.prepare import AS_IT_IS, Preparation
from srgan.data.reductions import Pixels, image_name

DOWNLOAD = "python -m srgan download_div2k"


@dataclass(frozen=True)
class ImagePair:
    """An HR image and its LR image, which comes from a file or from a degradation of the HR image.

    Args:
        name: the name in tables and pictures.
        hr: the HR file.
        lr: the LR file, used only with the `Bicubic` degradation and an unprepared HR image.
        degradation: makes the LR image if no LR file is used.
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
        lr = read_rgb(self.lr_file)
        expected, found = (hr.shape[0] // scale, hr.shape[1] // scale), lr.shape[:2]
        if found != expected:
            # As by MATLAB's imresize without modcrop: the last pixels extend beyond the HR image.
            rounded_up = all(0 <= a - b <= 1 for a, b in zip(found, expected, strict=True))
            raise ImageError(
                f"{self.lr}: expected {expected[1]} x {expected[0]} pixels, {self.hr.name}'s size over {scale}, "
                f"found {found[1]} x {found[0]}"
                + f" (rounded up): crop the HR images to multiples of {scale} before reducing them"
                * rounded_up
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
        """Whether the LR image is grey: by its file, or by the HR file that it is made from."""
        if self.degradation.per_crop:
            # Noise and compression may add colours.
            return False
        with open_image(self.lr_file or self.hr) as image:
            return ImageMode.getmode(image.mode).basemode == "L"


def find_pairs(folder: str | Path | PairFolders, scale: int, training: bool = False) -> list[ImagePair]:
    """Find the image pairs of a folder, sorted by name.

    - `image_SRF_<scale>`, or a folder that holds it: pairs `*_HR`, `*_LR`;
    - any other folder, or a pattern such as `photos/2024*.jpg`: HR images, with LR images found among them or in a
      folder nearby by size and looks (see `reductions`);
    - `skimage:coffee.png`: a photograph that comes with scikit-image.

    Args:
        training: include the subfolders of a folder that has images itself, and use a dataset's training split
            instead of its validation split.

    Raises:
        UserError: the folder is missing, has no images or is ambiguous, or a file has no partner.
    """
    if isinstance(folder, PairFolders):
        return match_pairs(Path(folder.hr), Path(folder.lr), scale)
    if str(folder).startswith("skimage:"):
        import skimage

        folder = Path(skimage.__file__).parent / "data" / str(folder).removeprefix("skimage:")
    folder = Path(folder)
    if folder.is_file():
        return [ImagePair(folder.stem, folder)]
    # A folder may have brackets in its name.
    if glob.has_magic(str(folder)) and not folder.is_dir():
        images = sorted(path for path in map(Path, glob.glob(str(folder))) if path.is_file())  # noqa: PTH207
        if not images:
            raise UserError(f"{folder}: no file has a name like this")
        return _pairs(*match_among(images, scale, Pixels(scale)))
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder of images; for DIV2K: {DOWNLOAD}")
    if srf := srf_folder(folder, scale):
        return _srf_pairs(srf, scale)
    images = images_of_split(folder, training)
    if not images:
        raise UserError(f"{folder}: no images in this folder; for DIV2K: {DOWNLOAD}")
    pixels = Pixels(scale)
    hr, matches = match_among(images, scale, pixels)
    return _pairs(hr, matches or match_beside(folder, hr, scale, pixels))


def with_degradation(
    pairs: Iterable[ImagePair], degradation: Degradation, preparation: Preparation = AS_IT_IS
) -> list[ImagePair]:
    """The same pairs with another degradation; a warning reports LR files that it replaces."""
    pairs = [replace(pair, degradation=degradation, preparation=preparation) for pair in pairs]
    unused = [pair.lr for pair in pairs if pair.lr and degradation != BICUBIC]
    if unused:
        warn(f"{len(unused)} LR files are not used, since data.degradation makes the LR images: {listed(unused, 1)}")
    return pairs


def match_pairs(hr_folder: Path, lr_folder: Path, scale: int) -> list[ImagePair]:
    """The pairs of two folders, matched by name and sorted.

    An LR image's relative name is the HR image's, or begins with it: `baby.png`, `baby_HR.png` or `baby_GT.png` is
    matched with `baby.png`, `baby_LR.png`, `babyx4.png`, `X4/babyx4.png`, in any image format. The rest is matched by
    size and looks.

    Raises:
        UserError: a folder is missing or has no images, or images have no partners (the message lists them).
    """
    hr, lr = images_of(hr_folder, nested=True), images_of(lr_folder, nested=True)
    # One of the folders may lie in the other.
    shared = {*hr} & {*lr}
    hr, lr = ([image for image in images if len(images) == len(shared) or image not in shared] for images in (hr, lr))
    if not hr:
        raise UserError(f"{hr_folder}: no images in this folder")
    return _pairs(hr, match_folders(hr, lr, (hr_folder, lr_folder), scale))


def _srf_pairs(folder: Path, scale: int) -> list[ImagePair]:
    stored = int(folder.name.rpartition("_")[2])
    images = list_images(folder)
    # Some releases include other methods' results.
    hr, lr = ([image for image in images if image.stem.endswith(f"_SRF_{stored}_{kind}")] for kind in ("HR", "LR"))
    if not hr:
        raise UserError(f"{folder}: expected pairs *_SRF_{stored}_HR.png and *_SRF_{stored}_LR.png, found none")
    if stored != scale:
        warn(f"{folder}: LR images of scale {stored}; those of scale {scale} are made from the HR images, by bicubic")
        return [ImagePair(image_name(image), image) for image in hr]
    return _pairs(hr, match_folders(hr, lr, (folder, folder), scale))


def _pairs(hr: Sequence[Path], matches: Mapping[Path, Path]) -> list[ImagePair]:
    """The pairs, and HR images without LR images. Names include the folders where several images have one stem."""
    lr_of = defaultdict(list)
    for file, image in matches.items():
        lr_of[image].append(file)
    root = os.path.commonpath([image.parent for image in hr])
    stems = Counter((image.stem, image.suffix) for image in hr)
    pairs = []
    for image in hr:
        files: Sequence[Path | None] = sorted(lr_of[image]) or [None]
        folders = image.parent.relative_to(root).parts if stems[image.stem, image.suffix] > 1 else ()
        for lr in files:
            name = image.stem if lr is None else lr.stem if len(files) > 1 else image_name(image)
            pairs.append(ImagePair("-".join([*folders, name]), image, lr))
    return pairs
