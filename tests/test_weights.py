"""The released weights: they load, they are those of the card, and they do what it says."""

import hashlib
import re
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import yaml
from conftest import REPOSITORY
from PIL import Image

from srgan.data.pairs import find_pairs
from srgan.evaluation.evaluate import Result, evaluate, mean_scores
from srgan.evaluation.grid import local_grid_deviation
from srgan.evaluation.metrics import load_metrics
from srgan.networks.tensors import read_tensor_file
from srgan.networks.weights import load_generator
from srgan.upscaling.upscaler import Upscaler

WEIGHTS = REPOSITORY / "weights"


@pytest.mark.parametrize("name", ["srresnet_x4", "srgan_x4", "srresnet_photo_x4", "srgan_photo_x4", "srresnet_x2"])
def test_released_weights_are_those_of_the_card(name: str) -> None:
    path = WEIGHTS / f"{name}.safetensors"
    generator = load_generator(path)
    assert (f"x{generator.scale}", generator.blocks, generator.channels) == (name[-2:], 16, 64)
    rows = card(name)
    assert rows["SHA-256"] == f"`{hashlib.sha256(path.read_bytes()).hexdigest()}`"
    assert re.search(rf"\b{int(read_tensor_file(path).metadata['iterations']):,} iterations", rows["this file"])
    assert f"](../recipes/{name}.yaml)" in rows["recipe"]
    assert rows.keys() >= {"data", "rated against", "can't"}


def test_the_card_is_one_of_the_hubs() -> None:
    """Hugging Face's hub reads the YAML ahead of the text."""
    nothing, front, _ = (WEIGHTS / "README.md").read_text(encoding="utf-8").split("---\n", 2)
    assert not nothing
    facts = yaml.safe_load(front)
    assert (facts["license"], facts["pipeline_tag"], facts["library_name"]) == ("other", "image-to-image", "pytorch")


def card(name: str) -> dict[str, str]:
    """The rows of a network's card."""
    _, section = (WEIGHTS / "README.md").read_text(encoding="utf-8").split(f"\n## {name}\n")
    lines = section.partition("\n## ")[0].splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("| ")]
    return {key: text for key, text in rows if key.strip("- ")}


def scores(name: str) -> list[float]:
    """PSNR, SSIM and LPIPS (squeeze) on Set5, as the card says."""
    return [float(score) for score in card(name)["Set5"].partition(";")[0].split(" / ")]


@cache
def set5(benchmarks: Path, name: str) -> list[Result]:
    """Results of released weights, with PSNR and SSIM."""
    upscaler = Upscaler(WEIGHTS / f"{name}.safetensors", "cpu", "fp32")
    return list(evaluate(upscaler.upscale, find_pairs(benchmarks / "Set5", upscaler.scale), upscaler.scale))


@pytest.mark.parametrize("name", ["srresnet_x4", "srgan_x4"])
def test_released_weights_score_what_the_card_says(benchmarks: Path, name: str) -> None:
    """On Set5, to the card's decimals; the other rows take minutes."""
    psnr, ssim, _ = scores(name)
    found = mean_scores([result.scores for result in set5(benchmarks, name)])
    assert found == {"psnr": pytest.approx(psnr, abs=0.005), "ssim": pytest.approx(ssim, abs=0.00005)}


def test_srgan_is_perceptually_as_close_as_the_card_says(benchmarks: Path, squeezenet: Path) -> None:
    """By LPIPS, which no loss has seen; SRResNet is further off."""
    pytest.importorskip("lpips")
    lpips = load_metrics([f"lpips_squeeze={squeezenet}"])["lpips_squeeze"].function
    stated = {name: scores(name)[2] for name in ("srresnet_x4", "srgan_x4")}
    for name, score in stated.items():
        assert np.mean([lpips(r.sr, r.hr) for r in set5(benchmarks, name)]) == pytest.approx(score, abs=0.001)
    assert stated["srgan_x4"] < stated["srresnet_x4"]


def test_no_grid_of_srgan_stands_out_in_places(benchmarks: Path) -> None:
    """One of its sub-pixels would make a period of 4 stand out from 3 and 5, which nothing in the network has."""
    three, four, five = (
        np.mean([local_grid_deviation(result.sr, result.hr, period) for result in set5(benchmarks, "srgan_x4")])
        for period in (3, 4, 5)
    )
    assert four < (three + five) / 2


def thumbnail(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        image.draft("L", (64, 64))
        return np.asarray(image.convert("L").resize((16, 16), Image.Resampling.BOX), np.float32)


BSDS500 = ["BSDS500/train", "BSDS500/test/[2-9]*.jpg", "BSDS500/test/1[1-9]*.jpg"]
# What was trained on, and what was held out to choose by.
TRAINED_ON = {
    "released files": ([*BSDS500, "ImageNetSample", "T91"], "BSDS500/test/10*.jpg"),
    "recipes": (["photographs/train"], "photographs/valid"),
}


@pytest.mark.parametrize("name", TRAINED_ON)
def test_no_benchmark_image_is_trained_on(benchmarks: Path, name: str) -> None:
    """Every benchmark image differs from every training image, by more than compression and cropping do."""
    root = benchmarks if name == "released files" else REPOSITORY / "datasets"
    folders, held_out_folder = [root / folder for folder in TRAINED_ON[name][0]], root / TRAINED_ON[name][1]
    if not all(folder.parent.exists() for folder in folders):
        pytest.skip("needs the training photographs")
    trained = {pair.hr: thumbnail(pair.hr) for folder in folders for pair in find_pairs(folder, 4, training=True)}
    held_out = find_pairs(held_out_folder, 4)
    tested = [pair for name in ("Set5", "Set14", "BSD100") for pair in find_pairs(benchmarks / name, 4)]
    stack = np.stack(list(trained.values()))
    for pair in tested + held_out:
        distances = np.abs(stack - thumbnail(pair.hr)).mean(axis=(1, 2))
        assert distances.min() > 4, f"{pair.hr} is {list(trained)[distances.argmin()]}"
