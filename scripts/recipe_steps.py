"""The steps of a recipe, as its file has them (`scripts/recipe.py`)."""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from scripts import photographs
from srgan.common.errors import UserError, error_context
from srgan.common.fields import number
from srgan.networks.weights import find_weights
from srgan.training.config import AdversarialConfig, PretrainConfig, parse
from srgan.training.parsing import apply_override, from_dict, read_yaml, to_dict
from srgan.training.stages import AdversarialStage, PretrainStage


@dataclass(frozen=True)
class Photographs:
    """Fetch photographs."""

    out: str = "datasets/photographs"
    url: str = photographs.GITHUB
    allow_missing: bool = False  # go on without those that can't be had


@dataclass(frozen=True)
class TeacherImages:
    """Keep a network's images of many crops."""

    weights: str
    count: int = number(10_000, low=1)
    crop: int = number(72, low=8)  # side of the LR crops
    config: PretrainConfig = field(default_factory=partial(PretrainConfig, "teacher"))  # photographs and degradation


@dataclass(frozen=True)
class Mix:
    """Mix two networks of one size."""

    pixels: str
    gan: str
    alpha: float = number(0.5, low=0, high=1)


Step = Photographs | TeacherImages | Mix | PretrainConfig
STAGES = {"pretrain": (PretrainConfig, PretrainStage), "train": (AdversarialConfig, AdversarialStage)}
KINDS = ("photographs", "pretrain", "train", "teacher_images", "mix")


@dataclass(frozen=True)
class Recipe:
    """A recipe whose steps have been checked."""

    name: str
    text: str  # as YAML, overrides applied
    steps: dict[str, Step]
    sources: dict[str, str]  # SHA-256 of the weights that no step makes, by their paths


def load_recipe(path: Path, folder: Path, overrides: Sequence[str] = ()) -> Recipe:
    """Read a recipe.

    Args:
        folder: where its steps will be, each in a folder of its own.
        overrides: such as `common.data.workers=8` or `steps.begin.optimizer.iterations=100`.

    Raises:
        UserError: a mistake, with the file, the step and the key; or weights that no step makes and that aren't there.
    """
    with error_context(str(path)):
        tree = read_yaml(path)
        for override in overrides:
            apply_override(override, tree)
        common, steps = tree.get("common", {}), tree.get("steps")
        if unknown := [key for key in tree if key not in ("common", "steps")]:
            raise UserError(f"{unknown[0]}: unknown key; expected one of common, steps")
        if not isinstance(common, dict) or not isinstance(steps, dict) or not steps:
            raise UserError("expected `steps`, each under its name, and what they have in common under `common`")
        checked: dict[str, Step] = {}
        sources: dict[str, str] = {}
        for name, settings in steps.items():
            with error_context(f"steps.{name}"):
                checked[name] = _step(name, settings, common, {step: folder / step for step in checked})
                sources |= _digests(checked[name], folder)
        if not isinstance(checked[name], PretrainConfig | Mix):
            raise UserError(f"steps.{name}: expected a network of the last step, one of pretrain, train and mix")
    return Recipe(path.stem, yaml.safe_dump(tree, sort_keys=False), checked, sources)


def _step(name: object, settings: Any, common: dict[str, Any], earlier: Mapping[str, Path]) -> Step:
    if not isinstance(name, str) or not re.fullmatch(r"\w[\w-]*", name):
        raise UserError("expected a name of letters, digits, _ and -")
    if not isinstance(settings, dict) or settings.get("run") not in KINDS:
        found = settings.get("run") if isinstance(settings, dict) else settings
        raise UserError(f"run: expected one of {', '.join(KINDS)}, found {found!r}")
    own = _resolved({key: value for key, value in settings.items() if key != "run"}, earlier)
    kind, whole = settings["run"], _merged(_resolved(common, earlier), own) | {"name": name}
    if kind in STAGES:
        return parse(STAGES[kind][0], whole)
    if kind == "teacher_images":
        keys = {key: whole.pop(key) for key in ("weights", "count", "crop") if key in whole}
        return from_dict(TeacherImages, keys | {"config": to_dict(parse(PretrainConfig, whole))})
    return from_dict(Mix, own) if kind == "mix" else from_dict(Photographs, own)


def _digests(step: Step, folder: Path) -> dict[str, str]:
    """SHA-256 of the weights that a step reads, but for those in the recipe's own folder."""
    if isinstance(step, PretrainConfig):
        names = [step.init, step.loss.teacher, step.loss.degraded_teacher]
    else:
        names = [getattr(step, key) for key in ("weights", "pixels", "gan") if hasattr(step, key)]
    digests = {}
    for name in names:
        if name and folder not in Path(name).parents:
            path = find_weights(Path(name))
            if not path.exists():
                raise UserError(f"{name}: expected weights, found nothing")
            digests[name] = hashlib.sha256(path.read_bytes()).hexdigest()
    return digests


def _resolved(value: Any, earlier: Mapping[str, Path]) -> Any:
    """The value with the folder of the step in the place of `step:NAME`, in nested dicts and lists."""
    if isinstance(value, dict):
        return {key: _resolved(each, earlier) for key, each in value.items()}
    if isinstance(value, list):
        return [_resolved(each, earlier) for each in value]
    if not isinstance(value, str) or not value.startswith("step:"):
        return value
    name, slash, rest = value.removeprefix("step:").partition("/")
    if name not in earlier:
        raise UserError(f"{value}: expected an earlier step ({', '.join(earlier) or 'there is none'}), found {name}")
    return f"{earlier[name]}{slash}{rest}"


def _merged(common: dict[str, Any], own: dict[str, Any]) -> dict[str, Any]:
    """Nested dicts of both; where they differ the step's own value counts."""
    both = common | own
    for key in common.keys() & own.keys():
        if isinstance(common[key], dict) and isinstance(own[key], dict):
            both[key] = _merged(common[key], own[key])
    return both
