"""Bicubic next to the result: a labelled picture of each pair, and a page with a slider for each."""

import base64
import io
from collections.abc import Sequence
from html import escape
from pathlib import Path
from string import Template
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from srgan.application.metadata import MARK, result_exif
from srgan.application.pictures import Picture, onto_white
from srgan.common.files import whole_file
from srgan.common.images import to_8bit, write_image
from srgan.data.resize import imresize

# Of larger results only the middle is shown.
LONGEST_SIDE = 1280

# The page, with placeholders; between the two marks is the figure of one comparison.
_TEMPLATE = Path(__file__).with_name("comparison.html")
_FIGURE_START, _FIGURE_END = "<!-- figure -->", "<!-- end of figure -->"


class Comparison(NamedTuple):
    """The same part of a picture upscaled twice: images of one size, grey or RGB."""

    name: str
    scale: float
    note: str
    bicubic: Image.Image
    result: Image.Image


def compare_with_bicubic(source: Picture, result: Picture, name: str, scale: float) -> Comparison:
    """Upscale the source by MATLAB's bicubic. Large pictures are cut to the middle; transparency becomes white."""
    lr, sr = source.frames[0], result.frames[0]
    crop_height, crop_width = (min(length, int(LONGEST_SIDE / scale)) for length in lr.shape[:2])
    top, left = (lr.shape[0] - crop_height) // 2, (lr.shape[1] - crop_width) // 2
    lr_crop = lr[top : top + crop_height, left : left + crop_width]
    up, aside = round(top * scale), round(left * scale)
    sr_crop = sr[up : up + round(crop_height * scale), aside : aside + round(crop_width * scale)]
    note = f"{lr.shape[1]} × {lr.shape[0]} to {sr.shape[1]} × {sr.shape[0]} pixels"
    if lr_crop.shape != lr.shape:
        note += f"; the middle {sr_crop.shape[1]} × {sr_crop.shape[0]} is shown"
    bicubic = imresize(_visible(lr_crop), scale)[: sr_crop.shape[0], : sr_crop.shape[1]]
    before, after = (Image.fromarray(image) for image in (bicubic, _visible(sr_crop)))
    for image in (before, after):
        # Pillow writes it with the image, also on the page.
        image.info["icc_profile"] = source.metadata.get("icc_profile")
    return Comparison(name, scale, note, before, after)


def write_comparison(path: Path, comparison: Comparison) -> None:
    """Write bicubic and the result side by side, with labels above."""
    font = ImageFont.load_default(18)
    width, height = comparison.result.size
    panel, gap, header = max(width, 80), 8, 28  # a label is at most 80 pixels wide
    canvas = Image.new(comparison.result.mode, (2 * panel + gap, height + header), "white")
    canvas.info = comparison.result.info
    draw = ImageDraw.Draw(canvas)
    for left, label, image in ((0, "bicubic", comparison.bicubic), (panel + gap, "result", comparison.result)):
        draw.text((left + 4, 2), label, "#282828", font)
        canvas.paste(image, (left, header))
    write_image(path, canvas, exif=result_exif(None, np.asarray(canvas)))


def page_figure(comparison: Comparison) -> str:
    """The HTML of one comparison, its images embedded."""
    figure = _TEMPLATE.read_text(encoding="utf-8").split(_FIGURE_START)[1].split(_FIGURE_END)[0]
    return Template(figure).substitute(
        name=escape(comparison.name),
        scale=f"{comparison.scale:g}",
        note=escape(comparison.note),
        width=comparison.result.width,
        height=comparison.result.height,
        bicubic=_data_uri(comparison.bicubic),
        result=_data_uri(comparison.result),
    )


def write_page(path: Path, figures: Sequence[str], scale: float) -> None:
    """Write a self-contained HTML page of figures (`page_figure`).

    Raises:
        UserError: it can't be written.
    """
    before, rest = _TEMPLATE.read_text(encoding="utf-8").split(_FIGURE_START)
    after = rest.split(_FIGURE_END)[1]
    with whole_file(path) as part, part.open("w", encoding="utf-8") as file:
        file.write(Template(before).substitute(scale=f"{scale:g}", mark=MARK))
        file.writelines(figures)
        file.write(after)


def is_page(path: Path) -> bool:
    """Whether a file is a page of ours, by its mark."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return MARK.encode() in file.read(1000)


def _visible(array: np.ndarray) -> np.ndarray:
    return onto_white(to_8bit(array))


def _data_uri(image: Image.Image) -> str:
    file = io.BytesIO()
    image.save(file, "WEBP", quality=90)
    return "data:image/webp;base64," + base64.b64encode(file.getvalue()).decode()
