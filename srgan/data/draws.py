"""Where a training crop is cut: out of which photograph, and at which place in it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from srgan.common.files import whole_file
from srgan.data.cache import CachedPair, for_each, mapped
from srgan.data.resize import imresize

Draw = Literal["photograph", "pixels", "detail"]
# In grey levels: what a crop without any detail counts, so that skies and walls are seen as well.
PLAIN = 2.0


class CropPlaces:
    """Draws the places of crops at random.

    Args:
        pairs: the decoded photographs, each large enough for a crop.
        draw: "photograph": one photograph is as likely as another, and each place in it; "pixels": each place of all
            photographs is as likely, so that large ones come more often; "detail": its probability is proportional to
            `PLAIN` plus what bicubic upscaling misses there, the crop's mean |HR - bicubic(LR)| in grey levels.
        scale: HR size / LR size.
        size: side of the LR crop.

    Raises:
        UserError: the cache of decoded images, where measured detail is kept, can't be read or written.
    """

    def __init__(self, pairs: Sequence[CachedPair], draw: Draw, scale: int, size: int) -> None:
        self.pairs, self.draw, self.scale, self.size = pairs, draw, scale, size
        self.shapes = [(pair.height // scale - size + 1, pair.width // scale - size + 1) for pair in pairs]
        if draw == "detail":
            new = (pair for pair in dict.fromkeys(pairs) if not _is_whole(pair, scale))
            for_each(new, lambda pair: _write_detail(pair, scale), strict=True, progress="measuring detail")
            self.ends = np.cumsum([self._weights(pair).sum() for pair in pairs])
        else:
            self.ends = np.cumsum([height * width for height, width in self.shapes])

    def __call__(self, rng: np.random.Generator) -> tuple[int, int, int]:
        """(index of the photograph, y, x) of a crop's top left corner, in LR pixels."""
        index = int(rng.integers(len(self.pairs))) if self.draw == "photograph" else _drawn(self.ends, rng)
        height, width = self.shapes[index]
        if self.draw == "detail":
            return index, *divmod(_drawn(self._weights(self.pairs[index]).cumsum(), rng), width)
        return index, int(rng.integers(height)), int(rng.integers(width))

    def _weights(self, pair: CachedPair) -> np.ndarray:
        detail = mapped(_detail_file(pair), np.float16, (pair.height // self.scale, pair.width // self.scale))
        return PLAIN + box_means(detail, self.size)


def detail_map(hr: np.ndarray, scale: int) -> np.ndarray:
    """What bicubic upscaling misses: |HR - bicubic(LR)| in grey levels, a mean over each LR pixel's block and colours.

    Args:
        hr: uint8 H x W x 3, multiples of the scale.

    Returns:
        float16 H/scale x W/scale.
    """
    error = np.abs(imresize(imresize(hr, 1 / scale), scale).astype(np.int16) - hr)
    height, width = (side // scale for side in hr.shape[:2])
    return error.reshape(height, scale, width, scale * 3).mean((1, 3)).astype(np.float16)


def box_means(values: np.ndarray, size: int) -> np.ndarray:
    """The mean of each window of size x size: h x w -> float64 (h - size + 1) x (w - size + 1)."""
    sums = np.pad(values.astype(np.float64), ((1, 0), (1, 0))).cumsum(0).cumsum(1)
    return (sums[size:, size:] - sums[:-size, size:] - sums[size:, :-size] + sums[:-size, :-size]) / size**2


def _drawn(ends: np.ndarray, rng: np.random.Generator) -> int:
    """An index, as likely as the sum of weights `ends` grows there."""
    # Rounding can bring the product up to the last end itself.
    return min(int(np.searchsorted(ends, rng.random() * ends[-1], side="right")), len(ends) - 1)


def _detail_file(pair: CachedPair) -> Path:
    return pair.path.with_suffix(".detail")


def _is_whole(pair: CachedPair, scale: int) -> bool:
    file, pixels = _detail_file(pair), (pair.height // scale) * (pair.width // scale)
    return file.exists() and file.stat().st_size == pixels * np.float16().itemsize


def _write_detail(pair: CachedPair, scale: int) -> None:
    with whole_file(_detail_file(pair)) as part:
        part.write_bytes(detail_map(pair.open()[1], scale).tobytes())
