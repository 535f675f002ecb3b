"""The two training stages: each owns its networks and optimisers and knows how to take one step."""

import copy
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from skimage import data
from torch import Tensor, nn
from torch.nn.functional import mse_loss
from torch.optim.swa_utils import get_ema_multi_avg_fn

from srgan.common import parallel
from srgan.common.errors import UserError
from srgan.common.images import hr_tensor
from srgan.common.precision import Precision, keep_freed_memory
from srgan.data.resize import imresize
from srgan.networks.architectures import Network, build, describe_network
from srgan.networks.discriminator import Discriminator
from srgan.networks.losses import PixelLoss, VGGLoss, adversarial_loss, discriminator_loss, phase_loss
from srgan.networks.vgg import VGGFeatures
from srgan.networks.weights import load_generator
from srgan.training.batchnorm import synchronise_batchnorm
from srgan.training.config import AdversarialConfig, Loss, PretrainConfig, Runtime


class PretrainStage:
    """SRResNet: the generator learns from the content loss alone (paper: SRResNet-MSE, SRResNet-VGG22).

    `step` takes LR crops N x 3 x h x w in [0, 1] and HR crops N x 3 x sh x sw in [-1, 1], both on the device, and
    returns its losses, named as in `loss_names`, as scalars on the device, so that the host need not wait for them.

    Of several processes each takes its part of the batch; gradients meet in their mean, losses stay each process's own.
    The networks here are bare, as checkpoints hold them; `distributed_...` are the same as training calls them.
    """

    loss_names: tuple[str, ...] = ("content",)

    def __init__(self, config: PretrainConfig, device: torch.device) -> None:
        torch.manual_seed(config.runtime.seed)
        if device.type == "cpu":
            keep_freed_memory()
        self.precision = Precision(config.runtime.precision, device)
        self.generator = initial_generator(config).to(device, memory_format=torch.channels_last)
        # With a batch's own statistics the losses judge an image that nobody will see.
        self.generator.train(not config.frozen_batchnorm)
        self.content = content_loss(config.loss).to(device, memory_format=torch.channels_last)
        self.accumulate = config.runtime.accumulate
        self.optimizer = adam(self.generator, config.optimizer.lr)
        self.ema, self.averaged = config.optimizer.ema, 0
        self.average = copy.deepcopy(self.generator).requires_grad_(False) if self.ema else None
        if config.runtime.compile:
            compile_network(self.content)
        self.distributed_generator = for_training(self.generator, config.runtime)

    def step(self, lr: Tensor, hr: Tensor) -> dict[str, Tensor]:
        """One update of the generator."""
        losses = Counter()
        for lr_part, hr_part in self._parts(self.distributed_generator, lr, hr):
            with self.precision.autocast():
                content = self.content(self._generate(lr_part), hr_part)
            self.precision.backward(content / self.accumulate)
            losses["content"] += content.detach()
        self.precision.update(self.optimizer)
        self._update_average()
        return {name: losses[name] / self.accumulate for name in self.loss_names}

    def _parts(self, network: nn.Module, *batch: Tensor) -> Iterator[tuple[Tensor, ...]]:
        """The batch in `accumulate` parts, over which the network's gradients add up.

        Those of several processes meet in the backward pass of the last part.
        """
        network.zero_grad(set_to_none=self.accumulate == 1)
        chunks = zip(*(tensor.chunk(self.accumulate) for tensor in batch), strict=True)
        for i, part in enumerate(chunks, 1):
            with parallel.gradient_sync(network, i == self.accumulate):
                yield part

    def _generate(self, lr: Tensor) -> Tensor:
        """SR crops; what the networks gave before, a compiled one may overwrite from here on."""
        torch.compiler.cudagraph_mark_step_begin()
        return self.distributed_generator(lr)

    @torch.no_grad()
    def _update_average(self) -> None:
        """Move the averaged weights and batch statistics by 1 - ema; by more at first, to forget the initial ones."""
        if self.average is None:
            return
        decay = min(self.ema, self.averaged / (self.averaged + 9))
        self.averaged += 1
        means, own = map(float_tensors, (self.average, self.generator))
        get_ema_multi_avg_fn(decay)(means, own, self.averaged)

    @property
    def exported(self) -> Network:
        """The generator to validate and to release: the average where there is one."""
        return self.generator if self.average is None else self.average

    @property
    def optimizers(self) -> list[torch.optim.Optimizer]:
        return [self.optimizer]

    @property
    def summary(self) -> str:
        """What the config left open: the number format, and the factor of a VGG loss."""
        number_format = str(self.precision.dtype).removeprefix("torch.")
        factor = f", VGG factor {self.content.factor:.3g}" if isinstance(self.content, VGGLoss) else ""
        return number_format + factor

    def set_learning_rate(self, lr: float) -> None:
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = lr

    def state_dict(self) -> dict[str, Any]:
        """Everything the stage needs to go on exactly; `exported` is what a reader of weights looks for."""
        return {
            "generator": self.generator.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "averaged": self.averaged,
            "scaler": self.precision.state_dict(),
            "exported": self.exported.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.generator.load_state_dict(state["generator"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.averaged = state["averaged"]
        if self.average is not None:
            self.average.load_state_dict(state["exported"])
        self.precision.load_state_dict(state["scaler"])


class AdversarialStage(PretrainStage):
    """SRGAN: generator and discriminator learn in turn (paper: SRGAN-MSE, SRGAN-VGG22, SRGAN-VGG54)."""

    loss_names = ("content", "adversarial", "discriminator", "D(HR)", "D(SR)")

    def __init__(self, config: AdversarialConfig, device: torch.device) -> None:
        super().__init__(config, device)
        self.loss = config.loss
        self.discriminator = Discriminator(config.data.crop).to(device, memory_format=torch.channels_last).train()
        self.discriminator_optimizer = adam(self.discriminator, config.optimizer.lr)
        # In fp16 the two losses, whose gradients differ by orders, each find their own scale.
        self.discriminator_precision = Precision(config.runtime.precision, device)
        self.distributed_discriminator = for_training(self.discriminator, config.runtime)

    def step(self, lr: Tensor, hr: Tensor) -> dict[str, Tensor]:
        """One update of the discriminator, then one of the generator, on the same batch."""
        losses, whole = Counter(), self.accumulate == 1
        for lr_part, hr_part in self._parts(self.distributed_discriminator, lr, hr):
            with self.precision.autocast():
                # The graphs of all parts at once would take the memory that parts are to save.
                with torch.set_grad_enabled(whole):
                    sr = self._generate(lr_part)
                real = self.distributed_discriminator(hr_part)
                fake = self.distributed_discriminator(sr.detach())
                d_loss = discriminator_loss(real, fake)
            self.discriminator_precision.backward(d_loss / self.accumulate)
            losses["discriminator"] += d_loss.detach()
            losses["D(HR)"] += real.detach().float().sigmoid().mean()
            losses["D(SR)"] += fake.detach().float().sigmoid().mean()
        self.discriminator_precision.update(self.discriminator_optimizer)

        # The generator's loss needs gradients through the discriminator, not for it.
        self.discriminator.requires_grad_(False)
        for lr_part, hr_part in self._parts(self.distributed_generator, lr, hr):
            with self.precision.autocast():
                sr = sr if whole else self._generate(lr_part)
                content = self.content(sr, hr_part)
                adversarial = adversarial_loss(self.discriminator(sr))
                g_loss = content + self.loss.adversarial_weight * adversarial + self._restraint(sr, hr_part)
            self.precision.backward(g_loss / self.accumulate)
            losses["content"] += content.detach()
            losses["adversarial"] += adversarial.detach()
        self.precision.update(self.optimizer)
        self.discriminator.requires_grad_(True)
        self._update_average()
        return {name: losses[name] / self.accumulate for name in self.loss_names}

    def _restraint(self, sr: Tensor, hr: Tensor) -> Tensor | float:
        """What keeps the pixels in place beside VGG's features, which hardly see a tint or a grid; the paper has none.

        The mean absolute error is that of ESRGAN (Wang et al. 2018, equation 3).
        """
        restraint = 0.0
        if self.loss.pixel_weight:
            restraint = self.loss.pixel_weight * PixelLoss("l1")(sr, hr)
        if self.loss.phase_weight:
            restraint = restraint + self.loss.phase_weight * phase_loss(sr, hr, self.generator.scale)
        return restraint

    @property
    def optimizers(self) -> list[torch.optim.Optimizer]:
        return [self.optimizer, self.discriminator_optimizer]

    def state_dict(self) -> dict[str, Any]:
        return super().state_dict() | {
            "discriminator": self.discriminator.state_dict(),
            "discriminator_optimizer": self.discriminator_optimizer.state_dict(),
            "discriminator_scaler": self.discriminator_precision.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        self.discriminator.load_state_dict(state["discriminator"])
        self.discriminator_optimizer.load_state_dict(state["discriminator_optimizer"])
        self.discriminator_precision.load_state_dict(state["discriminator_scaler"])


def initial_generator(config: PretrainConfig) -> Network:
    """The generator of `init`, or an untrained one.

    Raises:
        UserError: nothing at `init`, or a generator of another shape than the config's.
    """
    shape = config.generator
    if not config.init:
        return build(**asdict(shape))
    if not Path(config.init).exists():
        raise UserError(
            f"init: expected a generator's weights or run folder, found nothing at {config.init}; "
            "run pretrain.py first, or take init=weights/srresnet_x4.safetensors"
        )
    generator = load_generator(Path(config.init))
    for name, found in describe_network(generator).items():
        if found != getattr(shape, name):
            raise UserError(
                f"init: {config.init} has {name} {found}, the config says generator.{name}: {getattr(shape, name)}"
            )
    return generator


def content_loss(config: Loss) -> nn.Module:
    """The content loss that a config names."""
    if config.content in ("mse", "l1"):
        return PixelLoss(config.content)
    features = VGGFeatures(config.content, config.vgg_weights)
    return VGGLoss(features, config.vgg_factor or pixel_sized_factor(features))


@torch.inference_mode()
def pixel_sized_factor(features: VGGFeatures) -> float:
    """The factor that gives the MSE of these features the size of the pixels' MSE, between bicubic x4 and original.

    Activations of differently trained VGG19s differ by tens, their squares by thousands: 0.006, the paper's for all
    layers, does this for phi_{5,4}. Measured on scikit-image's astronaut: it depends on the weights and nothing else.
    """
    original = data.astronaut()
    bicubic = imresize(imresize(original, 1 / 4), 4)
    a, b = (hr_tensor(image[None]) for image in (bicubic, original))
    return float(mse_loss(a, b) / mse_loss(features(a), features(b)))


def float_tensors(network: nn.Module) -> list[Tensor]:
    """All that `state_dict` holds but counters, at a fraction of its cost: an average needs it at every step."""
    return [tensor for tensor in (*network.parameters(), *network.buffers()) if tensor.is_floating_point()]


def for_training(network: nn.Module, config: Runtime) -> nn.Module:
    """The network as a step calls it under this config: changed in place, and wrapped; its state stays as it is."""
    if config.sync_batchnorm and parallel.world_size() > 1:
        synchronise_batchnorm(network)
    if config.compile:
        compile_network(network)
    if config.accumulate > 1:
        # With memory of their own, gradients outlive the CUDA graph of the part that they came from.
        for parameter in network.parameters():
            parameter.grad = torch.zeros_like(parameter)
    return parallel.distributed(network)


def compile_network(network: nn.Module) -> None:
    """Let `torch.compile` fuse the network's kernels, and on CUDA launch them as one graph. In place, same state."""
    network.compile(mode="reduce-overhead")


def adam(network: nn.Module, lr: float) -> torch.optim.Adam:
    """Adam with the paper's beta1 = 0.9 (section 3.2)."""
    return torch.optim.Adam(network.parameters(), lr, betas=(0.9, 0.999), fused=True)
