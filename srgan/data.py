"""Photographs for training and testing: pairs of HR and LR images, the decoded-image cache, crops."""

import glob
import hashlib
import os
import re
import shutil
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from skimage.filters import gaussian
from torch import Tensor
from torch.utils.data import Dataset
from tqdm import tqdm

from srgan.errors import UserError, reason, warn
from srgan.files import remove_leftovers, whole_file
from srgan.images import image_size, list_images, read_rgb
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
        if self.lr is None or blur_sigma:
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
    an HR image. `skimage:coffee.png` stands for a photograph that ships inside scikit-image.

    Args:
        recursive: look into the subfolders of a plain folder, too.

    Raises:
        UserError: the folder is missing or holds no images, or a file lacks its partner.
    """
    if str(folder).startswith("skimage:"):
        folder = Path(find_spec("skimage").origin).parent / "data" / str(folder).removeprefix("skimage:")
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
    seen = set()
    for root, folders, _ in os.walk(folder, followlinks=True):
        # A link may lead back to a folder above it.
        real = Path(root).resolve()
        folders[:] = [name for name in folders if not name.startswith(".") and real not in seen]
        if real not in seen:
            yield from list_images(Path(root))
        seen.add(real)


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
        """(LR, HR), memory-mapped: only the pages that a crop touches are read.

        Raises:
            UserError: the file is gone, or not of the size that it was written with.
        """
        try:
            pixels = np.memmap(self.path, np.uint8, mode="r", shape=_bytes(self.height, self.width, scale))
        except (OSError, ValueError) as error:
            raise UserError(
                f"{self.path}: the decoded image is gone: {reason(error)}; run again with --resume to decode it anew"
            ) from error
        split = self.height * self.width * 3
        lr_shape = (self.height // scale, self.width // scale, 3)
        return pixels[split:].reshape(lr_shape), pixels[:split].reshape(self.height, self.width, 3)


def _bytes(height: int, width: int, scale: int) -> int:
    return 3 * (height * width + (height // scale) * (width // scale))


class Source(NamedTuple):
    """A pair that is still in its image files, under the key by which the cache knows it."""

    pair: ImagePair
    key: str
    size: tuple[int, int]


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
        cached = self._scan()
        # Each thread holds an image and its float64 rows: hundreds of MB for a large photograph.
        with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
            sources = list(pool.map(self._source, pairs))
            large = [s for s in sources if isinstance(s, Source) and min(s.size) >= crop]
            new = [source for source in large if source.key not in cached]
            self._reserve(new)
            decoded = pool.map(self._decode, new)
            shown = tqdm(decoded, "decoding", total=len(new), unit="image", disable=None if new else True)
            cached |= {source.key: result for source, result in zip(new, shown, strict=True)}
        results = [cached[source.key] for source in large]
        self._report([*sources, *results], crop, strict)
        entries = [result for result in results if isinstance(result, CachedPair)]
        if not entries:
            raise UserError(f"no image of {crop} pixels a side or more is left of {len(pairs)} to train on")
        return entries

    def _report(self, results: Sequence[Source | CachedPair | UserError], crop: int, strict: bool) -> None:
        errors = dict.fromkeys(str(result) for result in results if isinstance(result, UserError))
        for error in errors:
            if strict:
                raise UserError(error)
            warn(f"left out: {error}")
        small = sum(isinstance(result, Source) and min(result.size) < crop for result in results)
        if small:
            warn(f"{small} images smaller than the crop of {crop} pixels are left out")

    def _scan(self) -> dict[str, CachedPair | UserError]:
        """The cached pairs by key. A file of the wrong size, such as a crash of the machine leaves, doesn't count."""
        found = {}
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            # A live run renames its file within seconds.
            remove_leftovers(self.folder, seconds=600)
            for entry in os.scandir(self.folder):
                match = re.fullmatch(r"([0-9a-f]+)_(\d+)x(\d+)\.u8", entry.name)
                if match:
                    pair = CachedPair(Path(entry.path), int(match[2]), int(match[3]))
                    if entry.stat().st_size == _bytes(pair.height, pair.width, self.scale):
                        found[match[1]] = pair
        except OSError as error:
            raise UserError(f"{self.folder}: the cache of decoded images can't be used: {reason(error)}") from error
        return found

    def _source(self, pair: ImagePair) -> Source | UserError:
        try:
            size = image_size(pair.hr)
            facts = [self.scale, self.blur_sigma]
            for path in filter(None, pair[1:]):
                stat = path.stat()
                facts += [str(path.resolve()), stat.st_size, stat.st_mtime_ns]
        except (UserError, OSError) as error:
            return error if isinstance(error, UserError) else UserError(f"{pair.hr}: {reason(error)}")
        return Source(pair, hashlib.blake2b(repr(facts).encode(), digest_size=12).hexdigest(), size)

    def _reserve(self, new: Sequence[Source]) -> None:
        needed = sum(_bytes(*source.size, self.scale) for source in new)
        free = shutil.disk_usage(self.folder).free
        if needed > 1e8:
            print(f"decoding photographs into {self.folder}: {needed / 1e9:.1f} GB")
        if needed > free:
            raise UserError(
                f"{self.folder}: the decoded images take {needed / 1e9:.1f} GB and {free / 1e9:.1f} GB are free; "
                "make room or set data.cache to a folder on another disk"
            )

    def _decode(self, source: Source) -> CachedPair | UserError:
        try:
            lr, hr = source.pair.read(self.scale, self.blur_sigma)
        except UserError as error:
            return error
        height, width = hr.shape[:2]
        path = self.folder / f"{source.key}_{height}x{width}.u8"
        with whole_file(path) as part, part.open("wb") as file:
            file.write(np.ascontiguousarray(hr))
            file.write(lr)
        return CachedPair(path, height, width)


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
        lr, hr = pair.open(self.scale)
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
