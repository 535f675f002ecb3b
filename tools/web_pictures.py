"""Make six small, compressed pictures like those on the web, from scikit-image's photographs and a drawn sign.

    python -m tools.web_pictures
    python demo.py datasets/web --out results/web --compare

The files are the same each time.
"""

import argparse
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from skimage import data

from srgan.common.errors import command
from srgan.common.images import write_image
from srgan.data.effects import add_gaussian_noise, add_poisson_noise, jpeg

LINES = ("Fresh bread daily", "7 am - 6 pm", "closed on Mondays, 24-26 December", "Rue des Petits Champs 113")


def sign() -> np.ndarray:
    """A painted sign of four lines, from large to small."""
    image = Image.new("RGB", (960, 640), (238, 228, 205))
    draw = ImageDraw.Draw(image)
    draw.rounded_rectangle((30, 30, 930, 610), 40, fill=(28, 66, 54), outline=(180, 140, 60), width=12)
    for line, size, top in zip(LINES, (96, 72, 44, 32), (90, 240, 390, 490), strict=True):
        draw.text((480, top), line, (245, 238, 220), ImageFont.load_default(size), anchor="ma")
    return np.asarray(image)


def reduced(image: np.ndarray, side: int) -> Image.Image:
    """With the longest side as given, as chats and web pages do it: by Lanczos."""
    picture = Image.fromarray(image)
    picture.thumbnail((side, side), Image.Resampling.LANCZOS, reducing_gap=None)
    return picture


def make(folder: Path) -> None:
    """Write the six files.

    Raises:
        UserError: the folder can't be written.
    """
    rng = np.random.default_rng(0)
    astronaut = reduced(data.astronaut(), 256)
    forwarded = Image.fromarray(jpeg(np.asarray(reduced(data.chelsea(), 260)), 60, offset=(3, 5)))
    dark = Image.fromarray(add_poisson_noise(np.asarray(reduced(data.coffee(), 300)), 8.0, False, rng))
    noisy = Image.fromarray(add_gaussian_noise(np.asarray(reduced(data.stereo_motorcycle()[0], 320)), 4.0, False, rng))
    write_image(folder / "portrait.jpg", astronaut, quality=75)
    write_image(folder / "forwarded.jpg", forwarded, quality=75)
    write_image(folder / "cup.jpg", dark, quality=85)
    write_image(folder / "garage.jpg", noisy, quality=80)
    write_image(folder / "rocket.webp", reduced(data.rocket(), 320), quality=60)
    write_image(folder / "sign.jpg", reduced(sign(), 300), quality=60)


@command
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("datasets/web"))
    args = parser.parse_args()
    make(args.out)
    print(f"written: {args.out}")


if __name__ == "__main__":
    main()
