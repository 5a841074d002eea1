"""The log of simonw/llm: `logs.db` (`llm logs path` names it).

Since 0.32 a call is a row of `turns`; its messages are a chain (`messages.parent_hash`), their
texts `parts`, and a text that borrows from a fragment names it in `payload.text_ref`. Older calls
are rows of `responses`, and what was said before in a conversation is the rows before. A question
is whole, unless it had tools (they are kept apart) or an attachment.

That a model ran on this machine is known where the server's own answer was kept and is Ollama's.
The cursor is the number of the last row of either table. Not covered: embeddings, templates.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qi_learn.importers.json_lines import behind, objects, seconds
from qi_learn.importers.json_lines import text_of as text
from qi_learn.outside.foreign_database import ForeignDatabase, foreign_database
from qi_learn.paths import user_config
from qi_learn.records import ImportedItem, ImportedTurn, NotUnderstood

_CHAIN = """
    WITH RECURSIVE chain (hash, parent, role, depth) AS (
        SELECT hash, parent_hash, role, 0 FROM messages WHERE hash = ?
        UNION ALL
        SELECT m.hash, m.parent_hash, m.role, depth + 1
        FROM messages m JOIN chain ON m.hash = chain.parent
    ) SELECT hash, role FROM chain ORDER BY depth DESC
"""
_ROLES = {"system": "system", "user": "user", "assistant": "assistant", "tool": "tool"}


def usual_place(home: Path, environment: Mapping[str, str]) -> Path:
    """The log where llm keeps it on Linux, or where it is told to."""
    user = environment.get("LLM_USER_PATH")
    configured = user_config(home, environment)
    return (Path(user) if user else configured / "io.datasette.llm") / "logs.db"


def files(path: Path) -> list[Path]:
    """The log that a path means."""
    return [path / "logs.db"] if path.is_dir() else [path]


def read(file: Path, after: str, *, ended: bool) -> Iterator[ImportedItem]:
    """The calls behind a cursor. Raises NotFound if the log cannot be read."""
    new, _, old = after.partition(",")
    with foreign_database(file) as database:
        yield from _responses(database, new, behind(old))
        yield from _turns(database, behind(new), old)


# --- since 0.32 -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Chain:
    """Messages as `/api/chat` has them."""

    messages: list[dict[str, Any]]
    plain: bool
    """Whether they are all that the model read."""


def _turns(database: ForeignDatabase, since: int, old: str) -> Iterator[ImportedItem]:
    if not database.columns("turns"):
        return
    last = max((r[0] or 0 for r in _max(database, "responses")), default=0) or behind(old)
    answered = "response_json" if "response_json" in database.columns("turns") else "NULL"
    sql = f"SELECT rowid AS number, *, {answered} AS raw FROM turns WHERE rowid > ? ORDER BY rowid"
    for row in database.rows(sql, (since,)):
        cursor = f"{row['number']},{last}"
        asked = _chain(database, row["parent_message_hash"], "")
        answer = _chain(database, row["tip_message_hash"], row["parent_message_hash"] or "")
        ended = seconds(row["datetime_utc"])
        said = next((m for m in answer.messages if m["role"] == "assistant"), None)
        if said is None or not asked.messages or ended is None:
            yield NotUnderstood(cursor, f"turn {row['id']}", "no question, no answer or no time")
            continue
        tools = database.rows("SELECT 1 FROM turn_tools WHERE turn_id = ? LIMIT 1", (row["id"],))
        yield _turn(
            row["id"],
            cursor,
            asked.messages,
            said,
            ended=ended,
            duration=row["duration_ms"],
            model=row["resolved_model"] or row["model"],
            counts=(row["input_tokens"], row["output_tokens"]),
            raw=row["raw"],
            options=row["options_json"],
            session=row["thread_id"],
            whole=asked.plain and answer.plain and not tools,
        )


def _max(database: ForeignDatabase, table: str) -> list[Any]:
    return database.rows(f"SELECT max(rowid) FROM {table}") if database.columns(table) else []


def _chain(database: ForeignDatabase, tip: str | None, behind_hash: str) -> _Chain:
    """The messages up to `tip`, those behind one of them if it is named."""
    rows = database.rows(_CHAIN, (tip,)) if tip else []
    hashes = [row["hash"] for row in rows]
    if behind_hash in hashes:
        rows = rows[hashes.index(behind_hash) + 1 :]
    messages: list[dict[str, Any]] = []
    plain = True
    for row in rows:
        parts = database.rows(
            "SELECT type, text, payload FROM parts WHERE message_hash = ? ORDER BY position",
            (row["hash"],),
        )
        made = [_part(database, p["type"], p["text"], p["payload"]) for p in parts]
        plain = plain and all(p["type"] in ("text", "reasoning") for p in parts)
        messages += _messages(_ROLES.get(row["role"], row["role"]), made)
    return _Chain(messages, plain)


def _part(database: ForeignDatabase, kind: str, plain: Any, payload: Any) -> dict[str, Any]:
    value = {**_object(payload), "type": kind}
    pieces = objects(value.get("text_ref"))
    if isinstance(plain, str):
        value["text"] = plain
    elif pieces:
        value["text"] = "".join(_piece(database, piece) for piece in pieces)
    return value


def _piece(database: ForeignDatabase, piece: Mapping[str, Any]) -> str:
    if isinstance(piece.get("literal"), str):
        return str(piece["literal"])
    rows = database.rows("SELECT content FROM fragments WHERE id = ?", (piece.get("fragment"),))
    return str(rows[0]["content"]) if rows else ""


def _messages(role: str, parts: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """What `/api/chat` has for one message: results of tools are messages of their own."""
    results = [p for p in parts if p["type"] == "tool_result"]
    for result in results:
        name = text(result.get("name"))
        yield {"role": "tool", "content": text(result.get("output")), "tool_name": name}
    if results and role in ("tool", "user") and not any(p["type"] == "text" for p in parts):
        return
    message: dict[str, Any] = {
        "role": role,
        "content": "".join(text(p.get("text")) for p in parts if p["type"] == "text"),
    }
    thoughts = "".join(text(p.get("text")) for p in parts if p["type"] == "reasoning")
    calls = [
        {"function": {"name": text(p.get("name")), "arguments": p.get("arguments") or {}}}
        for p in parts
        if p["type"] == "tool_call"
    ]
    if thoughts:
        message["thinking"] = thoughts
    if calls:
        message["tool_calls"] = calls
    yield message


# --- before ---------------------------------------------------------------------------------------


def _responses(database: ForeignDatabase, new: str, since: int) -> Iterator[ImportedItem]:
    if not database.columns("responses"):
        return
    sql = "SELECT rowid AS number, * FROM responses WHERE rowid > ? ORDER BY rowid"
    for row in database.rows(sql, (since,)):
        cursor, ended = f"{new or 0},{row['number']}", seconds(row["datetime_utc"])
        before = database.rows(
            "SELECT prompt, system, response FROM responses WHERE conversation_id = ? "
            "AND rowid < ? ORDER BY rowid",
            (row["conversation_id"], row["number"]),
        )
        if not row["response"] or ended is None:
            yield NotUnderstood(cursor, f"response {row['id']}", "no answer or no time")
            continue
        system = next((r["system"] for r in (*before, row) if r["system"]), None)
        messages = [{"role": "system", "content": system}] if system else []
        for said in before:
            messages.append({"role": "user", "content": said["prompt"] or ""})
            messages.append({"role": "assistant", "content": said["response"] or ""})
        messages.append({"role": "user", "content": row["prompt"] or ""})
        names = row.keys()
        yield _turn(
            row["id"],
            cursor,
            messages,
            {"role": "assistant", "content": row["response"]},
            ended=ended,
            duration=row["duration_ms"],
            model=row["model"],
            counts=(
                row["input_tokens"] if "input_tokens" in names else None,
                row["output_tokens"] if "output_tokens" in names else None,
            ),
            raw=row["response_json"],
            options=row["options_json"],
            session=row["conversation_id"],
            whole=not _apart(database, row["id"]),
        )


def _apart(database: ForeignDatabase, id: str) -> bool:
    """Whether something of an old call is kept apart: fragments, attachments, tools."""
    tables = ("prompt_fragments", "system_fragments", "prompt_attachments", "tool_responses")
    return any(
        database.rows(f"SELECT 1 FROM {table} WHERE response_id = ? LIMIT 1", (id,))
        for table in tables
        if "response_id" in database.columns(table)
    )


# --- both -----------------------------------------------------------------------------------------


def _turn(
    id: str,
    cursor: str,
    messages: list[dict[str, Any]],
    answer: Mapping[str, Any],
    *,
    ended: float,
    duration: Any,
    model: str,
    counts: tuple[Any, Any],
    raw: Any,
    options: Any,
    session: str | None,
    whole: bool,
) -> ImportedTurn:
    length = duration / 1000.0 if isinstance(duration, (int, float)) else 0.0
    return ImportedTurn(
        id,
        cursor,
        "/api/chat",
        {"model": model, "messages": messages, "options": _object(options)},
        {
            "message": dict(answer),
            "done": True,
            "done_reason": "stop",
            "prompt_eval_count": counts[0],
            "eval_count": counts[1],
        },
        ended,
        ended + length,
        model or "unknown",
        local=_is_ollamas(_object(raw)),
        whole=whole,
        session=session,
    )


def _is_ollamas(answer: Mapping[str, Any]) -> bool | None:
    """True for an answer of Ollama's from this machine, False for one that it fetched."""
    if answer.get("remote_host"):
        return False
    return True if "load_duration" in answer and "eval_duration" in answer else None


def _object(value: Any) -> dict[str, Any]:
    try:
        made = json.loads(value) if isinstance(value, (str, bytes)) else value
    except (ValueError, RecursionError):
        return {}
    return dict(made) if isinstance(made, Mapping) else {}
