"""Strips as in papers: a part of one image, enlarged, by each method."""

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from srgan.common.images import luminance
from srgan.evaluation.evaluate import Result
from srgan.evaluation.metrics import Metric, score_labels, score_texts

INTERPOLATION = ("nearest", "bicubic")


def draw_strip(
    results: Mapping[str, Result], scale: int, metrics: Mapping[str, Metric], side: int = 96, panel: int = 288
) -> Image.Image:
    """HR | LR | each method | HR: the whole image, then, enlarged, the part in which the methods differ most.

    Args:
        results: of one image, by method, bicubic included.
        side: of the part, in HR pixels; smaller for smaller images.
        panel: side of an enlarged part in the strip, in pixels.
    """
    any_result = results["bicubic"]
    hr, lr = any_result.hr, any_result.lr
    side = min(side, *hr.shape[:2]) // scale * scale
    top, left = most_different(results, side, scale)

    def enlarged(image: np.ndarray, factor: int = 1) -> Image.Image:
        y, x, length = top // factor, left // factor, side // factor
        part = Image.fromarray(image[y : y + length, x : x + length])
        return part.resize((panel, panel), Image.Resampling.NEAREST)

    panels = [
        (_located(hr, (left, top, side), panel), any_result.image, f"{hr.shape[1]} x {hr.shape[0]}"),
        (enlarged(lr, scale), "LR", f"x{scale} nearest"),
    ]
    for method, result in results.items():
        panels.append((enlarged(result.sr), method, score_texts(result.scores, metrics)))
    panels.append((enlarged(hr), "HR", score_labels(metrics)))
    return in_a_row(panels, panel)


def most_different(results: Mapping[str, Result], side: int, scale: int) -> tuple[int, int]:
    """Top and left, multiples of the scale, of the square in which the networks' details (on Y) differ most.

    A single network is compared with bicubic, bicubic alone with HR. Mere differences in brightness don't count.
    """
    images = [result.sr for method, result in results.items() if method not in INTERPOLATION]
    images += [results["bicubic"].sr, results["bicubic"].hr][: max(2 - len(images), 0)]
    planes = np.stack([luminance(image) for image in images])
    differences = planes - planes.mean(axis=0)
    variances = [_window_sums(d * d, side) - _window_sums(d, side) ** 2 / side**2 for d in differences]
    detail = np.sum(variances, axis=0)[::scale, ::scale]
    top, left = np.unravel_index(np.argmax(detail), detail.shape)
    return int(top) * scale, int(left) * scale


def _window_sums(plane: np.ndarray, side: int) -> np.ndarray:
    """The sum over each square, by its top left corner."""
    integral = np.pad(plane, ((1, 0), (1, 0))).cumsum(axis=0).cumsum(axis=1)
    return integral[side:, side:] - integral[:-side, side:] - integral[side:, :-side] + integral[:-side, :-side]


def _located(image: np.ndarray, part: tuple[int, int, int], panel: int) -> Image.Image:
    """The whole image, in a box of 2 panel x panel pixels, with a frame around the part (left, top, side)."""
    height, width = image.shape[:2]
    factor = min(panel / height, 2 * panel / width)
    whole = Image.fromarray(image).resize((round(width * factor), round(height * factor)), Image.Resampling.LANCZOS)
    left, top, side = (value * factor for value in part)
    draw = ImageDraw.Draw(whole)
    draw.rectangle((left - 1, top - 1, left + side, top + side), outline="white", width=4)
    draw.rectangle((left, top, left + side - 1, top + side - 1), outline="#d62728", width=2)
    return whole


def in_a_row(panels: Sequence[tuple[Image.Image, str, str]], height: int, gap: int = 10) -> Image.Image:
    """Images side by side on white, with a name and a caption under each."""
    widths = [max(image.width, round(_font(17).getlength(caption))) for image, _, caption in panels]
    canvas = Image.new("RGB", (sum(widths) + gap * (len(panels) + 1), height + 74), "white")
    draw = ImageDraw.Draw(canvas)
    left = gap
    for (image, name, caption), width in zip(panels, widths, strict=True):
        middle = left + width // 2
        canvas.paste(image, (middle - image.width // 2, gap + (height - image.height) // 2))
        draw.text((middle, height + 28), _shortened(name, width), "black", _font(20, "Bold"), anchor="mm")
        draw.text((middle, height + 54), caption, "#555555", _font(17), anchor="mm")
        left += width + gap
    return canvas


def _shortened(name: str, width: int) -> str:
    """As much of a name as fits into the width."""
    length = len(name)
    while length > 1 and _font(20, "Bold").getlength(name[:length]) > width:
        length -= 1
    return name if length == len(name) else f"{name[: length - 1]}…"


@cache
def _font(size: int, weight: str = "") -> ImageFont.FreeTypeFont:
    from matplotlib import get_data_path  # slow to import

    name = "DejaVuSans-Bold.ttf" if weight else "DejaVuSans.ttf"
    return ImageFont.truetype(str(Path(get_data_path()) / "fonts" / "ttf" / name), size)
