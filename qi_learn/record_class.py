"""`dataclass(frozen=True, slots=True)` at half the price, for what a quick command loads.

Python compiles six methods for every such class, a millisecond and more together, and a command
starts with forty classes. Comparing, hashing and showing are the same words for each: they are
written once, here. What a class writes itself stays. A class made so and one of `dataclasses` are
used alike (`fields`, `replace`, `asdict`, `match`); the type checker sees the library's own.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Literal, TypeVar

T = TypeVar("T")

if TYPE_CHECKING:
    from dataclasses import dataclass as dataclass
else:

    def dataclass(*, frozen: Literal[True], slots: Literal[True]) -> Callable[[type[T]], type[T]]:
        """Make a class a record, as `dataclasses.dataclass` does with the same words."""
        return _made


def _made(kind: type[T]) -> type[T]:
    own = dict(vars(kind))
    made: Any = dataclasses.dataclass(frozen=True, slots=True, eq=False, repr=False)(kind)
    compared = [field.name for field in dataclasses.fields(made) if field.compare]
    made._compared = attrgetter("__class__", *compared)
    for name, method in _SHARED.items():
        if own.get(name) is None:  # Python puts None for a `__hash__` beside an `__eq__`
            setattr(made, name, method)
    return made  # type: ignore[no-any-return]  # the same class, with methods


def _repr(self: Any) -> str:
    shown = (field.name for field in dataclasses.fields(self) if field.repr)
    values = ", ".join(f"{name}={getattr(self, name)!r}" for name in shown)
    return f"{type(self).__qualname__}({values})"


def _eq(self: Any, other: Any) -> Any:
    if other.__class__ is not self.__class__:
        return NotImplemented
    return self._compared(self) == self._compared(other)


def _hash(self: Any) -> int:
    return hash(self._compared(self))


_SHARED: Mapping[str, Callable[..., Any]] = {"__repr__": _repr, "__eq__": _eq, "__hash__": _hash}
