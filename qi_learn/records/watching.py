"""What is known of a project under watch: whether its saves are seen, and how."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import Literal

from qi_learn.record_class import dataclass

WatchMode = Literal["starting", "watched", "polled", "blind"]
"""`starting`: its files are being read. `polled`: its tree is looked at now and then. `blind`: no
save of it is seen.
"""


@dataclass(frozen=True, slots=True)
class LeftOut:
    """What was left out of the evidence, and how often."""

    reason: str
    count: int


@dataclass(frozen=True, slots=True)
class Stood:
    """Up to where a project was watched, and all that was seen is in the store."""

    at: float
    heads: Mapping[str, str]
    """By the tops of its working trees: where HEAD was."""
    last_event: float | None = None
    """When a change was last noticed in it."""
    logs: Mapping[str, int] = field(default_factory=dict)
    """By the tops of its working trees: up to which byte the log of HEAD was read."""
    saved: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """By the tops of its trees: files that were saved, of which answers may have become a part."""


@dataclass(frozen=True, slots=True)
class WatchState:
    """How a project is watched."""

    project: str
    mode: WatchMode
    why: tuple[str, ...] = ()
    """What a person should know: why it is polled or blind, what git said and what to do."""
    last_event: float | None = None
    """When a change was last noticed in it; None if none was."""
    set_aside: tuple[LeftOut, ...] = ()
