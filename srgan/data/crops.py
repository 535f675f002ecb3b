"""Random crops of photographs for training."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from srgan.common.errors import UserError, describe, warn
from srgan.data.cache import CachedPair, PairCache
from srgan.data.degrade import BICUBIC, Degradation
from srgan.data.draws import CropPlaces, Draw
from srgan.data.fingerprint import fingerprint, shared_images
from srgan.data.layouts import PairFolders, listed
from srgan.data.pairs import ImagePair, find_pairs, with_degradation
from srgan.data.prepare import AS_IT_IS, Preparation


class CropDataset(Dataset):
    """Random HR crops with their LR crops, both flipped and rotated alike.

    Item n depends on the seed and n only, so the n-th crop of a run is the same with any number of workers or
    processes, and after a resume. `len(dataset)` is the number of images; indices may be larger.

    Args:
        folders: image folders in any layout that `find_pairs` supports; their training splits are used.
        scale: HR size / LR size.
        crop: side of the HR crop in pixels, a multiple of the scale.
        cache: folder for the decoded images.
        seed: of the random crops.
        degradation: makes the LR images; any but `Bicubic` also replaces LR files.
        preparation: of HR images from JPEG files.
        strict: raise an error if an image can't be read, instead of leaving it out with a warning.
        held_out: image files that must not be trained on, recognized by their content.
        allow_held_out: only warn about them.
        draw: how likely each place is; see `CropPlaces`.

    Attributes:
        pairs: the decoded pairs.
        fingerprint: identifies the images; see `fingerprint_changes`.

    Raises:
        UserError: a folder is missing, no image is large enough, or images are held out.
    """

    def __init__(
        self,
        folders: Sequence[str | Path | PairFolders],
        scale: int = 4,
        crop: int = 96,
        cache: str | Path = "datasets/cache",
        seed: int = 0,
        degradation: Degradation = BICUBIC,
        preparation: Preparation = AS_IT_IS,
        strict: bool = False,
        held_out: Sequence[Path] = (),
        allow_held_out: bool = False,
        draw: Draw = "photograph",
    ) -> None:
        self.scale, self.crop, self.seed, self.degradation = scale, crop, seed, degradation
        found = [pair for folder in folders for pair in find_pairs(folder, scale, training=True)]
        pairs = with_degradation(found, degradation, preparation)
        _check_held_out(pairs, held_out, allow_held_out)
        decoded = PairCache(Path(cache), scale).build(pairs, crop, strict)
        pairs = [pair for pair in pairs if pair in decoded]
        self.pairs = [decoded[pair] for pair in pairs]
        self.places = CropPlaces(self.pairs, draw, scale, crop // scale)
        self.fingerprint = fingerprint([_identity(pair, decoded[pair]) for pair in pairs])

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        """(LR crop/scale x crop/scale x 3, HR crop x crop x 3), uint8."""
        rng = np.random.default_rng((self.seed, index))
        photograph, y, x = self.places(rng)
        lr, hr = self.pairs[photograph].open()
        flip, turns = int(rng.integers(2)), int(rng.integers(4))
        hr_crop = _window(hr, y * self.scale, x * self.scale, self.crop)
        lr_crop = self._degraded(hr, y, x, rng) if lr is None else _window(lr, y, x, self.crop // self.scale)
        lr_tensor, hr_tensor = (torch.from_numpy(_oriented(crop, flip, turns)) for crop in (lr_crop, hr_crop))
        return lr_tensor, hr_tensor

    def _degraded(self, hr: np.ndarray, y: int, x: int, rng: np.random.Generator) -> np.ndarray:
        """The LR crop at (y, x), in LR pixels, computed from the HR image around it."""
        size, margin = self.crop // self.scale, self.degradation.margin
        top, left = max(y - margin, 0), max(x - margin, 0)
        rows, columns = (
            slice(start * self.scale, (stop + size + margin) * self.scale) for start, stop in ((top, y), (left, x))
        )
        return _window(self.degradation(hr[rows, columns], self.scale, rng), y - top, x - left, size)


class DIV2K(CropDataset):
    """Crops of DIV2K (Agustsson & Timofte, 2017): `DIV2K_<split>_HR`, with `DIV2K_<split>_LR_bicubic` if present.

    Args:
        root: the folder that contains these two.
        split: "train" or "valid".
        options: as `CropDataset`.
    """

    def __init__(self, root: str | Path = "datasets/DIV2K", split: str = "train", **options: Any) -> None:
        super().__init__([Path(root) / f"DIV2K_{split}_HR"], **options)


def _check_held_out(pairs: Sequence[ImagePair], held_out: Sequence[Path], allow: bool) -> None:
    shared = shared_images((pair.hr for pair in pairs), held_out)
    if not shared:
        return
    message = f"{len(shared)} training images are also used for validation: {listed(shared, 3)}"
    if not allow:
        raise UserError(
            f"{message}; remove them from data.folders, or set data.allow_validation_images=true if you mean it"
        )
    warn(message)


def _identity(pair: ImagePair, decoded: CachedPair) -> str:
    """Name and size of an image, the same on all machines: `train/100075.jpg (481 x 321, 85132 bytes)`."""
    try:
        sizes = [str(path.stat().st_size) for path in filter(None, (pair.hr, pair.lr_file))]
    except OSError as error:
        raise UserError(f"{pair.hr}: {describe(error)}") from error
    return f"{pair.hr.parent.name}/{pair.hr.name} ({decoded.width} x {decoded.height}, {' + '.join(sizes)} bytes)"


def _window(image: np.ndarray, y: int, x: int, size: int) -> np.ndarray:
    return image[y : y + size, x : x + size]


def _oriented(image: np.ndarray, flip: int, turns: int) -> np.ndarray:
    """A copy of the square image, flipped and rotated by quarter turns."""
    return np.rot90(image[:, ::-1] if flip else image, turns).copy()
