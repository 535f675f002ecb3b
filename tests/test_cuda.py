"""What only a GPU shows: CUDA graphs, steps that never wait for the device, the same results on both devices."""

from pathlib import Path

import numpy as np
import pytest
import torch
from small_runs import light_runs, rows, trainer, write_config
from torch import Tensor

from srgan.common.images import hr_tensor, lr_tensor
from srgan.data.resize import imresize
from srgan.networks.srresnet import SRResNet
from srgan.training.config import AdversarialConfig, PretrainConfig, load_config
from srgan.training.stages import AdversarialStage, PretrainStage, Stage
from srgan.upscaling.upscaler import Upscaler

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
CUDA = torch.device("cuda")


@pytest.fixture
def batch(astronaut: np.ndarray) -> tuple[Tensor, Tensor]:
    hr = np.stack([astronaut[y : y + 32, 200:232] for y in range(40, 168, 32)])
    lr = np.stack([imresize(crop, 1 / 4) for crop in hr])
    return lr_tensor(lr).to(CUDA), hr_tensor(hr).to(CUDA)


def stage(folder: Path, script: str, *overrides: str) -> Stage:
    path = write_config(folder, folder, script)
    if script == "train":
        return AdversarialStage(load_config(AdversarialConfig, path, overrides), CUDA)
    return PretrainStage(load_config(PretrainConfig, path, overrides), CUDA)


@pytest.mark.parametrize("script", ["pretrain", "train"])
@pytest.mark.parametrize("accumulate", [1, 2])
def test_cuda_graphs_give_the_eager_steps_losses(
    tmp_path: Path, batch: tuple[Tensor, Tensor], script: str, accumulate: int
) -> None:
    """Ten steps, since a graph is recorded in the third; to 1 %, since TF32 sums in another order."""
    parts = f"runtime.accumulate={accumulate}"
    eager, compiled = (stage(tmp_path, script, parts, f"runtime.compile={on}") for on in ("false", "true"))
    for iteration in range(1, 11):
        losses = []
        for each in (eager, compiled):
            each.set_learning_rate(iteration)
            losses.append({name: float(value) for name, value in each.step(*batch).items()})
        assert losses[1] == pytest.approx(losses[0], rel=1e-2)


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
@pytest.mark.parametrize("script", ["pretrain", "train"])
def test_a_step_never_waits_for_the_gpu(
    tmp_path: Path, batch: tuple[Tensor, Tensor], script: str, precision: str
) -> None:
    each = stage(tmp_path, script, f"runtime.precision={precision}")
    for _ in range(3):
        each.step(*batch)
    torch.cuda.set_sync_debug_mode("error")
    try:
        losses = each.step(*batch)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert all(value.isfinite() for value in losses.values())


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_both_devices_upscale_alike(astronaut: np.ndarray, precision: str) -> None:
    """Within one level of 255 in fp32; within two on the mean in the short formats."""
    generator, image = SRResNet(), astronaut[:101, :77]
    expected = Upscaler(generator, "cpu", "fp32").upscale(image).astype(int)
    found = Upscaler(generator, "cuda", precision).upscale(image).astype(int)
    difference = np.abs(found - expected)
    assert difference.max() <= 1 if precision == "fp32" else difference.mean() < 2


@pytest.mark.parametrize("script", ["pretrain", "train"])
def test_a_run_of_the_gpu_goes_on_on_the_cpu(tmp_path: Path, photographs: Path, script: str) -> None:
    config = write_config(tmp_path, photographs, script, optimizer={"iterations": 10})
    with light_runs():
        assert trainer(config, tmp_path, script=script, device="cuda").run() == 0
        overrides = ("optimizer.iterations=20",)
        run = trainer(config, tmp_path, *overrides, script=script, resume=True, allow_config_change=True)
        assert run.iteration == 10
        assert run.run() == 0
    assert [row["iteration"] for row in rows(tmp_path / "run")] == ["5", "10", "15", "20"]
