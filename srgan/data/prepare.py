"""Preparation of HR images from JPEG files, so that the network doesn't learn JPEG's 8 x 8 blocks."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from srgan.common.errors import ImageError, describe
from srgan.data.resize import imresize


@dataclass(frozen=True)
class Preparation:
    """Reduces the traces of JPEG in HR images; images from files of other formats are left unchanged.

    Args:
        jpeg_offset: crop 0 to 7 pixels from the top and the left, depending on the file's name. Without it, crops start
            at multiples of the scale, and JPEG's block borders always coincide with borders of LR pixels.
        halve: reduce to half the size with `imresize`, which averages out most of JPEG's artefacts.
    """

    jpeg_offset: bool = False
    halve: bool = False

    def applies_to(self, path: Path) -> bool:
        """Whether the file's image is to be changed. Raises: ImageError, the file can't be read."""
        if not (self.jpeg_offset or self.halve):
            return False
        try:
            with path.open("rb") as file:
                return file.read(3) == b"\xff\xd8\xff"
        except OSError as error:
            raise ImageError(f"{path}: {describe(error)}") from error

    def size(self, height: int, width: int, path: Path) -> tuple[int, int]:
        """(height, width) of the image after `apply`. Raises: ImageError, the file can't be read."""
        if not self.applies_to(path):
            return height, width
        top, left = self._offset(path)
        height, width = max(height - top, 0), max(width - left, 0)
        return (-(-height // 2), -(-width // 2)) if self.halve else (height, width)

    def apply(self, image: np.ndarray, path: Path) -> np.ndarray:
        """Prepare the image (uint8 H x W x 3) decoded from this file. Raises: ImageError, the file can't be read."""
        if not self.applies_to(path):
            return image
        top, left = self._offset(path)
        image = image[top:, left:]
        return imresize(image, 1 / 2) if self.halve and image.size else image

    def _offset(self, path: Path) -> tuple[int, int]:
        """(top, left), from the file's name only, so that it is the same on every machine and in every run."""
        if not self.jpeg_offset:
            return 0, 0
        top, left = hashlib.blake2b(path.name.encode(errors="surrogateescape"), digest_size=2).digest()
        return top % 8, left % 8


AS_IT_IS = Preparation()
