"""Make test sets of degraded photographs from Set14 and BSD100: a folder of HR and LR images for each degradation.

    python -m tools.degraded_benchmarks
    python test.py --weights weights/srresnet_x4.safetensors --data datasets/degraded/Set14-*

The files are the same each time: noise is seeded by the image's name, and LR images are written as PNG, with JPEG's
artifacts in their pixels.
"""

import argparse
import shutil
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from tqdm import tqdm

from srgan.common.errors import UserError, command
from srgan.common.files import writing
from srgan.common.images import write_image
from srgan.data.degrade import BICUBIC, Blur
from srgan.data.effects import add_gaussian_noise, jpeg
from srgan.data.pairs import ImagePair
from srgan.evaluation.evaluate import load_benchmarks

Degrade = Callable[[np.ndarray, int, np.random.Generator], np.ndarray]


def saved_as_jpeg(quality: int) -> Degrade:
    """The bicubic LR image, saved by Pillow with its default settings (4:2:0)."""
    return lambda hr, scale, rng: jpeg(BICUBIC(hr, scale, rng), quality)


def with_noise(sigma: float) -> Degrade:
    """The bicubic LR image with Gaussian noise in each channel; the standard deviation is of 255."""
    return lambda hr, scale, rng: add_gaussian_noise(BICUBIC(hr, scale, rng), sigma, False, rng)


def blurred_noisy_jpeg(hr: np.ndarray, scale: int, rng: np.random.Generator) -> np.ndarray:
    """Blur 1.2, noise 3 and JPEG 75, one after the other."""
    return jpeg(add_gaussian_noise(Blur(sigma=1.2)(hr, scale, rng), 3.0, False, rng), 75)


DEGRADATIONS: dict[str, Degrade] = {
    "clean": BICUBIC,
    "q95": saved_as_jpeg(95),
    "q85": saved_as_jpeg(85),
    "q75": saved_as_jpeg(75),
    "q50": saved_as_jpeg(50),
    "noise3": with_noise(3.0),
    "noise8": with_noise(8.0),
    "blur1.2": Blur(sigma=1.2),  # in HR pixels, before the reduction
    "blur+noise+q75": blurred_noisy_jpeg,
}


def make(name: str, pairs: Sequence[ImagePair], out: Path, scale: int) -> None:
    """Write `out/<name>-<degradation>/LR` of a benchmark, and beside it `HR`: once, and links to that.

    Raises:
        UserError: an image can't be read, or the folder can't be written.
    """
    originals = out / f"{name}-clean" / "HR"
    for pair in tqdm(pairs, name, unit="image"):
        hr = pair.read_hr(scale)
        write_image(originals / f"{pair.name}.png", hr)
        for degradation, degrade in DEGRADATIONS.items():
            rng = np.random.default_rng(zlib.crc32(pair.name.encode()))
            write_image(out / f"{name}-{degradation}" / "LR" / f"{pair.name}.png", degrade(hr, scale, rng))
    for degradation in DEGRADATIONS:
        folder = out / f"{name}-{degradation}" / "HR"
        if not folder.is_dir():
            with writing(folder):
                _link(originals, folder)


def _link(originals: Path, folder: Path) -> None:
    try:
        folder.symlink_to(Path("..", *originals.parts[-2:]), target_is_directory=True)
    except OSError:
        # Windows lets few users make links.
        shutil.copytree(originals, folder)


@command
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", nargs="+", type=Path, default=[Path("datasets/Set14"), Path("datasets/BSD100")])
    parser.add_argument("--out", type=Path, default=Path("datasets/degraded"))
    parser.add_argument("--scale", type=int, default=4)
    args = parser.parse_args()
    if args.scale < 2:
        raise UserError(f"--scale takes 2 or more, found {args.scale}")
    for name, pairs in load_benchmarks(args.data, args.scale).items():
        make(name, pairs, args.out, args.scale)
    print(f"written: {args.out}")


if __name__ == "__main__":
    main()
