"""Which images are others at a fraction of their size: LR images, by their sizes and pixels, whatever their names."""

import os
import re
from bisect import bisect
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from itertools import product, takewhile
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from srgan.common.errors import ImageError
from srgan.common.images import image_size, read_rgb

HR_ENDING = re.compile(r"(?:[_-]SRF[_-]\d+)?[_-](?:HR|GT)$", re.IGNORECASE)

FACTORS = range(2, 17)
GRID = 16  # side of the thumbnails
# Correlations. Of 719,000 pairs of different photographs (BSDS500, ImageNet) 1 has more than the first and 1.8 % more
# than the second, which is for images with the names of their originals: LR images that are blurred and noisy, too.
ALIKE, ALIKE_NAMED = 0.9, 0.5
CONFIRMED = 3  # pairs that look alike before names alone are believed
FAILED = 12  # images of a folder that look like none of the larger ones before the others are not decoded
NEAREST = 4  # larger images, the most similar in name, that an image is compared with first
FEW = 100  # larger images, all of which it is compared with then


class Reduction(NamedTuple):
    """What an LR image is made of: the HR file, and the factor between their sizes."""

    hr: Path
    factor: int


def image_name(hr: Path) -> str:
    """The name of an HR image: that of its file, without `_HR` or `_GT`."""
    return HR_ENDING.sub("", hr.stem)


def names_at_start(lr: Path) -> Iterator[str]:
    """The names that an LR file's HR image may have, in lower case, the longest first: `0001x4`, `0001x`, `0001`, ...

    Not those that end inside a number: `img_12` is no LR image of `img_1`.
    """
    name = lr.stem.lower()
    for end in range(len(name), 0, -1):
        if not re.match(r"\d\d", name[end - 1 : end + 1]):
            yield name[:end]


class Pixels:
    """The sizes and looks of image files, each read once. Unreadable files have neither.

    Args:
        scale: the factor that small sizes are taken for where others fit as well, by their rounding.
    """

    def __init__(self, scale: int) -> None:
        self.factors = sorted(FACTORS, key=lambda factor: factor != scale)
        self._sizes: dict[Path, tuple[int, int] | None] = {}
        self._thumbnails: dict[Path, np.ndarray | None] = {}

    def sizes(self, images: Sequence[Path]) -> dict[Path, tuple[int, int]]:
        """(width, height) of the images, from their headers."""
        new = [image for image in images if image not in self._sizes]
        with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
            self._sizes |= zip(new, pool.map(_size, new), strict=True)
        return {image: size for image in images if (size := self._sizes[image])}

    def likeness(self, a: Path, b: Path) -> float | None:
        """The correlation of two images' thumbnails, -1 to 1, whatever their sizes and contrast; None: one is flat."""
        for path in {a, b} - self._thumbnails.keys():
            self._thumbnails[path] = _thumbnail(path)
        first, second = self._thumbnails[a], self._thumbnails[b]
        return None if first is None or second is None else float((first * second).mean())


class Originals:
    """Images that others may be made of.

    Args:
        images: HR files.
        pixels: gives their sizes and looks.
    """

    def __init__(self, images: Sequence[Path], pixels: Pixels) -> None:
        self._pixels = pixels
        self._confirmed: Counter[tuple] = Counter()
        by_size = defaultdict(list)
        for image, size in pixels.sizes(images).items():
            by_size[size].append(image)
        self._fitting: dict[tuple[int, int], list[tuple[int, _Names]]] = defaultdict(list)
        for (width, height), group in by_size.items():
            names = _Names(group)
            for factor in pixels.factors:
                # Rounded down by some, up by others, such as MATLAB.
                for size in {*product(_rounded(width, factor), _rounded(height, factor))} - {(width, height)}:
                    self._fitting[size].append((factor, names))

    def reductions(self, images: Sequence[Path]) -> dict[Path, Reduction]:
        """Those of the images that are originals reduced by a whole factor, each with what it is made of.

        Sizes come from all headers. Few images are decoded: each is compared with originals of fitting size, first
        those of the most similar names, and a change of names that some pairs have confirmed (from `HR/*` to `LR/*x4`)
        is then believed. Flat images, which tell nothing, are paired by their names. What is made of a reduction is
        traced back to the original of that.
        """
        sizes = self._pixels.sizes(images)
        found: dict[Path, Reduction] = {}
        failed: Counter[Path] = Counter()
        # From the smallest, since those of images reduced by the largest factor are the surest.
        for image in sorted(sizes, key=lambda path: sizes[path][0] * sizes[path][1]):
            candidates = self._candidates(image, sizes[image])
            known = [match for match in candidates if self._confirmed[_change(image, match)] >= CONFIRMED]
            match = known[0] if known else None
            if candidates and not match and failed[image.parent] < FAILED:
                match = self._most_alike(image, candidates) or self._most_alike(image, self._few(sizes[image]))
                failed[image.parent] += not match
                if match:
                    self._confirmed[_change(image, match)] += 1
            if match:
                found[image] = match
        return {image: _traced(reduction, found) for image, reduction in found.items()}

    def _candidates(self, image: Path, size: tuple[int, int]) -> list[Reduction]:
        """The originals of fitting size, by the similarity of their names."""
        fitting = self._fitting.get(size, ())
        found = [Reduction(original, factor) for factor, names in fitting for original in names.similar(image)]
        return sorted(sorted(found), key=lambda match: _closeness(image, match.hr), reverse=True)[:NEAREST]

    def _few(self, size: tuple[int, int]) -> list[Reduction]:
        """All originals of fitting size, whatever their names, unless they are many."""
        fitting = self._fitting.get(size, ())
        few = sum(len(names.images) for _, names in fitting) <= FEW
        return [Reduction(original, factor) for factor, names in fitting for original in names.images] if few else []

    def _most_alike(self, image: Path, candidates: Sequence[Reduction]) -> Reduction | None:
        """The first one that is named alike and looks alike, or else the one that looks most alike."""
        others = []
        for match in candidates:
            likeness = self._pixels.likeness(image, match.hr)
            if not _has_name(image, match.hr):
                if likeness and likeness > ALIKE:
                    others.append((likeness, match))
            elif likeness is None or likeness > ALIKE_NAMED:
                return match
        return max(others, key=lambda other: other[0])[1] if others else None


class _Names:
    """Images by their names."""

    def __init__(self, images: Sequence[Path]) -> None:
        self.images = images

    def similar(self, image: Path) -> set[Path]:
        """Those with names that begin or end most alike."""
        name = image.stem.lower()
        similar = next((self._by_name[start] for start in names_at_start(image) if start in self._by_name), [])
        if len(similar) > NEAREST:
            similar = sorted(similar, key=lambda other: _closeness(image, other), reverse=True)[:NEAREST]
        found = set(similar)
        for names, key in ((self._forwards, name), (self._backwards, name[::-1])):
            place = bisect(names, (key,))
            found.update(path for _, path in names[max(place - 2, 0) : place + 2])
        return found

    @cached_property
    def _by_name(self) -> dict[str, list[Path]]:
        named = defaultdict(list)
        for image in self.images:
            named[image_name(image).lower()].append(image)
        return named

    @cached_property
    def _forwards(self) -> list[tuple[str, Path]]:
        return sorted((image.stem.lower(), image) for image in self.images)

    @cached_property
    def _backwards(self) -> list[tuple[str, Path]]:
        return sorted((image.stem.lower()[::-1], image) for image in self.images)


def _has_name(lr: Path, hr: Path) -> bool:
    """Whether the LR file is named after the HR file."""
    return image_name(hr).lower() in names_at_start(lr)


def _closeness(lr: Path, hr: Path) -> tuple[bool, int, int]:
    """How similar two names are: whether one is named after the other, letters and folders in common."""
    a, b = lr.stem.lower(), image_name(hr).lower()
    letters = _alike_at_start(a, b) + _alike_at_start(a[::-1], b[::-1])
    return _has_name(lr, hr), len({*lr.parts[:-1]} & {*hr.parts[:-1]}), letters


def _change(lr: Path, match: Reduction) -> tuple:
    """What of folders and name is another than the original's, and the factor: the same for all pairs of a dataset."""
    start = _alike_at_start(lr.stem, match.hr.stem)
    a, b = lr.stem[start:], match.hr.stem[start:]
    end = _alike_at_start(a[::-1], b[::-1])
    folders, original = set(lr.parts[:-1]), set(match.hr.parts[:-1])
    return (
        frozenset(folders - original),
        frozenset(original - folders),
        a[: len(a) - end],
        b[: len(b) - end],
        match.factor,
    )


def _alike_at_start(a: str, b: str) -> int:
    """How many letters two names have in common at their begin."""
    return sum(1 for _ in takewhile(lambda letters: letters[0] == letters[1], zip(a, b, strict=False)))


def _traced(reduction: Reduction, found: Mapping[Path, Reduction]) -> Reduction:
    while reduction.hr in found:
        original = found[reduction.hr]
        reduction = Reduction(original.hr, original.factor * reduction.factor)
    return reduction


def _rounded(side: int, factor: int) -> set[int]:
    return {side // factor, -(-side // factor)} - {0}


def _size(image: Path) -> tuple[int, int] | None:
    try:
        return image_size(image)
    except ImageError:
        return None


def _thumbnail(image: Path) -> np.ndarray | None:
    """Brightness, float GRID x GRID, of mean 0 and standard deviation 1; None for a flat or unreadable image."""
    try:
        grey = Image.fromarray(read_rgb(image)).convert("L")
    except ImageError:
        return None
    small = np.asarray(grey.resize((GRID, GRID), Image.Resampling.BICUBIC), np.float64)
    return (small - small.mean()) / small.std() if small.std() > 1 else None
