"""Every network of the list keeps what the package asks of a network, from training to tiled inference."""

import inspect
import re
from pathlib import Path
from typing import Any, get_args, get_type_hints

import numpy as np
import pytest
import safetensors.torch
import torch
from conftest import randomised
from small_runs import assert_same_end, rows, trainer, write_config
from torch import nn

from srgan.common.errors import UserError
from srgan.networks.architectures import ARCHITECTURES, build, describe_network
from srgan.networks.interpolate import mix
from srgan.networks.network import TrainableNetwork
from srgan.networks.tensors import read_tensor_file
from srgan.networks.weights import load_generator, save_weights
from srgan.upscaling.upscaler import Upscaler

each_network = pytest.mark.parametrize("name", ARCHITECTURES)


def network(name: str, scale: int = 4, blocks: int = 2, channels: int = 8) -> TrainableNetwork:
    """In eval mode, and no layer of it without effect."""
    if scale not in get_args(get_type_hints(ARCHITECTURES[name].__init__)["scale"]):
        pytest.skip("it has no such scale")
    generator = randomised(build(name, scale=scale, blocks=blocks, channels=channels))
    if name == "RRDBNet":
        generator.tail[-1].weight.data *= 20  # untrained, its pictures are nearly flat
    return generator


def same(a: nn.Module, b: nn.Module) -> bool:
    ours, theirs = a.state_dict(), b.state_dict()
    return ours.keys() == theirs.keys() and all(torch.equal(ours[key], theirs[key]) for key in ours)


@each_network
def test_weights_load_without_importing_the_compiler(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A normal distribution on the meta device takes over a second, for imports; no value of it is ever used."""
    monkeypatch.setattr(torch.Tensor, "normal_", lambda *_, **__: pytest.fail("drawn on the meta device"))
    with torch.device("meta"):
        assert next(build(name, scale=4, blocks=1, channels=4).parameters()).is_meta


@each_network
@pytest.mark.parametrize(("scale", "size"), [(1, (7, 12)), (2, (7, 12)), (3, (5, 8)), (4, (13, 6)), (8, (3, 5))])
def test_any_size_is_scaled(name: str, scale: int, size: tuple[int, int]) -> None:
    generator, lr = network(name, scale), torch.rand(2, 3, *size)
    sr = generator(lr)
    assert sr.shape == (2, 3, scale * size[0], scale * size[1])
    torch.testing.assert_close(generator.reconstruct(generator.features(lr)), sr)


@each_network
def test_numbers_that_nobody_means_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match=r"scale must be 1, 2, (3, )?4 or 8, not 5"):
        build(name, scale=5)
    with pytest.raises(ValueError, match=r"found 0 of \d+"):
        build(name, blocks=0)
    with pytest.raises(ValueError, match=r"found \d+ of 5000"):
        build(name, channels=5000)


@each_network
@pytest.mark.parametrize(("scale", "blocks"), [(1, 2), (2, 1), (3, 2), (4, 3), (8, 1)])
def test_receptive_radius_is_how_far_a_pixel_reaches(name: str, scale: int, blocks: int) -> None:
    """The gradient of the outputs of the middle LR pixel with respect to the LR image says how far."""
    generator = network(name, scale, blocks).double()
    radius = generator.receptive_radius
    side = 2 * radius + 9
    lr = torch.rand(1, 3, side, side, dtype=torch.float64, requires_grad=True)
    middle = slice(side // 2 * scale, (side // 2 + 1) * scale)
    generator(lr)[..., middle, middle].sum().backward()
    reach = (lr.grad[0].abs().sum(0).nonzero() - side // 2).abs().max().item()
    assert radius - 1 <= reach <= radius


@each_network
@pytest.mark.parametrize("fused", [True, False], ids=["oneDNN", "elsewhere"])
@pytest.mark.parametrize("scale", [1, 2, 3, 4])
def test_the_copy_for_inference_computes_the_same(
    name: str, scale: int, fused: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not fused:
        monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    generator = network(name, scale, blocks=3, channels=16)
    before = {key: tensor.clone() for key, tensor in generator.state_dict().items()}
    lr = torch.rand(1, 3, 20, 17)
    copied = generator.for_inference()
    assert not any(isinstance(module, nn.BatchNorm2d | nn.PReLU) for module in copied.modules())
    with torch.inference_mode():
        torch.testing.assert_close(copied(lr), generator(lr), atol=1e-4, rtol=1e-4)
    assert all(torch.equal(tensor, before[key]) for key, tensor in generator.state_dict().items())


@each_network
def test_the_copy_rounds_no_more_in_bf16(name: str) -> None:
    """Under autocast its distance from fp32 is that of the plain network, or less: sums are rounded once."""
    generator = network(name, blocks=3, channels=16)
    lr = torch.rand(1, 3, 20, 17)
    with torch.inference_mode():
        exact = generator(lr)
        with torch.autocast("cpu", torch.bfloat16):
            plain, ours = ((n(lr) - exact).abs().mean() for n in (generator, generator.for_inference()))
    assert 0 < ours < 1.2 * plain


@each_network
def test_tiled_equals_untiled(name: str, astronaut: np.ndarray) -> None:
    generator, image = network(name), astronaut[100:160, 200:281]
    expected = Upscaler(generator, "cpu", "fp32", tile=10**6).upscale(image)
    assert len(np.unique(expected)) > 30
    assert np.array_equal(Upscaler(generator, "cpu", "fp32", tile=37).upscale(image), expected)


@each_network
@pytest.mark.parametrize(("scale", "blocks", "channels"), [(2, 1, 4), (3, 2, 8), (8, 1, 4)])
def test_weights_tell_their_architecture(tmp_path: Path, name: str, scale: int, blocks: int, channels: int) -> None:
    generator, path = network(name, scale, blocks, channels), tmp_path / "x.safetensors"
    save_weights(generator, path, run="test")
    defaults = {argument.name: argument.default for argument in inspect.signature(type(generator)).parameters.values()}
    facts = {"architecture": name} | defaults | {"scale": scale, "blocks": blocks, "channels": channels}
    written = {key: str(value) for key, value in facts.items()}
    assert read_tensor_file(path).metadata == written | {"format": "pt", "run": "test"}
    loaded = load_generator(path)
    assert describe_network(loaded) == facts
    assert same(loaded, generator)
    assert not loaded.training


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        ({"architecture": "Other"}, f"expected the architecture {' or '.join(ARCHITECTURES)}, found Other"),
        ({"architecture": "MSRResNet"}, "not an MSRResNet of this project: lacks "),
        ({"architecture": "SRResNet", "blocks": "many"}, "blocks in its metadata: expected int, found many"),
        ({"architecture": "SRResNet", "blocks": "9" * 5000}, "blocks in its metadata: expected int, found 9999"),
        ({"architecture": "SRResNet", "blocks": "1000000000"}, "expected 1 to 1024 blocks of 1 to 4096 channels"),
        ({"architecture": "SRResNet", "return": "1", "blocks": "3"}, "not an SRResNet of this project: lacks "),
        ({"architecture": "SRResNet", "scale": "-4"}, "scale must be 1, 2, 3, 4 or 8, not -4"),
    ],
)
def test_metadata_that_lie(tmp_path: Path, facts: dict[str, str], message: str) -> None:
    path = tmp_path / "x.safetensors"
    safetensors.torch.save_file(network("SRResNet").state_dict(), path, facts)
    with pytest.raises(UserError, match=f"^{re.escape(f'{path}: {message}')}") as error:
        load_generator(path)
    assert len(str(error.value)) < 400


@each_network
def test_trains_resumes_and_mixes(name: str, tmp_path: Path, photographs: Path) -> None:
    """From pretrain.py over a crash, train.py and interpolate.py to an upscaled image, by the config's one word."""
    shape = {"type": name, "blocks": 1, "channels": 8}
    quick = {"iterations": 12, "batch": 2, "lr": 2e-3, "ema": 0.9}
    sections: dict[str, Any] = {
        "optimizer": quick,
        "generator": shape,
        "log": {"every": 2, "checkpoint": 6},
        "validation": {"every": 6},
    }
    config = write_config(tmp_path, photographs, **sections)
    whole, resumed = trainer(config, tmp_path / "whole"), tmp_path / "resumed"
    whole.run()
    assert type(whole.stage.generator) is ARCHITECTURES[name]
    losses = [float(row["content"]) for row in rows(tmp_path / "whole" / "run")]
    assert losses[-1] < losses[0]

    trainer(config, resumed, "optimizer.iterations=6").run()
    trainer(config, resumed, resume=True, allow_config_change=True).run()
    assert_same_end(resumed / "run", tmp_path / "whole" / "run")

    pixels = resumed / "run"
    overrides = [f"init={pixels}", "name=gan", f"generator.type={name}", "optimizer.iterations=2"]
    (tmp_path / "gan").mkdir()
    adversarial = write_config(tmp_path / "gan", photographs, "train", **sections)
    trainer(adversarial, tmp_path, *overrides, script="train").run()
    # The weights of a checkpoint name their architecture, too.
    gan = load_generator(tmp_path / "gan" / "checkpoints" / "last.pt")
    assert type(gan) is ARCHITECTURES[name]
    mix(pixels, tmp_path / "gan", 0.5, tmp_path / "mixed.safetensors")
    ours, theirs = (next(load_generator(path).parameters()) for path in (pixels, tmp_path / "mixed.safetensors"))
    torch.testing.assert_close(theirs, (ours + next(gan.parameters())) / 2)
    assert Upscaler(tmp_path / "mixed.safetensors", "cpu").upscale(np.zeros((9, 7, 3), np.uint8)).shape == (36, 28, 3)


def test_init_of_another_architecture_is_named(tmp_path: Path, photographs: Path) -> None:
    save_weights(network("MSRResNet", blocks=1), tmp_path / "plain.safetensors")
    config = write_config(tmp_path, photographs, "train")
    message = r"plain\.safetensors has architecture MSRResNet, the config says generator\.type: SRResNet"
    with pytest.raises(UserError, match=message):
        trainer(config, tmp_path, f"init={tmp_path / 'plain.safetensors'}", script="train")


def test_parameters_of_msrresnet() -> None:
    """By hand from a 3 x 3 head, 16 blocks, two upsampling convolutions, and the two last ones, all with biases."""
    head, conv, last = 9 * 3 * 64 + 64, 9 * 64 * 64 + 64, 9 * 64 * 3 + 3
    upsample = 2 * (9 * 64 * 256 + 256)
    parameters = sum(p.numel() for p in build("MSRResNet").parameters())
    assert parameters == head + 32 * conv + upsample + conv + last == 1_517_571


def test_msrresnet_starts_near_the_bilinear_enlargement() -> None:
    lr = torch.rand(1, 3, 12, 12)
    bilinear = nn.functional.interpolate(lr, scale_factor=4, mode="bilinear") * 2 - 1
    assert (build("MSRResNet")(lr) - bilinear).abs().mean() < 0.1


def test_parameters_of_rrdbnet() -> None:
    """By hand: five convolutions a dense block, three such blocks a block, 23 of these; 16.7 million in all."""
    dense = sum(9 * (64 + 32 * i) * out + out for i, out in enumerate([32, 32, 32, 32, 64]))
    conv, ends = 9 * 64 * 64 + 64, (27 * 64 + 64) + (27 * 64 + 3)
    parameters = sum(p.numel() for p in build("RRDBNet").parameters())
    assert parameters == 23 * 3 * dense + 4 * conv + ends == 16_697_987


def test_rrdbnet_starts_with_a_quiet_body() -> None:
    """Weights a tenth as large (ESRGAN, section 3.1): an untrained block is nearly 1.2 times its input."""
    block, x = build("RRDBNet", channels=16, growth=8).body[0], torch.randn(1, 16, 12, 12)
    assert (block(x) - 1.2 * x).abs().mean() < 0.05 * x.abs().mean()
