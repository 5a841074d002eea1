"""Which fields of records are looked at for secrets: all that can hold text, but for these.

A field stays as it is only if it is named here: what others refer to by it would be lost. So a new
field is redacted until it is decided otherwise, and a test shows the whole list.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin

from qi_learn import codec

STAYS: Mapping[str, frozenset[str]] = {
    "Turn": frozenset(("id", "model_digest", "project", "commit")),
    "Suggestion": frozenset(("turn_id", "file", "commit", "repaired_by")),
    "Score": frozenset(("turn_id",)),
    "TurnChange": frozenset(("turn_id", "project")),
    "CommandResult": frozenset(("id", "project", "commit", "cwd")),
    "Event": frozenset(("id", "project")),
    "Release": frozenset(("digest", "base_digest", "adapter_digest", "run_id")),
    "Example": frozenset(("id", "hash", "project")),
    "Pair": frozenset(("id", "hash", "chosen_id", "project")),
    "Snapshot": frozenset(("id", "base_digest")),
}
"""By record: its fields that are not looked at. They are ids, hashes, digests and commits, by which
rows refer to each other, and places, which are compared with the file system.
"""
_NO_TEXT = (int, float, bool, type(None))


@cache
def looked_at(kind: type) -> tuple[tuple[str, frozenset[Any]], ...]:
    """The fields of a record that are looked at, each with the words it may hold unseen."""
    stays = STAYS.get(kind.__name__, frozenset())
    return tuple(
        (name, frozenset(_words(hint)))
        for name, hint in codec.field_types(kind).items()
        if name not in stays and not _without_text(hint)
    )


def _without_text(hint: Any) -> bool:
    """Whether a type holds numbers alone."""
    if hint in _NO_TEXT:
        return True
    if get_origin(hint) in (Union, UnionType, tuple):
        return all(part is Ellipsis or _without_text(part) for part in get_args(hint))
    return False


def _words(hint: Any) -> tuple[Any, ...]:
    """The words of an enumeration; another value in its field is a text."""
    if get_origin(hint) is Literal:
        return get_args(hint)
    if get_origin(hint) in (Union, UnionType):
        return tuple(word for part in get_args(hint) for word in _words(part))
    return ()
