"""Experiment configurations: frozen dataclasses, read from YAML and command-line overrides, strictly."""

import dataclasses
import difflib
import math
import re
import typing
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar

import yaml

from srgan.common.errors import UserError, describe, error_context

Section = TypeVar("Section")


def number(default: float, low: float = -math.inf, high: float = math.inf, above: float = -math.inf) -> Any:
    """A numeric field with its range: low <= value <= high, and value > above."""
    return field(default=default, metadata={"low": low, "high": high, "above": above})


@dataclass(frozen=True)
class Data:
    """Where the training photographs are and how crops are made of them."""

    folders: tuple[str, ...] = ("datasets/DIV2K/DIV2K_train_HR",)
    cache: str = "datasets/cache"  # decoded images, memory-mapped
    crop: int = number(96, low=8, high=4096)  # side of an HR crop in pixels
    blur_sigma: float = number(0.0, low=0, high=32)  # Gaussian blur of the HR image before it is reduced, in HR pixels
    jpeg_offset: bool = False  # cut 0 to 7 pixels off the top and left of JPEG files: their blocks fall anywhere
    halve: bool = False  # JPEG files at half their size, by imresize
    workers: int = number(4, low=0, high=256)
    strict: bool = False  # stop at an image that can't be read instead of leaving it out


@dataclass(frozen=True)
class GeneratorShape:
    """The generator's architecture."""

    scale: Literal[2, 3, 4, 8] = 4
    blocks: int = number(16, low=1, high=1024)
    channels: int = number(64, low=1, high=4096)


@dataclass(frozen=True)
class Loss:
    """The content loss: of pixels (mse, l1) or of VGG19's features (vgg22, vgg54, ...)."""

    content: str = "mse"
    vgg_factor: float = number(0.006, low=0)  # 0: measured, so that the loss has the size of the pixel MSE
    vgg_weights: str = "imagenet"  # or a file, or "random"


@dataclass(frozen=True)
class AdversarialLoss(Loss):
    """The perceptual loss: content plus the weighted adversarial loss."""

    adversarial_weight: float = number(1e-3, low=0)
    pixel_weight: float = number(0.0, low=0)  # of the pixels' mean absolute error, against tints; the paper has none
    phase_weight: float = number(0.0, low=0)  # of `phase_loss`, against checkerboards; the paper has none


@dataclass(frozen=True)
class Optimizer:
    """Adam and its schedule. Rates fall by `gamma`: at each milestone (step), or over the whole run (cosine)."""

    iterations: int = number(1_000_000, low=1, high=10**9)
    batch: int = number(16, low=1, high=65_536)
    lr: float = number(1e-4, above=0, high=10)
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
    """How a step is computed (fp32: TF32 in CUDA's convolutions), and the seed of weights and crops."""

    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    compile: bool = False  # torch.compile: kernels fused and, on CUDA, launched as graphs; costs a minute at the start
    accumulate: int = number(1, low=1, high=65_536)  # parts of the batch, computed one after the other: less memory
    sync_batchnorm: bool = False  # of several processes: batch norm over the crops of all of them
    seed: int = number(0, low=0, high=2**63 - 1)  # what PyTorch's generators take


@dataclass(frozen=True)
class PretrainConfig:
    """A content-loss experiment: SRResNet."""

    name: str
    init: str = ""  # weights file or run folder of the generator to start from; none: random weights
    frozen_batchnorm: bool = False  # the generator keeps the statistics of `init`: it trains as it will be used
    data: Data = Data()
    generator: GeneratorShape = GeneratorShape()
    loss: Loss = Loss()
    optimizer: Optimizer = Optimizer()
    validation: Validation = Validation()
    log: Log = Log()
    runtime: Runtime = Runtime()

    def __post_init__(self) -> None:
        plain = self.name == self.name.strip() == Path(self.name).name and self.name.isprintable()
        if not self.name or not plain or self.name.startswith("."):
            raise UserError(f"name: expected a plain folder name, found {self.name!r}")
        for key, paths in {
            "data.folders": self.data.folders,
            "data.cache": (self.data.cache,),
            "validation.folders": self.validation.folders,
        }.items():
            if not paths or not all(paths):
                raise UserError(f"{key}: expected a path, found nothing")
        if self.frozen_batchnorm and not self.init:
            raise UserError("frozen_batchnorm: expected init, whose statistics are to be kept, found nothing")
        milestones = self.optimizer.milestones
        if any(b <= a for a, b in zip((0, *milestones), milestones, strict=False)):
            raise UserError(f"optimizer.milestones: expected iterations in rising order, found {list(milestones)}")
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

    loss: AdversarialLoss = AdversarialLoss()

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.init:
            raise UserError(
                "init: expected the weights or the run folder of a pretrained generator, found nothing; "
                "a config for the content loss alone is one for pretrain.py"
            )
        if self.data.crop % 16:
            raise UserError(f"data.crop: the discriminator takes a multiple of 16, found {self.data.crop}")


def load_config(kind: type[Section], path: Path, overrides: Sequence[str] = ()) -> Section:
    """Read a YAML file as a config, then apply overrides such as `optimizer.lr=2e-4`.

    Raises:
        UserError: no such file, no YAML, an unknown key, a wrong type, a value out of range; it names file and key.
    """
    try:
        tree = _yaml(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise UserError(f"{path}: expected a config: {describe(error)}") from error
    except ValueError as error:
        raise UserError(f"{path}: not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(tree, dict):
        found = "an empty file" if tree is None else type(tree).__name__
        raise UserError(f"{path}: expected `key: value` lines, found {found}")
    with error_context(" with ".join([str(path), *overrides])):
        for override in overrides:
            _override(tree, override)
        return parse(kind, tree)


def parse(kind: type[Section], tree: dict[str, Any]) -> Section:
    """Build a config from nested dicts, as YAML or a checkpoint holds them. Raises: UserError, as `load_config`."""
    _check_keys(kind, tree, list(_dotted_keys(kind)))
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


class _Loader(yaml.SafeLoader):
    """YAML in which a key stands once in its section; PyYAML would silently take the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        keys = [key.value for key, _ in node.value]
        for (key, _), text in zip(node.value, keys, strict=True):
            if isinstance(text, str) and keys.count(text) > 1:
                raise yaml.constructor.ConstructorError(None, None, f"key {text} is given twice", key.start_mark)
        return super().construct_mapping(node, deep)


def _yaml(text: str) -> Any:
    """Raises: ValueError, not YAML; besides its own errors PyYAML lets out those of `int`, `date` and the stack."""
    try:
        return yaml.load(text, _Loader)
    except yaml.MarkedYAMLError as error:
        raise ValueError(f"line {error.problem_mark.line + 1}: {error.problem}") from error
    except (yaml.YAMLError, RecursionError) as error:
        raise ValueError(error) from error


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
        tree[key] = _yaml(text)
    except ValueError as error:
        raise UserError(f"{override!r}: the value is not YAML: {' '.join(str(error).split())}") from error


def _dotted_keys(kind: type, where: str = "") -> Iterator[str]:
    for name, kind_of in typing.get_type_hints(kind).items():
        if dataclasses.is_dataclass(kind_of):
            yield from _dotted_keys(kind_of, f"{where}{name}.")
        else:
            yield f"{where}{name}"


def _check_keys(kind: type, tree: Any, known: list[str], where: str = "") -> None:
    types_of = typing.get_type_hints(kind)
    for key, value in tree.items() if isinstance(tree, dict) else ():
        if key not in types_of:
            raise UserError(f"{where}{key}: unknown key; {_hint(f'{where}{key}', list(types_of), known)}")
        if dataclasses.is_dataclass(types_of[key]):
            _check_keys(types_of[key], value, known, f"{where}{key}.")


def _hint(key: str, siblings: list[str], known: list[str]) -> str:
    """The nearest right key: of the same section, of the same name in another one, or alike anywhere."""
    if key in _dotted_keys(AdversarialConfig):
        return "it is one of train.py's: run train.py with this config"
    section, _, name = key.rpartition(".")
    prefix = f"{section}." if section else ""
    near = [f"{prefix}{match}" for match in difflib.get_close_matches(name, siblings, n=1)]
    near += [other for other in known if other.rpartition(".")[2] == name]
    near += difflib.get_close_matches(key, known, n=1)
    return f"did you mean {near[0]}?" if near else f"expected one of {', '.join(siblings)}"


def _section(kind: type[Section], tree: Any, where: str) -> Section:
    if not isinstance(tree, dict):
        raise UserError(f"{where.rstrip('.')}: expected a section of keys, found {_shown(tree)}")
    fields = {f.name: f for f in dataclasses.fields(kind)}
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
        raise UserError(f"{where}: expected one of {', '.join(map(str, args))}, found {_shown(value)}{hint}")
    if origin is tuple:
        if not isinstance(value, list):
            raise UserError(f"{where}: expected a list such as [a, b], found {_shown(value)}")
        return tuple(_value(args[0], item, f"{where}[{i}]") for i, item in enumerate(value))
    if kind is float and isinstance(value, (int, str)) and not isinstance(value, bool):
        # YAML 1.1 reads 1e-4, without a point, as text.
        try:
            value = float(value)
        except (ValueError, OverflowError):
            raise UserError(f"{where}: expected a number, found {_shown(value)}") from None
    if kind is int and isinstance(value, (str, float)):
        value = _whole(value)
    if type(value) is not kind:
        names = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}
        raise UserError(f"{where}: expected {names[kind]}, found {_shown(value)}")
    return value


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


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
    finite = not isinstance(value, float) or math.isfinite(value)
    if not finite or not limits["low"] <= value <= limits["high"] or not value > limits["above"]:
        bounds = {"at least": limits["low"], "above": limits["above"], "at most": limits["high"]}
        wanted = " and ".join(f"{word} {bound:g}" for word, bound in bounds.items() if math.isfinite(bound))
        raise UserError(f"{where}: expected {f'a number {wanted}'.rstrip()}, found {_shown(value)}")
