"""How fast `tools/benchmark.py` gets crops, and the photographs that it uses."""

import os
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from PIL import Image
from skimage import data as photographs
from torch.utils.data import DataLoader

from srgan.common.images import write_image
from srgan.data.crops import CropDataset
from srgan.data.photo import Photo
from srgan.data.resize import imresize
from tools.timing import medians


def photograph(height: int, width: int) -> np.ndarray:
    """A photograph of any size: scikit-image's astronaut, mirrored at its borders; uint8 H x W x 3."""
    image = photographs.astronaut()
    margins = [(0, max(0, side - length)) for side, length in zip((height, width), image.shape, strict=False)]
    return np.pad(image, [*margins, (0, 0)], mode="symmetric")[:height, :width]


def data(rounds: int, workers: Iterable[int] | None = None) -> list[dict[str, Any]]:
    """Pairs of crops (96 x 96 and 24 x 24) per second from PNG files of DIV2K's size (2040 x 1356)."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        for i in range(8):
            hr = np.roll(photograph(1356, 2040), 97 * i, axis=(0, 1))
            write_image(root / "X_HR" / f"{i:04}.png", hr)
            write_image(root / "X_LR_bicubic" / "X4" / f"{i:04}x4.png", imresize(hr, 1 / 4))
        dataset = CropDataset([root / "X_HR"], cache=root / "cache")
        rng = np.random.default_rng(0)

        def decode_per_crop() -> None:
            i, x, y = (int(rng.integers(count)) for count in (8, 487, 316))
            with Image.open(root / "X_HR" / f"{i:04}.png") as hr:
                np.asarray(hr.crop((4 * x, 4 * y, 4 * x + 96, 4 * y + 96)))
            with Image.open(root / "X_LR_bicubic" / "X4" / f"{i:04}x4.png") as lr:
                np.asarray(lr.crop((x, y, x + 24, y + 24)))

        photo = CropDataset([root / "X_HR" / "*.png"], cache=root / "cache", degradation=Photo())
        variants: dict[str, Callable[[], object]] = {
            "decode per crop": decode_per_crop,
            "CropDataset": lambda: dataset[int(rng.integers(10**6))],
            "CropDataset, degradation photo": lambda: photo[int(rng.integers(10**6))],
        }
        seconds = medians(variants, torch.device("cpu"), rounds)
        rates = {name: 1 / value for name, value in seconds.items()}
        for count in workers or sorted({0, 1, 2, os.cpu_count() or 1}):
            rates[f"loader, batch 16, {count} workers"] = median(loader_rate(dataset, count) for _ in range(rounds))
    decoded = rates["decode per crop"]
    return [{"variant": name, "pairs/s": rate, "ratio": rate / decoded} for name, rate in rates.items()]


def loader_rate(dataset: CropDataset, workers: int, batches: int = 500) -> float:
    """Pairs per second after the first batch."""
    loader = iter(DataLoader(dataset, 16, sampler=range(16 * (batches + 1)), num_workers=workers))
    next(loader)
    start = time.perf_counter()
    for _ in loader:
        pass
    return 16 * batches / (time.perf_counter() - start)
