"""Pixels in the modules of the page of web/, run in headless Chromium, are those of demo.py."""

import base64
import itertools
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from PIL.ExifTags import Base
from test_web import assert_near

from srgan import Upscaler
from srgan.application.choice import suited_weights
from srgan.common.images import read_rgb

# Of each file (base64): what a module makes of its bytes.
EACH = """async ([files, job]) => {
  const names = ["choice", "inspect", "network", "pixels"];
  const modules = await Promise.all(names.map(name => import(new URL(`${name}.js`, location.href).href)));
  const {decode, inspect, openNetwork, suitedNetwork, upscale} = Object.assign({}, ...modules);
  const jobs = {
    choose: async bytes => {
      const file = await inspect(bytes);
      return suitedNetwork(file, await decode(bytes, file));
    },
    decode: async bytes => decode(bytes, await inspect(bytes)),
    upscale: async bytes => {
      const file = await inspect(bytes), image = await decode(bytes, file);
      return upscale(await openNetwork("srgan"), image, {tile: 10, isGrey: file.isGrey});
    },
  };
  const results = [];
  for (const file of files) {
    const result = await jobs[job](Uint8Array.from(atob(file), letter => letter.charCodeAt(0)));
    results.push(result.data ? {...result, data: [...result.data]} : result);
  }
  return results;
}"""


def each(tab: Any, files: list[Path], job: str) -> list[Any]:
    return tab.evaluate(EACH, [[base64.b64encode(file.read_bytes()).decode() for file in files], job])


def rgb(image: dict[str, Any]) -> np.ndarray:
    return np.array(image["data"], np.uint8).reshape(image["height"], image["width"], 4)[..., :3]


def test_pictures_are_turned_upright(tab: Any, photograph: np.ndarray, tmp_path: Path) -> None:
    files = []
    for suffix, orientation in itertools.product(("jpg", "png", "webp"), range(1, 9)):
        exif = Image.Exif()
        exif[Base.Orientation] = orientation
        files.append(tmp_path / f"{orientation}.{suffix}")
        Image.fromarray(photograph[30:62, 20:68]).save(files[-1], exif=exif, quality=100, subsampling=0, lossless=True)
    for file, image in zip(files, each(tab, files, "decode"), strict=True):
        assert_near(rgb(image), read_rgb(file))


def test_colours_under_alpha_are_exact(tab: Any, photograph: np.ndarray, tmp_path: Path) -> None:
    """Where nothing is to be seen, they are lost."""
    alpha = np.arange(128, dtype=np.uint8)[:, None].repeat(128, 1)
    Image.fromarray(np.dstack([photograph, alpha])).save(tmp_path / "a.png")
    (found,) = each(tab, [tmp_path / "a.png"], "decode")
    assert np.array_equal(rgb(found)[1:], photograph[1:])


def test_tiles_leave_no_trace(tab: Any, photograph: np.ndarray, tmp_path: Path) -> None:
    """One by two tiles; 40 pixels are the overlap on each side."""
    upscaler = Upscaler("srgan", "cpu", "fp32")
    colour = photograph[:90, :100]
    Image.fromarray(colour).save(tmp_path / "colour.png")
    Image.fromarray(colour[..., 0]).save(tmp_path / "grey.png")
    bits = Image.fromarray(colour).convert("1")  # the network's colours go far beyond black and white
    bits.save(tmp_path / "bits.png")
    found, grey, bit = each(tab, [tmp_path / f"{name}.png" for name in ("colour", "grey", "bits")], "upscale")
    assert_near(rgb(found), upscaler.upscale(colour))
    assert_near(rgb(grey)[..., 0], upscaler.upscale(colour[..., 0]))
    assert_near(rgb(bit)[..., 0], upscaler.upscale(bits))


def test_each_file_gets_the_network_that_demo_gives_it(tab: Any, photograph: np.ndarray, tmp_path: Path) -> None:
    clean = Image.fromarray(photograph)
    for quality in (30, 75, 94, 95, 96, 100):
        clean.save(tmp_path / f"{quality}.jpg", quality=quality)
    for mode in ("L", "CMYK"):
        clean.convert(mode).save(tmp_path / f"{mode}.jpg", quality=60)
    clean.save(tmp_path / "progressive.jpg", quality=60, progressive=True)
    was_jpeg = Image.open(tmp_path / "75.jpg")
    for name in ("a.png", "a.bmp", "a.gif", "a.webp"):
        clean.save(tmp_path / f"clean-{name}")
        was_jpeg.crop((3, 5, 123, 120)).save(tmp_path / f"was-jpeg-{name}")
    transparent = was_jpeg.copy()
    transparent.putalpha(Image.linear_gradient("L").resize(was_jpeg.size))
    transparent.save(tmp_path / "was-jpeg-alpha.png")
    files = sorted(tmp_path.iterdir())
    expected = {file.name: suited_weights(file) for file in files}
    assert dict(zip(expected, each(tab, files, "choose"), strict=True)) == expected
