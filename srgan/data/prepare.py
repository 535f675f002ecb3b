"""Preparation of HR images from JPEG files, so that the network doesn't learn JPEG's grid of 8 x 8 blocks."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from srgan.common.errors import ImageError, describe


@dataclass(frozen=True)
class Preparation:
    """What happens to HR images from JPEG files; other formats are unchanged.

    Args:
        jpeg_offset: crop 0 to 7 pixels from the top and the left, depending on the file's name. Without it, crops start
            at multiples of the scale, and the borders of JPEG's blocks always coincide with borders of LR pixels.
    """

    jpeg_offset: bool = False

    def applies_to(self, path: Path) -> bool:
        """Whether the file's image is to be changed. Raises: ImageError, the file can't be read."""
        if not self.jpeg_offset:
            return False
        try:
            with path.open("rb") as file:
                return file.read(3) == b"\xff\xd8\xff"
        except OSError as error:
            raise ImageError(f"{path}: {describe(error)}") from error

    def size(self, height: int, width: int, path: Path) -> tuple[int, int]:
        """(height, width) of the image after `apply`. Raises: ImageError, the file can't be read."""
        top, left = self._offset(path)
        return max(height - top, 0), max(width - left, 0)

    def apply(self, image: np.ndarray, path: Path) -> np.ndarray:
        """Prepare the image (uint8 H x W x 3) decoded from this file. Raises: ImageError, the file can't be read."""
        top, left = self._offset(path)
        return image[top:, left:]

    def _offset(self, path: Path) -> tuple[int, int]:
        """(top, left), from the file's name only, so that it is the same on all machines and in all runs."""
        if not self.applies_to(path):
            return 0, 0
        top, left = hashlib.blake2b(path.name.encode(errors="surrogateescape"), digest_size=2).digest()
        return top % 8, left % 8


AS_IT_IS = Preparation()
