"""Compiled steps are the eager ones: `torch.compile` with AOTAutograd, but without kernels of its own (`aot_eager`)."""

from pathlib import Path

import pytest
import torch
from small_runs import write_config
from torch import Tensor
from torch._dynamo.testing import CompileCounterWithBackend

from srgan.training import learner
from srgan.training.config import AdversarialConfig, load_config
from srgan.training.optimizers import set_rate
from srgan.training.stages import AdversarialStage


@pytest.fixture
def batch() -> tuple[Tensor, Tensor]:
    return torch.rand(4, 3, 8, 8), torch.rand(4, 3, 32, 32) * 2 - 1


@pytest.mark.filterwarnings("ignore:vgg31. random weights")
def test_compiled_adversarial_steps_are_the_eager_ones(
    tmp_path: Path, batch: tuple[Tensor, Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Losses of three steps to 1e-4, at rates that differ; nothing is compiled again after the first step."""
    loss = {"content": "vgg31", "vgg_weights": "random", "texture_weight": 0.1}
    loss |= {"pixel_weight": 0.1, "phase_weight": 1, "spectrum_weight": 0.1}
    path = write_config(tmp_path, tmp_path, "train", loss=loss)
    counter = CompileCounterWithBackend("aot_eager")
    monkeypatch.setattr(learner, "compile_network", lambda network: network.compile(backend=counter))
    eager, compiled = (
        AdversarialStage(load_config(AdversarialConfig, path, [f"runtime.compile={on}"]), torch.device("cpu"))
        for on in ("false", "true")
    )
    counts = []
    for rate in (1e-3, 7e-4, 1e-4):
        for stage in (eager, compiled):
            set_rate(stage.G.optimizer, rate)
        ours, theirs = (
            {name: float(value) for name, value in stage.step(*batch).items()} for stage in (compiled, eager)
        )
        assert ours == pytest.approx(theirs, rel=1e-4)
        counts.append(counter.frame_count)
    assert counts[0] > 0
    assert counts == counts[:1] * 3
