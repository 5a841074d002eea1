"""Continue's development data: `~/.continue/dev_data/0.2.0/<event>.jsonl`.

A file an event (packages/config-yaml/src/schemas/data). Read are `autocomplete` and `editOutcome`,
which say whether the person accepted, `chatInteraction`, and `chatFeedback` (a thumb). A prompt of
the chat is one text with `<role>` before each message; in which directory a session was is in
`~/.continue/sessions/<session>.json`. `accepted` may be missing: then nothing is told.

A completion is logged as Continue shows it, cut and trimmed, and a chat without its tools, so no
question is whole. `level: noCode` leaves the texts out: such lines are not understood. Not read:
`tokensGenerated`, `toolUsage`, `nextEdit...`, `quickEdit`, `editInteraction` (its outcome is).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from qi_learn.importers.json_lines import (
    JsonLine,
    behind,
    is_local,
    json_file,
    json_lines,
    local_path,
    seconds,
)
from qi_learn.importers.json_lines import text_of as text
from qi_learn.records import ImportedItem, ImportedTurn, NotUnderstood, ToolRating, ToolSign

SCHEMA = "0.2.0"
EVENTS = ("autocomplete", "chatInteraction", "chatFeedback", "editOutcome")
THUMB_UP, THUMB_DOWN = 4, 2
_ROLE = re.compile(r"^<(system|user|assistant|tool)>\n", re.MULTILINE)


def usual_place(home: Path, environment: Mapping[str, str]) -> Path:
    """Continue's directory."""
    return Path(environment.get("CONTINUE_GLOBAL_DIR") or home / ".continue")


def files(path: Path) -> list[Path]:
    """The files of the events that are read, the chats before what is said of them."""
    if not path.is_dir():
        return [path]
    roots = (path / "dev_data" / SCHEMA, path / SCHEMA, path)
    root = next((r for r in roots if any(r.glob("*.jsonl"))), path)
    return [root / f"{name}.jsonl" for name in EVENTS if (root / f"{name}.jsonl").is_file()]


def read(file: Path, after: str, *, ended: bool) -> Iterator[ImportedItem]:
    """The events of one file behind a cursor (bytes). Raises NotFound if it cannot be read."""
    since = behind(after)
    sessions: dict[str, str | None] = {}
    for line in json_lines(file):
        if line.end <= since:
            continue
        value = line.value or {}
        made = _MADE.get(text(value.get("eventName")) or file.stem)
        ts = seconds(value.get("timestamp"))
        if line.value is None or made is None or ts is None:
            why = line.problem or "an event that is not read, or without a time"
            yield NotUnderstood(str(line.end), f"line {line.number}", why)
            continue
        try:
            yield from made(line, value, ts, _Place(file, sessions))
        except KeyError as error:
            yield NotUnderstood(str(line.end), f"line {line.number}", f"without {error}")


class _Place:
    """In which directory a session was, looked up once each."""

    def __init__(self, file: Path, known: dict[str, str | None]) -> None:
        parents = file.absolute().parents
        self._sessions = (parents[2] if len(parents) > 2 else parents[0]) / "sessions"
        self._known = known

    def of(self, session: str) -> str | None:
        """The directory; None if it is not known."""
        if session not in self._known:
            safe = re.fullmatch(r"[\w-]+", session) is not None
            found = json_file(self._sessions / f"{session}.json") if safe else {}
            self._known[session] = local_path(found.get("workspaceDirectory"))
        return self._known[session]


def _completion(
    line: JsonLine, value: Mapping[str, Any], ts: float, place: _Place
) -> Iterator[ImportedItem]:
    key = _text(value, "completionId")
    length = value.get("time")
    yield _turn(
        key,
        line,
        value,
        "/v1/completions",
        {"prompt": _text(value, "prefix"), "suffix": _text(value, "suffix")},
        {"choices": [{"text": _text(value, "completion"), "finish_reason": "stop"}]},
        ts - (length / 1000.0 if isinstance(length, (int, float)) else 0.0),
        ts,
        directory=_directory(value.get("filepath")),
    )
    yield from _sign(key, line, value, ts)


def _edit(
    line: JsonLine, value: Mapping[str, Any], ts: float, place: _Place
) -> Iterator[ImportedItem]:
    key = _digest("edit", value.get("timestamp"), value.get("filepath"), value.get("prompt"))
    yield _turn(
        key,
        line,
        value,
        "/v1/completions",
        {"prompt": _text(value, "prompt")},
        {"choices": [{"text": _text(value, "completion"), "finish_reason": "stop"}]},
        ts,
        ts,
        directory=_directory(value.get("filepath")),
    )
    yield from _sign(key, line, value, ts)


def _sign(key: str, line: JsonLine, value: Mapping[str, Any], ts: float) -> Iterator[ToolSign]:
    accepted = value.get("accepted")
    if isinstance(accepted, bool):
        yield ToolSign(key, str(line.end), ts, "accepted" if accepted else "declined")


def _chat(
    line: JsonLine, value: Mapping[str, Any], ts: float, place: _Place
) -> Iterator[ImportedItem]:
    session = text(value.get("sessionId"))
    model = _model(value)
    yield _turn(
        _chat_key(value),
        line,
        value,
        "/api/chat",
        {"model": model, "messages": _messages(_text(value, "prompt"))},
        {
            "message": {"role": "assistant", "content": _text(value, "completion")},
            "done": True,
            "done_reason": "stop",
        },
        ts,
        ts,
        directory=place.of(session) if session else None,
        session=session or None,
    )


def _thumb(
    line: JsonLine, value: Mapping[str, Any], ts: float, place: _Place
) -> Iterator[ImportedItem]:
    liked = value.get("feedback")
    if isinstance(liked, bool):
        rating, words = (THUMB_UP, "up") if liked else (THUMB_DOWN, "down")
        yield ToolRating(
            _chat_key(value), str(line.end), ts, rating, comment=f"a thumb {words} in Continue"
        )


def _chat_key(value: Mapping[str, Any]) -> str:
    """Known without its time: the thumb that is given later has another."""
    return _digest("chat", value.get("sessionId"), _text(value, "prompt"), value.get("completion"))


def _turn(
    key: str,
    line: JsonLine,
    value: Mapping[str, Any],
    endpoint: str,
    request: Mapping[str, Any],
    response: Mapping[str, Any],
    started: float,
    ended: float,
    *,
    directory: str | None,
    session: str | None = None,
) -> ImportedTurn:
    return ImportedTurn(
        key,
        str(line.end),
        endpoint,
        {"model": _model(value), **request},
        response,
        started,
        ended,
        _model(value),
        local=is_local(value.get("modelProvider")),
        session=session,
        directory=directory,
    )


def _messages(prompt: str) -> list[dict[str, str]]:
    """The messages in the one text that Continue logs."""
    marks = list(_ROLE.finditer(prompt))
    if not marks or marks[0].start():
        return [{"role": "user", "content": prompt}]
    ends = [*(mark.start() for mark in marks[1:]), len(prompt)]
    return [
        {"role": mark[1], "content": prompt[mark.end() : end].removesuffix("\n\n")}
        for mark, end in zip(marks, ends, strict=True)
    ]


def _model(value: Mapping[str, Any]) -> str:
    return text(value.get("modelName")) or text(value.get("modelTitle")) or "unknown"


def _directory(path: Any) -> str | None:
    file = local_path(path)
    return None if file is None else str(Path(file).parent)


def _text(value: Mapping[str, Any], name: str) -> str:
    """A text that has to be there. Raises KeyError with its name."""
    if not isinstance(value.get(name), str):
        raise KeyError(name)
    return str(value[name])


def _digest(*parts: Any) -> str:
    return hashlib.sha256("\0".join(map(str, parts)).encode("utf-8", "replace")).hexdigest()


_MADE = {
    "autocomplete": _completion,
    "editOutcome": _edit,
    "chatInteraction": _chat,
    "chatFeedback": _thumb,
}
