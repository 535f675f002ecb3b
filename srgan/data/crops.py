"""Random crops of photographs for training."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from srgan.data.cache import PairCache
from srgan.data.pairs import find_pairs
from srgan.data.prepare import Preparation


class CropDataset(Dataset):
    """Random pairs of an HR crop and the LR crop exactly under it, flipped and turned alike.

    Item n is a function of the seed and n alone: whatever the number of workers or processes, and after any
    interruption, the n-th crop of a run is the same. Indices go on beyond `len(dataset)`, the number of images.

    Args:
        folders: image folders, in any layout of `find_pairs`, with their subfolders.
        scale: HR size over LR size.
        crop: side of the HR crop in pixels, a multiple of the scale.
        cache: folder for the decoded images.
        seed: chooses the sequence of crops.
        blur_sigma: sigma of a Gaussian blur before the reduction, in HR pixels.
        strict: raise at an image that can't be read instead of leaving it out with a warning.
        jpeg_offset, halve: as `Preparation`, for JPEG files.

    Raises:
        UserError: a folder is missing, or no image is large enough.
    """

    def __init__(
        self,
        folders: Sequence[str | Path],
        scale: int = 4,
        crop: int = 96,
        cache: str | Path = "datasets/cache",
        seed: int = 0,
        blur_sigma: float = 0.0,
        strict: bool = False,
        jpeg_offset: bool = False,
        halve: bool = False,
    ) -> None:
        self.scale, self.crop, self.seed = scale, crop, seed
        pairs = [pair for folder in folders for pair in find_pairs(Path(folder), scale, recursive=True)]
        self.pairs = PairCache(Path(cache), scale, blur_sigma, Preparation(jpeg_offset, halve)).build(
            pairs, crop, strict
        )

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        """(LR crop/scale x crop/scale x 3, HR crop x crop x 3), uint8."""
        rng = np.random.default_rng((self.seed, index))
        pair = self.pairs[rng.integers(len(self.pairs))]
        lr, hr = pair.open(self.scale)
        size = self.crop // self.scale
        y, x = rng.integers(lr.shape[0] - size + 1), rng.integers(lr.shape[1] - size + 1)
        flip, turns = rng.integers(2), rng.integers(4)
        lr_crop = _window(lr, y, x, size)
        hr_crop = _window(hr, y * self.scale, x * self.scale, self.crop)
        return tuple(torch.from_numpy(_oriented(crop, flip, turns)) for crop in (lr_crop, hr_crop))


class DIV2K(CropDataset):
    """Crops of DIV2K (Agustsson & Timofte, 2017): `root/DIV2K_<split>_HR`, LR from `DIV2K_<split>_LR_bicubic` if there.

    Args:
        root: the folder that holds the archives' folders.
        split: "train" or "valid".
        options: as `CropDataset`.
    """

    def __init__(self, root: str | Path = "datasets/DIV2K", split: str = "train", **options: object) -> None:
        super().__init__([Path(root) / f"DIV2K_{split}_HR"], **options)


def _window(image: np.ndarray, y: int, x: int, size: int) -> np.ndarray:
    return image[y : y + size, x : x + size]


def _oriented(image: np.ndarray, flip: int, turns: int) -> np.ndarray:
    """One of the eight orientations of a square, as an array of its own."""
    return np.rot90(image[:, ::-1] if flip else image, turns).copy()
