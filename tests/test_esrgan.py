"""ESRGAN: its published weights become an RRDBNet here, which trains on."""

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from small_runs import trainer, write_config
from torch import Tensor

from srgan.networks.foreign import SpandrelNetwork
from srgan.networks.rrdbnet import RRDBNet
from srgan.networks.weights import load_generator, load_network
from srgan.upscaling.upscaler import Upscaler

BLOCKS, CHANNELS, GROWTH = 2, 8, 4


def published(inputs: int = 3, growth: int = GROWTH) -> dict[str, Tensor]:
    """Random tensors under the names and with the shapes of Real-ESRGAN's x4plus, which has more and wider blocks."""
    shapes = {"conv_first": (CHANNELS, inputs), "conv_last": (3, CHANNELS)}
    shapes |= dict.fromkeys(("conv_body", "conv_up1", "conv_up2", "conv_hr"), (CHANNELS, CHANNELS))
    for block in range(BLOCKS):
        for dense in (1, 2, 3):
            for i, outputs in enumerate((growth, growth, growth, growth, CHANNELS)):
                shapes[f"body.{block}.rdb{dense}.conv{i + 1}"] = outputs, CHANNELS + i * growth
    generator = torch.Generator().manual_seed(0)
    tensors = {}
    for name, (outputs, inputs_) in shapes.items():
        tensors[f"{name}.weight"] = torch.randn(outputs, inputs_, 3, 3, generator=generator) / (9 * inputs_) ** 0.5
        tensors[f"{name}.bias"] = torch.rand(outputs, generator=generator) / 10
    return tensors


def plain_forward(tensors: dict[str, Tensor], lr: Tensor) -> Tensor:
    """ESRGAN by the names of its tensors alone (Wang et al. 2018, figures 3 and 4): LR in [0, 1] -> SR in [0, 1]."""

    def conv(name: str, x: Tensor) -> Tensor:
        return F.conv2d(x, tensors[f"{name}.weight"], tensors[f"{name}.bias"], padding=1)

    def dense(name: str, x: Tensor) -> Tensor:
        seen = [x]
        for i in (1, 2, 3, 4):
            seen.append(F.leaky_relu(conv(f"{name}.conv{i}", torch.cat(seen, 1)), 0.2))
        return x + 0.2 * conv(f"{name}.conv5", torch.cat(seen, 1))

    x = first = conv("conv_first", lr)
    for block in range(BLOCKS):
        y = x
        for i in (1, 2, 3):
            y = dense(f"body.{block}.rdb{i}", y)
        x = x + 0.2 * y
    x = first + conv("conv_body", x)
    for name in ("conv_up1", "conv_up2"):
        x = F.leaky_relu(conv(name, x.repeat_interleave(2, 2).repeat_interleave(2, 3)), 0.2)
    return conv("conv_last", F.leaky_relu(conv("conv_hr", x), 0.2))


TRUNK = {"body": "RRDB_trunk", "rdb": "RDB", "conv_body": "trunk_conv", "conv_up": "upconv", "conv_hr": "HRconv"}
NUMBERS = {"conv_first": 0, "conv_body": f"1.sub.{BLOCKS}", "conv_up1": 3, "conv_up2": 6, "conv_hr": 8, "conv_last": 10}


def renamed_by_trunk(name: str) -> str:
    for ours, theirs in TRUNK.items():
        name = re.sub(rf"(?<![a-z_]){ours}(?!_)", theirs, name)
    return name


def renamed_by_number(name: str) -> str:
    name = re.sub(r"^body\.(\d+)\.rdb(\d)\.conv(\d)", r"model.1.sub.\1.RDB\2.conv\3.0", name)
    first, _, rest = name.partition(".")
    return f"model.{NUMBERS[first]}.{rest}" if first in NUMBERS else name


SCHEMES = {"BasicSR": str, "trunk": renamed_by_trunk, "numbers": renamed_by_number}


def save(path: Path, scheme: str, tensors: dict[str, Tensor]) -> Path:
    torch.save({"params_ema": {SCHEMES[scheme](name): tensor for name, tensor in tensors.items()}}, path)
    return path


@pytest.mark.parametrize("scheme", SCHEMES)
def test_published_weights_compute_the_same_here(scheme: str, tmp_path: Path) -> None:
    tensors, lr = published(), torch.rand(1, 3, 13, 18)
    expected = plain_forward(tensors, lr)
    network = load_generator(save(tmp_path / "x.pth", scheme, tensors))
    assert network.arguments == {"scale": 4, "blocks": BLOCKS, "channels": CHANNELS, "growth": GROWTH}
    assert expected.std() > 0.01
    with torch.inference_mode():
        for ours in (network, network.for_inference()):
            torch.testing.assert_close((ours(lr) + 1) / 2, expected, atol=1e-5, rtol=0)


def test_published_weights_train_on(tmp_path: Path, photographs: Path) -> None:
    """train.py begins with them, and its weights are those of an RRDBNet."""
    weights = save(tmp_path / "x.pth", "BasicSR", published())
    config = write_config(tmp_path, photographs, "train")
    shape = f"generator={{type: RRDBNet, blocks: {BLOCKS}, channels: {CHANNELS}, growth: {GROWTH}}}"
    overrides = [f"init={weights}", shape, "discriminator.type=unet", "loss.gan=relativistic", "loss.pixel_weight=0.01"]
    run = trainer(config, tmp_path, *overrides, "optimizer.iterations=2", "log.every=1", script="train")
    initial = load_generator(weights)
    assert all(map(torch.equal, run.stage.generator.parameters(), initial.parameters()))
    run.run()
    trained = load_generator(tmp_path / "run")
    assert type(trained) is RRDBNet
    assert 0 < (trained.head.weight - initial.head.weight).abs().max() < 0.01


def numbered_x2(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """A file of 2018's first code for a factor of 2: one upsampling convolution, so the last layers count otherwise."""
    others = {"model.8": "model.5", "model.10": "model.7"}
    kept = {renamed_by_number(name): t for name, t in tensors.items() if not name.startswith("conv_up2")}
    return {re.sub(r"^model\.\d+", lambda m: others.get(m[0], m[0]), name): t for name, t in kept.items()}


@pytest.mark.parametrize("make", [lambda: published(inputs=12, growth=32), lambda: numbered_x2(published(growth=32))])
def test_networks_that_only_look_like_it_are_spandrels(make: Callable[[], dict[str, Tensor]], tmp_path: Path) -> None:
    """x2plus rearranges 2 x 2 pixels into 12 channels first (spandrel takes a growth of 32 for granted)."""
    pytest.importorskip("spandrel")
    torch.save(make(), tmp_path / "x.pth")
    network = load_network(tmp_path / "x.pth")
    assert isinstance(network, SpandrelNetwork)
    assert network.scale == 2


def test_tiles_of_a_deep_network_overlap_by_what_matters(astronaut: np.ndarray) -> None:
    """Of 23 blocks a pixel can depend on 349 pixels in each direction; tiles bring along 64."""
    torch.manual_seed(0)
    network = RRDBNet(blocks=23, channels=8, growth=4)
    assert network.receptive_radius == 64
    image = astronaut[100:120, 200:400]
    whole, tiled = (Upscaler(network, "cpu", "fp32", tile=tile).upscale(image) for tile in (10**6, 32))
    assert np.abs(whole.astype(int) - tiled).max() <= 1
