"""The kinds of events and the fields of a line of the spool."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from qi_learn.ids import new_id
from qi_learn.records import AUTHORS, EVENT_KINDS, Event, EventKind
from qi_learn.spool import frame

from .markdown import table

TOLD_BY: Mapping[EventKind, tuple[str, str]] = {
    "turn": ("the gateway", "one request and its answer"),
    "edit": ("an editor", "a change to a file, kept as it came"),
    "rating": (
        "`qi-learn rate` and `mark`, an editor",
        "a rating, a correction, a comment or a mark",
    ),
    "outcome": (
        "`qi-learn run`, the hooks for bash, zsh and fish, the plug-in for pytest",
        "how a command ended",
    ),
    "git": ("the git hook", "a commit, said at once; kept as it came"),
    "hook": ("the hooks for Claude Code and OpenCode, an editor", "what an agent did"),
    "cycle": ("the learning cycle", "how far a run is, and how it ended"),
    "release": (
        "deploy, `qi-learn rollback`, `qi-learn init`",
        "a version made, switched or deleted",
    ),
    "left_out": ("the gateway", "keyed hashes of a request that was not recorded"),
    "sign": (
        "`qi-learn import`, an agent's hook, an editor",
        "what a tool says became of an edit of a turn",
    ),
}
_FIELDS: Mapping[str, str] = {
    "v": "version of the form, 1",
    "id": "a ULID, by which it is stored once; a bare line may lack it (file name, offset and CRC)",
    "ts": "ISO 8601 in UTC with milliseconds; a bare line may lack it (the file's time of change)",
    "kind": "one of the kinds below",
    "source": "name of the producer; a bare line may lack it (the file name's)",
    "author": f"who did it: {', '.join(f'`{name}`' for name in AUTHORS)}",
    "project": "path of the registered project, or null if it is unknown",
    "body": "an object; what is in it depends on the kind",
}


def kinds(_root: Path) -> str:
    """The kinds in the order of the code. Raises LookupError if one is not explained."""
    if set(TOLD_BY) != set(EVENT_KINDS):
        raise LookupError(f"kinds without words: {sorted(set(TOLD_BY) ^ set(EVENT_KINDS))}")
    rows = [(f"[`{kind}`](#{kind})", *TOLD_BY[kind]) for kind in EVENT_KINDS]
    return table(("kind", "told by", "what happened"), rows)


def fields_of_a_line(_root: Path) -> str:
    """The members of the JSON of a framed line. Raises LookupError if one is not explained."""
    line = frame(Event(new_id(0.0), "hook", 0.0, "docs", {}))
    members = json.loads(line.partition(b" ")[2])
    if list(members) != list(_FIELDS):
        raise LookupError(f"members without words: {sorted(set(members) ^ set(_FIELDS))}")
    return table(("member", "meaning"), [(f"`{name}`", words) for name, words in _FIELDS.items()])
