"""Each stage moves the networks it should, and only those, and its losses fall."""

import copy
import shutil
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest
import torch
from skimage import data
from torch import Tensor, nn

from srgan.common.errors import UserError
from srgan.common.images import hr_tensor, lr_tensor
from srgan.data.resize import imresize
from srgan.networks.gan_losses import GAN_LOSSES
from srgan.networks.losses import content_loss, pixel_sized_factor, spectrum_loss
from srgan.networks.srresnet import SRResNet
from srgan.networks.vgg import VGGFeatures
from srgan.networks.weights import load_generator, save_weights
from srgan.training.config import AdversarialConfig, PretrainConfig, parse
from srgan.training.stages import AdversarialStage, PretrainStage

CPU = torch.device("cpu")
SMALL = {"generator": {"blocks": 1, "channels": 8}, "data": {"crop": 32}, "runtime": {"precision": "fp32"}}


def pretrain_stage(**sections: object) -> PretrainStage:
    return PretrainStage(parse(PretrainConfig, {"name": "test", **SMALL, **sections}), CPU)


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    save_weights(SRResNet(blocks=1, channels=8), tmp_path / "generator.safetensors")
    return tmp_path / "generator.safetensors"


def adversarial_stage(weights: Path, **sections: object) -> AdversarialStage:
    return AdversarialStage(parse(AdversarialConfig, {"name": "test", "init": str(weights), **SMALL, **sections}), CPU)


def batch() -> tuple[Tensor, Tensor]:
    """Four crops of a photograph: LR 4 x 3 x 8 x 8, HR 4 x 3 x 32 x 32."""
    hr = np.stack([data.astronaut()[y : y + 32, 200:232] for y in range(40, 168, 32)])
    return lr_tensor(np.stack([imresize(crop, 1 / 4) for crop in hr])), hr_tensor(hr)


def changed(network: nn.Module, before: dict[str, Tensor]) -> list[bool]:
    return [not torch.equal(p, before[name]) for name, p in network.named_parameters()]


@pytest.mark.parametrize("content", ["mse", "l1"])
def test_pretraining_moves_the_generator_and_the_loss_falls(content: str) -> None:
    stage = pretrain_stage(loss={"content": content}, optimizer={"lr": 2e-3})
    before, pair = copy.deepcopy(stage.generator.state_dict()), batch()
    losses = [stage.step(*pair)["content"].item() for _ in range(30)]
    assert all(changed(stage.generator, before))
    assert losses[-1] < 0.7 * losses[0]


def test_one_step_is_plain_adam() -> None:
    """The step against the same thing written out: forward, backward, Adam with beta1 0.9."""
    stage, pair = pretrain_stage(optimizer={"lr": 1e-4}), batch()
    plain = copy.deepcopy(stage.generator)
    optimizer = torch.optim.Adam(plain.parameters(), 1e-4, betas=(0.9, 0.999))
    for _ in range(3):
        stage.step(*pair)
        optimizer.zero_grad()
        nn.functional.mse_loss(plain(pair[0]), pair[1]).backward()
        optimizer.step()
    for a, b in zip(stage.generator.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(a, b)


def test_discriminators_update_leaves_the_generator_alone(weights: Path) -> None:
    stage, pair = adversarial_stage(weights), batch()
    stage.G.optimizer.step = Mock()
    generator, discriminator = (copy.deepcopy(n.state_dict()) for n in (stage.generator, stage.discriminator))
    stage.step(*pair)
    assert not any(changed(stage.generator, generator))
    assert all(changed(stage.discriminator, discriminator))


def test_generators_update_leaves_the_discriminator_alone(weights: Path) -> None:
    stage, pair = adversarial_stage(weights), batch()
    stage.D.optimizer.step = Mock()
    generator, discriminator = (copy.deepcopy(n.state_dict()) for n in (stage.generator, stage.discriminator))
    for _ in range(2):  # the body starts at zero and passes gradients on from the second step
        stage.step(*pair)
    assert all(changed(stage.generator, generator))
    assert not any(changed(stage.discriminator, discriminator))
    assert all(p.requires_grad for p in stage.discriminator.parameters())


def test_discriminator_learns_to_tell(weights: Path) -> None:
    """Against a generator that stands still it must win: D(HR) goes up, D(SR) down."""
    stage, pair = adversarial_stage(weights, optimizer={"lr": 1e-4}), batch()
    stage.G.optimizer.step = Mock()
    rows = [stage.step(*pair) for _ in range(10)]
    assert rows[-1]["D(HR)"] > 0.8
    assert rows[-1]["D(SR)"] < 0.2
    assert rows[-1]["discriminator"] < rows[0]["discriminator"]


def test_discriminator_of_features_learns_in_its_classifiers_alone(weights: Path) -> None:
    with pytest.warns(UserWarning, match="random weights"):
        stage = adversarial_stage(weights, discriminator={"type": "features"}, loss={"vgg_weights": "random"})
    before, generator = (copy.deepcopy(net.state_dict()) for net in (stage.discriminator, stage.generator))
    losses = [stage.step(*batch())["discriminator"].item() for _ in range(30)]
    moved = {name.split(".")[0] for name, _ in stage.discriminator.named_parameters() if not torch.equal(
        stage.discriminator.state_dict()[name], before[name])}  # fmt: skip
    assert moved == {"classifiers"}
    assert losses[-1] < losses[0]
    assert all(changed(stage.generator, generator))


def test_rolled_crops_are_in_each_place_once_in_sixteen_steps(weights: Path) -> None:
    stage, (lr, hr) = adversarial_stage(weights, loss={"content": "l1", "rolled": True}), batch()
    seen = []
    content = stage.content
    stage.content = Mock(side_effect=lambda sr, target: (seen.append((sr.detach(), target)), content(sr, target))[1])
    for _ in range(16):
        stage.step(lr, hr)
    places = {(y, x) for y in range(4) for x in range(4) for _, target in seen if target.equal(hr.roll((y, x), (2, 3)))}
    assert len(places) == 16
    plain = adversarial_stage(weights, loss={"content": "l1"})
    torch.testing.assert_close(plain.step(lr, hr)["content"], content(seen[0][0], seen[0][1]))


def test_adversarial_weight_is_what_the_generator_feels(weights: Path) -> None:
    """With weight 0 the generator's step is that of pretraining from the same weights."""
    stage = adversarial_stage(weights, loss={"adversarial_weight": 0.0}, frozen_batchnorm=False)
    alone = pretrain_stage()
    alone.generator.load_state_dict(stage.generator.state_dict())
    pair = batch()
    stage.step(*pair)
    alone.step(*pair)
    for a, b in zip(stage.generator.parameters(), alone.generator.parameters(), strict=True):
        torch.testing.assert_close(a, b)


def test_restraints_are_what_the_generator_feels(weights: Path) -> None:
    """Without the adversary a step is that of the written-out sum: MSE + 0.1 MAE + 10 phase + 0.05 spectrum."""
    loss = {"adversarial_weight": 0.0, "pixel_weight": 0.1, "phase_weight": 10.0, "spectrum_weight": 0.05}
    stage, (lr, hr) = adversarial_stage(weights, loss=loss, optimizer={"lr": 1e-4}), batch()
    plain = copy.deepcopy(stage.generator)
    optimizer = torch.optim.Adam(plain.parameters(), 1e-4)
    stage.step(lr, hr)
    sr = plain(lr)
    error = (sr - hr).view(4, 3, 8, 4, 8, 4)
    others = error.square().mean() + 0.1 * error.abs().mean() + 10 * error.mean((2, 4)).square().mean()
    (others + 0.05 * spectrum_loss(sr, hr)).backward()
    optimizer.step()
    for a, b in zip(stage.generator.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(a, b)


def test_terms_are_logged_by_name(weights: Path) -> None:
    """Unweighted, and those with a weight alone; the log's columns are named beforehand."""
    stage, (lr, hr) = adversarial_stage(weights, loss={"pixel_weight": 0.1, "phase_weight": 10.0}), batch()
    sr = copy.deepcopy(stage.generator)(lr)
    logged = stage.step(lr, hr)
    assert {*logged} == {*stage.loss_names}
    assert stage.loss_names == ["content", "adversarial", "pixel_loss", "phase_loss", "discriminator", "D(HR)", "D(SR)"]
    assert logged["pixel_loss"].item() == pytest.approx((sr - hr).abs().mean().item(), rel=1e-4)
    assert pretrain_stage(loss={"spectrum_weight": 1.0}).loss_names == ["content", "spectrum_loss"]


@pytest.mark.parametrize("accumulate", [1, 2])
@pytest.mark.parametrize("name", GAN_LOSSES)
def test_gan_losses_see_the_logits_they_ask_for(weights: Path, name: str, accumulate: int) -> None:
    """Against the written-out loss; the real logits are those of the discriminator's new weights."""
    runtime = {"precision": "fp32", "accumulate": accumulate}
    loss = {"gan": name, "adversarial_weight": 0.5}
    stage = adversarial_stage(
        weights, loss=loss, runtime=runtime, discriminator={"norm": "spectral"}, frozen_batchnorm=True
    )
    (lr, hr), expected = batch(), []
    plain, update = copy.deepcopy(stage.generator), stage.D.optimizer.step

    def updated(*args: Any, **options: Any) -> None:
        update(*args, **options)
        # Evaluated, a discriminator with spectral norm doesn't iterate.
        judge = copy.deepcopy(stage.discriminator).eval()
        for lr_part, hr_part in zip(lr.chunk(accumulate), hr.chunk(accumulate), strict=True):
            sr = plain(lr_part)
            expected.append(GAN_LOSSES[name]().generator(judge(sr), judge(hr_part)).item())

    stage.D.optimizer.step = updated
    logged = stage.step(lr, hr)
    assert logged["adversarial"].item() == pytest.approx(sum(expected) / accumulate, rel=0.05, abs=0.01)
    assert not torch.equal(*(network.state_dict()["tail.weight"] for network in (stage.generator, plain)))


def test_unet_discriminator_learns(weights: Path) -> None:
    stage = adversarial_stage(weights, discriminator={"type": "unet", "channels": 8}, optimizer={"lr": 1e-3})
    losses = [stage.step(*batch())["discriminator"].item() for _ in range(10)]
    assert losses[-1] < 0.9 * losses[0]


@pytest.mark.parametrize("frozen", [True, False])
def test_generator_trains_with_the_statistics_it_came_with(weights: Path, frozen: bool) -> None:
    stage = adversarial_stage(weights, frozen_batchnorm=frozen)
    before = stage.generator.body[-1].running_mean.clone()
    stage.step(*batch())
    assert torch.equal(stage.generator.body[-1].running_mean, before) == frozen


def test_discriminator_learns_first_and_the_generator_warms_up(weights: Path) -> None:
    """Of a rate of 1e-3 the generator gets nothing for 3 iterations, then 1/4, 2/4, 3/4 and all of it."""
    optimizer = {"lr": 1e-3, "discriminator_lr": 4e-3, "discriminator_first": 3, "warmup": 4}
    stage = adversarial_stage(weights, optimizer=optimizer, discriminator={"norm": "spectral"})
    before = [parameter.clone() for parameter in stage.generator.parameters()]
    rates = []
    for iteration in range(1, 9):
        rates.append(stage.set_learning_rate(iteration))
        assert stage.D.optimizer.param_groups[0]["lr"] == pytest.approx(4e-3)
        if iteration <= 3:
            stage.step(*batch())
            assert all(map(torch.equal, stage.generator.parameters(), before))
    assert rates == pytest.approx([0, 0, 0, 0.25e-3, 0.5e-3, 0.75e-3, 1e-3, 1e-3])


@pytest.mark.parametrize("frozen", [True, False])
def test_pretraining_goes_on_from_weights(weights: Path, frozen: bool) -> None:
    """Fine-tuning on one's own photographs: the first step starts at the weights of `init`."""
    stage = pretrain_stage(init=str(weights), frozen_batchnorm=frozen, optimizer={"lr": 1e-9})
    initial = load_generator(weights)
    stage.step(*batch())
    for a, b in zip(stage.generator.parameters(), initial.parameters(), strict=True):
        torch.testing.assert_close(a, b, atol=1e-8, rtol=0)
    assert torch.equal(stage.generator.body[-1].running_mean, initial.body[-1].running_mean) == frozen


def test_average_forgets_the_start_and_then_follows() -> None:
    """Decay n / (n + 9) before the (n + 1)-th update, 0 and 1/10 for the first two, and never more than ema."""
    stage, pair = pretrain_stage(optimizer={"lr": 1e-2, "ema": 0.15}), batch()
    tails = []
    for _ in range(3):
        stage.step(*pair)
        tails.append(stage.generator.tail.weight.detach().clone())
    second = 0.1 * tails[0] + 0.9 * tails[1]
    torch.testing.assert_close(stage.exported.tail.weight, 0.15 * second + 0.85 * tails[2])


def test_several_averages() -> None:
    """The first is exported; each has its own memory, and goes on from a checkpoint."""
    stage, pair = pretrain_stage(optimizer={"lr": 1e-2, "ema": [0.15, 0.9]}), batch()
    for _ in range(4):
        stage.step(*pair)
    short, long = stage.averages.networks.values()
    assert stage.exported is short
    newest = stage.generator.tail.weight
    assert (short.tail.weight - newest).abs().mean() < (long.tail.weight - newest).abs().mean()
    other = pretrain_stage(optimizer={"lr": 1e-2, "ema": [0.9, 0.15]})
    other.load_state_dict(copy.deepcopy(stage.state_dict()))
    for decay, average in other.averages.networks.items():
        torch.testing.assert_close(average.state_dict(), stage.averages.networks[decay].state_dict(), rtol=0, atol=0)


def test_state_goes_on_exactly(weights: Path) -> None:
    pair, stage = batch(), adversarial_stage(weights, optimizer={"ema": 0.9})
    stage.step(*pair)
    other = adversarial_stage(weights, optimizer={"ema": 0.9})
    other.load_state_dict(copy.deepcopy(stage.state_dict()))
    for _ in range(2):
        assert {n: v.item() for n, v in stage.step(*pair).items()} == {
            n: v.item() for n, v in other.step(*pair).items()
        }
    for a, b in zip(stage.exported.parameters(), other.exported.parameters(), strict=True):
        assert torch.equal(a, b)


def test_init_of_another_size_names_what_differs(weights: Path) -> None:
    with pytest.raises(UserError, match=r"blocks 1, the config says generator\.blocks: 3"):
        adversarial_stage(weights, generator={"blocks": 3, "channels": 8})


def test_init_of_another_scale_gives_what_it_has(weights: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """All of a network for x2 is in one for x4; that has a second shuffle."""
    trained = load_generator(weights).state_dict()
    smaller = pretrain_stage(init=str(weights), generator={"scale": 2, "blocks": 1, "channels": 8}).generator
    assert "init is a network for x4: 30 of the 30 tensors of that for x2" in capsys.readouterr().err
    assert smaller.scale == 2
    assert all(torch.equal(tensor, trained[name]) for name, tensor in smaller.state_dict().items())


@pytest.mark.usefixtures("any_format")
def test_bf16_takes_the_same_way(weights: Path) -> None:
    """bf16 rounds to 8 bits of mantissa; the losses of a few steps stay within a few percent of fp32's."""
    pair = batch()
    rows = []
    for precision in ("fp32", "bf16"):
        stage = adversarial_stage(weights, runtime={"precision": precision})
        rows.append([float(loss) for _ in range(5) for loss in stage.step(*pair).values()])
    assert rows[1] == pytest.approx(rows[0], rel=0.05, abs=0.01)


def test_vgg54_trains_with_random_weights(weights: Path) -> None:
    with pytest.warns(UserWarning, match="random"):
        stage = adversarial_stage(weights, loss={"content": "vgg54", "vgg_weights": "random", "vgg_factor": 0.006})
    assert all(torch.isfinite(loss) for loss in stage.step(*batch()).values())


def test_measured_factor_gives_the_pixel_losses_size() -> None:
    """Features four times as large need a factor 16 times smaller."""
    with pytest.warns(UserWarning, match="random"):
        features = VGGFeatures("vgg11", "random")
    factor = pixel_sized_factor(features)
    features.features[0].weight.data *= 4
    assert pixel_sized_factor(features) == pytest.approx(factor / 16, rel=1e-4)


def test_real_vgg22_factor(vgg19: Path) -> None:
    """About 6e-7 over Set14 with the original network's weights; one photograph says nearly the same."""
    loss = content_loss("vgg22", str(vgg19))
    assert 3e-7 < loss.factor < 9e-7


@pytest.mark.skipif(not shutil.which("g++"), reason="torch.compile needs a C++ compiler")
def test_compiled_step_gives_the_plain_steps_losses() -> None:
    """The plain version is the reference: the same numbers, but for the order of sums."""
    pair = batch()
    plain, compiled = (pretrain_stage(runtime={"compile": on, "precision": "fp32"}) for on in (False, True))
    for _ in range(3):
        assert compiled.step(*pair)["content"].item() == pytest.approx(plain.step(*pair)["content"].item(), rel=1e-4)
    assert compiled.exported.state_dict().keys() == plain.exported.state_dict().keys()
