"""Scores of anything that upscales, over benchmark folders."""

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import NamedTuple

import numpy as np

from srgan.data import ImagePair
from srgan.metrics import score
from srgan.resize import imresize

Upscale = Callable[[np.ndarray], np.ndarray]


class Result(NamedTuple):
    """One upscaled image and its scores against the HR image; images are uint8 H x W x 3."""

    image: str
    psnr: float
    ssim: float
    lr: np.ndarray
    sr: np.ndarray
    hr: np.ndarray


def evaluate(upscale: Upscale, pairs: Iterable[ImagePair], scale: int) -> Iterator[Result]:
    """Upscale and score pair after pair (Y channel, `scale` pixels cut off); one pair is in memory at a time.

    Raises:
        UserError: an image can't be read or a pair doesn't fit.
    """
    for pair in pairs:
        lr, hr = pair.read(scale)
        sr = upscale(lr)
        yield Result(pair.name, *score(sr, hr, border=scale), lr, sr, hr)


def bicubic(scale: int) -> Upscale:
    """MATLAB's bicubic upscaling."""
    return partial(imresize, scale=scale)


def nearest(scale: int) -> Upscale:
    """Each pixel repeated."""
    return lambda image: image.repeat(scale, axis=0).repeat(scale, axis=1)
