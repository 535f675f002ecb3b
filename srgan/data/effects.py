"""What happens to a picture between the lens and the file, a function for each effect; images are uint8 H x W x 3.

Arguments are physical: widths in pixels, noise in grey levels, JPEG qualities.
"""

import io
import math

import numpy as np
from PIL import Image

RESAMPLING = {
    "bicubic": Image.Resampling.BICUBIC,
    "bilinear": Image.Resampling.BILINEAR,
    "area": Image.Resampling.BOX,
    "nearest": Image.Resampling.NEAREST,
}


def gaussian_kernel(sigma_a: float, sigma_b: float, angle: float = 0.0, shift: float = 0.0) -> np.ndarray:
    """A Gaussian kernel with two widths and sum 1, cut off at three times the larger width.

    Args:
        sigma_a, sigma_b: standard deviations along its two axes, in pixels.
        angle: from the x axis to the first axis, towards the y axis, in radians.
        shift: of the centre in both directions, in pixels; the filtered image is shifted by as much.
    """
    radius = math.ceil(3 * max(sigma_a, sigma_b))
    y, x = np.mgrid[-radius : radius + 1, -radius : radius + 1] - shift
    along, across = x * math.cos(angle) + y * math.sin(angle), y * math.cos(angle) - x * math.sin(angle)
    kernel = np.exp(-((along / sigma_a) ** 2 + (across / sigma_b) ** 2) / 2)
    return kernel / kernel.sum()


def convolve(image: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """Filter the image, which is mirrored beyond its borders."""
    return to_uint8(_filtered(image, kernel))


def _filtered(image: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """`convolve` without its rounding: float32."""
    radius = len(kernel) // 2
    padded = np.pad(image.astype(np.float32), ((radius, radius), (radius, radius), (0, 0)), mode="symmetric")
    from scipy.signal import fftconvolve  # slow to import, and only this degradation needs it

    return fftconvolve(padded, kernel.astype(np.float32)[..., None], mode="valid", axes=(0, 1))


def sinc_kernel(cutoff: float, radius: int) -> np.ndarray:
    """The ideal circular low-pass filter, truncated, with sum 1: it rings around edges.

    Wang et al. 2021 (Real-ESRGAN), equation 6.

    Args:
        cutoff: the highest angular frequency that passes, up to pi, in radians per pixel.
        radius: of the kernel in pixels.
    """
    from scipy.special import j1

    y, x = np.mgrid[-radius : radius + 1, -radius : radius + 1]
    r = np.hypot(x, y)
    r[radius, radius] = 1
    kernel = cutoff * j1(cutoff * r) / (2 * np.pi * r)
    kernel[radius, radius] = cutoff**2 / (4 * np.pi)
    return kernel / kernel.sum()


def sharpen(image: np.ndarray, amount: float, sigma: float) -> np.ndarray:
    """An unsharp mask, as cameras and editors sharpen: edges overshoot.

    Args:
        amount: how much of the difference from a Gaussian blur is added.
        sigma: of that blur, in pixels.
    """
    return to_uint8(image + amount * (image - _filtered(image, gaussian_kernel(sigma, sigma))))


def demosaic(image: np.ndarray) -> np.ndarray:
    """Keep one colour per pixel, as a sensor under Bayer's pattern (RGGB) does, and interpolate the others linearly.

    Fine detail becomes softer, with coloured fringes, and noise becomes blobs of two pixels.
    """
    height, width = image.shape[:2]
    red, green, blue = np.zeros((3, height, width, 1), np.float32)
    red[::2, ::2] = green[::2, 1::2] = green[1::2, ::2] = blue[1::2, 1::2] = 1
    tent, cross = np.outer([1, 2, 1], [1, 2, 1]), np.array([[0, 1, 0], [1, 4, 1], [0, 1, 0]])
    colours = [
        _filtered(image[..., i : i + 1] * pixels, kernel) / _filtered(pixels, kernel)
        for i, (pixels, kernel) in enumerate([(red, tent), (green, cross), (blue, tent)])
    ]
    return to_uint8(np.concatenate(colours, axis=2))


def denoise(image: np.ndarray, strength: float, sigma: float) -> np.ndarray:
    """Noise reduction as in cameras: a median of the luma, which looks like watercolour, and a blur of the chroma.

    Args:
        strength: of the median, 0 to 1.
        sigma: of the chroma's Gaussian blur, in pixels.
    """
    from scipy.ndimage import median_filter

    luma, *chroma = np.moveaxis(np.asarray(Image.fromarray(image).convert("YCbCr"), np.float32), 2, 0)
    luma += strength * (median_filter(luma, 3) - luma)
    blurred = _filtered(np.stack(chroma, 2), gaussian_kernel(sigma, sigma))
    return np.asarray(Image.fromarray(to_uint8(np.dstack([luma, blurred])), "YCbCr").convert("RGB"))


def resize(image: np.ndarray, size: tuple[int, int], method: str) -> np.ndarray:
    """Resize to (height, width) with Pillow, antialiased except for "nearest"."""
    return np.asarray(Image.fromarray(image).resize(size[::-1], RESAMPLING[method]))


def add_gaussian_noise(image: np.ndarray, sigma: float, grey: bool, rng: np.random.Generator) -> np.ndarray:
    """Add noise with this standard deviation (of 255), independent in each channel or the same in all (grey)."""
    return to_uint8(image + sigma * rng.standard_normal((*image.shape[:2], 1 if grey else 3), dtype=np.float32))


def add_poisson_noise(image: np.ndarray, sigma: float, grey: bool, rng: np.random.Generator) -> np.ndarray:
    """Add a sensor's shot noise, whose variance is proportional to the signal.

    Args:
        sigma: its standard deviation at white, of 255.
        grey: compute the noise for the mean of R, G and B, and add it to all three.
    """
    signal = image.mean(axis=2, keepdims=True) if grey else image
    # N photons have a noise of sqrt(N).
    photons = (255 / sigma) ** 2
    return to_uint8(image + rng.poisson(signal / 255 * photons) * (255 / photons) - signal)


def random_quality(interval: tuple[int, ...], rng: np.random.Generator) -> int:
    """A quality within [low, high], 1 to 100, with a log-uniform quantisation step.

    By libjpeg's rule (jpeg_quality_scaling) the step at 95 is a fifth of the step at 75 and a tenth of the step at 50.
    Uniform qualities would hardly ever be as high as cameras'.
    """
    # Percent of Annex K's tables; at 100 each step is 1, about 1 percent of them.
    low, high = (math.log(max(5000 / q if q < 50 else 200 - 2 * q, 1)) for q in interval)
    percent = math.exp(rng.uniform(high, low))
    return round(5000 / percent if percent > 100 else 100 - percent / 2)


def jpeg(image: np.ndarray, quality: int, subsampling: str = "4:2:0", offset: tuple[int, int] = (0, 0)) -> np.ndarray:
    """Compress as JPEG; the first block starts `offset` (rows, columns) above and to the left of the image."""
    top, left = offset
    padded = np.pad(image, ((top, 0), (left, 0), (0, 0)), mode="symmetric")
    return _coded(padded, "JPEG", quality=quality, subsampling=subsampling)[top:, left:]


def webp(image: np.ndarray, quality: int) -> np.ndarray:
    """Compress as lossy WebP."""
    return _coded(image, "WebP", quality=quality)


def to_uint8(image: np.ndarray) -> np.ndarray:
    """Round half up and clip to 0..255."""
    return np.floor(image + 0.5).clip(0, 255).astype(np.uint8)


def _coded(image: np.ndarray, kind: str, **options: object) -> np.ndarray:
    file = io.BytesIO()
    Image.fromarray(image).save(file, kind, **options)
    return np.asarray(Image.open(file).convert("RGB"))
