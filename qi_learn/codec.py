"""Records to plain JSON values and back, by their own type hints.

The one way in which records are written to files and read again.
"""

from __future__ import annotations

import json
import types
from collections.abc import Mapping
from dataclasses import Field, fields, is_dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

T = TypeVar("T")


def plain(value: Any) -> Any:
    """A record (or a tuple or mapping of records) as JSON values.

    Numbers, texts, booleans and None pass through.
    """
    if is_dataclass(value) and not isinstance(value, type):
        keys: dict[str, Any] = {}
        for f in fields(value):
            item = plain(getattr(value, f.name))
            keys |= item if f.metadata.get("flat") else {key_of(f): item}
        return keys
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    return value


def dumps(value: Any) -> str:
    """A record as one line of JSON."""
    return json.dumps(plain(value), ensure_ascii=False, separators=(",", ":"))


def loads(kind: type[T], text: str) -> T:
    """The record of type `kind` in a JSON text. Raises ValueError if it does not fit."""
    return build(kind, json.loads(text))


def build(kind: type[T], value: Any) -> T:
    """A record of type `kind` from JSON values; unknown keys are refused.

    Raises ValueError if the value does not fit.
    """
    if not isinstance(value, dict):
        raise ValueError(f"{kind.__name__} must be an object, not {type(value).__name__}")
    unknown = sorted(set(value) - set(keys_of(kind)))
    if unknown:
        raise ValueError(f"{kind.__name__} has no field {', '.join(unknown)}")
    hints = field_types(kind)
    given: dict[str, Any] = {}
    try:
        for f in fields(kind):  # type: ignore[arg-type]  # mypy does not see that T is a record
            if f.metadata.get("flat"):
                inner = hints[f.name]
                given[f.name] = build(
                    inner, {key: value[key] for key in keys_of(inner) if key in value}
                )
            elif (key := key_of(f)) in value:
                given[f.name] = convert(hints[f.name], value[key])
        return kind(**given)
    except TypeError as error:
        raise ValueError(f"{kind.__name__}: {error}") from error


def changed(record: T, **keys: Any) -> T:
    """The same record with other values, by their keys in JSON.

    Raises ValueError for an unknown key or a value that does not fit.
    """
    return build(type(record), plain(record) | {key: plain(value) for key, value in keys.items()})


def key_of(field: Field[Any]) -> str:
    """The key of a field in JSON."""
    return str(field.metadata.get("key", field.name))


def keys_of(kind: Any) -> tuple[str, ...]:
    """The keys of a record type in JSON, in order."""
    return _keys_of(kind)


@cache
def _keys_of(kind: Any) -> tuple[str, ...]:
    hints = field_types(kind)
    return tuple(
        key
        for f in fields(kind)
        for key in (_keys_of(hints[f.name]) if f.metadata.get("flat") else (key_of(f),))
    )


def read_object(path: Path) -> dict[str, Any]:
    """The JSON object in a file.

    Raises OSError if it cannot be read, ValueError if it holds something else.
    """
    value = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(value, dict):
        raise ValueError(f"{path} holds no JSON object")
    return value


def field_types(kind: object) -> dict[str, Any]:
    """The fields of a record type with their types, in order."""
    return _field_types(kind)


@cache
def _field_types(kind: object) -> dict[str, Any]:
    return get_type_hints(kind)


def convert(hint: Any, value: Any) -> Any:
    """The value of this type in a JSON value. Raises ValueError or TypeError if it does not fit."""
    origin, args = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return (
            None if value is None else convert(next(a for a in args if a is not type(None)), value)
        )
    if is_dataclass(hint) and isinstance(hint, type):
        return build(hint, value)
    if origin is tuple:
        if len(args) == 2 and args[1] is Ellipsis:
            return tuple(convert(args[0], v) for v in value)
        return tuple(convert(a, v) for a, v in zip(args, value, strict=True))
    if origin is Mapping and isinstance(value, dict):
        return {key: convert(args[1], v) for key, v in value.items()}
    if origin is Literal and value not in args:
        raise ValueError(f"{value!r} is not one of {', '.join(map(str, args))}")
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    return value
