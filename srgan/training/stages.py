"""The two training stages: each owns its networks and optimisers and knows how to take one step."""

import copy
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from srgan.common import parallel
from srgan.common.errors import error_context
from srgan.common.precision import Precision, check_compiler, keep_freed_memory
from srgan.networks.architectures import build
from srgan.networks.discriminators import build_discriminator
from srgan.networks.losses import (
    PixelLoss,
    VGGLoss,
    adversarial_loss,
    content_loss,
    discriminator_loss,
    phase_loss,
    spectrum_loss,
)
from srgan.networks.network import TrainableNetwork
from srgan.training.config import AdversarialConfig, PretrainConfig, Runtime
from srgan.training.initial import initial_generator
from srgan.training.optimizers import load_moments, make_optimizer, set_rate
from srgan.training.schedule import learning_rate, warmup
from srgan.training.teacher import Teacher


class PretrainStage:
    """SRResNet: the generator learns from the content loss alone (paper: SRResNet-MSE, SRResNet-VGG22).

    Of several processes each takes its part of the batch; gradients are averaged, losses stay each process's own.
    `generator` is the bare network, as checkpoints hold it; `wrapped_generator` the same as training calls it (DDP,
    synchronised batch norm, `torch.compile`).
    """

    loss_names: tuple[str, ...] = ("content",)

    def __init__(self, config: PretrainConfig, device: torch.device, *, resuming: bool = False) -> None:
        torch.manual_seed(config.runtime.seed)
        if device.type == "cpu":
            keep_freed_memory()
        self.config = config
        self.precision = Precision(config.runtime.precision, device)
        # A checkpoint is about to fill it: `init` need not be there any more.
        generator = build(**asdict(config.generator)) if resuming else initial_generator(config)
        self.generator = generator.to(device).to(memory_format=torch.channels_last)
        # With a batch's own statistics the losses judge an image that nobody will see.
        self.generator.train(not config.frozen_batchnorm)
        loss = config.loss
        with error_context("loss.vgg_weights"):
            self.content = content_loss(loss.content, loss.vgg_weights, loss.vgg_factor, loss.texture_weight)
        self.content.to(device).to(memory_format=torch.channels_last)
        self.teacher = Teacher(config, device) if loss.teacher else None
        self.accumulate = config.runtime.accumulate
        self.optimizer = make_optimizer(self.generator.parameters(), **asdict(config.optimizer))
        self.updates = 0  # so far
        self.average = copy.deepcopy(self.generator).requires_grad_(False) if config.optimizer.ema else None
        if self.average is not None:
            # Collected once: an average is updated at every step.
            self._averages, self._sources = float_tensors(self.average), float_tensors(self.generator)
        if config.runtime.compile:
            compile_network(self.content)
        self.wrapped_generator = wrap(self.generator, config.runtime)

    def step(self, lr: Tensor, hr: Tensor) -> dict[str, Tensor]:
        """One update of the generator.

        Args:
            lr: N x 3 x h x w in [0, 1], on the device.
            hr: N x 3 x scale*h x scale*w in [-1, 1].

        Returns:
            The losses, named as in `loss_names`: scalars that stay on the device, so the host need not wait for them.
        """
        contents = []
        self.optimizer.zero_grad(set_to_none=self.accumulate == 1)
        for lr_part, hr_part, first, last in self._parts(lr, hr):
            with parallel.gradient_sync(self.wrapped_generator, last):
                with self.precision.autocast():
                    target = self._target(lr_part, hr_part, first)
                    sr = self._generate(lr_part)  # N/k x 3 x scale*h x scale*w
                    content = self.content(sr, target)
                self.precision.backward(content / self.accumulate)
            contents.append(content.detach())
        self.precision.update(self.optimizer)
        self._update_average()
        return {"content": torch.stack(contents).mean()}

    def _parts(self, lr: Tensor, hr: Tensor) -> Iterator[tuple[Tensor, Tensor, int, bool]]:
        """The process's crops in `runtime.accumulate` parts, each with the place of its first crop in the whole batch.

        Also whether it is the last part: then DDP averages the gradients.
        """
        first = parallel.rank() * len(lr)
        for i, (lr_part, hr_part) in enumerate(zip(lr.chunk(self.accumulate), hr.chunk(self.accumulate), strict=True)):
            yield lr_part, hr_part, first + i * len(lr_part), i == self.accumulate - 1

    def _generate(self, lr: Tensor) -> Tensor:
        """SR crops. From here on a compiled network may overwrite what networks returned before."""
        torch.compiler.cudagraph_mark_step_begin()
        return self.wrapped_generator(lr)

    def _target(self, lr: Tensor, hr: Tensor, first: int) -> Tensor:
        """What the content loss asks for: the original, or what the teacher makes of it."""
        return self.teacher.target(lr, hr, self.updates, first) if self.teacher else hr

    @torch.no_grad()
    def _update_average(self) -> None:
        """Update the EMA of weights and batch statistics; its memory is shorter at first, to forget initial weights."""
        before, self.updates = self.updates, self.updates + 1
        if self.average is None:
            return
        # n / (n + 9): at first a mean over the last tenth of the updates so far.
        decay = min(self.config.optimizer.ema, before / (before + 9))
        get_ema_multi_avg_fn(decay)(self._averages, self._sources, self.updates)

    @property
    def exported(self) -> TrainableNetwork:
        """The generator to validate and to release: the average where there is one."""
        return self.generator if self.average is None else self.average

    @property
    def summary(self) -> str:
        """What the config left open: the number format, and the factor of a VGG loss."""
        number_format = str(self.precision.dtype).removeprefix("torch.")
        factor = f", VGG factor {self.content.factor:.3g}" if isinstance(self.content, VGGLoss) else ""
        return number_format + factor

    def set_learning_rate(self, iteration: int) -> float:
        """Set the rates of an iteration, counted from 1; the generator's is returned."""
        config = self.config.optimizer
        return set_rate(self.optimizer, learning_rate(iteration, config) * warmup(iteration, config.warmup))

    def state_dict(self) -> dict[str, Any]:
        """Everything the stage needs to continue exactly; `exported` is what a reader of weights looks for."""
        return {
            "generator": self.generator.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "updates": self.updates,
            "scaler": self.precision.state_dict(),
            "exported": self.exported.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.generator.load_state_dict(state["generator"])
        load_moments(self.optimizer, state["optimizer"])
        self.updates = int(state["updates"])
        if self.average is not None:
            self.average.load_state_dict(state["exported"])
        self.precision.load_state_dict(state["scaler"])


class AdversarialStage(PretrainStage):
    """SRGAN: generator and discriminator learn in turn (paper: SRGAN-MSE, SRGAN-VGG22, SRGAN-VGG54)."""

    config: AdversarialConfig
    loss_names = ("content", "adversarial", "discriminator", "D(HR)", "D(SR)")

    def __init__(self, config: AdversarialConfig, device: torch.device, *, resuming: bool = False) -> None:
        super().__init__(config, device, resuming=resuming)
        with error_context("discriminator"):
            self.discriminator = build_discriminator(
                **asdict(config.discriminator), crop=config.data.crop, vgg_weights=config.loss.vgg_weights
            )
        self.discriminator.to(device).to(memory_format=torch.channels_last).train()
        self.discriminator_optimizer = make_optimizer(self.discriminator.parameters(), **asdict(config.optimizer))
        # In fp16 the two losses, whose gradients differ by orders of magnitude, each find their own scale.
        self.discriminator_precision = Precision(config.runtime.precision, device)
        self.wrapped_discriminator = wrap(self.discriminator, config.runtime)

    def step(self, lr: Tensor, hr: Tensor) -> dict[str, Tensor]:
        """One update of the discriminator, then one of the generator, on the same batch; as `PretrainStage.step`."""
        k, weight = self.accumulate, self.config.loss.adversarial_weight
        logged: dict[str, list[Tensor]] = {name: [] for name in self.loss_names}
        # The SR crops serve both updates, with their graph. The graphs of several parts would take the memory that
        # accumulation is to save: then the second update computes them again.
        keep_graph = k == 1
        sr_parts: list[Tensor] = []

        self.discriminator_optimizer.zero_grad(set_to_none=k == 1)
        for lr_part, hr_part, _, last in self._parts(lr, hr):
            with parallel.gradient_sync(self.wrapped_discriminator, last):
                with self.precision.autocast():
                    with torch.set_grad_enabled(keep_graph):
                        sr = self._generate(lr_part)  # N/k x 3 x scale*h x scale*w
                    real = self.wrapped_discriminator(self._rolled(hr_part))  # N/k x K
                    fake = self.wrapped_discriminator(self._rolled(sr.detach()))
                    loss = discriminator_loss(real, fake)
                self.discriminator_precision.backward(loss / k)
            if keep_graph:
                sr_parts.append(sr)
            logged["discriminator"].append(loss.detach())
            logged["D(HR)"].append(real.detach().float().sigmoid().mean())
            logged["D(SR)"].append(fake.detach().float().sigmoid().mean())
        self.discriminator_precision.update(self.discriminator_optimizer)

        # The generator's loss needs gradients through the discriminator, not for it.
        self.discriminator.requires_grad_(False)
        self.optimizer.zero_grad(set_to_none=k == 1)
        for lr_part, hr_part, first, last in self._parts(lr, hr):
            with parallel.gradient_sync(self.wrapped_generator, last):
                with self.precision.autocast():
                    sr = sr_parts.pop() if keep_graph else self._generate(lr_part)  # N/k x 3 x scale*h x scale*w
                    target = self._target(lr_part, hr_part, first)
                    seen = self._rolled(sr)
                    content = self.content(seen, self._rolled(target))
                    adversarial = adversarial_loss(self.discriminator(seen))
                    loss = content + weight * adversarial + self._regularisation(sr, hr_part, target)
                self.precision.backward(loss / k)
            logged["content"].append(content.detach())
            logged["adversarial"].append(adversarial.detach())
        self.precision.update(self.optimizer)
        self.discriminator.requires_grad_(True)
        self._update_average()
        return {name: torch.stack(values).mean() for name, values in logged.items()}

    def _rolled(self, crops: Tensor) -> Tensor:
        """The crops, if `loss.rolled` in one of scale x scale places, another one at each step.

        The strides of VGG19 and of a discriminator divide the scale: they would always see the sub-pixels of a pixel
        shuffle in the same places, and a grid of these is the cheapest pattern to answer them with.
        """
        scale = self.generator.scale
        return crops.roll(divmod(self.updates % scale**2, scale), (2, 3)) if self.config.loss.rolled else crops

    def _regularisation(self, sr: Tensor, hr: Tensor, target: Tensor) -> Tensor:
        """Terms against tints, checkerboards and missing texture, to which VGG's features are nearly blind.

        The paper has none of them. The mean absolute error is that of ESRGAN (Wang et al. 2018, equation 3), towards
        the content loss's target; the others are towards the original.
        """
        config, terms = self.config.loss, sr.new_zeros(())
        if config.pixel_weight:
            terms = terms + config.pixel_weight * PixelLoss("l1")(sr, target)
        if config.phase_weight:
            terms = terms + config.phase_weight * phase_loss(sr, hr, self.generator.scale, config.phase_window)
        if config.spectrum_weight:
            terms = terms + config.spectrum_weight * spectrum_loss(sr, hr)
        return terms

    def set_learning_rate(self, iteration: int) -> float:
        """The generator waits, with rate 0, while the discriminator learns alone; then it warms up.

        Rates that differ are the two time scales of Heusel et al. (2017).
        """
        config = self.config.optimizer
        rate = learning_rate(iteration, config)
        set_rate(self.discriminator_optimizer, rate * (config.discriminator_lr or config.lr) / config.lr)
        since = iteration - config.discriminator_first
        return set_rate(self.optimizer, rate * warmup(since, config.warmup) if since > 0 else 0.0)

    def state_dict(self) -> dict[str, Any]:
        return super().state_dict() | {
            "discriminator": self.discriminator.state_dict(),
            "discriminator_optimizer": self.discriminator_optimizer.state_dict(),
            "discriminator_scaler": self.discriminator_precision.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        self.discriminator.load_state_dict(state["discriminator"])
        load_moments(self.discriminator_optimizer, state["discriminator_optimizer"])
        self.discriminator_precision.load_state_dict(state["discriminator_scaler"])


def float_tensors(network: nn.Module) -> list[Tensor]:
    """All that `state_dict` holds but counters."""
    return [tensor for tensor in (*network.parameters(), *network.buffers()) if tensor.is_floating_point()]


def wrap(network: nn.Module, config: Runtime) -> nn.Module:
    """The network as a step calls it under this config: changed in place, and wrapped; its state stays as it is."""
    if config.sync_batchnorm and parallel.world_size() > 1:
        from srgan.training.batchnorm import synchronise_batchnorm  # takes a second, for `torch.compiler`

        synchronise_batchnorm(network)
    if config.compile:
        compile_network(network)
    if config.accumulate > 1:
        # With memory of their own, gradients outlive the CUDA graph of the part that they came from.
        for parameter in network.parameters():
            parameter.grad = torch.zeros_like(parameter)
    return parallel.distributed(network)


def compile_network(network: nn.Module) -> None:
    """Let `torch.compile` fuse the network's kernels, and on CUDA launch them as one graph. In place, same state.

    Raises:
        UserError: what it needs is missing.
    """
    for device in {parameter.device for parameter in network.parameters()}:
        check_compiler(device)
    network.compile(mode="reduce-overhead")
