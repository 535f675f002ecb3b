"""Validation during training: scores over fixed images, and pictures of the first of them."""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np

from srgan.common.errors import error_context
from srgan.data.degrade import Degradation
from srgan.data.pairs import find_pairs
from srgan.evaluation.evaluate import Result, Upscale, bicubic, evaluate
from srgan.training.config import Validation


class ValidationSet:
    """The images that a config names for validation, reduced as the training images are.

    Raises:
        UserError: a folder is missing or holds no images.
    """

    def __init__(self, config: Validation, scale: int, degradation: Degradation) -> None:
        self.samples, self.scale = config.samples, scale
        with error_context("validation.folders"):
            self.pairs = [
                replace(pair, degradation=degradation)
                for folder in config.folders
                for pair in find_pairs(Path(folder), scale)[: config.images]
            ]

    def bicubic(self) -> tuple[float, float]:
        """Mean PSNR [dB] and SSIM of bicubic upscaling: the line to cross in every curve."""
        return _means(evaluate(bicubic(self.scale), self.pairs, self.scale))

    def score(self, upscale: Upscale) -> tuple[tuple[float, float], np.ndarray | None]:
        """Mean PSNR [dB] and SSIM, and samples of the first images below each other (uint8 H x W x 3, or None).

        Raises:
            UserError: an image can't be read, or is too small.
        """
        results, strips = [], []
        for result in evaluate(upscale, self.pairs, self.scale):
            results.append(result)
            if len(strips) < self.samples:
                strips.append(_strip(result, self.scale))
        return _means(results), np.concatenate(strips) if strips else None


def _means(results: Iterable[Result]) -> tuple[float, float]:
    scores = np.array([(result.psnr, result.ssim) for result in results])
    return tuple(float(mean) for mean in scores.mean(axis=0))


def _strip(result: Result, scale: int, side: int = 192) -> np.ndarray:
    """bicubic | SR | HR of the middle of an image, uint8 side x 3*side x 3."""
    images = (bicubic(scale)(result.lr), result.sr, result.hr)
    canvas = np.full((side, 3 * side, 3), 255, np.uint8)
    for i, image in enumerate(images):
        height, width = (min(side, length) for length in image.shape[:2])
        top, left = (image.shape[0] - height) // 2, (image.shape[1] - width) // 2
        canvas[:height, i * side : i * side + width] = image[top : top + height, left : left + width]
    return canvas
