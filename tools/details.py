"""A figure for the docs: details of benchmark images, a column for each method, out of what test.py leaves in results/.

    python -m tools.details Set5/img_003@0,0 Set14/img_001@12,4 --methods bicubic srresnet_x4=SRResNet HR=original \\
        --data datasets --out docs/images/strip.png

A detail is BENCHMARK/IMAGE@LEFT,TOP in HR pixels. The names above the columns can be read at a phone's width.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from srgan.common.errors import UserError, command
from srgan.common.images import read_rgb, write_image

SIDE = 96  # of a detail, in HR pixels
ENLARGED = 3
GAP = 8


def columns(rows: Sequence[Sequence[np.ndarray]], names: Sequence[str]) -> np.ndarray:
    """Pictures of one size (H x W x 3, uint8) in rows, on white, with a name above each column."""
    height, width = rows[0][0].shape[:2]
    size = width * len(names) // 30
    font, head = ImageFont.load_default(size), size * 3 // 2
    canvas = Image.new("RGB", ((width + GAP) * len(names) - GAP, head + (height + GAP) * len(rows) - GAP), "white")
    for column, name in enumerate(names):
        left = column * (width + GAP)
        ImageDraw.Draw(canvas).text((left + width // 2, head // 2), name, "black", font, anchor="mm")
        for row, pictures in enumerate(rows):
            canvas.paste(Image.fromarray(pictures[column]), (left, head + row * (height + GAP)))
    return np.asarray(canvas)


def detail(text: str, method: str, results: Path, data: Path) -> np.ndarray:
    """One method's picture of a detail, each pixel enlarged to a square."""
    try:
        path, place = text.split("@")
        benchmark, image = path.split("/")
        left, top = map(int, place.split(","))
    except ValueError:
        raise UserError(f"expected BENCHMARK/IMAGE@LEFT,TOP, found {text!r}") from None
    hr = data / benchmark / "image_SRF_4" / f"{image}_SRF_4_HR.png"
    whole = read_rgb(hr if method == "HR" else results / "images" / method / benchmark / f"{image}.png")
    if not (0 <= left <= whole.shape[1] - SIDE and 0 <= top <= whole.shape[0] - SIDE):
        raise UserError(f"{text}: expected {SIDE} x {SIDE} pixels within {whole.shape[1]} x {whole.shape[0]}")
    part = whole[top : top + SIDE, left : left + SIDE]
    return part.repeat(ENLARGED, axis=0).repeat(ENLARGED, axis=1)


@command
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("details", nargs="+", metavar="BENCHMARK/IMAGE@LEFT,TOP")
    parser.add_argument("--methods", nargs="+", required=True, metavar="METHOD[=NAME]", help="HR, or of results/images")
    parser.add_argument("--results", type=Path, default=Path("results"), help="test.py's --out (%(default)s)")
    parser.add_argument("--data", type=Path, default=Path("datasets"), help="folder of the benchmarks (%(default)s)")
    parser.add_argument("--out", type=Path, required=True, help="the figure, .png or .jpg")
    args = parser.parse_args()
    methods = dict(text.split("=", 1) if "=" in text else (text, text) for text in args.methods)
    rows = [[detail(text, method, args.results, args.data) for method in methods] for text in args.details]
    write_image(args.out, columns(rows, list(methods.values())), quality=90)
    print(f"written: {args.out}")


if __name__ == "__main__":
    main()
