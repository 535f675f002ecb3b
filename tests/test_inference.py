"""The generator rewritten for inference against the generator itself."""

import pytest
import torch
from conftest import randomised
from torch import nn

from srgan.networks.generator import Generator
from srgan.networks.inference import for_inference


@pytest.mark.parametrize("fused", [True, False], ids=["oneDNN", "elsewhere"])
@pytest.mark.parametrize("scale", [2, 3, 4])
def test_the_copy_for_inference_computes_the_same(scale: int, fused: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not fused:
        monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    generator = randomised(Generator(scale, blocks=3, channels=16))
    lr = torch.rand(1, 3, 20, 17)
    copied = for_inference(generator)
    assert not any(isinstance(module, nn.BatchNorm2d | nn.PReLU) for module in copied.modules())
    with torch.inference_mode():
        torch.testing.assert_close(copied(lr), generator(lr), atol=1e-4, rtol=1e-4)
    assert any(isinstance(module, nn.BatchNorm2d) for module in generator.modules())


def test_the_copy_rounds_no_more_in_bf16() -> None:
    """Under autocast its distance from fp32 is that of the plain network, or less: sums are rounded once."""
    generator = randomised(Generator(blocks=3, channels=16))
    lr = torch.rand(1, 3, 20, 17)
    with torch.inference_mode():
        exact = generator(lr)
        with torch.autocast("cpu", torch.bfloat16):
            plain, ours = ((network(lr) - exact).abs().mean() for network in (generator, for_inference(generator)))
    assert 0 < ours < 1.2 * plain
