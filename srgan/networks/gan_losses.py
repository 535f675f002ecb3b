"""GAN losses: what the discriminator and the generator each make of the logits of real and generated crops."""

from typing import ClassVar, Protocol

import torch.nn.functional as F
from torch import Tensor


class GANLoss(Protocol):
    """Logits, N x K in fp32, to scalars to minimise; of several processes each has its own crops' logits.

    Attributes:
        compares: the generator's side looks at the real crops' logits, too; otherwise it is given none.
    """

    compares: ClassVar[bool]

    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor: ...

    def generator(self, fake: Tensor, real: Tensor | None) -> Tensor: ...


class Vanilla:
    """The paper's. softplus(-x) is -log sigmoid(x) without its overflow."""

    compares: ClassVar[bool] = False

    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        """Binary cross-entropy of real crops against 1 plus that of generated ones against 0 (equation 2)."""
        return F.softplus(-real).mean() + F.softplus(fake).mean()

    def generator(self, fake: Tensor, real: Tensor | None = None) -> Tensor:
        """-log D(G(x)), the mean over the batch (equation 6)."""
        return F.softplus(-fake).mean()


class Hinge:
    """The discriminator stops to learn from crops that it judges with a margin of 1 (Lim and Ye 2017)."""

    compares: ClassVar[bool] = False

    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        return F.relu(1 - real).mean() + F.relu(1 + fake).mean()

    def generator(self, fake: Tensor, real: Tensor | None = None) -> Tensor:
        return -fake.mean()


class RelativisticAverage:
    """Whether a crop looks more real than the average crop of the other kind (RaGAN, Jolicoeur-Martineau 2018).

    The generator learns from real crops as well. ESRGAN's, in equations 1 and 2 of Wang et al. (2018).
    """

    compares: ClassVar[bool] = True

    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        return F.softplus(fake.mean() - real).mean() + F.softplus(fake - real.mean()).mean()

    def generator(self, fake: Tensor, real: Tensor | None) -> Tensor:
        assert real is not None
        return self.discriminator(real=fake, fake=real)


# By their names in configs (`loss.gan`). To add one, write its class and list it here.
GAN_LOSSES: dict[str, type[GANLoss]] = {
    "vanilla": Vanilla,
    "hinge": Hinge,
    "relativistic": RelativisticAverage,
}
