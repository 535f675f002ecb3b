"""Photographs for training and testing: pairs of HR and LR images, the decoded-image cache, crops."""

import glob
import hashlib
import os
import re
import shutil
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from skimage.filters import gaussian
from torch import Tensor
from torch.utils.data import Dataset
from tqdm import tqdm

from srgan.errors import UserError
from srgan.images import list_images, read_rgb
from srgan.resize import imresize

DOWNLOAD = "python scripts/download_div2k.py"


class ImagePair(NamedTuple):
    """An HR image and its LR image; without an LR file the LR image is made by `imresize`."""

    name: str
    hr: Path
    lr: Path | None = None

    def read(self, scale: int, blur_sigma: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
        """(LR h x w x 3, HR scale*h x scale*w x 3), uint8; HR is cropped to a multiple of the scale.

        Raises:
            UserError: a file can't be read, or the LR file isn't the HR file's size over the scale.
        """
        hr = read_rgb(self.hr)
        height, width = (side // scale for side in hr.shape[:2])
        hr = hr[: height * scale, : width * scale]
        if self.lr is None:
            if not height or not width:
                raise UserError(f"{self.hr}: {hr.shape[1]} x {hr.shape[0]} pixels are too few for scale {scale}")
            return imresize(_blur(hr, blur_sigma), 1 / scale), hr
        lr = read_rgb(self.lr)
        if lr.shape[:2] != (height, width):
            raise UserError(
                f"{self.lr}: expected {width} x {height} pixels, {self.hr.name}'s size over {scale}, "
                f"found {lr.shape[1]} x {lr.shape[0]}"
            )
        return lr, hr


def find_pairs(folder: Path, scale: int, recursive: bool = False) -> list[ImagePair]:
    """The image pairs of a folder, by its layout, sorted by name.

    `image_SRF_<scale>` (pairs `*_HR`, `*_LR`); DIV2K (`X_HR` beside `X_LR_bicubic/X<scale>/*x<scale>.png`, or its root,
    which stands for the validation split); any other folder, or a pattern such as `photos/2024*.jpg`: every image is
    an HR image.

    Args:
        recursive: look into the subfolders of a plain folder, too.

    Raises:
        UserError: the folder is missing or holds no images, or a file lacks its partner.
    """
    if glob.has_magic(str(folder)):
        images = sorted(path for path in map(Path, glob.glob(str(folder))) if path.is_file())  # noqa: PTH207
        if not images:
            raise UserError(f"{folder}: no file has a name like this")
        return [ImagePair(image.stem, image) for image in images]
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder of images; for DIV2K: {DOWNLOAD}")
    for inner in (folder / f"image_SRF_{scale}", folder / "DIV2K_valid_HR"):
        if inner.is_dir():
            folder = inner
    if folder.name.startswith("image_SRF_"):
        return _srf_pairs(folder, scale)
    images = sorted(_walk(folder)) if recursive else list_images(folder)
    if not images:
        raise UserError(f"{folder}: no images in this folder; for DIV2K: {DOWNLOAD}")
    lr_folder = folder.with_name(f"{folder.name.removesuffix('_HR')}_LR_bicubic") / f"X{scale}"
    if not folder.name.endswith("_HR") or not lr_folder.is_dir():
        return [ImagePair(image.stem, image) for image in images]
    return _matched(images, list_images(lr_folder), scale)


def match_pairs(hr_folder: Path, lr_folder: Path, scale: int) -> list[ImagePair]:
    """The pairs of two folders, matched and sorted by name.

    `baby.png` or `baby_HR.png` is matched with `baby.png`, `baby_LR.png` or `babyx4.png`, of any image format.

    Raises:
        UserError: a folder is missing or holds no images, or images lack their partners: they are listed.
    """
    images = list_images(hr_folder)
    if not images:
        raise UserError(f"{hr_folder}: no images in this folder")
    return _matched(images, list_images(lr_folder), scale)


def _srf_pairs(folder: Path, scale: int) -> list[ImagePair]:
    if folder.name != f"image_SRF_{scale}":
        raise UserError(f"{folder}: these pairs are not of scale {scale}")
    images = list_images(folder)
    # Some releases keep other methods' results beside the pairs.
    hr, lr = ([image for image in images if image.stem.endswith(f"_SRF_{scale}_{kind}")] for kind in ("HR", "LR"))
    if not hr:
        raise UserError(f"{folder}: expected pairs *_SRF_{scale}_HR.png and *_SRF_{scale}_LR.png, found none")
    return _matched(hr, lr, scale)


def _matched(hr: Sequence[Path], lr: Sequence[Path], scale: int) -> list[ImagePair]:
    hr_by_name = _by_name(hr, rf"(_SRF_{scale})?_HR$")
    # An HR image may itself be called box4.png.
    plain = [image for image in lr if image.stem in hr_by_name]
    lr_by_name = _by_name(plain, "$") | _by_name(
        [image for image in lr if image not in plain], rf"((_SRF_{scale})?_LR|x{scale})$"
    )
    problems = [
        f"{len(alone)} {kind} images without {other}: {', '.join(map(str, alone[:20]))}{' ...' * (len(alone) > 20)}"
        for kind, other, alone in (
            ("HR", "LR", [image for name, image in hr_by_name.items() if name not in lr_by_name]),
            ("LR", "HR", [image for name, image in lr_by_name.items() if name not in hr_by_name]),
        )
        if alone
    ]
    if problems:
        raise UserError("; ".join(problems))
    return [ImagePair(name, image, lr_by_name[name]) for name, image in hr_by_name.items()]


def _by_name(images: Iterable[Path], suffix: str) -> dict[str, Path]:
    named = {}
    for image in images:
        name = re.sub(suffix, "", image.stem)
        if name in named:
            raise UserError(f"{named[name]} and {image}: two images of one name")
        named[name] = image
    return named


def _walk(folder: Path) -> Iterable[Path]:
    for root, folders, _ in os.walk(folder, followlinks=True):
        folders[:] = [name for name in folders if not name.startswith(".")]
        yield from list_images(Path(root))


def _blur(image: np.ndarray, sigma: float) -> np.ndarray:
    if not sigma:
        return image
    blurred = gaussian(image, sigma, mode="reflect", preserve_range=True, channel_axis=2)
    return np.floor(blurred + 0.5).astype(np.uint8)


class CachedPair(NamedTuple):
    """A decoded pair on disk: HR's height x width x 3 bytes, then LR's."""

    path: Path
    height: int
    width: int

    def open(self, scale: int) -> tuple[np.ndarray, np.ndarray]:
        """(LR, HR), memory-mapped: only the pages that a crop touches are read."""
        pixels = np.memmap(self.path, np.uint8, mode="r")
        split = self.height * self.width * 3
        lr_shape = (self.height // scale, self.width // scale, 3)
        return pixels[split:].reshape(lr_shape), pixels[:split].reshape(self.height, self.width, 3)


class PairCache:
    """Decodes each pair once into a file of its own under `folder`, and finds it there the next time.

    A file's name holds a digest of the source's path, size and mtime, the scale and the blur, and the image's size: a
    changed source is decoded anew, and two runs that build at once only do the same work twice, since every file
    appears under its name when it is whole.
    """

    def __init__(self, folder: Path, scale: int, blur_sigma: float = 0.0) -> None:
        self.folder, self.scale, self.blur_sigma = folder, scale, blur_sigma

    def build(self, pairs: Sequence[ImagePair], crop: int, strict: bool = False) -> list[CachedPair]:
        """The decoded pairs, in order, without the images that are smaller than the crop or can't be read.

        Raises:
            UserError: not enough disk, nothing left, or (strict) an image that can't be read.
        """
        found = self._scan()
        with ThreadPoolExecutor() as pool:
            sizes = list(pool.map(_size_or_error, pairs))
            wanted = [pair for pair, size in zip(pairs, sizes, strict=True) if min(size or (crop, crop)) >= crop]
            new = [
                (p, s) for p, s in zip(pairs, sizes, strict=True) if s and min(s) >= crop and self._key(p) not in found
            ]
            self._reserve(sum(3 * w * h for _, (w, h) in new))
            decoded = tqdm(
                pool.map(lambda pair: self._load(pair, found), wanted),
                "decoding",
                total=len(wanted),
                unit="image",
                disable=None if new else True,
            )
            results = list(decoded)
        entries = [result for result in results if isinstance(result, CachedPair) and min(result[1:]) >= crop]
        self._report(results, len(pairs) - len(wanted), crop, strict)
        if not entries:
            raise UserError(f"no image of {crop} pixels a side or more is left of {len(pairs)} to train on")
        return entries

    def _scan(self) -> dict[str, CachedPair]:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            found = {}
            for entry in os.scandir(self.folder):
                if entry.name.endswith(".part"):
                    # Left by a run that was killed: a live one renames its file within seconds.
                    if time.time() - entry.stat().st_mtime > 600:
                        Path(entry.path).unlink(missing_ok=True)
                elif entry.name.endswith(".u8"):
                    key, height, width = entry.name.removesuffix(".u8").replace("x", "_").split("_")
                    found[key] = CachedPair(Path(entry.path), int(height), int(width))
            return found
        except OSError as error:
            raise UserError(f"{self.folder}: the cache of decoded images can't be used: {error.strerror}") from error

    def _key(self, pair: ImagePair) -> str:
        facts = [self.scale, self.blur_sigma]
        for path in filter(None, pair[1:]):
            stat = path.stat()
            facts += [str(path.resolve()), stat.st_size, stat.st_mtime_ns]
        return hashlib.blake2b(repr(facts).encode(), digest_size=12).hexdigest()

    def _reserve(self, hr_bytes: int) -> None:
        needed = hr_bytes * (1 + 1 / self.scale**2)
        free = shutil.disk_usage(self.folder).free
        if needed > 1e8:
            print(f"decoding photographs into {self.folder}: {needed / 1e9:.1f} GB")
        if needed > free:
            raise UserError(
                f"{self.folder}: the decoded images take {needed / 1e9:.1f} GB and {free / 1e9:.1f} GB are free; "
                "make room or set data.cache to a folder on another disk"
            )

    def _load(self, pair: ImagePair, found: dict[str, CachedPair]) -> CachedPair | UserError:
        try:
            key = self._key(pair)
            if key in found:
                return found[key]
            lr, hr = pair.read(self.scale, self.blur_sigma)
        except (UserError, OSError) as error:
            return error if isinstance(error, UserError) else UserError(f"{pair.hr}: {error.strerror}")
        entry = CachedPair(self.folder / f"{key}_{hr.shape[0]}x{hr.shape[1]}.u8", *hr.shape[:2])
        part = self.folder / f"{key}.{os.getpid()}.part"
        try:
            with part.open("wb") as file:
                file.write(np.ascontiguousarray(hr))
                file.write(lr)
            part.replace(entry.path)
        except OSError as error:
            part.unlink(missing_ok=True)
            raise UserError(f"{entry.path}: can't be written: {error.strerror}") from error
        return entry

    def _report(self, results: list[CachedPair | UserError], small: int, crop: int, strict: bool) -> None:
        small += sum(isinstance(result, CachedPair) and min(result[1:]) < crop for result in results)
        if small:
            tqdm.write(f"warning: {small} images smaller than the crop of {crop} pixels are left out")
        errors = [result for result in results if isinstance(result, UserError)]
        if errors and strict:
            raise errors[0]
        for error in errors:
            tqdm.write(f"warning: left out: {error}")


def _size_or_error(pair: ImagePair) -> tuple[int, int] | None:
    """(width, height) from the file's header; None if there is none (decoding will say why)."""
    try:
        with Image.open(pair.hr) as image:
            return image.size
    except Exception:  # noqa: BLE001 - Pillow's plugins raise what they like; `read_rgb` names it
        return None


class CropDataset(Dataset):
    """Random pairs of an HR crop and the LR crop exactly under it, flipped and turned alike.

    Item n is a function of the seed and n alone: whatever the number of workers or processes, and after any
    interruption, the n-th crop of a run is the same. Indices go on beyond `len(dataset)`, the number of images.

    Args:
        folders: image folders, in any layout of `find_pairs`, with their subfolders.
        scale: HR size over LR size.
        crop: side of the HR crop in pixels, a multiple of the scale.
        cache: folder for the decoded images.
        seed: chooses the sequence of crops.
        blur_sigma: sigma of a Gaussian blur before the reduction, in HR pixels.
        strict: raise at an image that can't be read instead of leaving it out with a warning.

    Raises:
        UserError: a folder is missing, or no image is large enough.
    """

    def __init__(
        self,
        folders: Sequence[str | Path],
        scale: int = 4,
        crop: int = 96,
        cache: str | Path = "datasets/cache",
        seed: int = 0,
        blur_sigma: float = 0.0,
        strict: bool = False,
    ) -> None:
        self.scale, self.crop, self.seed = scale, crop, seed
        pairs = [pair for folder in folders for pair in find_pairs(Path(folder), scale, recursive=True)]
        self.pairs = PairCache(Path(cache), scale, blur_sigma).build(pairs, crop, strict)

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        """(LR crop/scale x crop/scale x 3, HR crop x crop x 3), uint8."""
        rng = np.random.default_rng((self.seed, index))
        pair = self.pairs[rng.integers(len(self.pairs))]
        try:
            lr, hr = pair.open(self.scale)
        except OSError as error:
            raise UserError(f"{pair.path}: the cache of decoded images is gone: {error.strerror}") from error
        size = self.crop // self.scale
        y, x = rng.integers(lr.shape[0] - size + 1), rng.integers(lr.shape[1] - size + 1)
        flip, turns = rng.integers(2), rng.integers(4)
        lr_crop = _window(lr, y, x, size)
        hr_crop = _window(hr, y * self.scale, x * self.scale, self.crop)
        return tuple(torch.from_numpy(_oriented(crop, flip, turns)) for crop in (lr_crop, hr_crop))


class DIV2K(CropDataset):
    """Crops of DIV2K (Agustsson & Timofte, 2017): `root/DIV2K_<split>_HR`, LR from `DIV2K_<split>_LR_bicubic` if there.

    Args:
        root: the folder that holds the archives' folders.
        split: "train" or "valid".
        options: as `CropDataset`.
    """

    def __init__(self, root: str | Path = "datasets/DIV2K", split: str = "train", **options: object) -> None:
        super().__init__([Path(root) / f"DIV2K_{split}_HR"], **options)


def _window(image: np.ndarray, y: int, x: int, size: int) -> np.ndarray:
    return image[y : y + size, x : x + size]


def _oriented(image: np.ndarray, flip: int, turns: int) -> np.ndarray:
    """One of the eight orientations of a square, as an array of its own."""
    return np.rot90(image[:, ::-1] if flip else image, turns).copy()
