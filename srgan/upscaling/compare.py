"""Bicubic beside the result: a labelled picture of each pair, and one page with a slider over all of them."""

import base64
import io
from html import escape
from pathlib import Path
from string import Template
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from srgan.common.files import whole_file
from srgan.common.images import write_image
from srgan.upscaling.pictures import Picture, onto_white, to_8bit

# Of a larger result, the middle is shown: shrunk to the screen, both sides would look the same.
LARGEST_SIDE = 1280


class Comparison(NamedTuple):
    """The same part of a picture upscaled twice: images of one size, grey or RGB."""

    name: str
    scale: int
    note: str
    bicubic: Image.Image
    result: Image.Image


def compare(source: Picture, result: Picture, name: str, scale: int) -> Comparison:
    """Crop both to the middle if they are large, and upscale the source by bicubic. Transparent parts become white."""
    lr, sr = source.frames[0], result.frames[0]
    crop_height, crop_width = (min(length, LARGEST_SIDE // scale) for length in lr.shape[:2])
    top, left = (lr.shape[0] - crop_height) // 2, (lr.shape[1] - crop_width) // 2
    lr_crop = lr[top : top + crop_height, left : left + crop_width]
    sr_crop = sr[top * scale : (top + crop_height) * scale, left * scale : (left + crop_width) * scale]
    note = f"{lr.shape[1]} × {lr.shape[0]} to {sr.shape[1]} × {sr.shape[0]} pixels"
    if lr_crop.shape != lr.shape:
        note += f"; the middle {sr_crop.shape[1]} × {sr_crop.shape[0]} is shown"
    after = _visible(sr_crop)
    before = _visible(lr_crop).resize(after.size, Image.Resampling.BICUBIC)
    for image in (before, after):
        # From here Pillow takes it when it saves the image, in the page too.
        image.info["icc_profile"] = source.carried.get("icc_profile")
    return Comparison(name, scale, note, before, after)


def comparison_path(target: Path) -> Path:
    """Where the picture that compares a result with bicubic goes."""
    return target.with_name(f"{target.stem}_compare.png")


def write_comparison(path: Path, comparison: Comparison) -> None:
    """Write bicubic and the result side by side, each under its label."""
    width, height = comparison.result.size
    gap, header = 8, 28
    canvas = Image.new(comparison.result.mode, (2 * width + gap, height + header), "white")
    canvas.info = comparison.result.info
    draw, font = ImageDraw.Draw(canvas), ImageFont.load_default(18)
    for left, label, image in ((0, "bicubic", comparison.bicubic), (width + gap, "result", comparison.result)):
        draw.text((left + 4, 2), label, "#282828", font)
        canvas.paste(image, (left, header))
    write_image(path, canvas)


def write_page(path: Path, comparisons: list[Comparison]) -> None:
    """Write an HTML page that needs nothing but itself: the images are embedded.

    Raises:
        UserError: it can't be written.
    """
    figures = "\n".join(
        FIGURE.substitute(
            name=escape(comparison.name),
            scale=comparison.scale,
            note=escape(comparison.note),
            width=comparison.result.width,
            height=comparison.result.height,
            bicubic=_data_uri(comparison.bicubic),
            result=_data_uri(comparison.result),
        )
        for comparison in comparisons
    )
    with whole_file(path) as part:
        part.write_text(PAGE.substitute(scale=comparisons[0].scale, figures=figures), encoding="utf-8")


def _visible(array: np.ndarray) -> Image.Image:
    return Image.fromarray(onto_white(to_8bit(array)))


def _data_uri(image: Image.Image) -> str:
    file = io.BytesIO()
    image.save(file, "WEBP", quality=90)
    return "data:image/webp;base64," + base64.b64encode(file.getvalue()).decode()


FIGURE = Template("""\
<figure style="width: ${width}px">
  <div class="pair">
    <img src="$result" width="$width" height="$height" alt="$name, upscaled ×$scale by the network">
    <img class="bicubic" src="$bicubic" width="$width" height="$height" alt="$name, upscaled ×$scale by bicubic">
    <input type="range" min="0" max="100" step="0.5" value="50" aria-label="$name: per cent that bicubic covers">
    <span class="line" aria-hidden="true"></span>
    <span class="label left" aria-hidden="true">bicubic</span>
    <span class="label right" aria-hidden="true">result</span>
  </div>
  <figcaption><strong>$name</strong> <span>$note</span></figcaption>
</figure>""")

PAGE = Template("""\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Bicubic and the result, ×$scale</title>
<style>
:root { color-scheme: light dark; --page: #f6f6f4; --ink: #1d1d1b; --soft: #65655f; --focus: #0a66d8; }
@media (prefers-color-scheme: dark) { :root { --page: #171716; --ink: #ededea; --soft: #a3a39b; --focus: #6db0ff; } }
* { box-sizing: border-box; }
body { margin: 0; padding: clamp(12px, 3vw, 40px); background: var(--page); color: var(--ink);
       font: 16px/1.5 system-ui, sans-serif; }
header, main { max-width: 1280px; margin: 0 auto; }
h1 { margin: 0; font-size: 1.4rem; }
header p { margin: 0.2em 0 1.6em; color: var(--soft); }
main { display: flex; flex-wrap: wrap; gap: 2.5em 2em; }
figure { margin: 0; max-width: 100%; }
figcaption { margin-top: 0.5em; overflow-wrap: anywhere; }
figcaption span { color: var(--soft); margin-left: 0.5em; }
.pair { --at: 50%; position: relative; overflow: hidden; border-radius: 6px; line-height: 0; }
.pair img { width: 100%; height: auto; }
.pair .bicubic { position: absolute; inset: 0; clip-path: inset(0 calc(100% - var(--at)) 0 0); }
.pair input { position: absolute; inset: 0; width: 100%; height: 100%; margin: 0; opacity: 0; cursor: ew-resize;
              touch-action: pan-y; appearance: none; }
.pair input::-webkit-slider-thumb { appearance: none; width: 2px; height: 100%; }
.pair input::-moz-range-thumb { width: 2px; height: 100%; border: 0; }
.line { position: absolute; top: 0; bottom: 0; left: var(--at); width: 2px; margin-left: -1px; background: #fff;
        box-shadow: 0 0 4px #0009; pointer-events: none; }
.line::after { content: "‹ ›"; position: absolute; top: 50%; left: 50%; width: 36px; height: 36px; margin: -18px;
               border-radius: 50%; background: #fff; color: #333; box-shadow: 0 1px 5px #0007;
               font: 600 18px/34px system-ui, sans-serif; text-align: center; }
.pair input:focus-visible + .line::after { outline: 3px solid var(--focus); outline-offset: 2px; }
.label { position: absolute; top: 10px; padding: 0.3em 0.8em; border-radius: 1em; background: #000a; color: #fff;
         font-size: 0.8rem; line-height: 1.4; pointer-events: none; }
.left { left: 10px; }
.right { right: 10px; }
</style>
</head>
<body>
<header>
<h1>Bicubic and the result, ×$scale</h1>
<p>Drag across a picture, or use the arrow keys.</p>
</header>
<main>
$figures
</main>
<script>
for (const input of document.querySelectorAll(".pair input")) {
  const show = () => input.parentElement.style.setProperty("--at", input.value + "%");
  input.addEventListener("input", show);
  // A reloaded page may come with the old position.
  show();
}
</script>
</body>
</html>
""")
