"""Which images are others at a fraction of their size: LR images, by their sizes and pixels, whatever their names."""

import os
import re
from bisect import bisect
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
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
# Correlations of thumbnails. Of 719,000 pairs of different photographs (BSDS500, ImageNet), 1 exceeds the first and
# 1.8 % exceed the second, which is for images named alike: LR images may be blurred and noisy.
ALIKE, ALIKE_NAMED = 0.9, 0.5
CONFIRMED = 3  # pairs that look alike before names alone are believed
FAILED = 12  # images of a folder without an original before the rest are no longer decoded
NEAREST = 4  # originals, the most similar in name, that an image is compared with first
FEW = 100  # originals that it is compared with then, whatever their names, unless there are more


class Reduction(NamedTuple):
    """What an LR image is made of: the HR file, and the factor between their sizes."""

    hr: Path
    factor: int


def image_name(hr: Path) -> str:
    """The name of an HR image: its file's stem without `_HR` or `_GT`."""
    return HR_ENDING.sub("", hr.stem)


def names_at_start(lr: Path) -> Iterator[str]:
    """The names that an LR file's HR image may have, in lower case, the longest first: `0001x4`, `0001x`, `0001`, ...

    Names that end inside a number are skipped: `img_12` is no LR image of `img_1`.
    """
    name = lr.stem.lower()
    for end in range(len(name), 0, -1):
        if not re.match(r"\d\d", name[end - 1 : end + 1]):
            yield name[:end]


class Pixels:
    """The sizes and looks of image files, each read once. Unreadable files have neither.

    Args:
        scale: the factor to assume for small sizes that fit several factors, by rounding.
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
        # By the size of an LR image.
        self._fitting: dict[tuple[int, int], list[tuple[int, _Group]]] = defaultdict(list)
        for (width, height), same_size in by_size.items():
            group = _Group(same_size)
            for factor in pixels.factors:
                # Some programs round down, others up, such as MATLAB.
                for size in {*product(_rounded(width, factor), _rounded(height, factor))} - {(width, height)}:
                    self._fitting[size].append((factor, group))

    def reductions(self, images: Sequence[Path]) -> dict[Path, Reduction]:
        """The images that are originals reduced by a whole factor, each with what it is made of.

        Sizes are read from all headers, but few images are decoded: each is compared with originals of fitting size,
        the most similar names first, and once some pairs confirm a change of names (from `HR/*` to `LR/*x4`), it is
        believed. Flat images are paired by name, since their pixels tell nothing. What is made of a reduction is
        traced back to the reduction's own original.
        """
        sizes = self._pixels.sizes(images)
        found: dict[Path, Reduction] = {}
        failed: Counter[Path] = Counter()
        # From the smallest: images reduced by the largest factor are the surest.
        for image in sorted(sizes, key=lambda path: sizes[path][0] * sizes[path][1]):
            undecided = failed[image.parent] < FAILED
            candidates = self._candidates(image, sizes[image]) if undecided or self._confirmed else []
            match = next((match for match in candidates if self._confirmed[_change(image, match)] >= CONFIRMED), None)
            if candidates and not match and undecided:
                match = self._most_alike(image, candidates) or self._most_alike(image, self._few(sizes[image]))
                failed[image.parent] += not match
                if match:
                    self._confirmed[_change(image, match)] += 1
            if match:
                found[image] = match
        return {image: _traced(reduction, found) for image, reduction in found.items()}

    def _candidates(self, image: Path, size: tuple[int, int]) -> list[Reduction]:
        """The originals of fitting size whose names are the most similar."""
        found = []
        for factor, group in self._fitting.get(size, ()):
            names = {name for name in names_at_start(image) if name in group.images} or group.similar(image)
            found += [Reduction(original, factor) for name in names for original in group.images[name]]
        return sorted(sorted(found), key=lambda match: _closeness(image, match.hr), reverse=True)[:NEAREST]

    def _few(self, size: tuple[int, int]) -> list[Reduction]:
        """All originals of fitting size, unless there are many."""
        fitting = self._fitting.get(size, ())
        if sum(len(group.images) for _, group in fitting) > FEW:
            return []
        return [Reduction(o, factor) for factor, group in fitting for images in group.images.values() for o in images]

    def _most_alike(self, image: Path, candidates: Sequence[Reduction]) -> Reduction | None:
        """The first candidate that is named alike and looks alike, or else the one that looks most alike."""
        others = []
        for match in candidates:
            likeness = self._pixels.likeness(image, match.hr)
            if not _has_name(image, match.hr):
                if likeness and likeness > ALIKE:
                    others.append((likeness, match))
            elif likeness is None or likeness > ALIKE_NAMED:
                return match
        return max(others, key=lambda other: other[0])[1] if others else None


class _Group:
    """Images of one size, by their names in lower case."""

    def __init__(self, images: Sequence[Path]) -> None:
        self.images: dict[str, list[Path]] = defaultdict(list)
        for image in images:
            self.images[image_name(image).lower()].append(image)
        self._sorted = sorted(self.images)
        self._sorted_backwards = sorted(name[::-1] for name in self.images)

    def similar(self, lr: Path) -> set[str]:
        """The names that begin or end the most like an LR file's."""
        name = lr.stem.lower()
        at_end = _neighbours(self._sorted_backwards, name[::-1])
        return {*_neighbours(self._sorted, name), *(other[::-1] for other in at_end)}


def _neighbours(names: list[str], name: str) -> list[str]:
    place = bisect(names, name)
    return names[max(place - 2, 0) : place + 2]


def _has_name(lr: Path, hr: Path) -> bool:
    """Whether the LR file is named after the HR file."""
    return image_name(hr).lower() in names_at_start(lr)


def _closeness(lr: Path, hr: Path) -> tuple[bool, int, int]:
    """How similar two names are: whether the first is named after the second, common folders, common letters."""
    a, b = lr.stem.lower(), image_name(hr).lower()
    letters = _alike_at_start(a, b) + _alike_at_start(a[::-1], b[::-1])
    return _has_name(lr, hr), len({*lr.parts[:-1]} & {*hr.parts[:-1]}), letters


def _change(lr: Path, match: Reduction) -> tuple:
    """How folders, name and size differ from the original's: the same for all pairs of a dataset."""
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
    """How many letters two names share at the start."""
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
