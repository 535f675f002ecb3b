"""Tiled inference: the one way from image to image, for demo.py, test.py, validation and other code."""

import math
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from srgan.common.errors import UserError, warn
from srgan.common.images import colour_profile, lr_tensor, to_8bit, to_array, to_levels
from srgan.common.precision import Precision, select_device
from srgan.networks.foreign import OVERLAP, SpandrelNetwork
from srgan.networks.network import Network, check_output
from srgan.networks.weights import load_network

AnyImage = TypeVar("AnyImage", np.ndarray, Image.Image)

# The side of a tile in LR pixels, without its overlap, and the size of the features of a strip of one, by device.
# On the CPU, glibc gets blocks of 32 MiB and more from the system each time, zeroed, which takes longer than the
# arithmetic, so both stay a little below. A GPU needs large ones, or launching kernels takes longer than running them.
TILE = {"cpu": 264, "cuda": 1024, "mps": 512}
STRIP_BYTES = {"cpu": 30_000_000, "cuda": 1_000_000_000, "mps": 250_000_000}
SMALLEST_TILE = 16


class Span(NamedTuple):
    """Where a tile lies along one axis, in LR pixels."""

    window: slice  # of the image: what the network sees
    keep: slice  # of the window: what the network upsamples
    core: slice  # of the image: what the tile contributes to the result

    @property
    def inner(self) -> slice:
        """The core within what is kept."""
        origin = self.window.start + self.keep.start
        return slice(self.core.start - origin, self.core.stop - origin)


class Upscaler:
    """Upscales images by a generator's factor, tile by tile, in bounded memory.

    Args:
        weights: released weights by name, such as "srgan", a weights file, checkpoint or run folder (see
            `load_network`), or a generator.
        device: "auto", "cpu", "cuda" or "mps".
        precision: "auto", "fp32", "bf16" or "fp16"; 16-bit images always use fp32.
        tile: side of a tile in LR pixels, without its overlap (default: by device); it is halved when memory runs out.
            The result does not depend on it: in fp32 it equals the result of the whole image at once.
        overlap: LR pixels on each side by which tiles overlap for models with unknown receptive field; for others the
            overlap is as large as needed.

    Raises:
        UserError: the weights can't be loaded, the device is missing, no such precision, or the tile isn't positive.
    """

    def __init__(
        self,
        weights: str | Path | Network,
        device: str = "auto",
        precision: str = "auto",
        tile: int | None = None,
        overlap: int = OVERLAP,
    ) -> None:
        if tile is not None and tile < 1:
            raise UserError(f"expected a tile of at least 1 pixel, found {tile}")
        if overlap < 0:
            raise UserError(f"expected an overlap of at least 0 pixels, found {overlap}")
        generator = load_network(Path(weights), overlap) if isinstance(weights, str | Path) else weights
        self.name = weights if isinstance(weights, str | Path) else type(weights).__name__
        if isinstance(generator, SpandrelNetwork):
            kind = f"{generator.descriptor.architecture.name} x{generator.scale} through spandrel"
            warn(f"{self.name}: {kind}; its tiles overlap by {generator.receptive_radius} pixels (--overlap)")
        self.device = select_device(device)
        self.precision = Precision(precision, self.device)
        self.generator = generator.for_inference().to(self.device)
        self.scale = generator.scale
        self.tile = tile or TILE[self.device.type]
        self.strip_bytes = STRIP_BYTES[self.device.type]

    def upscale(self, image: AnyImage, progress: Callable[[Iterable], Iterable] = iter) -> AnyImage:
        """Upscale one image; grey stays grey, 16 bits stay 16 bits, and alpha is upscaled too (bicubic).

        Args:
            image: uint8 or uint16, H x W (grey) or H x W x 1, 2, 3 or 4 (grey, grey and alpha, RGB, RGBA); or a Pillow
                image, which is turned upright, and to grey or RGB, with alpha or without, from any other mode.
            progress: wraps the list of tiles, as `tqdm` does.

        Returns:
            An array of the same type and channels, scale*H x scale*W; for a Pillow image, a Pillow image with its
            colour profile, which `save` writes.

        Raises:
            TypeError: another type of image or of values.
            ValueError: another shape, an empty image, or a Pillow image with 32 bits per value.
            UserError: not enough memory even for the smallest tile.
            NotFiniteError: the network's output isn't finite.
        """
        if isinstance(image, Image.Image):
            array = to_array(image)
            # Pillow has no mode for 16-bit colour.
            result = Image.fromarray(self.upscale(to_8bit(array) if array.ndim == 3 else array, progress))
            result.info.update(colour_profile(image))
            return result
        if not isinstance(image, np.ndarray):
            raise TypeError(f"expected an image as a NumPy array or of Pillow, found {type(image).__name__}")
        if image.dtype not in (np.uint8, np.uint16):
            raise TypeError(f"expected an image of uint8 or uint16, found {image.dtype}")
        if image.ndim not in (2, 3) or 0 in image.shape or (image.ndim == 3 and image.shape[2] > 4):
            raise ValueError(f"expected an image of H x W or H x W x 1, 2, 3 or 4, found the shape {image.shape}")
        pixels = image.reshape(*image.shape[:2], -1)
        if pixels.shape[2] in (2, 4):
            pixels = spread_colours(pixels)
        out = self._upscale_within_memory(pixels, progress)
        return out.reshape(*out.shape[:2], *image.shape[2:])

    def _upscale_within_memory(self, image: np.ndarray, progress: Callable[[Iterable], Iterable]) -> np.ndarray:
        height, width, channels = image.shape
        try:
            out = np.empty((height * self.scale, width * self.scale, channels), image.dtype)
        except MemoryError as error:
            size = image.nbytes * self.scale**2 / 1e9
            raise UserError(
                f"not enough memory for the result of {size:.1f} GB: close other programs, or crop the image"
            ) from error
        tile = min(self.tile, max(height, width))
        while True:
            try:
                self._upscale_tiles(image, out, tile, progress)
                return out
            except (MemoryError, RuntimeError) as error:
                if not _is_out_of_memory(error):
                    raise
                if tile <= SMALLEST_TILE:
                    raise UserError(
                        f"{self.device.type} has too little memory for a tile of {tile} pixels: close other programs"
                        + (" or use --device cpu" if self.device.type != "cpu" else "")
                    ) from error
            # Outside the handler, nothing holds the failed tile's tensors any more.
            if self.device.type == "cuda":
                torch.cuda.empty_cache()
            tile = self.tile = max(tile // 2, SMALLEST_TILE)

    def _upscale_tiles(
        self, image: np.ndarray, out: np.ndarray, tile: int, progress: Callable[[Iterable], Iterable]
    ) -> None:
        scale, generator = self.scale, self.generator
        rows, columns = (spans(n, tile, generator.receptive_radius, generator.upsample_radius) for n in image.shape[:2])
        for row, column in progress([(row, column) for row in rows for column in columns]):
            sr = self._upscale_window(image[row.window, column.window], row, column)
            out[_times(row.core, scale), _times(column.core, scale)] = sr

    @torch.inference_mode()
    def _upscale_window(self, window: np.ndarray, row: Span, column: Span) -> np.ndarray:
        """uint8 or uint16 h x w x C -> the tile's core, upscaled, in the same type."""
        channels = window.shape[2]
        pixels = torch.from_numpy(np.array(window, order="C"))[None].to(self.device)
        lr = lr_tensor(pixels)  # 1 x C x h x w
        rgb = lr[:, :3] if channels >= 3 else lr[:, :1].expand(-1, 3, -1, -1)
        sr = self._forward(
            rgb.contiguous(memory_format=torch.channels_last), (row.keep, column.keep), deep=window.dtype == np.uint16
        )
        check_output(sr, self.name, "" if self.precision.dtype is torch.float32 else ", or need --precision fp32")
        if channels < 3:
            # BT.601's luma, since the network's grey may have a tint.
            sr = (sr * sr.new_tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)).sum(1, keepdim=True)
        if channels in (2, 4):
            alpha = F.interpolate(lr[:, -1:], scale_factor=self.scale, mode="bicubic", antialias=True)
            alpha = alpha[..., _times(row.keep, self.scale), _times(column.keep, self.scale)]
            sr = torch.cat([sr, alpha * 2 - 1], dim=1)
        rows, columns = (_times(span.inner, self.scale) for span in (row, column))
        # As integers, so that a quarter or half as much is copied from a GPU.
        return to_levels(sr[0, :, rows, columns], pixels.dtype).permute(1, 2, 0).cpu().numpy()

    def _forward(self, rgb: Tensor, keep: tuple[slice, slice], deep: bool) -> Tensor:
        # TF32, CUDA's default for fp32 convolutions, has 10 bits: too few to be exact even for 8-bit images.
        with torch.backends.cudnn.flags(enabled=True, deterministic=True, allow_tf32=False):
            if deep:
                return self._in_strips(rgb, keep)
            with self.precision.autocast():
                return self._in_strips(rgb, keep)

    def _in_strips(self, rgb: Tensor, keep: tuple[slice, slice]) -> Tensor:
        """The network's output, its HR part computed strip by strip."""
        generator = self.generator
        rows, columns = keep
        features = generator.features(rgb)[..., rows, columns]
        if generator.upsample_radius == generator.receptive_radius:
            # It has no separate HR part.
            return generator.reconstruct(features).float()
        row_bytes = features[0, :, 0].nbytes * self.scale**2  # before the last pixel shuffle
        height = max(self.strip_bytes // row_bytes - 2 * generator.upsample_radius, 1)
        strips = spans(features.shape[2], height, generator.upsample_radius, 0)
        parts = [
            generator.reconstruct(features[..., strip.window, :])[..., _times(strip.keep, self.scale), :]
            for strip in strips
        ]
        return torch.cat(parts, dim=2).float()


def spans(length: int, tile: int, receptive_radius: int, upsample_radius: int) -> list[Span]:
    """Cut an axis into tiles that include everything that their pixels depend on.

    All windows have one length and lie inside the image, so that all tiles run through the same kernels, and the
    image's border is padded as if the image were in one piece.
    """
    count = max(math.ceil((length - 2 * receptive_radius) / tile), 1)
    # Tiles at the border need an overlap on one side only, hence length - 2 * radius.
    step = math.ceil((length - 2 * receptive_radius) / count)
    side = step + 2 * receptive_radius
    starts = [min(i * step, length - side) for i in range(count)]
    edges = [0, *(start + receptive_radius for start in starts[1:]), length]
    return [
        Span(
            slice(start, start + side),
            slice(max(core - upsample_radius - start, 0), min(end + upsample_radius - start, side)),
            slice(core, end),
        )
        for start, core, end in zip(starts, edges, edges[1:], strict=False)
    ]


def spread_colours(image: np.ndarray) -> np.ndarray:
    """Give fully transparent pixels the mean of the visible colours around them; the last channel is alpha.

    Their hidden colours are arbitrary (often black), and would bleed into the edges of what is visible.
    """
    visible = image[..., -1:] > 0
    if visible.all() or not visible.any():
        return image
    colours, weights = (
        torch.from_numpy(part.astype(np.float32)).permute(2, 0, 1)[None] for part in (image[..., :-1], visible)
    )
    spread = _spread(colours, weights)[0].permute(1, 2, 0).round().numpy().astype(image.dtype)
    return np.concatenate([np.where(visible, image[..., :-1], spread), image[..., -1:]], axis=2)


def _spread(colours: Tensor, weights: Tensor) -> Tensor:
    """Fill where the weights (1 x 1 x H x W, 0 or 1) are 0 from a coarser grid, which is filled recursively."""
    if weights.all():
        return colours
    coarse_weights = F.avg_pool2d(weights, 2, ceil_mode=True)
    coarse = F.avg_pool2d(colours * weights, 2, ceil_mode=True) / coarse_weights.clamp_min(1e-6)
    coarse = _spread(coarse, (coarse_weights > 0).float())
    return torch.where(weights > 0, colours, F.interpolate(coarse, size=colours.shape[2:], mode="bilinear"))


def _times(span: slice, factor: int) -> slice:
    return slice(span.start * factor, span.stop * factor)


def _is_out_of_memory(error: Exception) -> bool:
    # The allocators of CPUs and of Apple's GPUs raise a plain RuntimeError.
    is_said = "can't allocate memory" in str(error) or "backend out of memory" in str(error)
    return is_said or isinstance(error, torch.OutOfMemoryError | MemoryError)
