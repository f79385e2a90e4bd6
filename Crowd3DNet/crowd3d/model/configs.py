"""Settings of training, fine-tuning and inference: yml files, checked against a frozen dataclass."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from dataclasses import MISSING, fields, is_dataclass
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

import yaml

from crowd3d.errors import BadConfig

Schema = TypeVar("Schema")
_NAMES = {str: "a text", bool: "true or false", int: "a whole number", float: "a number", tuple: "a list", dict: "a group of keys"}


def read_config(path: Path, schema: type[Schema], overrides: Sequence[str] = ()) -> Schema:
    """Read a yml file, which is never written.

    Args:
        path: yml file; keys that it leaves out keep the defaults of `schema`.
        schema: frozen dataclass with the known keys and their types: texts, truth values, numbers, ``tuple[…, ...]``, ``dict[str, …]`` and
            dataclasses of these.
        overrides: ``key=value``, or ``key.inner=value`` for what is nested; they win over the file.

    Raises:
        BadConfig: the file cannot be read, or file or overrides have an unknown key or a value of the wrong type.
    """
    try:
        values = _checked(schema, yaml.safe_load(path.read_text(encoding="utf-8")) or {}, f"{path}: ")
    except OSError as error:
        raise BadConfig(f"cannot read {path}: {error.strerror}; restore it with `git checkout`, or install crowd3d again") from error
    except yaml.YAMLError as error:
        raise BadConfig(f"{path}: {' '.join(str(error).split())}") from error
    for override in overrides:
        key, equals, text = override.partition("=")
        if not equals:
            raise BadConfig(f"argument {override!r} is not of the form key=value; keys are listed in {path}")
        value: Any = text
        for name in reversed(key.split(".")):
            value = {name: value}
        values = _merged(values, _checked(schema, value, f"argument {override!r}: "))
    return _built(schema, values, f"{path}: ")


def _checked(kind: Any, value: Any, where: str) -> Any:
    """`value` with its parts of the right types; dataclasses stay groups of keys. Texts, as arguments are, may spell any type."""
    family = get_origin(kind) or (dict if is_dataclass(kind) else kind)
    spelled = value if family is str else _spelled(value)
    if family is dict and isinstance(spelled, dict):
        kinds = _known(kind, spelled, where) if is_dataclass(kind) else dict.fromkeys(spelled, get_args(kind)[-1])
        return {key: _checked(kinds[key], item, f"{where}{key}: ") for key, item in spelled.items()}
    if family is tuple and isinstance(spelled, list):
        return tuple(_checked(get_args(kind)[0], item, where) for item in spelled)
    if family in (str, bool) and isinstance(spelled, family):
        return spelled
    if family in (int, float) and isinstance(spelled, (int, float)) and not isinstance(spelled, bool) and family(spelled) == spelled:
        return family(spelled)
    raise BadConfig(f"{where}{value!r} is not {_NAMES[family]}; correct it")


def _spelled(value: Any) -> Any:
    """What a text spells: what yml says, and numbers such as 5e-5, which are texts there."""
    if not isinstance(value, str):
        return value
    try:
        spelled = yaml.safe_load(value)
    except yaml.YAMLError:
        return value
    return float(value) if isinstance(spelled, str) and re.fullmatch(r"[+-]?[\d.]+e[+-]?\d+", value) else spelled


def _known(schema: Any, values: dict[str, Any], where: str) -> dict[str, Any]:
    """Types of the keys of a dataclass; complains about other keys."""
    kinds = get_type_hints(schema)
    for key in values:
        if key not in kinds:
            near = difflib.get_close_matches(str(key), kinds, 1)
            hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(kinds)}"
            raise BadConfig(f"{where}there is no key {key!r}; {hint}")
    return kinds


def _merged(below: Any, above: Any) -> Any:
    """`above`, completed by what only `below` has."""
    if not (isinstance(below, dict) and isinstance(above, dict)):
        return above
    return below | {key: _merged(below.get(key), value) for key, value in above.items()}


def _built(schema: Any, values: dict[str, Any], where: str) -> Any:
    """The dataclass of checked values."""
    kinds = get_type_hints(schema)
    lacking = [f.name for f in fields(schema) if f.default is MISSING and f.default_factory is MISSING and f.name not in values]
    if lacking:
        raise BadConfig(f"{where}the key {lacking[0]!r} is missing; add it")
    groups = {key: _built(kinds[key], value, f"{where}{key}: ") for key, value in values.items() if is_dataclass(kinds[key])}
    return schema(**(values | groups))
