"""Distillation: what the generator is taught instead of the original."""

from pathlib import Path

import pytest
import torch
from skimage import data
from torch import nn

from srgan.common.errors import UserError
from srgan.data.resize import imresize
from srgan.networks.generator import Generator
from srgan.networks.weights import save_weights
from srgan.training.config import PretrainConfig, parse
from srgan.training.stages import PretrainStage
from srgan.training.teacher import Teacher, reduced, turn, turn_back

CPU = torch.device("cpu")


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    generator = Generator(blocks=1, channels=8)
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


def test_eight_steps_teach_the_self_ensemble(weights: Path) -> None:
    teacher = Teacher(weights, weight=1.0, scale=4, device=CPU)
    network = teacher.network
    lr, hr = torch.rand(2, 3, 6, 6), torch.rand(2, 3, 24, 24)
    mean = torch.stack([teacher.target(lr, hr, step) for step in range(3, 11)]).mean(0)
    views = [network(lr.rot90(k, (2, 3))).rot90(-k, (2, 3)) for k in range(4)]
    views += [network(lr.flip(3).rot90(k, (2, 3))).rot90(-k, (2, 3)).flip(3) for k in range(4)]
    torch.testing.assert_close(mean, torch.stack(views).mean(0))


def test_without_the_self_ensemble_each_step_teaches_the_network_itself(weights: Path) -> None:
    teacher = Teacher(weights, 1.0, 4, CPU, ensemble=False)
    lr, hr = torch.rand(2, 3, 6, 6), torch.rand(2, 3, 24, 24)
    assert all(torch.equal(teacher.target(lr, hr, step), teacher.network(lr)) for step in range(3))


def test_the_weight_lies_between_original_and_teacher(weights: Path) -> None:
    lr, hr = torch.rand(2, 3, 6, 6), torch.rand(2, 3, 24, 24)
    none, half, whole = (Teacher(weights, w, scale=4, device=CPU).target(lr, hr, 0) for w in (0.0, 0.5, 1.0))
    assert torch.equal(none, hr)
    torch.testing.assert_close(half, (hr + whole) / 2)


def test_the_teacher_of_a_network_for_degraded_images_sees_clean_ones(weights: Path) -> None:
    hr = data.astronaut()[100:196, 150:246]
    image = torch.from_numpy(hr.copy()).permute(2, 0, 1)[None] / 127.5 - 1
    clean = torch.from_numpy(imresize(hr, 1 / 4)).permute(2, 0, 1)[None] / 255
    inside = (..., slice(2, -2), slice(2, -2))
    # MATLAB rounds after each of its two passes.
    assert (reduced(image, 4) - clean)[inside].abs().max() <= 1.01 / 255
    noise = torch.rand_like(clean)
    sees_noise, sees_clean = (Teacher(weights, 1.0, 4, CPU, degraded=d).target for d in (False, True))
    torch.testing.assert_close(sees_clean(noise, image, 0), sees_noise(reduced(image, 4), image, 0))


def test_pretraining_learns_from_the_teacher(weights: Path) -> None:
    """The first crop of the first step is not turned: the teacher's own copy has nothing to learn there."""
    config = {
        "name": "test",
        "init": str(weights),
        "frozen_batchnorm": True,
        "generator": {"blocks": 1, "channels": 8},
        "data": {"crop": 32},
        "loss": {"teacher": str(weights), "teacher_weight": 1.0},
        "runtime": {"precision": "fp32"},
    }
    stage = PretrainStage(parse(PretrainConfig, config), CPU)
    loss = stage.step(torch.rand(1, 3, 8, 8), torch.ones(1, 3, 32, 32))
    assert loss["content"].item() < 1e-10  # against the original it would be near 1


def test_a_teacher_that_cannot_be_used(weights: Path) -> None:
    config = parse(PretrainConfig, {"name": "test", "loss": {"teacher": "none.safetensors"}})
    with pytest.raises(UserError, match="expected a generator's weights or run folder, found nothing"):
        PretrainStage(config, CPU)
    with pytest.raises(UserError, match="expected a network of scale 2, found 4"):
        Teacher(weights, weight=0.5, scale=2, device=CPU)
