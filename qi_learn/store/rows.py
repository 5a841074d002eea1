"""Records as rows, one column a field, of the same name.

Tuples and mappings are JSON, yes and no are 1 and 0, unknown is NULL.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from typing import Any, TypeVar, get_origin

from qi_learn import codec

T = TypeVar("T")


def columns(kind: object) -> tuple[str, ...]:
    """The columns of a record type."""
    return tuple(codec.field_types(kind))


def values(record: Any) -> tuple[Any, ...]:
    """A record's columns, in the order of `columns`."""
    return tuple(_column(getattr(record, name)) for name in columns(type(record)))


def record(kind: type[T], row: sqlite3.Row) -> T:
    """The record in a row that has (at least) its columns.

    Raises ValueError if it does not fit, so another program wrote it.
    """
    return codec.build(
        kind, {name: _field(hint, row[name]) for name, hint in codec.field_types(kind).items()}
    )


def _column(value: Any) -> Any:
    if isinstance(value, (tuple, Mapping)):
        return json.dumps(codec.plain(value), separators=(",", ":"))
    return value


def _field(hint: Any, value: Any) -> Any:
    if value is None:
        return None
    if get_origin(hint) in (tuple, Mapping):
        return json.loads(value)
    return bool(value) if hint in (bool, bool | None) else value
