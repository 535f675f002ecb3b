"""The cache of decoded images: every pair is decoded once, into a memory-mapped file."""

import hashlib
import os
import re
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
from tqdm import tqdm

from srgan.common.errors import ImageError, UserError, describe, warn
from srgan.common.files import remove_leftovers, whole_file
from srgan.common.images import image_size
from srgan.data.pairs import ImagePair

Item = TypeVar("Item")
Value = TypeVar("Value")


class CachedPair(NamedTuple):
    """A decoded pair on disk: height x width x 3 bytes of HR, then the LR image, unless LR is computed per crop."""

    path: Path
    height: int
    width: int
    lr_scale: int | None

    @property
    def bytes(self) -> int:
        lr = (self.height // self.lr_scale) * (self.width // self.lr_scale) if self.lr_scale else 0
        return 3 * (self.height * self.width + lr)

    def open(self) -> tuple[np.ndarray | None, np.ndarray]:
        """(LR or None, HR), uint8 H x W x 3, memory-mapped: only the pages that a crop touches are read.

        Raises:
            UserError: the file is gone or has been cut short.
        """
        pixels = mapped(self.path, np.uint8, (self.bytes,))
        split = self.height * self.width * 3
        hr = pixels[:split].reshape(self.height, self.width, 3)
        if not self.lr_scale:
            return None, hr
        return pixels[split:].reshape(self.height // self.lr_scale, self.width // self.lr_scale, 3), hr


def mapped(path: Path, dtype: type, shape: tuple[int, ...]) -> np.ndarray:
    """A file of the cache as a memory-mapped array.

    Raises:
        UserError: the file is gone or has been cut short.
    """
    try:
        return np.memmap(path, dtype, mode="r", shape=shape)
    except (OSError, ValueError) as error:
        raise UserError(
            f"{path}: the decoded image is gone: {describe(error)}; run again with --resume to decode it again"
        ) from error


class Source(NamedTuple):
    """A pair before decoding: its key in the cache, and the size of its HR image, read from the file's header."""

    key: str
    height: int
    width: int


class PairCache:
    """Decodes each pair once, into a file of its own in `folder`, and reuses that file from then on.

    The file's name contains the image size and a digest of everything else that determines its content: the paths,
    sizes and mtimes of the image files, the scale, the preparation and the degradation. A changed image is therefore
    decoded again. Two runs can build one cache at the same time, since a file only gets its name once it is complete.
    """

    def __init__(self, folder: Path, scale: int) -> None:
        self.folder, self.scale = folder, scale

    def build(self, pairs: Sequence[ImagePair], crop: int, strict: bool = False) -> dict[ImagePair, CachedPair]:
        """Decode the pairs that aren't cached yet. Images that can't be read or are smaller than the crop are left out.

        Raises:
            UserError: the disk is too small, no image is left, or (if strict) an image can't be read.
        """
        cached = self._scan()
        sources = for_each(dict.fromkeys(pairs), self._source, strict)
        large = {pair: source for pair, source in sources.items() if min(source.height, source.width) >= crop}
        new = {pair: source for pair, source in large.items() if source.key not in cached}
        self._check_space(new)
        decoded = for_each(new, lambda pair: self._decode(pair, new[pair].key), strict, "decoding")
        small = sum(pair in sources and pair not in large for pair in pairs)
        if small:
            warn(f"{small} images smaller than the crop of {crop} pixels are left out")
        ready = {pair: cached[source.key] for pair, source in large.items() if pair not in new} | decoded
        if not ready:
            raise UserError(
                f"no image is left of {len(pairs)} to train on: {small} smaller than the crop of {crop} pixels, "
                f"{len(pairs) - small} that can't be used, for the reasons above"
            )
        return ready

    def _scan(self) -> dict[str, CachedPair]:
        """The cached pairs by key, without files of the wrong size, which a crash can leave behind."""
        found = {}
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            # A live run renames its file within seconds.
            remove_leftovers(self.folder, seconds=600)
            for entry in os.scandir(self.folder):
                match = re.fullmatch(r"([0-9a-f]+)_(\d+)x(\d+)(?:_x(\d+))?\.u8", entry.name)
                if match:
                    key, *sides = match.groups()
                    height, width, lr_scale = sides
                    pair = CachedPair(Path(entry.path), int(height), int(width), int(lr_scale) if lr_scale else None)
                    if entry.stat().st_size == pair.bytes:
                        found[key] = pair
        except OSError as error:
            raise UserError(f"{self.folder}: the cache of decoded images can't be used: {describe(error)}") from error
        return found

    def _source(self, pair: ImagePair) -> Source:
        width, height = image_size(pair.hr)
        facts: list[object] = [self.scale, pair.preparation if pair.preparation.applies_to(pair.hr) else None]
        if not pair.degradation.per_crop:
            facts.append("LR file" if pair.lr_file else pair.degradation)
        for path in filter(None, (pair.hr, pair.lr_file)):
            facts += _file_facts(path)
        key = hashlib.blake2b(repr(facts).encode(), digest_size=12).hexdigest()
        return Source(key, *pair.preparation.size(height, width, pair.hr))

    def _check_space(self, new: Mapping[ImagePair, Source]) -> None:
        needed = sum(self._entry(pair, *source).bytes for pair, source in new.items())
        free = shutil.disk_usage(self.folder).free
        if needed > 1e8:
            print(f"decoding photographs into {self.folder}: {needed / 1e9:.1f} GB")
        if needed > free:
            raise UserError(
                f"{self.folder}: the decoded images need {needed / 1e9:.1f} GB, and {free / 1e9:.1f} GB are free; "
                "free some space, or set data.cache to a folder on another disk"
            )

    def _entry(self, pair: ImagePair, key: str, height: int, width: int) -> CachedPair:
        lr_scale = None if pair.degradation.per_crop else self.scale
        name = f"{key}_{height}x{width}{f'_x{lr_scale}' if lr_scale else ''}.u8"
        return CachedPair(self.folder / name, height, width, lr_scale)

    def _decode(self, pair: ImagePair, key: str) -> CachedPair:
        images = [pair.read_hr(self.scale)] if pair.degradation.per_crop else reversed(pair.read(self.scale))
        hr, *lr = map(np.ascontiguousarray, images)
        entry = self._entry(pair, key, *hr.shape[:2])
        with whole_file(entry.path) as part, part.open("wb") as file:
            file.writelines(image.data for image in (hr, *lr))
        return entry


def _file_facts(path: Path) -> tuple[str, int, int]:
    """Path, size and mtime, which show whether a file has changed."""
    try:
        stat = path.stat()
    except OSError as error:
        raise ImageError(f"{path}: {describe(error)}") from error
    return str(path.resolve()), stat.st_size, stat.st_mtime_ns


def for_each(
    items: Iterable[Item], function: Callable[[Item], Value], strict: bool, progress: str = ""
) -> dict[Item, Value]:
    """Call the function on each item, in threads, with a progress bar if `progress` names one.

    Items whose image can't be used are left out with a warning.

    Raises:
        ImageError: an image can't be used, if strict.
    """
    values = {}
    # A thread that decodes holds an image and its float64 rows: hundreds of MB for a large photograph.
    pool = ThreadPoolExecutor(min(8, os.cpu_count() or 1))
    try:
        futures = {item: pool.submit(function, item) for item in items}
        hidden = not (progress and futures)
        for item, future in tqdm(futures.items(), progress, unit="image", disable=hidden or None):
            with _leaving_out(strict):
                values[item] = future.result()
    finally:
        pool.shutdown(cancel_futures=True)
    return values


@contextmanager
def _leaving_out(strict: bool) -> Iterator[None]:
    """Turn an `ImageError` into a warning, unless strict."""
    try:
        yield
    except ImageError as error:
        if strict:
            raise
        warn(f"left out: {error}")
