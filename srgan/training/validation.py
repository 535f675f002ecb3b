"""Validation during training: scores over fixed images, and labelled samples of the first of them."""

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
from PIL import Image

from srgan.common.errors import error_context
from srgan.data.degrade import Degradation
from srgan.data.pairs import ImagePair, find_pairs, with_degradation
from srgan.evaluation.evaluate import Result, Upscale, bicubic, evaluate, mean_scores
from srgan.evaluation.metrics import Protocol, load_metrics, score_labels, score_texts
from srgan.evaluation.strips import in_a_row
from srgan.training.config import Validation


class ValidationSet:
    """The images that a config names for validation, reduced as the training images are, and its metrics.

    The images are decoded when they are scored for the first time, and then stay in memory.

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
        return self._bicubic[0]

    def score(self, upscale: Upscale) -> tuple[dict[str, float], np.ndarray | None]:
        """Mean scores by metric, and samples: a row `bicubic | SR | HR` for each of the first images.

        Returns:
            The samples are uint8 H x W x 3, or None if the config asks for none.

        Raises:
            UserError: an image can't be read or scored.
        """
        scores, results = self._evaluate(upscale)
        rows = [self._sample(*pair) for pair in zip(self._bicubic[1], results, strict=True)]
        return scores, _stacked(rows) if rows else None

    def improves(self, scores: dict[str, float], best: float | None) -> bool:
        """Whether the score that `validation.best` names is better than the best so far (None: there is none)."""
        judge = self.config.best
        return best is None or self.metrics[judge].better(scores[judge], best)

    @cached_property
    def _decoded(self) -> list[Any]:
        return [_Decoded(pair, self.scale) for pair in self.pairs]

    @cached_property
    def _bicubic(self) -> tuple[dict[str, float], list[Result]]:
        return self._evaluate(bicubic(self.scale))

    def _evaluate(self, upscale: Upscale) -> tuple[dict[str, float], list[Result]]:
        """Mean scores, and the results of the images that become samples."""
        scores: list[dict[str, float]] = []
        first: list[Result] = []
        for result in evaluate(upscale, self._decoded, self.scale, self.protocol):
            scores.append(result.scores)
            if len(first) < self.config.samples:
                first.append(result)
        return mean_scores(scores), first

    def _sample(self, bicubic: Result, sr: Result, side: int = 192) -> np.ndarray:
        """bicubic | SR | HR of the middle of an image, with scores and, below HR, the names of the metrics."""
        panels = [
            (_middle(bicubic.sr, side), "bicubic", score_texts(bicubic.scores, self.metrics)),
            (_middle(sr.sr, side), "SR", score_texts(sr.scores, self.metrics)),
            (_middle(sr.hr, side), f"HR: {sr.image}", score_labels(self.metrics)),
        ]
        return np.asarray(in_a_row(panels, side))


class _Decoded:
    """An image pair in memory, which `evaluate` reads like one on disk."""

    def __init__(self, pair: ImagePair, scale: int) -> None:
        self.name, self.hr, self.is_grey, self.images = pair.name, pair.hr, pair.is_grey, pair.read(scale)

    def read(self, scale: int) -> tuple[np.ndarray, np.ndarray]:
        return self.images


def _middle(image: np.ndarray, side: int) -> Image.Image:
    """The middle side x side pixels, or as many as there are."""
    top, left = (max(0, (length - side) // 2) for length in image.shape[:2])
    return Image.fromarray(image[top : top + side, left : left + side])


def _stacked(rows: Sequence[np.ndarray]) -> np.ndarray:
    """Rows of different widths below each other, filled up with white."""
    width = max(row.shape[1] for row in rows)
    filled = [np.pad(row, ((0, 0), (0, width - row.shape[1]), (0, 0)), constant_values=255) for row in rows]
    return np.concatenate(filled)
