"""Enlargement by any factor, by a network and a resize; and seamless textures."""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from srgan.common.errors import UserError
from srgan.data.resize import imresize
from srgan.upscaling.upscaler import Upscaler


@dataclass(frozen=True)
class Enlarger:
    """Enlarges images by any factor: by a network, then by MATLAB's bicubic to the requested size."""

    upscaler: Upscaler
    scale: float
    tileable: bool = False

    def __call__(self, image: np.ndarray, progress: Callable[[Iterable], Iterable] = iter) -> np.ndarray:
        """uint8 or uint16 H x W [x C] -> round(scale * H) x round(scale * W) [x C], at least 1 x 1.

        Raises:
            UserError: there is not enough memory; or a texture's sides would not be whole pixels.
        """
        if not self.tileable:
            return self._enlarge(image, progress)
        sides = [self.scale * side for side in image.shape[:2]]
        if not all(map(_is_whole, sides)):
            raise UserError(f"--tileable: {sides[1]:g} x {sides[0]:g} are not whole pixels: choose another --outscale")
        # As much as a pixel can depend on, including the bicubic.
        margin = self.upscaler.generator.receptive_radius + 2 + math.ceil(2 / min(self.scale, 1))
        # The margin must be whole pixels after the resize, too, or its grid would differ.
        rows, columns = (
            next(n for n in range(margin, margin + side) if _is_whole(n * self.scale)) for side in image.shape[:2]
        )
        wrapped = np.pad(image, [(rows, rows), (columns, columns), (0, 0)][: image.ndim], mode="wrap")
        top, left = round(rows * self.scale), round(columns * self.scale)
        return self._enlarge(wrapped, progress)[top : top + round(sides[0]), left : left + round(sides[1])]

    def _enlarge(self, image: np.ndarray, progress: Callable[[Iterable], Iterable]) -> np.ndarray:
        result = self.upscaler.upscale(image, progress)
        if self.scale == self.upscaler.scale:
            return result
        try:
            resized = imresize(result, self.scale / self.upscaler.scale)
        except MemoryError as error:
            raise UserError(
                f"not enough memory for {self.scale:g} times the size: choose a smaller --outscale"
            ) from error
        # MATLAB rounds up.
        height, width = (max(round(self.scale * side), 1) for side in image.shape[:2])
        return resized[:height, :width]


def _is_whole(number: float) -> bool:
    return abs(number - round(number)) < 1e-6
