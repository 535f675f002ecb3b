"""Whether texture is as strong and as fine as the original's, wherever its lines are."""

import math

import numpy as np
import torch
from torch import Tensor

from srgan.networks.losses import SPECTRUM_WINDOW, log_spectral_distance


def spectral_distance(image: np.ndarray, reference: np.ndarray) -> float:
    """`log_spectral_distance` in dB.

    A blurred patch has too little power, a weave pattern too much in its band; both count. A shifted picture, or
    another piece of the same texture, is close.

    Args:
        image, reference: H x W or H x W x C, values in 0..255.

    Raises:
        ValueError: a side has less than 32 pixels.
    """
    height, width = image.shape[:2]
    if min(height, width) < SPECTRUM_WINDOW:
        raise ValueError(f"spectra need {SPECTRUM_WINDOW} x {SPECTRUM_WINDOW} pixels, found {width} x {height}")
    with torch.inference_mode():
        return log_spectral_distance(_planes(image), _planes(reference)).item() * 10 / math.log(10)


def _planes(image: np.ndarray) -> Tensor:
    """N x C x H x W in [-1, 1]."""
    return torch.from_numpy(np.atleast_3d(image)).permute(2, 0, 1)[None].float() / 127.5 - 1
