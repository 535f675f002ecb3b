"""PSNR and SSIM of 8-bit images under the protocol of the super-resolution literature."""

import numpy as np
from skimage.metrics import structural_similarity

from srgan.images import luminance


def psnr(image: np.ndarray, reference: np.ndarray) -> float:
    """Peak signal-to-noise ratio in dB with peak 255; infinite for equal images."""
    mse = np.mean((image.astype(np.float64) - reference) ** 2)
    return float(10 * np.log10(255**2 / mse)) if mse else float("inf")


def ssim(image: np.ndarray, reference: np.ndarray) -> float:
    """Structural similarity (Wang et al., 2004): Gaussian 11 x 11, sigma 1.5, K1 0.01, K2 0.03, peak 255.

    Args:
        image, reference: H x W or H x W x C (the mean over channels), at least 11 pixels a side.
    """
    return float(
        structural_similarity(
            image.astype(np.float64),
            reference.astype(np.float64),
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
            data_range=255,
            channel_axis=2 if image.ndim == 3 else None,
        )
    )


def score(image: np.ndarray, reference: np.ndarray, border: int) -> tuple[float, float]:
    """PSNR [dB] and SSIM on the Y channel, `border` pixels cut off each side (the scale, by convention).

    Args:
        image, reference: uint8 H x W x 3.

    Raises:
        ValueError: the shapes differ, or less than 11 pixels are left of a side.
    """
    if image.shape != reference.shape:
        raise ValueError(f"images of one shape are compared, not {image.shape} with {reference.shape}")
    if min(image.shape[:2]) - 2 * border < 11:
        raise ValueError(f"SSIM needs 11 pixels a side inside the border of {border}, not {image.shape[:2]}")
    inside = slice(border, -border or None)
    a, b = luminance(image)[inside, inside], luminance(reference)[inside, inside]
    return psnr(a, b), ssim(a, b)
