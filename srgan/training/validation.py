"""Validation during training: scores over fixed images, and pictures of the first of them."""

import numpy as np

from srgan.common.errors import error_context
from srgan.data.degrade import Degradation
from srgan.data.pairs import find_pairs, with_degradation
from srgan.evaluation.evaluate import Result, Upscale, bicubic, evaluate, mean_scores
from srgan.evaluation.metrics import Protocol, load_metrics
from srgan.training.config import Validation


class ValidationSet:
    """The images that a config names for validation, reduced as the training images are, and its metrics.

    Args:
        config: folders, metrics and number of samples.
        scale: of the upscaling.
        degradation: what makes the LR images.
        device: where metrics that need a network compute.

    Raises:
        UserError: a folder is missing or holds no images, or a metric lacks its package or its weights.
    """

    def __init__(self, config: Validation, scale: int, degradation: Degradation, device: str = "cpu") -> None:
        self.config, self.scale = config, scale
        with error_context("validation.folders"):
            pairs = [pair for folder in config.folders for pair in find_pairs(folder, scale)[: config.images]]
            self.pairs = with_degradation(pairs, degradation)
        with error_context("validation.metrics"):
            self.metrics = load_metrics(config.metrics, scale, device)
        self.protocol = Protocol(border=scale, metrics=self.metrics)

    def bicubic(self) -> dict[str, float]:
        """Mean scores of bicubic upscaling, by metric: the line to cross in every curve."""
        upscale = bicubic(self.scale)
        return mean_scores([result.scores for result in evaluate(upscale, self.pairs, self.scale, self.protocol)])

    def score(self, upscale: Upscale) -> tuple[dict[str, float], np.ndarray | None]:
        """Mean scores by metric, and samples of the first images below each other (uint8 H x W x 3, or None).

        Raises:
            UserError: an image can't be read or scored.
        """
        scores, strips = [], []
        for result in evaluate(upscale, self.pairs, self.scale, self.protocol):
            scores.append(result.scores)
            if len(strips) < self.config.samples:
                strips.append(_strip(result, self.scale))
        return mean_scores(scores), np.concatenate(strips) if strips else None

    def improves(self, scores: dict[str, float], best: float | None) -> bool:
        """Whether the score that `validation.best` names is better than the best so far (None: there is none)."""
        judge = self.config.best
        return best is None or self.metrics[judge].better(scores[judge], best)


def _strip(result: Result, scale: int, side: int = 192) -> np.ndarray:
    """bicubic | SR | HR of the middle of an image, uint8 side x 3*side x 3."""
    images = (bicubic(scale)(result.lr), result.sr, result.hr)
    canvas = np.full((side, 3 * side, 3), 255, np.uint8)
    for i, image in enumerate(images):
        height, width = (min(side, length) for length in image.shape[:2])
        top, left = (image.shape[0] - height) // 2, (image.shape[1] - width) // 2
        canvas[:height, i * side : i * side + width] = image[top : top + height, left : left + width]
    return canvas
