"""Draw examples of the `photo` degradation: LR images of one HR image, enlarged by 3, the first of them clean."""

import argparse
from pathlib import Path

import numpy as np
from skimage import data

from srgan.common.errors import UserError, command
from srgan.common.images import read_rgb, write_image
from srgan.data.degrade import BICUBIC, Photo

GAP = 4  # pixels between the examples


def draw(hr: np.ndarray, rows: int, columns: int, enlarge: int = 3, scale: int = 4) -> np.ndarray:
    """The LR images that `rows` x `columns` seeds make of an HR image, in a grid, uint8."""
    photo = Photo(clean=0)
    made = [BICUBIC(hr, scale, np.random.default_rng(0))]
    made += [photo(hr, scale, np.random.default_rng(seed)) for seed in range(1, rows * columns)]
    tiles = [lr.repeat(enlarge, axis=0).repeat(enlarge, axis=1) for lr in made]
    height, width = (side + GAP for side in tiles[0].shape[:2])
    canvas = np.full((rows * height - GAP, columns * width - GAP, 3), 255, np.uint8)
    for i, tile in enumerate(tiles):
        top, left = i // columns * height, i % columns * width
        canvas[top : top + tile.shape[0], left : left + tile.shape[1]] = tile
    return canvas


@command
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--image", type=Path, help="an HR image (default: a part of scikit-image's astronaut)")
    parser.add_argument("--rows", type=int, default=4)
    parser.add_argument("--columns", type=int, default=6)
    parser.add_argument("--out", type=Path, default="docs/images/degradations.png")
    args = parser.parse_args()
    if min(args.rows, args.columns) < 1:
        raise UserError("--rows and --columns: expected at least 1")
    hr = read_rgb(args.image) if args.image else data.astronaut()[0:256, 128:352]
    grid = draw(hr[: len(hr) // 4 * 4, : hr.shape[1] // 4 * 4], args.rows, args.columns)
    write_image(args.out, grid, optimize=True)
    print(f"written: {args.out}")


if __name__ == "__main__":
    main()
