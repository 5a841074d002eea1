"""Records as rows, one column a field, of the same name.

Tuples and mappings are JSON, yes and no are 1 and 0, unknown is NULL.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import cache
from operator import attrgetter
from sqlite3 import Row
from types import UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin

from qi_learn import codec

T = TypeVar("T")
Reader = Callable[[Any], Any]
_READERS: dict[object, tuple[tuple[str, Reader], ...]] = {}


def columns(kind: object) -> tuple[str, ...]:
    """The columns of a record type."""
    return tuple(codec.field_types(kind))


def values(record: Any) -> tuple[Any, ...]:
    """A record's columns, in the order of `columns`."""
    return tuple(map(_column, _getter(columns(type(record)))(record)))


def record(kind: type[T], row: Row) -> T:
    """The record in a row that has (at least) its columns.

    Raises ValueError if it does not fit, so another program wrote it, or it is damaged.
    """
    try:
        return kind(*[read(row[name]) for name, read in _readers(kind)])
    except TypeError as error:
        raise ValueError(f"{kind.__name__}: {error}") from error


@cache
def _getter(names: tuple[str, ...]) -> Callable[[Any], tuple[Any, ...]]:
    return attrgetter(*names)


def _column(value: Any) -> Any:
    if isinstance(value, (tuple, Mapping)):
        return json.dumps(codec.plain(value), separators=(",", ":"))
    return value


# --- columns to fields, each type's way looked up once --------------------------------------------


def _readers(kind: object) -> tuple[tuple[str, Reader], ...]:
    """The columns of a record type, each with what reads it."""
    if (known := _READERS.get(kind)) is None:
        known = _READERS[kind] = _readers_of(kind)
    return known


def _readers_of(kind: object) -> tuple[tuple[str, Reader], ...]:
    return tuple((name, _reader(hint)) for name, hint in codec.field_types(kind).items())


def _reader(hint: Any) -> Reader:
    """How a column of this type is read."""
    if get_origin(hint) in (Union, UnionType):
        (own,) = (each for each in get_args(hint) if each is not type(None))
        read = _reader(own)
        return lambda value: None if value is None else read(value)
    if hint is bool:
        return lambda value: None if value is None else bool(value)
    if hint is float:
        return lambda value: float(value) if type(value) is int else _as_it_is(value)
    if get_origin(hint) in (tuple, Mapping):
        return lambda value: codec.convert(hint, None if value is None else json.loads(value))
    if get_origin(hint) is Literal:
        return lambda value: codec.convert(hint, value)
    return _as_it_is


def _as_it_is(value: Any) -> Any:
    if type(value) is bytes:  # what `Store.rows` gives for a text that is damaged
        raise ValueError(f"{value[:40]!r} is no UTF-8 text")
    return value
