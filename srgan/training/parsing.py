"""Strict parsing of YAML files and command-line overrides into frozen dataclasses."""

import dataclasses
import difflib
import functools
import inspect
import math
import operator
import reprlib
import typing
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, TypeVar

import yaml

from srgan.common.errors import UserError, describe, error_context
from srgan.common.home import expand_home

Section = TypeVar("Section")
Hint = Callable[[str, list[str]], str]  # (unknown key, keys of its section) -> what to do

NAMES = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}

# A few lines of YAML aliases can stand for gigabytes of nested lists.
SHORT = reprlib.Repr()
SHORT.maxlevel, SHORT.maxstring, SHORT.maxother, SHORT.maxlong = 3, 80, 80, 80


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a YAML file as nested dicts.

    Raises:
        UserError: the file is missing, not YAML or empty, or gives a key twice.
    """
    try:
        tree = _load(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise UserError(f"expected a config: {describe(error)}") from error
    except ValueError as error:
        raise UserError(f"not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(tree, dict):
        found = "an empty file" if tree is None else type(tree).__name__
        raise UserError(f"expected `key: value` lines, found {found}")
    return tree


def apply_override(override: str, tree: dict[str, Any]) -> None:
    """Set the value of an override such as `optimizer.lr=2e-4` in nested dicts.

    Raises:
        UserError: it is malformed, its value is not YAML, or what should hold the key is not a section.
    """
    path, equals, text = override.partition("=")
    if not equals or not path:
        raise UserError(f"{override!r}: expected section.key=value")
    *sections, key = path.split(".")
    for section in sections:
        tree = tree.setdefault(section, {})
        if not isinstance(tree, dict):
            raise UserError(f"{override!r}: {section} is not a section")
    try:
        tree[key] = _load(text) if text else ""
    except ValueError as error:
        raise UserError(f"{override!r}: the value is not YAML: {' '.join(str(error).split())}") from error


def from_dict(kind: type[Section], tree: Any, hints: Mapping[str, str] | None = None) -> Section:
    """Build a dataclass, and those nested in it, from nested dicts.

    Values are checked against the fields' types and ranges. Whole numbers are accepted as floats, `1e6` as an int,
    numbers in scientific notation as text (so YAML 1.1 reads `1e-4`), and one item where a list is expected.

    Args:
        hints: what to say about a dotted key that `kind` doesn't have.

    Raises:
        UserError: an unknown key, a missing one, a wrong type or a value out of range; the message names the key.
    """
    return _section(kind, tree, "", functools.partial(_hint, list(dotted_keys(kind)), hints or {}))


def sections(registry: Mapping[str, Callable[..., Any]], provided: Collection[str] = (), base: type = object) -> Any:
    """The type of a section `{type: NAME, its arguments}`: a union of one dataclass for each name of a registry.

    Its keys, with types, defaults and ranges (`Annotated[int, limits(...)]`), are the arguments of what the registry
    holds, but for those `provided` elsewhere, and the fields of `base`, a dataclass whose first field is `type`.
    """
    kinds = [_section_of(name, make, provided, base) for name, make in registry.items()]
    return functools.reduce(operator.or_, kinds)


def _section_of(name: str, make: Callable[..., Any], provided: Collection[str], base: type) -> Any:
    types = typing.get_type_hints(make.__init__ if inspect.isclass(make) else make, include_extras=True)
    fields: list[Any] = [("type", Literal[name], name)]
    for argument in inspect.signature(make).parameters.values():
        kind, value, limits = types.get(argument.name), argument.default, {}
        if typing.get_origin(kind) is Annotated:
            kind, limits = typing.get_args(kind)
        if type(value) is int and float in (kind, *typing.get_args(kind)):
            value = float(value)  # as a config has it that is read back
        if argument.name not in provided:
            fields.append((argument.name, kind, dataclasses.field(default=value, metadata=limits)))
    return dataclasses.make_dataclass(name, fields, bases=(base,), frozen=True)


@contextmanager
def refusals(key: str) -> Iterator[None]:
    """Turn a `ValueError`, with which a constructor refuses arguments of a section, into a `UserError` of its key."""
    try:
        with error_context(key):
            yield
    except ValueError as error:
        raise UserError(f"{key}: {error}") from error


def dotted_keys(kind: Any, prefix: str = "") -> Iterator[str]:
    """All keys of a dataclass and of those nested in it, such as `optimizer.lr`."""
    for name, field_type in _field_types(kind).items():
        sections = [kind for kind in (field_type, *typing.get_args(field_type)) if dataclasses.is_dataclass(kind)]
        for section in sections:
            yield from dotted_keys(section, f"{prefix}{name}.")
        if not sections:
            yield f"{prefix}{name}"


def to_dict(config: Any) -> dict[str, Any]:
    """A dataclass as nested dicts and lists, which `from_dict` takes back."""
    return dataclasses.asdict(
        config, dict_factory=lambda items: {k: list(v) if type(v) is tuple else v for k, v in items}
    )


def differences(old: dict[str, Any], new: dict[str, Any], prefix: str = "") -> list[str]:
    """Keys whose values differ between two nested dicts, as `section.key: old -> new`."""
    lines = []
    for key in sorted(old.keys() | new.keys(), key=str):
        a, b = old.get(key), new.get(key)
        if isinstance(a, dict) and isinstance(b, dict):
            lines += differences(a, b, f"{prefix}{key}.")
        elif str(a) != str(b):
            lines.append(f"{prefix}{key}: {a} -> {b}")
    return lines


# YAML


class _Loader(yaml.SafeLoader):
    """Refuses a key that is given twice; PyYAML would silently take the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        keys = [key.value for key, _ in node.value]
        for (key, _), text in zip(node.value, keys, strict=True):
            if isinstance(text, str) and keys.count(text) > 1:
                raise yaml.constructor.ConstructorError(None, None, f"key {text} is given twice", key.start_mark)
        return super().construct_mapping(node, deep)


def _load(text: str) -> Any:
    """Raises: ValueError, whatever is wrong; PyYAML also lets through errors of `int`, `date` and the stack."""
    try:
        return yaml.load(text, _Loader)
    except yaml.MarkedYAMLError as error:
        line = f"line {error.problem_mark.line + 1}: " if error.problem_mark else ""
        raise ValueError(f"{line}{error.problem}") from error
    except (yaml.YAMLError, RecursionError) as error:
        raise ValueError(error) from error


# Types and ranges


def _section(kind: Any, tree: Any, prefix: str, hint: Hint) -> Any:
    if not isinstance(tree, dict):
        raise UserError(f"{prefix.rstrip('.')}: expected a section of keys, found {_shown(tree)}")
    types = _field_types(kind)
    for key in tree:
        if key not in types:
            raise UserError(f"{prefix}{key}: unknown key; {hint(f'{prefix}{key}', list(types))}")
    values = {}
    for field in dataclasses.fields(kind):
        where = f"{prefix}{field.name}"
        if field.name in tree:
            values[field.name] = _value(types[field.name], tree[field.name], where, hint)
            _check_range(values[field.name], field.metadata, where)
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            raise UserError(f"{where}: missing; it has no default")
    try:
        return kind(**values)
    except UserError as error:  # of one of its own keys
        raise UserError(f"{prefix}{error}") from error


def _field_types(kind: Any) -> dict[str, Any]:
    """The types of a dataclass's fields; `get_type_hints` has its class variables as well."""
    types = typing.get_type_hints(kind)
    return {field.name: types[field.name] for field in dataclasses.fields(kind)}


def _hint(known: list[str], hints: Mapping[str, str], key: str, siblings: list[str]) -> str:
    """The nearest right key: of the same section, of the same name in another one, or similar anywhere."""
    if key in hints:
        return hints[key]
    section, dot, name = key.rpartition(".")
    if key in known:
        return f"it goes with another {section}.{siblings[0]}"
    near = [f"{section}{dot}{match}" for match in difflib.get_close_matches(name, siblings, n=1)]
    near += [other for other in known if other.rpartition(".")[2] == name]
    elsewhere = [other for other in known if other.rpartition(".")[0] != section]
    near += difflib.get_close_matches(key, [*(f"{section}{dot}{sibling}" for sibling in siblings), *elsewhere], n=1)
    return f"did you mean {near[0]}?" if near else f"expected one of {', '.join(siblings)}"


def _member(kinds: Sequence[Any], value: Any, where: str) -> Any:
    """The kind of a value that may be of several: of sections that which the first key of all says, or the first."""
    sections: list[Any] = [kind for kind in kinds if dataclasses.is_dataclass(kind)]
    if len(sections) < len(kinds):
        others = [kind for kind in kinds if kind not in sections]
        return sections[0] if sections and isinstance(value, dict) else others[0]
    tag = dataclasses.fields(sections[0])[0].name
    members = {dataclasses.fields(section)[0].default: section for section in sections}
    name = value.get(tag, next(iter(members))) if isinstance(value, dict) else next(iter(members))
    return members[_choice(tuple(members), name, f"{where}.{tag}")]


def _value(kind: Any, value: Any, where: str, hint: Hint) -> Any:
    if typing.get_origin(kind) in (UnionType, typing.Union):
        if value is None and NoneType in typing.get_args(kind):
            return None
        kind = _member(typing.get_args(kind), value, where)
    if dataclasses.is_dataclass(kind):
        return _section(kind, value, f"{where}.", hint)
    args = typing.get_args(kind)
    if typing.get_origin(kind) is Literal:
        return _choice(args, value, where)
    if typing.get_origin(kind) is not tuple:
        return _scalar(kind, value, where)
    if isinstance(value, list):
        if ... not in args and len(value) != len(args):
            raise UserError(f"{where}: expected a list of {len(args)}, found {_shown(value)}")
        return tuple(_value(args[0], item, f"{where}[{i}]", hint) for i, item in enumerate(value))
    if value is None or (isinstance(value, dict) and not any(map(dataclasses.is_dataclass, typing.get_args(args[0])))):
        raise UserError(f"{where}: expected a list such as [a, b], found {_shown(value)}")
    return (_value(args[0], value, where, hint),)


def _choice(choices: tuple, value: Any, where: str) -> Any:
    if value in choices and type(value) is type(choices[choices.index(value)]):
        return value
    near = difflib.get_close_matches(value if isinstance(value, str) else _shown(value), map(str, choices), n=1)
    hint = f"; did you mean {near[0]}?" if near else ""
    raise UserError(f"{where}: expected one of {', '.join(map(str, choices))}, found {_shown(value)}{hint}")


def _scalar(kind: Any, value: Any, where: str) -> Any:
    if kind in (int, float) and type(value) in (int, float, str) and type(value) is not kind:
        with suppress(ValueError, OverflowError):
            as_float = float(value)
            if kind is float:
                value = as_float
            elif as_float.is_integer():
                value = int(as_float)
    if type(value) is not kind:
        raise UserError(f"{where}: expected {NAMES[kind]}, found {_shown(value)}")
    if kind is str and "\0" in value:
        raise UserError(f"{where}: expected text without null characters, found {_shown(value)}")
    return expand_home(value) if kind is str else value


def _check_range(value: Any, limits: Mapping[str, float], where: str) -> None:
    if not limits:
        return
    # Not `isfinite`, which fails for integers beyond floats.
    if not (abs(value) < math.inf and limits["at least"] <= value <= limits["at most"] and value > limits["above"]):
        wanted = " and ".join(f"{word} {limit:g}" for word, limit in limits.items() if math.isfinite(limit))
        raise UserError(f"{where}: expected {f'a number {wanted}'.rstrip()}, found {_shown(value)}")


def _shown(value: Any) -> str:
    try:
        text = SHORT.repr(value)
    except ValueError:
        text = "a number of more digits than Python prints"
    return text if len(text) <= 80 else f"{text[:77]}..."
