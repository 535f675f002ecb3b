"""SRResNet against figure 4 of the paper."""

import pytest
import torch
from torch import nn

from srgan.networks.srresnet import SRResNet, icnr_


def test_parameters_of_the_papers_generator() -> None:
    """By hand from k9n64s1, 16 blocks of k3n64s1, two k3n256s1 and k9n3s1, with biases; one slope a PReLU."""
    head = 9 * 9 * 3 * 64 + 64 + 1
    conv, norm = 3 * 3 * 64 * 64 + 64, 2 * 64
    body = 16 * (2 * (conv + norm) + 1) + conv + norm
    upsample = 2 * (3 * 3 * 64 * 256 + 256 + 1)
    tail = 9 * 9 * 64 * 3 + 3
    assert sum(p.numel() for p in SRResNet().parameters()) == head + body + upsample + tail == 1_549_462


def test_shapes_of_the_papers_layers() -> None:
    generator, shapes = SRResNet().eval(), {}
    layers = {
        "k9n64s1": generator.head,
        "residual block": generator.body[15],
        "k3n64s1 BN": generator.body,
        "k3n256s1": generator.upsample[0][0],
        "shuffle x2": generator.upsample[0],
        "k3n256s1, second": generator.upsample[1][0],
        "shuffle x2, second": generator.upsample[1],
        "k9n3s1": generator.tail,
    }
    for name, layer in layers.items():
        layer.register_forward_hook(lambda module, args, out, name=name: shapes.update({name: tuple(out.shape[1:])}))
    with torch.inference_mode():
        # Layer by layer; `reconstruct` rearranges the last ones, and tests/test_layers.py holds it to these.
        generator.tail(generator.upsample(generator.features(torch.rand(1, 3, 24, 24))))
    assert shapes == {
        "k9n64s1": (64, 24, 24),
        "residual block": (64, 24, 24),
        "k3n64s1 BN": (64, 24, 24),
        "k3n256s1": (256, 24, 24),
        "shuffle x2": (64, 48, 48),
        "k3n256s1, second": (256, 48, 48),
        "shuffle x2, second": (64, 96, 96),
        "k9n3s1": (3, 96, 96),
    }


@pytest.mark.parametrize("factor", [2, 3])
def test_icnr_starts_without_a_checkerboard(factor: int) -> None:
    """Right after initialisation, conv and shuffle are a nearest-neighbour enlargement: no sub-pixel differs."""
    conv = nn.Conv2d(4, 4 * factor**2, 3, padding=1, bias=False)
    icnr_(conv.weight, factor)
    out = nn.PixelShuffle(factor)(conv(torch.rand(1, 4, 6, 6)))
    blocks = out.unfold(2, factor, factor).unfold(3, factor, factor)
    assert (blocks == blocks[..., :1, :1]).all()
    assert conv.weight.std() > 0.1


def test_untrained_generator_draws_no_checkerboard() -> None:
    """All 16 sub-pixels of a x4 group see one and the same feature: in the middle of a flat image all is flat."""
    out = SRResNet(blocks=2, channels=16).eval()(torch.full((1, 3, 24, 24), 0.5))
    assert out[..., 40:56, 40:56].std(dim=(2, 3)).max() < 1e-6


def test_receptive_radius_of_the_papers_generator() -> None:
    """4 (k9) + 32 (blocks) + 1 (k3) + 1 + 1/2 (upsampling) + 4/4 (k9 at x4) = 39.5 LR pixels."""
    assert SRResNet().receptive_radius == 40
