"""The benchmark's plain versions are what the fast ones compute, and it counts work rightly."""

import os
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from srgan.common.errors import UserError
from srgan.networks.discriminator import Discriminator
from srgan.networks.losses import PixelLoss
from srgan.networks.srresnet import SRResNet
from srgan.networks.weights import save_weights
from srgan.training.config import AdversarialConfig, PretrainConfig, parse
from srgan.training.stages import AdversarialStage, PretrainStage
from tools import benchmark, loading, plain_steps, timing

CPU = torch.device("cpu")
SMALL = {"name": "test", "generator": {"blocks": 1, "channels": 8}, "data": {"crop": 32}}


@pytest.fixture
def batch() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return torch.rand(4, 3, 8, 8, generator=generator), torch.rand(4, 3, 32, 32, generator=generator) * 2 - 1


def assert_same_weights(fast: nn.Module, plain: nn.Module, rate: float = 1e-4) -> None:
    """Adam's first steps have the size of the rate, and where a gradient is but rounding, either sign: a few may."""
    differences = torch.cat(
        [(a - b).abs().flatten() for a, b in zip(fast.parameters(), plain.parameters(), strict=True)]
    )
    assert (differences > 0.01 * rate).float().mean() < 0.01


def test_plain_generator_is_the_generator() -> None:
    fast, plain = SRResNet().eval(), plain_steps.PlainSRResNet().eval()
    plain.load_state_dict(fast.state_dict())
    lr = torch.rand(1, 3, 9, 8)
    with torch.inference_mode():
        torch.testing.assert_close(plain(lr), fast(lr), atol=1e-5, rtol=1e-4)


def test_plain_pretraining_is_the_stages_step(batch: tuple[torch.Tensor, torch.Tensor]) -> None:
    stage = PretrainStage(parse(PretrainConfig, {**SMALL, "runtime": {"precision": "fp32"}}), CPU)
    plain = SRResNet(blocks=1, channels=8)
    plain.load_state_dict(stage.generator.state_dict())
    step = plain_steps.plain_pretraining(plain, *batch)
    for _ in range(3):
        stage.step(*batch)
        step()
    assert_same_weights(stage.generator, plain)


def test_plain_adversarial_is_the_stages_step(batch: tuple[torch.Tensor, torch.Tensor], tmp_path: Path) -> None:
    save_weights(SRResNet(blocks=1, channels=8), tmp_path / "init.safetensors")
    config = {**SMALL, "init": str(tmp_path / "init.safetensors"), "runtime": {"precision": "fp32"}}
    stage = AdversarialStage(parse(AdversarialConfig, config), CPU)
    plain, discriminator = SRResNet(blocks=1, channels=8), Discriminator(32)
    plain.load_state_dict(stage.generator.state_dict())
    discriminator.load_state_dict(stage.discriminator.state_dict())
    step = plain_steps.plain_adversarial(plain, discriminator, PixelLoss(), *batch)
    stage.step(*batch)
    step()
    assert_same_weights(stage.generator, plain)
    assert_same_weights(stage.discriminator, discriminator)


def test_operations_of_a_convolution() -> None:
    """2 x 5 x 7 output pixels of 4 channels, each 3 x 3 x 3 products and as many sums."""
    convolution = nn.Conv2d(3, 4, 3, padding=1)
    assert timing.operations(lambda: convolution(torch.rand(2, 3, 5, 7))) == 2 * 5 * 7 * 4 * 27 * 2


def test_all_variants_take_turns() -> None:
    turns: list[str] = []

    def work(name: str) -> None:
        turns.append(name)
        torch.rand(10**6).sum()

    timing.medians({name: partial(work, name) for name in "ab"}, CPU, 3)
    assert [name for name, before in zip(turns, ["", *turns], strict=False) if name != before] == list("ab") * 5


def test_photograph_of_any_size() -> None:
    for height, width in ((1, 1), (128, 700), (1356, 2040)):
        assert loading.photograph(height, width).shape == (height, width, 3)


@pytest.mark.skipif(not hasattr(os, "wait4"), reason="Windows has no os.wait4")
def test_what_a_process_took() -> None:
    run = benchmark.python("-c", "import time; block = b'1' * 400_000_000; time.sleep(0.5)")
    assert run.peak > 0.4
    assert run.cpu < run.seconds > 0.5
    with pytest.raises(UserError, match="python -c 1/0 failed: run it by hand"):
        benchmark.python("-c", "1/0")


def test_plot(tmp_path: Path) -> None:
    rows = [{"MP": 1, "s": 2.0, "peak GB": 0.5}, {"MP": 2, "s": 4.0, "peak GB": 0.6}]
    benchmark.draw_growth(rows, [{"pairs/s": 5000.0}, {"pairs/s": 9000.0}], tmp_path / "growth.png")
    assert np.asarray(Image.open(tmp_path / "growth.png")).std() > 1
