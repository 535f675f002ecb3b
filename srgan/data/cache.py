"""The cache of decoded photographs: each pair once, memory-mapped."""

import hashlib
import os
import re
import shutil
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from srgan.common.errors import UserError, describe, warn
from srgan.common.files import remove_leftovers, whole_file
from srgan.common.images import image_size
from srgan.data.pairs import ImagePair
from srgan.data.prepare import AS_IT_IS, Preparation


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
                f"{self.path}: the decoded image is gone: {describe(error)}; run again with --resume to decode it anew"
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

    A file's name holds a digest of the source's path, size and mtime, the scale, the blur and the preparation, and the
    image's size: a changed source is decoded anew, and two runs that build at once only do the same work twice, since
    every file appears under its name when it is whole.
    """

    def __init__(self, folder: Path, scale: int, blur_sigma: float = 0.0, preparation: Preparation = AS_IT_IS) -> None:
        self.folder, self.scale, self.blur_sigma, self.preparation = folder, scale, blur_sigma, preparation

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
            raise UserError(f"{self.folder}: the cache of decoded images can't be used: {describe(error)}") from error
        return found

    def _source(self, pair: ImagePair) -> Source | UserError:
        try:
            width, height = image_size(pair.hr)
            size = self.preparation.size(height, width, pair.hr)
            facts = [self.scale, self.blur_sigma]
            if self.preparation.applies_to(pair.hr):
                facts += [self.preparation]
            for path in filter(None, pair[1:]):
                stat = path.stat()
                facts += [str(path.resolve()), stat.st_size, stat.st_mtime_ns]
        except (UserError, OSError) as error:
            return error if isinstance(error, UserError) else UserError(f"{pair.hr}: {describe(error)}")
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
            lr, hr = source.pair.read(self.scale, self.blur_sigma, self.preparation)
        except UserError as error:
            return error
        height, width = hr.shape[:2]
        path = self.folder / f"{source.key}_{height}x{width}.u8"
        with whole_file(path) as part, part.open("wb") as file:
            file.write(np.ascontiguousarray(hr))
            file.write(lr)
        return CachedPair(path, height, width)
