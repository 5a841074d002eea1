"""What a person asks to be forgotten, and what came of it: no text of what it was."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import Literal

from qi_learn.record_class import dataclass


@dataclass(frozen=True, slots=True)
class ForgetRequest:
    """What is to be forgotten: named turns, a pattern, a project, or a span of time."""

    asked: float
    """When it was asked for; what begins later is not meant."""
    ids: tuple[str, ...] = ()
    grep: str = ""
    """A regular expression or a plain text; upper and lower case alike."""
    project: str = ""
    """Absolute path of a directory."""
    since: float | None = None
    keep_record: bool = False
    """The turns stay for `log`, and are never learned from."""
    retrain: bool = False
    """The next cycle starts from the newest version that saw none of it."""


@dataclass(frozen=True, slots=True)
class TurnMarks:
    """Keyed hashes of what a turn said as it came, by which it is known once it is forgotten."""

    messages: tuple[bytes, ...] = ()
    """Of its messages (those that are new), each after all before it, the answer last."""
    turn: bytes | None = None
    """Of its question and its answer."""


NO_MARKS = TurnMarks()


@dataclass(frozen=True, slots=True)
class MarkedVersion:
    """A version whose weights were made from something that is forgotten."""

    version: str
    model: str
    """Its name on the server."""
    turns: int
    """The number of forgotten turns in the data sets behind it."""
    live: bool = False
    on_server: bool = True
    """Whether its model was not deleted yet."""


@dataclass(frozen=True, slots=True)
class Receipt:
    """What a `forget` took away, and what stays."""

    id: str
    asked: float
    by: Literal["id", "grep", "project", "since"]
    state: Literal["dry run", "under way", "done"]
    keep_record: bool = False
    turns: tuple[str, ...] = ()
    """Ids of the turns that go (with `keep_record`: that are never learned from)."""
    along: int = 0
    """How many of them go because they send a meant one's text again in their history."""
    went: Mapping[str, int] = field(default_factory=dict)
    """The number of things by kind."""
    stays: tuple[str, ...] = ()
    """What may still hold it, in words."""
    versions: tuple[MarkedVersion, ...] = ()
    """The versions that saw it."""
    starts_from: str = ""
    """With `retrain`: the version that the next cycle starts from."""
    waits_for: str = ""
    """What it waits for, while it is under way."""
    searched: int = 0
    """The number of files that were searched for it afterwards; 0 if none was."""
    found: tuple[str, ...] = ()
    """Those of them that still hold it."""
    finished: float | None = None
