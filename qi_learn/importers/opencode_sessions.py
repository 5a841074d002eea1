"""OpenCode's sessions: `opencode.db` since version 1.2, before that JSON files in `storage/`.

Both hold the same records (`session`, `message`, `part`; packages/opencode/src/session). In the
database `data` is JSON without the ids, which have columns; the files are
`storage/{session/<project>,message/<session>,part/<message>}/<id>.json`. A message of the assistant
is one answer, with the tools that it called and what came back as parts; it is read once it has
`time.completed`, which is the cursor (milliseconds).

Read from a database of 1.18 too, which was made here. System prompt and tools are not kept there,
so no question is whole. If there is a database, the older files are not read: OpenCode took them
over.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from qi_learn.importers.conversation import Conversation, texts_of
from qi_learn.importers.json_lines import (
    behind,
    inner,
    is_local,
    is_number,
    json_file,
    regular_files,
    seconds,
)
from qi_learn.importers.json_lines import text_of as text
from qi_learn.outside.foreign_database import ForeignDatabase, foreign_database
from qi_learn.records import ImportedItem, ImportedTurn, NotUnderstood, ReadTo, ToolSign
from qi_learn.refusals import OPENCODE_REFUSED

DATABASE = "opencode.db"


def usual_place(home: Path, environment: Mapping[str, str]) -> Path:
    """OpenCode's directory."""
    return Path(environment.get("XDG_DATA_HOME") or home / ".local" / "share") / "opencode"


def files(path: Path) -> list[Path]:
    """The database that a path means, or the files of its sessions."""
    if not path.is_dir():
        return [path]
    if (path / DATABASE).is_file():
        return [path / DATABASE]
    storage = path / "storage" if (path / "storage").is_dir() else path
    return regular_files(sorted(storage.glob("session/*/*.json")))


def read(file: Path, after: str, *, ended: bool) -> Iterator[ImportedItem]:
    """The turns that were completed after a cursor, and what the person declined.

    Raises NotFound if the database cannot be read.
    """
    since = behind(after)
    newest = since
    for item in _all(file, since):
        newest = max(newest, behind(item.cursor))
        yield replace(item, cursor=after)  # sessions overlap: the next one may have an earlier one
    if newest > since:
        yield ReadTo(str(newest))


def _all(file: Path, since: int) -> Iterator[ImportedItem]:
    if file.suffix == ".json":
        yield from _items(_of_files(file), since)
        return
    with foreign_database(file) as database:
        for session in _sessions(database, since):
            yield from _items(session, since)


@dataclass(frozen=True, slots=True)
class _Message:
    id: str
    info: Mapping[str, Any]
    parts: tuple[Mapping[str, Any], ...]

    @property
    def completed(self) -> int:
        """When it was completed, in milliseconds; 0 while it is not."""
        done = inner(self.info, "time").get("completed")
        return int(done) if is_number(done) else 0


@dataclass(frozen=True, slots=True)
class _Session:
    id: str
    directory: str | None
    messages: tuple[_Message, ...]
    attended: bool = True
    """False: of `opencode run`, which refuses by itself what it would have to ask a person."""


def _sessions(database: ForeignDatabase, since: int) -> Iterator[_Session]:
    """The sessions in which something was completed since then, each with all its messages."""
    asks = "permission" if "permission" in database.columns("session") else "NULL"
    sql = f"SELECT id, directory, {asks} AS asks FROM session WHERE time_updated >= ? ORDER BY id"
    for row in database.rows(sql, (since,)):
        messages = database.rows(
            "SELECT id, data FROM message WHERE session_id = ? ORDER BY time_created, id",
            (row["id"],),
        )
        parts: dict[str, list[Mapping[str, Any]]] = {}
        sql = "SELECT message_id, data FROM part WHERE session_id = ? ORDER BY id"
        for part in database.rows(sql, (row["id"],)):
            parts.setdefault(part["message_id"], []).append(_object(part["data"]))
        yield _Session(
            row["id"],
            row["directory"],
            tuple(
                _Message(m["id"], _object(m["data"]), tuple(parts.get(m["id"], ())))
                for m in messages
            ),
            _may_ask(_value(row["asks"])),
        )


def _may_ask(rules: Any) -> bool:
    """Whether a session may ask the person; `opencode run` makes its sessions so that none may."""
    return not any(
        rule.get("permission") == "question" and rule.get("action") == "deny"
        for rule in (rules if isinstance(rules, list) else ())
        if isinstance(rule, Mapping)
    )


def _of_files(file: Path) -> _Session:
    session, storage = json_file(file), file.parents[2]
    id = text(session.get("id")) or file.stem
    found = [
        _Message(
            each.stem,
            json_file(each),
            tuple(map(json_file, sorted((storage / "part" / each.stem).glob("*.json")))),
        )
        for each in sorted((storage / "message" / id).glob("*.json"))
    ]
    found.sort(key=lambda m: (seconds(inner(m.info, "time").get("created")) or 0.0, m.id))
    asked = _may_ask(session.get("permission"))
    return _Session(id, text(session.get("directory")) or None, tuple(found), asked)


def _value(data: Any) -> Any:
    try:
        return json.loads(data)
    except (TypeError, ValueError, RecursionError):
        return None


def _object(data: Any) -> Mapping[str, Any]:
    value = _value(data)
    return value if isinstance(value, Mapping) else {}


def _items(session: _Session, since: int) -> list[ImportedItem]:
    said, items = Conversation(), list[ImportedItem]()
    asked: float | None = None
    for message in session.messages:
        role = message.info.get("role")
        created = seconds(inner(message.info, "time").get("created"))
        if role == "user":
            said.add({"role": "user", "content": _texts(message)}, "prompt")
            asked = created
        elif role == "assistant":
            if message.completed > since:
                items += _answered(session, message, said, asked or created or 0.0)
            said.add(_answer(message), "answer")
            for result in _results(message):
                said.add(result, "other")
            asked = seconds(message.completed) if message.completed else created
        elif message.completed > since or not message.info:
            why = f"a message of {role!r}" if role else "a message that is not JSON"
            items.append(NotUnderstood(str(message.completed or since), message.id, why))
    return items


def _answered(
    session: _Session, message: _Message, said: Conversation, asked: float
) -> Iterator[ImportedItem]:
    answer, info = _answer(message), message.info
    if not answer["content"] and not answer.get("tool_calls"):
        return  # an error, or it was aborted before its first word
    model = text(info.get("modelID")) or "unknown"
    ended = message.completed / 1000.0
    tokens = inner(info, "tokens")
    finish = "tool_calls" if answer.get("tool_calls") else "stop"
    yield ImportedTurn(
        message.id,
        str(message.completed),
        "/v1/chat/completions",
        {"model": model, "messages": said.question()},
        {
            "choices": [{"index": 0, "message": answer, "finish_reason": finish}],
            "usage": {
                "prompt_tokens": tokens.get("input"),
                "completion_tokens": tokens.get("output"),
            },
        },
        min(asked, ended),
        ended,
        model,
        local=is_local(info.get("providerID")),
        session=session.id,
        directory=text(inner(info, "path").get("cwd")) or session.directory,
        cancelled=inner(info, "error").get("name") == "MessageAbortedError",
    )
    for part in _tools(message) if session.attended else ():
        if text(inner(part, "state").get("error")).startswith(OPENCODE_REFUSED):
            call = text(part.get("callID"))
            yield ToolSign(message.id, str(message.completed), ended, "declined", call or None)


def _texts(message: _Message) -> str:
    return texts_of([part for part in message.parts if part.get("type") == "text"])


def _tools(message: _Message) -> list[Mapping[str, Any]]:
    return [part for part in message.parts if part.get("type") == "tool"]


def _answer(message: _Message) -> dict[str, Any]:
    calls = [
        {
            "id": text(part.get("callID")),
            "type": "function",
            "function": {
                "name": text(part.get("tool")),
                "arguments": json.dumps(inner(inner(part, "state"), "input")),
            },
        }
        for part in _tools(message)
    ]
    thoughts = texts_of([part for part in message.parts if part.get("type") == "reasoning"])
    answer: dict[str, Any] = {"role": "assistant", "content": _texts(message)}
    return {
        **answer,
        **({"tool_calls": calls} if calls else {}),
        **({"reasoning": thoughts} if thoughts else {}),
    }


def _results(message: _Message) -> Iterator[dict[str, Any]]:
    for part in _tools(message):
        state = inner(part, "state")
        output = text(state.get("output")) or text(state.get("error"))
        if state.get("status") in ("completed", "error"):
            yield {"role": "tool", "tool_call_id": text(part.get("callID")), "content": output}
