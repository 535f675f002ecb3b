"""The released weights: they load, they are those of the card, and they do what it says."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import REPOSITORY
from PIL import Image

from srgan.common.images import hr_tensor
from srgan.data.pairs import find_pairs
from srgan.evaluation.evaluate import bicubic, evaluate
from srgan.networks.tensors import read_tensor_file
from srgan.networks.vgg import VGGFeatures
from srgan.networks.weights import load_generator
from srgan.training.config import AdversarialConfig, PretrainConfig, load_config
from srgan.upscaling.upscaler import Upscaler

WEIGHTS = REPOSITORY / "weights"


@pytest.mark.parametrize("name", ["srresnet_x4", "srgan_x4"])
def test_released_weights_are_those_of_the_card(name: str) -> None:
    path = WEIGHTS / f"{name}.safetensors"
    generator = load_generator(path)
    assert (generator.scale, generator.blocks, generator.channels) == (4, 16, 64)
    metadata, card = read_tensor_file(path).metadata, (WEIGHTS / "README.md").read_text(encoding="utf-8")
    assert hashlib.sha256(path.read_bytes()).hexdigest() in card
    assert f"{int(metadata['iterations']):,} iterations" in card


def test_srresnet_beats_bicubic_on_set5(benchmarks: Path) -> None:
    """By 0.8 dB at least, 28.43 dB being bicubic's."""
    upscaler = Upscaler(WEIGHTS / "srresnet_x4.safetensors", "cpu")
    results = list(evaluate(upscaler.upscale, find_pairs(benchmarks / "Set5", 4), 4))
    assert np.mean([result.scores["psnr"] for result in results]) > 28.43 + 0.8


def test_srgan_is_perceptually_closer_than_srresnet(benchmarks: Path, vgg19: Path) -> None:
    """On relu3_4, which its loss does not use, and on the photographs that were held out to choose it by."""
    if not (benchmarks / "BSDS500").exists():
        pytest.skip("needs the held-out photographs of BSDS500")
    features, distances = VGGFeatures("vgg34", str(vgg19)), {}
    pairs = find_pairs(benchmarks / "BSDS500" / "test" / "10*.jpg", 4)[:10]
    upscales = {name: Upscaler(WEIGHTS / f"{name}_x4.safetensors", "cpu").upscale for name in ("srresnet", "srgan")}
    with torch.inference_mode():
        for name, upscale in {"bicubic": bicubic(4), **upscales}.items():
            distances[name] = np.mean(
                [
                    torch.nn.functional.mse_loss(*(features(hr_tensor(image[None])) for image in (r.sr, r.hr))).item()
                    for r in evaluate(upscale, pairs, 4)
                ]
            )
    assert distances["srgan"] < distances["srresnet"] < distances["bicubic"]


def thumbnail(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        image.draft("L", (64, 64))
        return np.asarray(image.convert("L").resize((16, 16), Image.Resampling.BOX), np.float32)


@pytest.mark.parametrize("kind", [PretrainConfig, AdversarialConfig])
def test_no_benchmark_image_is_trained_on(benchmarks: Path, kind: type) -> None:
    """Every benchmark image differs from every training image, by more than compression and cropping do."""
    name = {PretrainConfig: "shipped_srresnet", AdversarialConfig: "shipped_srgan"}[kind]
    config = load_config(kind, REPOSITORY / "configs" / f"{name}.yaml")
    folders = [benchmarks / folder.removeprefix("datasets/") for folder in config.data.folders]
    if not all(folder.parent.exists() for folder in folders):
        pytest.skip("needs the training photographs")
    trained = {pair.hr: thumbnail(pair.hr) for folder in folders for pair in find_pairs(folder, 4, training=True)}
    held_out = [
        p
        for folder in config.validation.folders
        for p in find_pairs(benchmarks / Path(folder).relative_to("datasets"), 4)
    ]
    tested = [pair for name in ("Set5", "Set14", "BSD100") for pair in find_pairs(benchmarks / name, 4)]
    stack = np.stack(list(trained.values()))
    for pair in tested + held_out:
        distances = np.abs(stack - thumbnail(pair.hr)).mean(axis=(1, 2))
        assert distances.min() > 4, f"{pair.hr} is {list(trained)[distances.argmin()]}"
