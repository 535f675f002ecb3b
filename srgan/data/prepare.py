"""What is done to a JPEG photograph before it becomes an HR image: its 8 x 8 blocks must not teach the network."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from srgan.common.errors import ImageError, describe
from srgan.data.resize import imresize


@dataclass(frozen=True)
class Preparation:
    """Takes the traces of JPEG out of HR photographs; files of other formats stay as they are.

    Args:
        jpeg_offset: cut 0 to 7 pixels off the top and the left (a function of the file's name), so that the borders of
            JPEG's blocks fall anywhere within an LR pixel's cell. Uncut, every eighth of them is an LR border, too.
        halve: reduce to half the size with `imresize`; what JPEG did to single pixels is averaged out.
    """

    jpeg_offset: bool = False
    halve: bool = False

    def applies_to(self, path: Path) -> bool:
        """Whether the file's image is changed. Raises: ImageError, it can't be read."""
        if not (self.jpeg_offset or self.halve):
            return False
        try:
            with path.open("rb") as file:
                return file.read(3) == b"\xff\xd8\xff"
        except OSError as error:
            raise ImageError(f"{path}: {describe(error)}") from error

    def size(self, height: int, width: int, path: Path) -> tuple[int, int]:
        """(height, width) that `apply` makes of an image of this size. Raises: ImageError, as `applies_to`."""
        if not self.applies_to(path):
            return height, width
        top, left = self._offset(path)
        height, width = max(height - top, 0), max(width - left, 0)
        return (-(-height // 2), -(-width // 2)) if self.halve else (height, width)

    def apply(self, image: np.ndarray, path: Path) -> np.ndarray:
        """The HR image, uint8 H x W x 3, of the image decoded from this file. Raises: ImageError, as `applies_to`."""
        if not self.applies_to(path):
            return image
        top, left = self._offset(path)
        image = image[top:, left:]
        return imresize(image, 1 / 2) if self.halve and image.size else image

    def _offset(self, path: Path) -> tuple[int, int]:
        """(top, left) by the file's name alone: the same on every machine and in every run."""
        if not self.jpeg_offset:
            return 0, 0
        top, left = hashlib.blake2b(path.name.encode(errors="surrogateescape"), digest_size=2).digest()
        return top % 8, left % 8


AS_IT_IS = Preparation()
