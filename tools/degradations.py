"""Draw examples of the `photo` degradation: parts of photographs as LR images, enlarged, next to parts of real files.

    python -m tools.degradations
    python -m tools.degradations --photographs datasets/DIV2K/DIV2K_train_HR --real my_camera --out examples.png

If the degradation is realistic, one can't tell by their defects which are which.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from srgan.common.errors import UserError, command
from srgan.common.images import list_images, read_rgb, write_image
from srgan.data.pairs import find_pairs
from srgan.data.photo import Photo

SIDE = 72  # of an example, in LR pixels
GAP = 4  # pixels between the examples, four times as many between the two groups
INSIDE_SKIMAGE = [Path(f"skimage:{name}") for name in ("astronaut.png", "chelsea.png", "coffee.png", "rocket.jpg")]


def degraded(photographs: Sequence[Path], count: int, scale: int = 4) -> list[np.ndarray]:
    """Parts of photographs, one after the other, each at a random place and degraded at random; the same each time."""
    photo, rng = Photo(clean=0), np.random.default_rng(0)
    side = (SIDE + 2 * photo.margin) * scale
    examples = []
    for n in range(count):
        hr = find_pairs(photographs[n % len(photographs)], scale)[0].read_hr(scale)
        y, x = (int(rng.integers(max(length - side, 0) + 1)) for length in hr.shape[:2])
        examples.append(middle(photo(hr[y : y + side, x : x + side], scale, rng)))
    return examples


def middle(image: np.ndarray) -> np.ndarray:
    """The SIDE x SIDE pixels in its middle."""
    y, x = ((length - SIDE) // 2 for length in image.shape[:2])
    if min(y, x) < 0:
        raise UserError(f"expected images of {SIDE} x {SIDE} LR pixels or more, found {image.shape[1]} x {len(image)}")
    return image[y : y + SIDE, x : x + SIDE]


def grid(examples: Sequence[np.ndarray], columns: int, enlarge: int) -> np.ndarray:
    """The examples in rows, uint8; each pixel is a square of `enlarge` pixels."""
    tiles = [example.repeat(enlarge, axis=0).repeat(enlarge, axis=1) for example in examples]
    pitch = SIDE * enlarge + GAP
    rows = -(-len(tiles) // columns)
    canvas = np.full((rows * pitch - GAP, columns * pitch - GAP, 3), 255, np.uint8)
    for i, tile in enumerate(tiles):
        top, left = i // columns * pitch, i % columns * pitch
        canvas[top : top + len(tile), left : left + len(tile)] = tile
    return canvas


@command
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photographs", type=Path, help="folder of HR images (default: scikit-image's)")
    parser.add_argument("--real", type=Path, help="folder of camera files, shown on the right")
    parser.add_argument("--count", type=int, default=24)
    parser.add_argument("--columns", type=int, default=4)
    parser.add_argument("--enlarge", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path("docs/images/degradations.png"))
    args = parser.parse_args()
    if min(args.count, args.columns, args.enlarge) < 1:
        raise UserError("--count, --columns and --enlarge: expected at least 1")
    photographs = list_images(args.photographs) if args.photographs else INSIDE_SKIMAGE
    shown = [grid(degraded(photographs, args.count), args.columns, args.enlarge)]
    if args.real:
        real = [middle(read_rgb(path)) for path in list_images(args.real)[: args.count]]
        shown += [np.full((len(shown[0]), 4 * GAP, 3), 255, np.uint8), grid(real, args.columns, args.enlarge)]
    write_image(args.out, np.hstack([part[: len(shown[-1])] for part in shown]), optimize=True)
    print(f"written: {args.out}")


if __name__ == "__main__":
    main()
