"""Types of a config's keys that are made of the lists of networks, losses, schedules and loggers."""

from dataclasses import make_dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from srgan.common.fields import number
from srgan.networks.architectures import ARCHITECTURES
from srgan.networks.discriminators import DISCRIMINATORS, PROVIDED
from srgan.networks.gan_losses import GAN_LOSSES
from srgan.training.loggers import LOGGERS
from srgan.training.parsing import sections
from srgan.training.schedule import DECAYS
from srgan.training.terms import TERMS

if TYPE_CHECKING:  # type checkers don't see what is made at run time
    AnyGenerator: TypeAlias = Any
    AnyDiscriminator: TypeAlias = Any
    GANLossName: TypeAlias = str
    DecayName: TypeAlias = str
    LoggerName: TypeAlias = str
    TermWeights: TypeAlias = Any
else:
    # A generator or a discriminator with its own arguments.
    AnyGenerator = sections(ARCHITECTURES)
    AnyDiscriminator = sections(DISCRIMINATORS, PROVIDED)

    GANLossName = Literal[tuple(GAN_LOSSES)]
    DecayName = Literal[tuple(DECAYS)]
    LoggerName = Literal[tuple(LOGGERS)]

    # `pixel_weight` and so on: 0 leaves the term out.
    weights = [(f"{name}_weight", float, number(0.0, low=0)) for name in TERMS]
    TermWeights = make_dataclass("TermWeights", weights, frozen=True)
