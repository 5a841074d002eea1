"""What passed `redact`, as a type: what writes to the disk takes nothing else.

The invariant: a `Redacted` is made in this package alone (a test looks for other makers), so mypy
finds a text that goes to the database past the door.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, Generic, TypeVar, final

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
_SEAL = object()


@final
class Redacted(Generic[T_co]):
    """A value in which every secret of a known shape has a placeholder."""

    __slots__ = ("_value",)

    def __init__(self, value: T_co, seal: object) -> None:
        if seal is not _SEAL:
            raise TypeError("only qi_learn.redact says that a value is redacted")
        self._value = value

    @property
    def value(self) -> T_co:
        """The value itself."""
        return self._value

    def part(self, name: str) -> Redacted[Any]:
        """One field of the record."""
        return sealed(getattr(self._value, name))

    def each(self, name: str) -> list[Redacted[Any]]:
        """The values in one field of the record, one by one."""
        return [sealed(value) for value in getattr(self._value, name)]

    def having(self, **parts: Redacted[Any]) -> Redacted[T_co]:
        """The record with other parts, which passed as well."""
        changes = {name: part.value for name, part in parts.items()}
        return sealed(replace(self._value, **changes))  # type: ignore[type-var]  # it is a record


def sealed(value: T) -> Redacted[T]:
    """The value as one that passed; for this package alone."""
    return Redacted(value, _SEAL)


def together(parts: Iterable[Redacted[T]]) -> Redacted[tuple[T, ...]]:
    """Values that passed, as one."""
    return sealed(tuple(part.value for part in parts))


def merged(parts: Iterable[Redacted[Mapping[str, Any]]]) -> Redacted[Mapping[str, Any]]:
    """Mappings that passed, as one."""
    return sealed({name: value for part in parts for name, value in part.value.items()})
