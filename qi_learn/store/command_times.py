"""When a command began of which an agent only tells how it ended.

It began after the answer that called for it had ended: what a file had got by then is all that the
command can speak for. The invariant: it is never taken to have begun later than it did. If that
answer is not stored, it may have taken as long as agents let a command run.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace

from qi_learn.records import CommandResult, Message, Turn
from qi_learn.store.database import Store

AT_MOST = 600.0
"""Seconds that a command of an agent's takes at most: Claude Code's longest."""
_SLACK = 0.001
"""The spool's times are whole milliseconds."""
_ANSWERS = """
    SELECT t.ended, m.extra FROM turns t JOIN messages m ON m.hash = t.answer
    WHERE t.project = ? AND t.ended BETWEEN ? AND ? AND m.extra IS NOT NULL
    ORDER BY t.ended DESC LIMIT 50
"""
_REACH = 86400.0
"""Seconds for which a call may wait for the person's word, and run."""


def since_called(store: Store, command: CommandResult, calls: Iterable[str]) -> CommandResult:
    """A command of one of these calls, with the longest time that it can have taken."""
    names = [json.dumps(call) for call in calls]
    about = (command.project, command.ts - _REACH, command.ts + _SLACK)
    for row in store.rows(_ANSWERS, about) if names else ():
        if any(name in row["extra"] for name in names):
            return replace(command, seconds=max(0.0, command.ts - row["ended"]))
    return replace(command, seconds=AT_MOST)


def last_calls(turn: Turn) -> list[str]:
    """The ids of the calls whose results a turn's request brings."""
    answers = (m for m in reversed(turn.messages) if m.role == "assistant")
    return call_ids(next(answers, Message("assistant", "")))


def call_ids(message: Message) -> list[str]:
    """The ids that an answer gives its calls."""
    calls = message.extra.get("tool_calls")
    listed = calls if isinstance(calls, (list, tuple)) else ()
    return [str(call["id"]) for call in listed if isinstance(call, Mapping) and call.get("id")]
