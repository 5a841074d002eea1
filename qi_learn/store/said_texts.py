"""What was said in a row: the texts that `forget --grep` looks through.

The invariant: each is a text that a person, a client or a model wrote, or a name of theirs, with
the signs that JSON escapes as they are meant. The names of fields, the punctuation of JSON, the
kinds, states and reasons that this program wrote, and what it derived of a project, are none: by
them every answer would be found. Not looked through either: the name of the model and of the
client's session, by which a person means no answer.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

DERIVED = frozenset(
    (
        *("project_type", "language", "languages", "technologies", "frameworks", "files", "commit"),
        *("testing_framework", "code_style", "architecture", "development_phase"),
    )
)
"""Fields of a project's context that this program found out; the others are names of a person's."""
_OWN_WORDS = frozenset(("type", "role", "kind", "hook", "object", "event", "line_ends"))
"""Fields whose value is a word of the protocol or of this program."""
_FREE = frozenset(("arguments", "args", "input", "tool_input", "tool_response"))
"""Fields that hold what a model or a client made, names and all."""
_NAMES = frozenset(("properties", "$defs", "definitions"))
"""Fields of a schema whose own fields have names that a client chose."""
_OF_COMMANDS = ("command", "cwd", "tests", "loaded", "failing", "covered")
_OF_RATINGS = ("comment", "correction")
_OF_EVENTS: Mapping[str, tuple[str, ...] | None] = {
    "outcome": _OF_COMMANDS,
    "rating": _OF_RATINGS,
    **dict.fromkeys(("git", "hook", "edit", "sign")),
}
"""By kind of event what of its body was said; None: all of it. Of the others nothing was."""

Columns = Mapping[str, Callable[[Any], Iterator[str]]]


def plain(value: Any) -> Iterator[str]:
    """A column that is a text."""
    if isinstance(value, str):
        yield value


def in_json(value: Any) -> Iterator[str]:
    """A column of JSON: its texts without its fields' names; one that is damaged as it is."""
    if isinstance(value, str):
        try:
            yield from _texts(json.loads(value))
        except (ValueError, RecursionError):
            yield value


def of_context(value: Any) -> Iterator[str]:
    """A project's context (JSON) without what was derived."""
    if not isinstance(value, str):
        return
    try:
        context = json.loads(value)
        if isinstance(context, dict):
            context = {name: inner for name, inner in context.items() if name not in DERIVED}
        yield from _texts(context)
    except (ValueError, RecursionError):
        yield value


def of_event(kind: str, body: Any) -> Iterator[str]:
    """The body of an event (JSON)."""
    if not isinstance(body, str) or kind not in _OF_EVENTS:
        return
    try:
        told, names = json.loads(body), _OF_EVENTS[kind]
        if names is not None and isinstance(told, dict):
            told = {name: told[name] for name in names if name in told}
        yield from _texts(told)
    except (ValueError, RecursionError):
        yield body


ON_TURNS: Mapping[str, Columns] = {
    "suggestions": {
        **dict.fromkeys(("text", "file", "name", "region", "final_text", "path", "old"), plain),
        **dict.fromkeys(("lead", "trail"), plain),
        **dict.fromkeys(("before", "after", "head"), in_json),
    },
    "survival": {"file": plain},
    "feedback": dict.fromkeys(("final_version", "correction"), plain),
    "scores": {"target_text": plain},
    "ratings": dict.fromkeys(_OF_RATINGS, plain),
}
"""By table: the columns with what was said that hang on a turn."""
TURNS: Columns = {"options": in_json, "request": in_json, "context": of_context}
MESSAGES: Columns = {"content": plain, "extra": in_json}
COMMANDS: Columns = {
    **dict.fromkeys(("command", "cwd"), plain),
    **dict.fromkeys(("tests", "loaded", "failing", "covered"), in_json),
}
RATINGS: Columns = ON_TURNS["ratings"]


def texts_of(columns: Columns, row: Any) -> Iterator[str]:
    """What was said in the columns of a row."""
    for name, read in columns.items():
        yield from read(row[name])


# --- in JSON --------------------------------------------------------------------------------------


def _texts(value: Any) -> Iterator[str]:
    """The texts in a value whose fields have names of the protocol's or of ours."""
    if isinstance(value, str):
        yield from _text(value)
    elif isinstance(value, list):
        for inner in value:
            yield from _texts(inner)
    elif isinstance(value, dict):
        for name, inner in value.items():
            if name in _FREE:
                yield from _free(_opened(inner))
            elif name in _NAMES and isinstance(inner, dict):
                yield from inner
                yield from _texts(list(inner.values()))
            elif name not in _OWN_WORDS or not isinstance(inner, str):
                yield from _texts(inner)


def _free(value: Any) -> Iterator[str]:
    """The texts in a value that another made, the names of its fields too."""
    if isinstance(value, str):
        yield from _text(value)
    elif isinstance(value, list):
        for inner in value:
            yield from _free(inner)
    elif isinstance(value, dict):
        for name, inner in value.items():
            yield name
            yield from _free(inner)


def _text(text: str) -> Iterator[str]:
    """A text, and what it means if it is JSON that escapes something."""
    yield text
    if "\\" in text and (opened := _opened(text)) != text:
        yield from _free(opened)


def _opened(value: Any) -> Any:
    """The value that a text of JSON holds: a call's arguments come so; else the value itself."""
    if isinstance(value, str) and value[:1] in ("{", "["):
        try:
            return json.loads(value)
        except (ValueError, RecursionError):
            return value
    return value
