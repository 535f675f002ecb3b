"""Upscaling methods, and their scores on benchmarks."""

import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from srgan.common.errors import ImageError, UserError
from srgan.common.output import printable
from srgan.data.pairs import ImagePair, find_pairs
from srgan.data.resize import imresize
from srgan.evaluation.metrics import Protocol
from srgan.evaluation.saved import SavedResults
from srgan.networks.foreign import OVERLAP
from srgan.networks.interpolate import interpolate
from srgan.networks.weights import load_generator
from srgan.upscaling.upscaler import Upscaler

Upscale = Callable[[np.ndarray], np.ndarray]  # uint8 h x w [x 3] -> uint8 sh x sw [x 3]
Method = Upscale | SavedResults
TRADEOFF = "perception-distortion"  # the chart of all datasets; the others are named after datasets


class Result(NamedTuple):
    """One upscaled image and its scores against the HR image, by metric; images are uint8 H x W x 3."""

    image: str  # its name, printable
    scores: dict[str, float]
    lr: np.ndarray
    sr: np.ndarray
    hr: np.ndarray


def evaluate(
    upscale: Upscale, pairs: Iterable[ImagePair], scale: int, protocol: Protocol | None = None
) -> Iterator[Result]:
    """Upscale and score one pair after the other.

    Args:
        protocol: PSNR and SSIM of Y with `scale` pixels cut off, unless given.

    Raises:
        UserError: an image can't be read or scored, or a pair doesn't fit.
    """
    for results in compare({"": upscale}, pairs, scale, protocol or Protocol(border=scale)):
        yield results[""]


def mean_scores(scores: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """The mean over images, by metric."""
    return {name: float(np.mean([image[name] for image in scores])) for name in scores[0]}


def compare(
    methods: Mapping[str, Method], pairs: Iterable[ImagePair], scale: int, protocol: Protocol
) -> Iterator[dict[str, Result]]:
    """As `evaluate`, for several methods at once: each pair is read once, and yields a result per method.

    Raises:
        ImageError: an image can't be read or scored.
        UserError: a picture of `SavedResults` has another size than the HR image.
    """
    for pair in pairs:
        lr, hr = pair.read(scale)
        yield score_pair(upscale_pair(methods, pair, lr, hr), pair, lr, hr, protocol)


def upscale_pair(
    methods: Mapping[str, Method], pair: ImagePair, lr: np.ndarray, hr: np.ndarray
) -> dict[str, np.ndarray]:
    """The first half of `compare`, for one pair: each method's output, uint8 H x W x 3."""
    images = {}
    for name, method in methods.items():
        if isinstance(method, SavedResults):
            images[name] = method.read(pair, hr.shape[:2])
        elif pair.is_grey:
            # As in demo.py: a network's grey may have a tint, so its colours are not compared.
            images[name] = np.repeat(method(lr[..., 0])[..., None], 3, axis=2)
        else:
            images[name] = method(lr)
    return images


def score_pair(
    images: Mapping[str, np.ndarray], pair: ImagePair, lr: np.ndarray, hr: np.ndarray, protocol: Protocol
) -> dict[str, Result]:
    """The second half of `compare`; it needs no method and may run in parallel with the next pair's first half."""
    try:
        return {name: Result(printable(pair.name), protocol.score(sr, hr), lr, sr, hr) for name, sr in images.items()}
    except ValueError as error:
        raise ImageError(f"{pair.hr}: can't be scored: {error}") from error


def bicubic(scale: int) -> Upscale:
    """MATLAB's bicubic upscaling."""
    return partial(imresize, scale=scale)


def nearest(scale: int) -> Upscale:
    """Each pixel repeated."""
    return lambda image: image.repeat(scale, axis=0).repeat(scale, axis=1)


def self_ensemble(upscale: Upscale) -> Upscale:
    """The mean over the image's eight flips and rotations, each undone afterwards (Timofte et al., 2016).

    It averages 8-bit images and rounds half up.
    """

    def upscale_eight(image: np.ndarray) -> np.ndarray:
        total: Any = 0
        for turns in range(4):
            turned = np.rot90(image, turns)
            total = total + np.rot90(upscale(np.ascontiguousarray(turned)), -turns).astype(np.uint16)
            mirrored = upscale(np.ascontiguousarray(turned[:, ::-1]))[:, ::-1]
            total = total + np.rot90(mirrored, -turns)
        return ((total + 4) // 8).astype(np.uint8)

    return upscale_eight


def load_methods(
    weights: Sequence[str],
    scale: int | None = None,
    device: str = "auto",
    precision: str = "auto",
    ensemble: bool = False,
    overlap: int = OVERLAP,
    strengths: Sequence[float] = (),
) -> tuple[dict[str, Method], int]:
    """Methods by name, and their scale: bicubic (whether requested or not) before the networks.

    Args:
        weights: weights files, run folders, or the words "bicubic" and "nearest".
        scale: for bicubic and nearest without weights (default: 4).
        ensemble: use the `self_ensemble` of each network, and add "+" to its name, as the literature does.
        overlap: of tiles, for models with unknown receptive field (see `Upscaler`).
        strengths: of networks interpolated between the first two (0: the first, 1: the second), placed between them.

    Raises:
        UserError: weights can't be loaded or interpolated, their scales differ, or one is given twice.
    """
    words = ("nearest", "bicubic")
    paths = distinct_names([Path(entry) for entry in weights if entry not in words], taken=words)
    networks = {name: Upscaler(path, device, precision, overlap=overlap) for name, path in paths.items()}
    if strengths:
        mixtures = _interpolations(paths, strengths, device, precision)
        if len(mixtures) < len(strengths) or mixtures.keys() & networks.keys():
            raise UserError(f"interpolations need names of their own, found {', '.join([*networks, *mixtures])}")
        # The second network, and those after it, come last.
        networks = dict([*networks.items()][:1]) | mixtures | networks
    scales = {name: network.scale for name, network in networks.items()} | ({"--scale": scale} if scale else {})
    if len(set(scales.values())) > 1:
        raise UserError(f"one scale at a time, not {', '.join(f'{name} x{factor}' for name, factor in scales.items())}")
    scale = next(iter(scales.values()), 4)
    methods: dict[str, Method] = {"nearest": nearest(scale)} if "nearest" in weights else {}
    methods["bicubic"] = bicubic(scale)
    for name, network in networks.items():
        methods[f"{name}+" if ensemble else name] = self_ensemble(network.upscale) if ensemble else network.upscale
    return methods, scale


def _interpolations(
    paths: Mapping[str, Path], strengths: Sequence[float], device: str, precision: str
) -> dict[str, Upscaler]:
    if len(paths) < 2:
        raise UserError(f"an interpolation needs two weights, found {', '.join(paths) or 'none'}")
    (_, first), (name, second) = list(paths.items())[:2]
    return {
        f"{name}-{strength:g}": Upscaler(
            interpolate(load_generator(first), load_generator(second), strength), device, precision
        )
        for strength in strengths
    }


def load_benchmarks(folders: Sequence[Path], scale: int) -> dict[str, list[ImagePair]]:
    """The pairs of each folder (see `find_pairs`) by the folder's name; all names are distinct.

    Raises:
        UserError: a folder is missing, holds no images, is given twice, or a file lacks its partner.
    """
    benchmarks = {}
    for name, folder in distinct_names(folders, taken=[TRADEOFF]).items():
        pairs = find_pairs(folder, scale)
        if len({pair.name for pair in pairs}) < len(pairs):
            names = distinct_names([pair.hr for pair in pairs])
            pairs = [replace(pair, name=name) for pair, name in zip(pairs, names, strict=True)]
        benchmarks[name] = pairs
    return benchmarks


def distinct_names(paths: Sequence[Path], taken: Sequence[str] = ()) -> dict[str, Path]:
    """Short names for files and folders, usable as file names: the stem, with as many parents as needed.

    Raises:
        UserError: a path is given twice.
    """
    candidates = [_names(path) for path in paths]
    named = {}
    for i, path in enumerate(paths):
        others = {name for names in candidates[:i] + candidates[i + 1 :] for name in names}.union(taken)
        name = next((name for name in candidates[i] if name not in others), None)
        if name is None:
            raise UserError(f"{path}: given twice")
        named[name] = path
    return named


def _names(path: Path) -> list[str]:
    """Candidate names for a path, from the shortest to the full path."""
    path = Path(os.path.abspath(path))  # noqa: PTH100 (without `..`, which would be a name; links keep theirs)
    stem = path.stem if path.is_file() else path.name
    # These folders don't distinguish runs or datasets.
    parts = [part for part in path.parent.parts[1:] if part not in ("weights", "checkpoints")]
    if parts and re.fullmatch(r"image_SRF_\d+", stem):
        stem, parts = parts[-1], parts[:-1]
    shortest = 1 if stem in ("best", "last") else 0
    names = []
    for length in range(shortest, len(parts) + 1):
        before = parts[len(parts) - length :]
        names += ["-".join([*before, stem]), "-".join([*before, path.name])]
    return [re.sub(r"[^\w.+-]|^\.*$", "_", name) for name in dict.fromkeys(names)]
