"""GAN losses against their formulas."""

import math

import pytest
import torch
from torch import nn

from srgan.networks.gan_losses import GAN_LOSSES, Hinge, RelativisticAverage, Vanilla

REAL, FAKE = torch.tensor([[1.5], [-0.5]]), torch.tensor([[0.3], [2.0]])
cross_entropy = nn.functional.binary_cross_entropy


@pytest.mark.parametrize("logit", [-3.0, 0.0, 2.5])
def test_the_generators_loss_is_minus_log_d(logit: float) -> None:
    d = 1 / (1 + math.exp(-logit))
    assert Vanilla().generator(torch.tensor([[logit]])) == pytest.approx(-math.log(d))


def test_a_mean_over_the_batch_without_overflow() -> None:
    assert Vanilla().generator(torch.tensor([[-200.0], [200.0]])) == pytest.approx(100)


def test_the_discriminators_loss_is_binary_cross_entropy() -> None:
    expected = cross_entropy(REAL.sigmoid(), torch.ones(2, 1)) + cross_entropy(FAKE.sigmoid(), torch.zeros(2, 1))
    assert Vanilla().discriminator(REAL, FAKE) == pytest.approx(expected.item())


def test_hinge_by_hand() -> None:
    """Real 1.5 is beyond the margin, -0.5 lacks 1.5; generated 0.3 and 2 are 1.3 and 3 too high."""
    assert Hinge().discriminator(REAL, FAKE) == pytest.approx((0 + 1.5) / 2 + (1.3 + 3) / 2)
    assert Hinge().generator(FAKE) == pytest.approx(-1.15)


def test_relativistic_average_is_cross_entropy_of_differences() -> None:
    """ESRGAN's equations 1 and 2: D_Ra(a, b) = sigmoid(C(a) - E[C(b)])."""
    real, fake = (REAL - FAKE.mean()).sigmoid(), (FAKE - REAL.mean()).sigmoid()
    ones, zeros = torch.ones(2, 1), torch.zeros(2, 1)
    expected = cross_entropy(real, ones) + cross_entropy(fake, zeros)
    assert RelativisticAverage().discriminator(REAL, FAKE) == pytest.approx(expected.item())
    expected = cross_entropy(real, zeros) + cross_entropy(fake, ones)
    assert RelativisticAverage().generator(FAKE, REAL) == pytest.approx(expected.item())


@pytest.mark.parametrize("name", GAN_LOSSES)
def test_each_pulls_the_logits_apart(name: str) -> None:
    """The discriminator wants real logits up and generated ones down, the generator generated ones up."""
    loss = GAN_LOSSES[name]()
    # Between the targets 0 and 1 of least squares: at 0 a generated logit would be where such a loss wants it.
    real, fake = (torch.full((3, 1), 0.5, requires_grad=True) for _ in range(2))
    loss.discriminator(real, fake).backward()
    assert (real.grad < 0).all()
    assert (fake.grad > 0).all()
    fake = torch.full((3, 1), 0.5, requires_grad=True)
    loss.generator(fake, torch.full((3, 1), 0.5) if loss.compares else None).backward()
    assert (fake.grad < 0).all()
