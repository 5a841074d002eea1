"""Logs as other programs write them, line by line, in their published shapes."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

CODE = "def total(rows):\n    return sum(row.price for row in rows)\n"
DECLINED = (
    "The user doesn't want to proceed with this tool use. The tool use was rejected (eg. if it was "
    "a file edit, the new_string was NOT written to the file). STOP what you are doing and wait "
    "for the user to tell you how to proceed."
)


def iso(ts: float) -> str:
    return datetime.fromtimestamp(ts, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def jsonl(file: Path, lines: Iterable[Any]) -> Path:
    """Append whole lines to a file."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("a", encoding="utf-8") as out:
        out.writelines(json.dumps(line) + "\n" for line in lines)
    return file


# --- Claude Code ----------------------------------------------------------------------------------


class ClaudeSession:
    """A transcript as it is written."""

    def __init__(self, file: Path, project: Path, *, at: float, session: str = "s-1") -> None:
        self.file, self.project, self.session = file, project, session
        self.at, self.count = at, 0
        self.parent: str | None = None

    def _line(self, kind: str, message: dict[str, Any], **more: Any) -> str:
        self.count += 1
        self.at += 1.0
        uuid = f"{self.session}-{self.count}"
        line = {
            "parentUuid": self.parent,
            "isSidechain": False,
            "userType": "external",
            "cwd": str(self.project),
            "sessionId": self.session,
            "version": "2.1.12",
            "gitBranch": "main",
            "type": kind,
            "message": message,
            "uuid": uuid,
            "timestamp": iso(self.at),
            **more,
        }
        jsonl(self.file, [line])
        self.parent = uuid
        return uuid

    def asks(self, words: str, **more: Any) -> str:
        return self._line("user", {"role": "user", "content": words}, **more)

    def answers(
        self, id: str, *blocks: dict[str, Any], model: str = "claude-sonnet-4-5", stop: str = "end"
    ) -> None:
        """Each block is a line of its own; the last one says why the model stopped."""
        for number, block in enumerate(blocks, 1):
            reason = stop if number == len(blocks) and stop else None
            message = {
                "id": id,
                "type": "message",
                "role": "assistant",
                "model": model,
                "content": [block],
                "stop_reason": reason,
                "usage": {"input_tokens": 12, "output_tokens": 7},
            }
            self._line("assistant", message, requestId="req_1")

    def results(self, call: str, words: str, *, error: bool = False) -> None:
        block: dict[str, Any] = {"tool_use_id": call, "type": "tool_result", "content": words}
        if error:
            block["is_error"] = True
        self._line("user", {"role": "user", "content": [block]}, toolUseResult=words)


def says(words: str) -> dict[str, Any]:
    return {"type": "text", "text": words}


def edits(call: str, file: str, old: str, new: str) -> dict[str, Any]:
    arguments = {"file_path": file, "old_string": old, "new_string": new}
    return {"type": "tool_use", "id": call, "name": "Edit", "input": arguments}


# --- Codex ----------------------------------------------------------------------------------------


def codex_line(ts: float, kind: str, /, **payload: Any) -> dict[str, Any]:
    return {"timestamp": iso(ts), "type": kind, "payload": payload}


def codex_session(project: Path, at: float, provider: str = "openai") -> list[dict[str, Any]]:
    """A session with one prompt, a patch and its result, and a last word."""
    patch = "*** Begin Patch\n*** Add File: a.py\n+x = 1\n*** End Patch\n"
    return [
        codex_line(
            at,
            "session_meta",
            id="c-1",
            timestamp=iso(at),
            cwd=str(project),
            originator="codex_cli_rs",
            cli_version="0.65.0",
            model_provider=provider,
        ),
        codex_line(
            at,
            "response_item",
            type="message",
            role="user",
            content=[
                {"type": "input_text", "text": "<environment_context>here</environment_context>"}
            ],
        ),
        codex_line(
            at + 1,
            "response_item",
            type="message",
            role="user",
            content=[{"type": "input_text", "text": "Add a file a.py."}],
        ),
        codex_line(
            at + 1, "event_msg", type="user_message", message="Add a file a.py.", kind="plain"
        ),
        codex_line(at + 1, "turn_context", cwd=str(project), model="gpt-5-codex", effort="high"),
        codex_line(
            at + 2, "response_item", type="reasoning", summary=[], encrypted_content="c2VjcmV0"
        ),
        codex_line(
            at + 3,
            "response_item",
            type="custom_tool_call",
            status="completed",
            call_id="call_1",
            name="apply_patch",
            input=patch,
        ),
        codex_line(
            at + 3,
            "event_msg",
            type="token_count",
            info={
                "last_token_usage": {
                    "input_tokens": 90,
                    "cached_input_tokens": 10,
                    "output_tokens": 8,
                }
            },
        ),
        codex_line(
            at + 4,
            "response_item",
            type="custom_tool_call_output",
            call_id="call_1",
            output="patch rejected by user",
        ),
        codex_line(
            at + 5,
            "response_item",
            type="message",
            role="assistant",
            content=[{"type": "output_text", "text": "I leave it."}],
        ),
        codex_line(at + 5, "event_msg", type="token_count", info=None),
    ]


# --- OpenCode -------------------------------------------------------------------------------------


def opencode_messages(project: Path, at: float) -> list[tuple[str, dict[str, Any], list[Any]]]:
    """Id, record and parts of each message of a session: asked, edited (declined), said."""

    def assistant(n: int, done: float | None) -> dict[str, Any]:
        times = {"created": int((at + n) * 1000)}
        if done is not None:
            times["completed"] = int(done * 1000)
        return {
            "role": "assistant",
            "time": times,
            "parentID": "msg_1",
            "modelID": "qwen3:8b",
            "providerID": "ollama",
            "mode": "build",
            "path": {"cwd": str(project), "root": "/"},
            "cost": 0,
            "tokens": {"input": 30, "output": 5, "reasoning": 0, "cache": {"read": 0, "write": 0}},
        }

    call = {
        "type": "tool",
        "callID": "call_1",
        "tool": "edit",
        "state": {
            "status": "error",
            "input": {"filePath": "a.py", "oldString": "x", "newString": "y"},
            "error": "The user rejected permission to use this specific tool call.",
            "time": {"start": 1, "end": 2},
        },
    }
    user = {
        "role": "user",
        "time": {"created": int(at * 1000)},
        "agent": "build",
        "model": {"providerID": "ollama", "modelID": "qwen3:8b"},
    }
    return [
        ("msg_1", user, [{"type": "text", "text": "Rename x."}]),
        (
            "msg_2",
            assistant(1, at + 3),
            [{"type": "step-start"}, {"type": "text", "text": "So."}, call],
        ),
        ("msg_3", assistant(4, at + 5), [{"type": "text", "text": "Then not."}]),
        ("msg_4", assistant(6, None), [{"type": "text", "text": "It is still"}]),
    ]


def opencode_files(directory: Path, project: Path, at: float) -> Path:
    """The session as the JSON files of the versions before 1.2."""
    storage = directory / "storage"
    session = storage / "session" / "prj" / "ses_1.json"
    session.parent.mkdir(parents=True)
    times = {"created": int(at * 1000), "updated": int((at + 9) * 1000)}
    session.write_text(json.dumps({"id": "ses_1", "directory": str(project), "time": times}))
    for id, info, parts in opencode_messages(project, at):
        file = storage / "message" / "ses_1" / f"{id}.json"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps({"id": id, "sessionID": "ses_1", **info}))
        for number, part in enumerate(parts):
            file = storage / "part" / id / f"prt_{number}.json"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(json.dumps({"id": file.stem, "messageID": id, **part}))
    return directory


def opencode_database(directory: Path, project: Path, at: float) -> sqlite3.Connection:
    """The session as OpenCode 1.2 keeps it, in a database that stays open."""
    directory.mkdir(parents=True, exist_ok=True)
    conn = sqlite3.connect(directory / "opencode.db", isolation_level=None)
    conn.execute("PRAGMA journal_mode = WAL")
    conn.executescript(
        """
        CREATE TABLE session (id TEXT PRIMARY KEY, project_id TEXT NOT NULL, parent_id TEXT,
            slug TEXT, directory TEXT NOT NULL, title TEXT NOT NULL, version TEXT NOT NULL,
            time_created INTEGER NOT NULL, time_updated INTEGER NOT NULL);
        CREATE TABLE message (id TEXT PRIMARY KEY, session_id TEXT NOT NULL,
            time_created INTEGER NOT NULL, time_updated INTEGER NOT NULL, data TEXT NOT NULL);
        CREATE TABLE part (id TEXT PRIMARY KEY, message_id TEXT NOT NULL, session_id TEXT NOT NULL,
            time_created INTEGER NOT NULL, time_updated INTEGER NOT NULL, data TEXT NOT NULL);
        """
    )
    ms = int(at * 1000)
    conn.execute(
        "INSERT INTO session VALUES ('ses_1','prj',NULL,'s',?,'t','1.2.0',?,?)",
        (str(project), ms, ms + 9000),
    )
    for number, (id, info, parts) in enumerate(opencode_messages(project, at)):
        conn.execute(
            "INSERT INTO message VALUES (?,'ses_1',?,?,?)",
            (id, ms + number, ms + number, json.dumps(info)),
        )
        for n, part in enumerate(parts):
            conn.execute(
                "INSERT INTO part VALUES (?,?,'ses_1',?,?,?)",
                (f"prt_{number}_{n}", id, ms, ms, json.dumps(part)),
            )
    return conn


# --- aider ----------------------------------------------------------------------------------------


def aider_session(at: float, *exchanges: Sequence[str], model: str = "ollama_chat/qwen3:8b") -> str:
    """What aider appends to its history in one session (aider/io.py)."""
    stamp = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at))
    text = f"\n# aider chat started at {stamp}\n\n"
    for line in (
        "aider --model " + model,
        "Aider v0.86.1",
        f"Model: {model} with diff edit format",
        "Git repo: .git with 3 files",
    ):
        text += f"> {line}  \n"
    for asked, answered in exchanges:
        lines = "  \n#### ".join(asked.splitlines())
        text += f"\n#### {lines}  \n"
        if answered:
            text += f"\n{answered.strip()}\n\n> Tokens: 3.1k sent, 50 received.  \n"
    return text


# --- Continue -------------------------------------------------------------------------------------


def continue_event(name: str, at: float, **more: Any) -> dict[str, Any]:
    return {
        "eventName": name,
        "schema": "0.2.0",
        "timestamp": iso(at),
        "userId": "u",
        "userAgent": "Continue/1.2.0",
        "selectedProfileId": "local",
        **more,
    }


def continue_completion(
    at: float, id: str, completion: str, file: Path, accepted: bool | None
) -> dict[str, Any]:
    event = continue_event(
        "autocomplete",
        at,
        disable=False,
        useFileSuffix=True,
        maxPromptTokens=1024,
        debounceDelay=350,
        multilineCompletions="auto",
        time=180,
        prefix="def total(rows):\n",
        suffix="\n\nprint(total([]))\n",
        prompt="<fim>",
        completion=completion,
        modelProvider="ollama",
        modelName="qwen2.5-coder:1.5b",
        cacheHit=False,
        filepath=file.as_uri(),
        completionId=id,
        uniqueId="x",
    )
    return event if accepted is None else {**event, "accepted": accepted}
