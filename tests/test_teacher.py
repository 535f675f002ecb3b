"""Distillation: what the generator is taught instead of the original."""

from pathlib import Path
from typing import Any

import pytest
import torch
from skimage import data
from torch import nn

from srgan.common import parallel
from srgan.common.errors import UserError
from srgan.data.resize import imresize
from srgan.networks.srresnet import SRResNet
from srgan.networks.weights import load_network, save_weights
from srgan.training.config import AdversarialConfig, PretrainConfig, parse
from srgan.training.stages import AdversarialStage, PretrainStage
from srgan.training.teacher import Teacher, reduced, turn, turn_back

CPU = torch.device("cpu")


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    generator = SRResNet(blocks=1, channels=8)
    nn.init.ones_(generator.body[-1].weight)
    save_weights(generator.eval(), tmp_path / "teacher.safetensors")
    return tmp_path / "teacher.safetensors"


def test_the_eight_orientations_differ_and_are_undone() -> None:
    image = torch.arange(4.0).view(1, 2, 2)
    turned = [turn(image, k) for k in range(8)]
    assert len({tuple(t.flatten().tolist()) for t in turned}) == 8
    assert turned[1].tolist() == [[[1, 3], [0, 2]]]  # a quarter to the left
    assert turned[4].tolist() == [[[1, 0], [3, 2]]]  # flipped
    assert all(torch.equal(turn_back(t, k), image) for k, t in enumerate(turned))


def teacher(weights: Path, degradation: str = "bicubic", scale: int = 4, **loss: object) -> Teacher:
    tree = {
        "name": "test",
        "generator": {"scale": scale},
        "data": {"degradation": {"name": degradation}},
        "loss": {"teacher": str(weights), "teacher_weight": 1.0} | loss,
    }
    return Teacher(parse(PretrainConfig, tree), CPU)


def test_eight_steps_teach_the_self_ensemble(weights: Path) -> None:
    whole = teacher(weights)
    lr, hr = torch.rand(2, 3, 6, 6), torch.rand(2, 3, 24, 24)
    mean = torch.stack([whole.target(lr, hr, step) for step in range(3, 11)]).mean(0)
    views = [whole.network(lr.rot90(k, (2, 3))).rot90(-k, (2, 3)) for k in range(4)]
    views += [whole.network(lr.flip(3).rot90(k, (2, 3))).rot90(-k, (2, 3)).flip(3) for k in range(4)]
    torch.testing.assert_close(mean, torch.stack(views).mean(0))


def test_a_crops_orientation_is_that_of_its_place_in_the_batch(weights: Path) -> None:
    """Whatever parts the batch is divided into, the target is that of the whole."""
    whole = teacher(weights)
    lr, hr = torch.rand(12, 3, 6, 6), torch.rand(12, 3, 24, 24)
    expected = whole.target(lr, hr, 5)
    for size in (1, 3, 6):
        parts = zip(range(0, 12, size), lr.split(size), hr.split(size), strict=True)
        torch.testing.assert_close(torch.cat([whole.target(x, y, 5, first) for first, x, y in parts]), expected)
    assert not torch.allclose(whole.target(lr[3:], hr[3:], 5), expected[3:]), "the network is not that symmetrical"


@pytest.mark.parametrize(("stage", "config"), [(PretrainStage, PretrainConfig), (AdversarialStage, AdversarialConfig)])
@pytest.mark.parametrize(("processes", "accumulate"), [(1, 1), (1, 4), (2, 1), (2, 2), (4, 1)])
def test_steps_ask_for_the_targets_of_the_whole_batch(
    stage: type, config: type, processes: int, accumulate: int, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seen by the teacher in all processes' parts, one after the other; `test_parallel` runs two processes for real."""
    tree = {
        "name": "test",
        "init": str(weights),
        "generator": {"blocks": 1, "channels": 8},
        "data": {"crop": 32},
        "loss": {"content": "mse", "teacher": str(weights), "teacher_weight": 1.0, "teacher_ensemble": True},
        "runtime": {"precision": "fp32", "accumulate": accumulate},
    }
    lr, hr = torch.rand(8, 3, 8, 8), torch.rand(8, 3, 32, 32)
    targets = []
    for rank in range(processes):
        ours = stage(parse(config, tree), CPU)
        expected = ours.teacher.target(lr, hr, 0)
        monkeypatch.setattr(parallel, "rank", lambda rank=rank: rank)
        monkeypatch.setattr(ours, "content", lambda sr, target: (targets.append(target), sr.mean())[1])
        part = slice(rank * 8 // processes, (rank + 1) * 8 // processes)
        ours.step(lr[part], hr[part])
    torch.testing.assert_close(torch.cat(targets), expected)


def test_without_the_self_ensemble_each_step_teaches_the_network_itself(weights: Path) -> None:
    plain = teacher(weights, teacher_ensemble=False)
    lr, hr = torch.rand(2, 3, 6, 6), torch.rand(2, 3, 24, 24)
    assert all(torch.equal(plain.target(lr, hr, step), plain.network(lr)) for step in range(3))


def test_the_weight_lies_between_original_and_teacher(weights: Path) -> None:
    lr, hr = torch.rand(2, 3, 6, 6), torch.rand(2, 3, 24, 24)
    none, half, whole = (teacher(weights, teacher_weight=w).target(lr, hr, 0) for w in (0.0, 0.5, 1.0))
    assert torch.equal(none, hr)
    torch.testing.assert_close(half, (hr + whole) / 2)


@pytest.fixture
def photograph() -> tuple[torch.Tensor, torch.Tensor]:
    """(LR image in [0, 1] by `imresize`, HR image in [-1, 1])."""
    hr = data.astronaut()[100:196, 150:246]
    lr = torch.from_numpy(imresize(hr, 1 / 4)).permute(2, 0, 1)[None] / 255
    return lr, torch.from_numpy(hr.copy()).permute(2, 0, 1)[None] / 127.5 - 1


def test_the_teacher_of_a_network_for_degraded_images_sees_clean_ones(weights: Path, photograph: tuple) -> None:
    lr, hr = photograph
    # MATLAB rounds after each of its two passes.
    assert (reduced(hr, 4) - lr)[..., 2:-2, 2:-2].abs().max() <= 1.01 / 255
    target = teacher(weights, "photo").target(torch.rand_like(lr), hr, 0)
    torch.testing.assert_close(target, teacher(weights).target(reduced(hr, 4), hr, 0))


def test_another_teacher_has_the_crops_that_are_not_nearly_clean(weights: Path, photograph: tuple) -> None:
    lr, hr = photograph
    clean, sign = reduced(hr, 4), torch.ones_like(lr)
    sign[..., ::2] = -1
    # A mean squared error of 10 ** -3.1 has a root of 0.02818.
    crops, originals = torch.cat([clean + 0.0277 * sign, clean + 0.0287 * sign]), hr.expand(2, -1, -1, -1)
    other = weights.with_name("other.safetensors")
    save_weights(SRResNet(blocks=1, channels=8).eval(), other)
    options: dict[str, Any] = {"teacher_ensemble": False}
    target = teacher(weights, "photo", degraded_teacher=str(other), **options).target(crops, originals, 0)
    torch.testing.assert_close(target[:1], teacher(weights, **options).target(clean, hr, 0))
    torch.testing.assert_close(target[1:], teacher(other, **options).target(crops[1:], hr, 0))


@pytest.mark.parametrize(("stage", "config"), [(PretrainStage, PretrainConfig), (AdversarialStage, AdversarialConfig)])
def test_the_content_loss_asks_for_the_teachers_image(stage: type, config: type, weights: Path) -> None:
    """In the first step the teacher's own copy has nothing to learn from it; the first crop is not turned."""
    tree = {
        "name": "test",
        "init": str(weights),
        "frozen_batchnorm": True,
        "generator": {"blocks": 1, "channels": 8},
        "data": {"crop": 32},
        "loss": {"content": "mse", "teacher": str(weights), "teacher_weight": 1.0},
        "runtime": {"precision": "fp32"},
    }
    losses = stage(parse(config, tree), CPU).step(torch.rand(1, 3, 8, 8), torch.ones(1, 3, 32, 32))
    assert losses["content"].item() < 1e-10  # against the original it would be near 1


def test_teachers_of_every_kind_that_demo_takes(tmp_path: Path) -> None:
    """Released weights by name, and a network of spandrel's; each target is what the network itself makes."""
    lr, hr = torch.rand(2, 3, 8, 8), torch.rand(2, 3, 32, 32)
    named = teacher(Path("srresnet"), teacher_ensemble=False)
    torch.testing.assert_close(named.target(lr, hr, 0), load_network(Path("srresnet")).for_inference()(lr))
    pytest.importorskip("spandrel")
    from spandrel.architectures.Compact.__arch.SRVGG import SRVGGNetCompact

    compact = SRVGGNetCompact(num_feat=16, num_conv=4, upscale=4).eval()
    torch.save(compact.state_dict(), tmp_path / "compact.pth")
    target = teacher(tmp_path / "compact.pth", teacher_ensemble=False).target(lr, hr, 0)
    torch.testing.assert_close(target, 2 * compact(lr).clamp(0, 1) - 1)


def test_a_teacher_that_cannot_be_used(weights: Path) -> None:
    with pytest.raises(UserError, match=r"loss\.teacher: none\.safetensors: expected a file of tensors, found nothing"):
        teacher(Path("none.safetensors"))
    with pytest.raises(
        UserError, match=r"loss\.teacher: none: expected a weights file, a run folder .* or one of srgan"
    ):
        teacher(Path("none"))
    with pytest.raises(UserError, match=r"loss\.teacher: expected a network of scale 2, found 4"):
        teacher(weights, scale=2)
    with pytest.raises(UserError, match=r"loss\.degraded_teacher: expected loss\.teacher for clean crops and"):
        teacher(weights, degraded_teacher=str(weights))
