"""From image to image: the one path that demo, test, validation and anyone's code take through the generator."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from srgan.checkpoint import load_generator
from srgan.generator import Generator, fold_batchnorm
from srgan.images import lr_tensor, to_uint8
from srgan.precision import Precision, select_device


class Upscaler:
    """Upscales images by a generator's factor, tile by tile, in bounded memory.

    Args:
        weights: released weights, a checkpoint or a run folder (see `load_generator`), or a `Generator`.
        device: "auto", "cpu" or "cuda".
        precision: "auto", "fp32", "bf16" or "fp16".
        tile: side of a tile in LR pixels.

    Raises:
        UserError: the weights can't be loaded, or the device isn't there.
    """

    def __init__(
        self, weights: str | Path | Generator, device: str = "auto", precision: str = "auto", tile: int = 256
    ) -> None:
        generator = weights if isinstance(weights, Generator) else load_generator(Path(weights))
        self.device = select_device(device)
        self.precision = Precision(precision, self.device)
        self.generator = fold_batchnorm(generator).to(self.device, memory_format=torch.channels_last)
        self.scale = generator.scale
        self.tile = tile

    def upscale(self, image: np.ndarray) -> np.ndarray:
        """uint8 H x W x 3 RGB -> uint8 scale*H x scale*W x 3."""
        height, width = image.shape[:2]
        scale, margin = self.scale, self.generator.receptive_radius
        out = np.empty((height * scale, width * scale, 3), np.uint8)
        for y in range(0, height, self.tile):
            for x in range(0, width, self.tile):
                # Each tile brings along all that its pixels depend on, so its edges are no different from its middle.
                top, left = max(y - margin, 0), max(x - margin, 0)
                bottom, right = min(y + self.tile, height), min(x + self.tile, width)
                tile = image[None, top : bottom + margin, left : right + margin]
                sr = to_uint8(self._forward(lr_tensor(tile)))[0].permute(1, 2, 0).cpu().numpy()
                out[y * scale : bottom * scale, x * scale : right * scale] = sr[
                    (y - top) * scale : (bottom - top) * scale, (x - left) * scale : (right - left) * scale
                ]
        return out

    @torch.inference_mode()
    def _forward(self, lr: Tensor) -> Tensor:
        with self.precision.autocast():
            return self.generator(lr.to(self.device, memory_format=torch.channels_last))
