"""Parts of photographs upscaled by several networks, for viewers to compare if there is no original."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from srgan.networks.weights import find_weights
from srgan.upscaling.upscaler import Upscaler

SCALE = 4
WIDTH, HEIGHT = 144, 108  # of a part, in pixels of the photograph
MARGIN = 16  # around it, which the networks see as well


def find_parts(image: np.ndarray) -> list[tuple[int, int]]:
    """(x, y) of the part with the most detail, and of one with a middling amount that doesn't overlap it.

    Detail is the mean difference of neighbouring pixels. A middling part has plain surfaces, which show noise.

    Args:
        image: uint8 H x W x 3; if it is smaller than a part, there are none.
    """
    luma = image.astype(float).mean(axis=2)
    detail = np.abs(np.gradient(luma)).sum(axis=0)
    corners = [
        (x, y)
        for y in range(0, len(luma) - HEIGHT + 1, HEIGHT // 4)
        for x in range(0, luma.shape[1] - WIDTH + 1, WIDTH // 4)
    ]
    if not corners:
        return []
    corners.sort(key=lambda c: -detail[c[1] : c[1] + HEIGHT, c[0] : c[0] + WIDTH].mean())
    first = corners[0]
    apart = [c for c in corners[len(corners) // 2 :] if abs(c[0] - first[0]) >= WIDTH or abs(c[1] - first[1]) >= HEIGHT]
    return [first, *apart[:1]]


def upscale_part(image: np.ndarray, x: int, y: int, upscale: Callable[[Image.Image], Image.Image]) -> np.ndarray:
    """A part upscaled by a network, which also sees a margin: uint8, 4 * HEIGHT x 4 * WIDTH x 3."""
    left, top = max(x - MARGIN, 0), max(y - MARGIN, 0)
    sr = np.asarray(upscale(Image.fromarray(image[top : y + HEIGHT + MARGIN, left : x + WIDTH + MARGIN])))
    top, left = (y - top) * SCALE, (x - left) * SCALE
    return sr[top : top + HEIGHT * SCALE, left : left + WIDTH * SCALE]


def load_contender(name: str) -> tuple[str, Callable[[Image.Image], Image.Image]]:
    """A name, with the start of the weights' SHA-256, and the function that upscales; also for "bicubic".

    Raises:
        UserError: no such weights.
    """
    if name == "bicubic":
        return name, lambda image: image.resize((image.width * SCALE, image.height * SCALE), Image.Resampling.BICUBIC)
    path = find_weights(Path(name))
    digest = hashlib.sha256(path.read_bytes()).hexdigest()[:8]
    return f"{path.stem}@{digest}", Upscaler(path).upscale
