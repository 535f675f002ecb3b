"""The two training stages: each owns its networks and knows how to take one step."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import asdict
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor

from srgan.common import parallel
from srgan.common.errors import error_context
from srgan.common.precision import keep_freed_memory
from srgan.networks.discriminators import build_discriminator
from srgan.networks.gan_losses import GAN_LOSSES
from srgan.networks.losses import VGGLoss, content_loss
from srgan.networks.network import TrainableNetwork
from srgan.training import learner
from srgan.training.averages import Averages
from srgan.training.config import AdversarialConfig, PretrainConfig
from srgan.training.initial import initial_generator
from srgan.training.learner import Learner
from srgan.training.optimizers import set_rate
from srgan.training.parsing import refusals
from srgan.training.schedule import learning_rate, warmup
from srgan.training.teacher import Teacher
from srgan.training.terms import TERMS, Crops, Term


class Part(NamedTuple):
    """A process's crops, or one of the `runtime.accumulate` parts in which they are computed."""

    lr: Tensor  # N x 3 x h x w in [0, 1]
    hr: Tensor  # N x 3 x scale*h x scale*w in [-1, 1]
    first: int  # place of its first crop in the whole batch, all processes' parts together
    last: bool  # of the parts


class Stage:
    """What both stages have: the generator G with its averages, and the terms of its loss, content first."""

    def __init__(self, config: PretrainConfig, device: torch.device, *, resuming: bool = False) -> None:
        torch.manual_seed(config.runtime.seed)
        if device.type == "cpu":
            keep_freed_memory()
        self.config, self.updates = config, 0  # so far
        self.generator = initial_generator(config, resuming).to(device).to(memory_format=torch.channels_last)
        # With a batch's own statistics the losses judge an image that inference doesn't give.
        self.generator.train(not config.frozen_batchnorm)
        loss = config.loss
        with error_context("loss.vgg_weights"):
            self.content = content_loss(loss.content, loss.vgg_weights, loss.vgg_factor, loss.texture_weight)
        self.content.to(device).to(memory_format=torch.channels_last)
        if config.runtime.compile:
            learner.compile_network(self.content)
        self.teacher = Teacher(config, device) if loss.teacher else None
        weights = {name: getattr(loss, f"{name}_weight") for name in TERMS}
        self.terms = [
            Term("content", 1.0, lambda crops: self.content(crops.seen, crops.seen_target)),
            *(Term(f"{name}_loss", w, partial(TERMS[name], config=config)) for name, w in weights.items() if w),
        ]
        self.averages = Averages(self.generator, config.optimizer.ema)
        self.G = Learner(self.generator, config, device)

    def step(self, lr: Tensor, hr: Tensor) -> dict[str, Tensor]:
        """One update of each network.

        Args:
            lr: N x 3 x h x w in [0, 1], on the device.
            hr: N x 3 x scale*h x scale*w in [-1, 1].

        Returns:
            The losses, named as in `loss_names`: scalars that stay on the device, so the host need not wait for them.
        """
        raise NotImplementedError

    def _parts(self, lr: Tensor, hr: Tensor) -> Iterator[Part]:
        first, count = parallel.rank() * len(lr), self.G.parts
        for i, (lr_part, hr_part) in enumerate(zip(lr.chunk(count), hr.chunk(count), strict=True)):
            yield Part(lr_part, hr_part, first + i * len(lr_part), i == count - 1)

    def _generate(self, lr: Tensor) -> Tensor:
        """SR crops. From here on a compiled network may overwrite what networks returned before."""
        torch.compiler.cudagraph_mark_step_begin()
        return self.G(lr)

    def _target(self, part: Part) -> Tensor:
        """What the content loss asks for: the original, or what the teacher makes of it."""
        return self.teacher.target(part.lr, part.hr, self.updates, part.first) if self.teacher else part.hr

    def _loss(self, crops: Crops, logged: dict[str, list[Tensor]]) -> Tensor:
        """The sum of the terms, each of which is logged."""
        losses = {term.name: term.function(crops) for term in self.terms}
        for name, loss in losses.items():
            logged[name].append(loss.detach())
        return sum((term.weight * losses[term.name] for term in self.terms), torch.zeros_like(losses["content"]))

    def _end_step(self, logged: dict[str, list[Tensor]]) -> dict[str, Tensor]:
        self.averages.update(self.updates)
        self.updates += 1
        return {name: torch.stack(values).mean() for name, values in logged.items()}

    @property
    def loss_names(self) -> list[str]:
        return [term.name for term in self.terms]

    @property
    def exported(self) -> TrainableNetwork:
        """The generator to validate and to release: the first average where there is one."""
        return next(iter(self.averages.networks.values()), self.generator)

    @property
    def summary(self) -> str:
        """What the config left open: the number format, and the factor of a VGG loss."""
        number_format = str(self.G.precision.dtype).removeprefix("torch.")
        factor = f", VGG factor {self.content.factor:.3g}" if isinstance(self.content, VGGLoss) else ""
        return number_format + factor

    def set_learning_rate(self, iteration: int) -> float:
        """Set the rates of an iteration, counted from 1; the generator's is returned."""
        config = self.config.optimizer
        return set_rate(self.G.optimizer, learning_rate(iteration, config) * warmup(iteration, config.warmup))

    def state_dict(self) -> dict[str, Any]:
        """Everything the stage needs to continue exactly; `exported` is what a reader of weights looks for."""
        return {
            "generator": self.generator.state_dict(),
            **self.G.state_dict(),
            "updates": self.updates,
            "exported": self.exported.state_dict(),
            "averages": {decay: average.state_dict() for decay, average in self.averages.networks.items()},
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.generator.load_state_dict(state["generator"])
        self.updates = int(state["updates"])
        self.G.load_state_dict(state)
        for decay, average in self.averages.networks.items():
            # Checkpoints from before there were several have one; an average that is new begins with the first.
            average.load_state_dict(state.get("averages", {}).get(decay, state["exported"]))


class PretrainStage(Stage):
    """SRResNet: the generator learns from the content loss alone (paper: SRResNet-MSE, SRResNet-VGG22)."""

    def step(self, lr: Tensor, hr: Tensor) -> dict[str, Tensor]:
        logged: dict[str, list[Tensor]] = defaultdict(list)
        self.G.zero_grad()
        for part in self._parts(lr, hr):
            with self.G.part(part.last):
                with self.G.precision.autocast():
                    target = self._target(part)
                    sr = self._generate(part.lr)
                    loss = self._loss(Crops(sr, target, part.hr, sr, target), logged)
                self.G.backward(loss)
        self.G.update()
        return self._end_step(logged)


# What the log has of the discriminator: its loss, and the means of its judgements.
JUDGEMENTS = ("discriminator", "D(HR)", "D(SR)")


class AdversarialStage(Stage):
    """SRGAN: generator and discriminator learn in turn (paper: SRGAN-MSE, SRGAN-VGG22, SRGAN-VGG54)."""

    config: AdversarialConfig

    def __init__(self, config: AdversarialConfig, device: torch.device, *, resuming: bool = False) -> None:
        super().__init__(config, device, resuming=resuming)
        with refusals("discriminator"):
            self.discriminator = build_discriminator(
                **asdict(config.discriminator), crop=config.data.crop, vgg_weights=config.loss.vgg_weights
            )
        self.discriminator.to(device).to(memory_format=torch.channels_last).train()
        self.D = Learner(self.discriminator, config, device)
        self.gan = GAN_LOSSES[config.loss.gan]()
        self.terms.insert(1, Term("adversarial", config.loss.adversarial_weight, self._adversarial))

    def step(self, lr: Tensor, hr: Tensor) -> dict[str, Tensor]:
        """One update of the discriminator, then one of the generator, on the same batch."""
        logged: dict[str, list[Tensor]] = defaultdict(list)
        # The SR crops serve both updates, with their graph. The graphs of several parts would take the memory that
        # accumulation is to save: then the second update computes them again.
        keep_graph, sr_parts = self.G.parts == 1, []

        self.D.zero_grad()
        for part in self._parts(lr, hr):
            with self.D.part(part.last):
                with self.D.precision.autocast():
                    with torch.set_grad_enabled(keep_graph):
                        sr = self._generate(part.lr)
                    real = self.D(self._rolled(part.hr)).float()  # N x K logits
                    fake = self.D(self._rolled(sr.detach())).float()
                    loss = self.gan.discriminator(real, fake)
                self.D.backward(loss)
            if keep_graph:
                sr_parts.append(sr)
            for name, value in zip(JUDGEMENTS, (loss, real.sigmoid().mean(), fake.sigmoid().mean()), strict=True):
                logged[name].append(value.detach())
        self.D.update()

        # The generator's loss needs gradients through the discriminator, not for it.
        self.discriminator.requires_grad_(False)
        self.G.zero_grad()
        for part in self._parts(lr, hr):
            with self.G.part(part.last):
                with self.G.precision.autocast():
                    sr = sr_parts.pop() if keep_graph else self._generate(part.lr)
                    target = self._target(part)
                    crops = Crops(sr, target, part.hr, self._rolled(sr), self._rolled(target))
                    loss = self._loss(crops, logged)
                self.G.backward(loss)
        self.G.update()
        self.discriminator.requires_grad_(True)
        return self._end_step(logged)

    def _adversarial(self, crops: Crops) -> Tensor:
        fake = self.discriminator(crops.seen).float()
        real = None
        if self.gan.compares:
            with torch.no_grad():
                real = self.discriminator(self._rolled(crops.hr)).float()
        return self.gan.generator(fake, real)

    def _rolled(self, crops: Tensor) -> Tensor:
        """The crops, if `loss.rolled` in one of scale x scale places, another one at each step.

        The strides of VGG19 and of a discriminator divide the scale: they would always see the sub-pixels of a pixel
        shuffle in the same places, and a grid of these is the cheapest pattern to answer them with.
        """
        scale = self.generator.scale
        return crops.roll(divmod(self.updates % scale**2, scale), (2, 3)) if self.config.loss.rolled else crops

    @property
    def loss_names(self) -> list[str]:
        return [*super().loss_names, *JUDGEMENTS]

    def set_learning_rate(self, iteration: int) -> float:
        """The generator waits, with rate 0, while the discriminator learns alone; then it warms up.

        Rates that differ are the two time scales of Heusel et al. (2017).
        """
        config = self.config.optimizer
        rate = learning_rate(iteration, config)
        set_rate(self.D.optimizer, rate * (config.discriminator_lr or config.lr) / config.lr)
        since = iteration - config.discriminator_first
        return set_rate(self.G.optimizer, rate * warmup(since, config.warmup) if since > 0 else 0.0)

    def state_dict(self) -> dict[str, Any]:
        return {
            **super().state_dict(),
            "discriminator": self.discriminator.state_dict(),
            **self.D.state_dict("discriminator_"),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        self.discriminator.load_state_dict(state["discriminator"])
        self.D.load_state_dict(state, "discriminator_")
