"""SSIM as in the SRGAN paper's tables: computed as by the Daala video codec's tools."""

import numpy as np

C1, C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2


def daala_ssim(image: np.ndarray, reference: np.ndarray) -> float:
    """SSIM as in the SRGAN paper's tables, after `dump_ssim` from the Daala video codec's tools.

    The Gaussian's sigma is 1.5 * height / 256, its weights are multiples of 1/256, windows are cut off at the border,
    and each is weighted by what is left of it. Bicubic scores within 0.0005 of the paper's.

    Args:
        image, reference: uint8 H x W x 3; compared on `daala_luminance`.
    """
    from scipy.ndimage import correlate1d  # slow to import

    x, y = daala_luminance(image), daala_luminance(reference)
    kernel = _daala_kernel(sigma=1.5 / 256 * x.shape[0], longest=min(x.shape))

    def window_sum(values: np.ndarray) -> np.ndarray:
        return correlate1d(correlate1d(values, kernel, axis=0, mode="constant"), kernel, axis=1, mode="constant")

    weight = window_sum(np.ones_like(x))
    mean_x, mean_y = window_sum(x) / weight, window_sum(y) / weight
    variances = window_sum(x * x + y * y) / weight - mean_x**2 - mean_y**2
    covariance = window_sum(x * y) / weight - mean_x * mean_y
    similarity = (2 * mean_x * mean_y + C1) * (2 * covariance + C2)
    similarity /= (mean_x**2 + mean_y**2 + C1) * (variances + C2)
    return float(np.average(similarity, weights=weight))


def _daala_kernel(sigma: float, longest: int) -> np.ndarray:
    """Integers with sum 256, as far out as the Gaussian rounds to at least 1."""
    height = 256 / (np.sqrt(2 * np.pi) * sigma)
    radius = int(sigma * np.sqrt(2 * np.log(2 * height))) if height > 0.5 else 0
    offsets = np.arange(1, min(radius, longest - 1) + 1)
    side = np.floor(height * np.exp(-(offsets**2) / (2 * sigma**2)) + 0.5)
    return np.concatenate([side[::-1], [256 - 2 * side.sum()], side])


def daala_luminance(image: np.ndarray) -> np.ndarray:
    """Y of BT.709 as Daala's `png2y4m` makes it, without its dither; uint8 H x W x 3 -> float64 H x W, integers.

    The chroma of 2 x 2 pixels is rounded to 8 bits first; each pixel's Y is rounded down or up, whichever reproduces
    its RGB values with the smaller error.
    """
    rgb = image / 255
    red, green, blue = weights = np.array([0.2126, 0.7152, 0.0722])
    block = _block_means(rgb)
    luma = block @ weights
    cr = np.rint(224 * (block[..., 0] - luma) / (2 - 2 * red)) * (2 - 2 * red) / 224
    cb = np.rint(224 * (block[..., 2] - luma) / (2 - 2 * blue)) * (2 - 2 * blue) / 224
    chroma = np.stack([cr, -(red * cr + blue * cb) / green, cb], axis=-1)

    def error(y: np.ndarray) -> np.ndarray:
        return (((y[..., None] / 219 + chroma).clip(0, 1) - rgb) ** 2).sum(axis=-1)

    below = np.floor(219 * (rgb @ weights))
    return 16 + below + (error(below + 1) < error(below))


def _block_means(rgb: np.ndarray) -> np.ndarray:
    """Each pixel replaced by the mean of its 2 x 2 block; a last odd row or column is doubled."""
    height, width = rgb.shape[:2]
    even = np.pad(rgb, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    means = even.reshape(even.shape[0] // 2, 2, even.shape[1] // 2, 2, 3).mean(axis=(1, 3))
    return means.repeat(2, axis=0).repeat(2, axis=1)[:height, :width]
