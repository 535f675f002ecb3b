"""Experiment configurations: frozen dataclasses, read from YAML and command-line overrides, strictly."""

import dataclasses
import difflib
import math
import re
import typing
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar

import yaml

from srgan.errors import UserError

Section = TypeVar("Section")


def number(default: float, low: float = -math.inf, high: float = math.inf, above: float = -math.inf) -> Any:
    """A numeric field with its range: low <= value <= high, and value > above."""
    return field(default=default, metadata={"low": low, "high": high, "above": above})


@dataclass(frozen=True)
class Data:
    """Where the training photographs are and how crops are made of them."""

    folders: tuple[str, ...] = ("datasets/DIV2K/DIV2K_train_HR",)
    cache: str = "datasets/cache"  # decoded images, memory-mapped
    crop: int = number(96, low=8)  # side of an HR crop in pixels
    blur_sigma: float = number(0.0, low=0)  # Gaussian blur of the HR image before it is reduced, in HR pixels
    workers: int = number(4, low=0)
    strict: bool = False  # stop at an image that can't be read instead of leaving it out


@dataclass(frozen=True)
class GeneratorShape:
    """The generator's architecture."""

    scale: Literal[2, 3, 4, 8] = 4
    blocks: int = number(16, low=1)
    channels: int = number(64, low=1)


@dataclass(frozen=True)
class Loss:
    """The content loss: of pixels (mse, l1) or of VGG19's features (vgg22, vgg54, ...)."""

    content: str = "mse"
    vgg_factor: float = number(0.006, above=0)
    vgg_weights: str = "imagenet"  # or a file, or "random"


@dataclass(frozen=True)
class AdversarialLoss(Loss):
    """The perceptual loss: content plus the weighted adversarial loss."""

    adversarial_weight: float = number(1e-3, low=0)


@dataclass(frozen=True)
class Optimizer:
    """Adam and its schedule. Rates fall by `gamma`: at each milestone (step), or over the whole run (cosine)."""

    iterations: int = number(1_000_000, low=1)
    batch: int = number(16, low=1)
    lr: float = number(1e-4, above=0)
    decay: Literal["step", "cosine"] = "step"
    milestones: tuple[int, ...] = ()
    gamma: float = number(0.1, above=0, high=1)
    ema: float = number(0.0, low=0, high=0.99999)  # decay of the averaged generator; 0: no average


@dataclass(frozen=True)
class Validation:
    """Benchmark folders scored during training, on the Y channel with `scale` pixels cut off."""

    folders: tuple[str, ...] = ("datasets/DIV2K/DIV2K_valid_HR",)
    every: int = number(5_000, low=1)
    images: int = number(10, low=1)  # at most so many of each folder
    samples: int = number(4, low=0)  # pictures of so many images are kept at each validation


@dataclass(frozen=True)
class Log:
    """How often the log and the checkpoint are written, in iterations."""

    every: int = number(100, low=1)
    checkpoint: int = number(5_000, low=1)


@dataclass(frozen=True)
class Runtime:
    """How the machine is used; the numbers that come out are the same within the precision."""

    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    seed: int = number(0, low=0)


@dataclass(frozen=True)
class PretrainConfig:
    """A content-loss experiment: SRResNet."""

    name: str
    data: Data = Data()
    generator: GeneratorShape = GeneratorShape()
    loss: Loss = Loss()
    optimizer: Optimizer = Optimizer()
    validation: Validation = Validation()
    log: Log = Log()
    runtime: Runtime = Runtime()

    def __post_init__(self) -> None:
        if not self.name or self.name != Path(self.name).name or self.name.startswith("."):
            raise UserError(f"name: expected a plain folder name, found {self.name!r}")
        if not re.fullmatch(r"mse|l1|vgg(1[12]|2[12]|[345][1-4])", self.loss.content):
            raise UserError(f"loss.content: expected mse, l1 or vgg11 to vgg54, found {self.loss.content!r}")
        if self.data.crop % self.generator.scale:
            raise UserError(
                f"data.crop: expected a multiple of the scale {self.generator.scale}, found {self.data.crop}"
            )
        for key, every in {"validation.every": self.validation.every, "log.checkpoint": self.log.checkpoint}.items():
            if every % self.log.every:
                raise UserError(f"{key}: expected a multiple of log.every ({self.log.every}), found {every}")


@dataclass(frozen=True)
class AdversarialConfig(PretrainConfig):
    """An adversarial experiment, from a pretrained generator's weights: SRGAN."""

    init: str = ""  # weights file or run folder of the generator to start from
    loss: AdversarialLoss = AdversarialLoss()

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.init:
            raise UserError("init: expected the weights or the run folder of a pretrained generator, found nothing")
        if self.data.crop % 16:
            raise UserError(f"data.crop: the discriminator takes a multiple of 16, found {self.data.crop}")


def load_config(kind: type[Section], path: Path, overrides: Sequence[str] = ()) -> Section:
    """Read a YAML file as a config, then apply overrides such as `optimizer.lr=2e-4`.

    Raises:
        UserError: no such file, no YAML, an unknown key, a wrong type, a value out of range; it names file and key.
    """
    try:
        tree = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"{path}: no config can be read here: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(tree, dict):
        raise UserError(f"{path}: expected `key: value` lines, found {type(tree).__name__}")
    for override in overrides:
        _override(tree, override)
    try:
        return parse(kind, tree)
    except UserError as error:
        raise UserError(f"{path}: {error}") from error


def parse(kind: type[Section], tree: dict[str, Any]) -> Section:
    """Build a config from nested dicts, as YAML or a checkpoint holds them. Raises: UserError, as `load_config`."""
    return _section(kind, tree, "")


def to_dict(config: Any) -> dict[str, Any]:
    """The resolved config as nested dicts and lists, which `parse` takes back."""
    return dataclasses.asdict(
        config, dict_factory=lambda items: {k: list(v) if type(v) is tuple else v for k, v in items}
    )


def differences(old: dict[str, Any], new: dict[str, Any], prefix: str = "") -> list[str]:
    """Keys whose values differ between two resolved configs, as `section.key: old -> new`."""
    lines = []
    for key in sorted(old.keys() | new.keys()):
        a, b = old.get(key), new.get(key)
        if isinstance(a, dict) and isinstance(b, dict):
            lines += differences(a, b, f"{prefix}{key}.")
        elif a != b:
            lines.append(f"{prefix}{key}: {a} -> {b}")
    return lines


def _override(tree: dict[str, Any], override: str) -> None:
    path, equals, text = override.partition("=")
    if not equals or not path:
        raise UserError(f"{override!r}: expected section.key=value")
    *sections, key = path.split(".")
    for section in sections:
        tree = tree.setdefault(section, {})
        if not isinstance(tree, dict):
            raise UserError(f"{override!r}: {section} is no section")
    try:
        tree[key] = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise UserError(f"{override!r}: the value is not YAML: {' '.join(str(error).split())}") from error


def _section(kind: type[Section], tree: Any, where: str) -> Section:
    if not isinstance(tree, dict):
        raise UserError(f"{where.rstrip('.')}: expected a section of keys, found {tree!r}")
    fields = {f.name: f for f in dataclasses.fields(kind)}
    for key in tree:
        if key not in fields:
            near = difflib.get_close_matches(str(key), fields, n=1)
            hint = f"did you mean {where}{near[0]}?" if near else f"expected one of {', '.join(fields)}"
            raise UserError(f"{where}{key}: unknown key; {hint}")
    for name, f in fields.items():
        if name not in tree and f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING:
            raise UserError(f"{where}{name}: missing; it has no default")
    types_of = typing.get_type_hints(kind)
    values = {key: _value(types_of[key], value, f"{where}{key}") for key, value in tree.items()}
    for key, value in values.items():
        _check_range(fields[key].metadata, value, f"{where}{key}")
    return kind(**values)


def _value(kind: Any, value: Any, where: str) -> Any:
    if dataclasses.is_dataclass(kind):
        return _section(kind, value, f"{where}.")
    origin, args = typing.get_origin(kind), typing.get_args(kind)
    if origin is Literal:
        if value in args and type(value) is type(args[args.index(value)]):
            return value
        near = difflib.get_close_matches(str(value), [str(a) for a in args], n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise UserError(f"{where}: expected one of {', '.join(map(str, args))}, found {value!r}{hint}")
    if origin is tuple:
        if not isinstance(value, list):
            raise UserError(f"{where}: expected a list, found {value!r}")
        return tuple(_value(args[0], item, f"{where}[{i}]") for i, item in enumerate(value))
    if kind is float and isinstance(value, (int, str)) and not isinstance(value, bool):
        # YAML 1.1 reads 1e-4, without a point, as text.
        try:
            value = float(value)
        except ValueError:
            raise UserError(f"{where}: expected a number, found {value!r}") from None
    if kind is int and isinstance(value, (str, float)):
        value = _whole(value)
    if type(value) is not kind:
        names = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}
        raise UserError(f"{where}: expected {names[kind]}, found {value!r}")
    return value


def _whole(value: str | float) -> Any:
    """1e6 and 1000000.0 as the int they are; anything else as it came."""
    try:
        as_float = float(value)
        return int(as_float) if as_float.is_integer() else value
    except ValueError:
        return value


def _check_range(limits: typing.Mapping[str, float], value: Any, where: str) -> None:
    if not limits:
        return
    if math.isnan(value) or not limits["low"] <= value <= limits["high"] or not value > limits["above"]:
        bounds = {"at least": limits["low"], "above": limits["above"], "at most": limits["high"]}
        wanted = " and ".join(f"{word} {bound:g}" for word, bound in bounds.items() if math.isfinite(bound))
        raise UserError(f"{where}: expected {wanted or 'a number'}, found {value}")
