"""The generator and the training steps written plainly: what `tools/benchmark.py` compares the package with."""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits as bce
from torch.nn.functional import mse_loss

from srgan.networks.discriminator import Discriminator
from srgan.networks.srresnet import SRResNet


class PlainSRResNet(SRResNet):
    """SRResNet layer by layer as the paper draws it, with PyTorch's own PReLU."""

    def __init__(self) -> None:
        super().__init__()
        for module in self.modules():
            if isinstance(module, nn.PReLU):
                module.forward = partial(nn.PReLU.forward, module)  # type: ignore[method-assign]

    def reconstruct(self, features: Tensor) -> Tensor:
        return self.tail(self.upsample(features))


def plain_pretraining(generator: SRResNet, lr: Tensor, hr: Tensor, rate: float = 1e-4) -> Callable[[], object]:
    """SRResNet's step, written plainly; images as `PretrainStage.step` takes them."""
    optimizer = torch.optim.Adam(generator.parameters(), rate)

    def step() -> None:
        optimizer.zero_grad()
        mse_loss(generator(lr), hr).backward()
        optimizer.step()

    return step


def plain_adversarial(
    generator: SRResNet, discriminator: Discriminator, content: nn.Module, lr: Tensor, hr: Tensor, rate: float = 1e-4
) -> Callable[[], object]:
    """SRGAN's step, written plainly."""
    optimizer = torch.optim.Adam(generator.parameters(), rate)
    discriminator_optimizer = torch.optim.Adam(discriminator.parameters(), rate)
    ones, zeros = torch.ones(len(hr), 1, device=hr.device), torch.zeros(len(hr), 1, device=hr.device)

    def step() -> None:
        sr = generator(lr)
        discriminator_optimizer.zero_grad()
        (bce(discriminator(hr), ones) + bce(discriminator(sr.detach()), zeros)).backward()
        discriminator_optimizer.step()
        optimizer.zero_grad()
        (content(sr, hr) + 1e-3 * bce(discriminator(sr), ones)).backward()
        optimizer.step()

    return step
