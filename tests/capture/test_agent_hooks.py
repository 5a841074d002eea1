"""What the hooks of agents say is read from what they really sent, and nothing more is said.

The recordings are of Claude Code 1.0.120 and OpenCode 1.18.34, run against a scripted server; their
directories are made up. What only newer versions of Claude Code send is by its documentation.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from qi_learn.capture.agent_hooks import AgentLog, told_by_event
from qi_learn.records import Event
from qi_learn.spool import parse

RECORDINGS = Path(__file__).parent / "recordings"
SHOP = "/work/shop"


def claude_event(payload: str | Mapping[str, Any]) -> Event:
    text = payload if isinstance(payload, str) else json.dumps(payload)
    return Event("E", "hook", 5.0, "claude", {"raw": {"payload": text}}, "agent", SHOP)


def after(tool: str, given: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    named = {"hook_event_name": "PostToolUse", "tool_use_id": "toolu_1", "cwd": SHOP}
    return {**named, "tool_name": tool, "tool_input": given, **more}


def failed(tool: str, given: Mapping[str, Any], error: str, **more: Any) -> dict[str, Any]:
    return after(tool, given, hook_event_name="PostToolUseFailure", error=error, **more)


def said(event: Event) -> list[tuple[Any, ...]]:
    """Of each event that one stands for the kind and what decides."""
    return [
        (e.kind, e.body["said"], e.body.get("call"))
        if e.kind == "sign"
        else (e.kind, e.body["command"], e.body["exit_code"], e.body["cwd"])
        for e in told_by_event(event)
    ]


def test_what_claude_code_really_sent() -> None:
    lines = (RECORDINGS / "claude-code-1.0.120.jsonl").read_text().splitlines()
    logs: list[AgentLog] = []
    events = [e for line in lines for e in told_by_event(claude_event(line), logs.append)]
    assert [(e.kind, e.author, e.project) for e in events] == [
        ("sign", "agent", SHOP),
        ("sign", "agent", SHOP),
        ("outcome", "agent", SHOP),
    ]
    assert [(e.body["said"], e.body["path"], e.body["new"]) for e in events[:2]] == [
        ("applied", f"{SHOP}/tax.py", "VAT = 19"),
        ("applied", f"{SHOP}/b.py", "x = 1\n"),
    ]
    assert events[2].body["command"] == "python3 -m unittest -q"
    assert (events[2].body["exit_code"], events[2].body["passed"]) == (0, 0)
    assert {log.source for log in logs} == {"claude"}
    assert {Path(log.path).parent for log in logs} == {Path("/home/me/.claude/projects/-work-shop")}
    assert len(logs) == 3, "a Stop, and an end of each of two sessions"


def test_what_opencode_really_sent() -> None:
    lines = (RECORDINGS / "opencode-1.18.34.jsonl").read_text().splitlines()
    logs: list[AgentLog] = []
    events = [
        e
        for number, line in enumerate(lines)
        for e in told_by_event(parse(line.encode(), default_id=str(number)), logs.append)
    ]
    assert [(e.kind, e.body.get("said"), e.body.get("call")) for e in events] == [
        ("sign", "applied", "call_edit_1"),
        ("sign", "applied", "call_edit_2"),
        ("sign", "failed", "call_edit_3"),
        ("outcome", None, None),
    ], "`opencode run` refused an edit by itself: no person declined it"
    assert events[3].body["seconds"] == 1.452
    assert logs == [AgentLog("opencode", "/home/me/.local/share/opencode")]


@pytest.mark.parametrize(
    ("payload", "known"),
    [
        (after("Edit", {"file_path": "/a"}), [("sign", "applied", "toolu_1")]),
        (after("Write", {"file_path": "/a"}, tool_result="ok"), [("sign", "applied", "toolu_1")]),
        (
            failed("Edit", {"file_path": "/a"}, "String to replace not found in file."),
            [("sign", "failed", "toolu_1")],
        ),
        (
            failed("Edit", {}, "The user doesn't want to proceed with this tool use. STOP"),
            [("sign", "declined", "toolu_1")],
        ),
        (  # what stood behind a call that was declined: nobody was asked about it
            failed("Edit", {}, "The user doesn't want to take this action right now. STOP"),
            [("sign", "failed", "toolu_1")],
        ),
        (failed("Edit", {}, "Request interrupted by user", is_interrupt=True), []),
        (after("Read", {"file_path": "/a"}), []),
        (after("mcp__files__edit", {"path": "/a"}), []),
        (
            after("Bash", {"command": "pytest -q"}, tool_response={"interrupted": False}),
            [("outcome", "pytest -q", 0, SHOP)],
        ),
        (
            after("Bash", {"command": "pytest -q"}, tool_result={"interrupted": False}),
            [("outcome", "pytest -q", 0, SHOP)],
        ),
        (
            failed("Bash", {"command": "cd /work/shop/web && npm test"}, "Exit code 1\nnpm error"),
            [("outcome", "npm test", 1, "/work/shop/web")],
        ),
        # not certain, or no command that counts
        (failed("Bash", {"command": "make test"}, "Command timed out"), []),
        (failed("Bash", {"command": "make test"}, "Exit code 1\n", is_interrupt=True), []),
        (failed("Bash", {"command": "cd web && npm test"}, "Exit code 1\n"), []),
        (after("Bash", {"command": "make test"}, tool_response={"interrupted": True}), []),
        (after("Bash", {"command": "make test"}, tool_response={"stdout": "ok"}), []),
        (after("Bash", {"command": "make test"}, tool_response="ok"), []),
        (
            after(
                "Bash",
                {"command": "make test"},
                tool_response={"interrupted": False, "backgroundTaskId": "b1"},
            ),
            [],
        ),
        (
            after(
                "Bash",
                {"command": "make test", "run_in_background": True},
                tool_response={"interrupted": False},
            ),
            [],
        ),
        (after("Bash", {"command": "ls"}, tool_response={"interrupted": False}), []),
        ({"hook_event_name": "UserPromptSubmit", "prompt": "Rename RATE."}, []),
        ({}, []),
    ],
)
def test_what_newer_versions_send(payload: dict[str, Any], known: list[tuple[Any, ...]]) -> None:
    assert said(claude_event(payload)) == known


@pytest.mark.parametrize(
    ("body", "known"),
    [
        ({"status": "error", "error": "Tool execution aborted"}, []),
        (
            {
                "status": "error",
                "error": "The user rejected permission to use this specific tool call.",
                "attended": True,
            },
            [("sign", "declined", "c1")],
        ),
        ({"status": "running"}, []),
        ({"status": "completed", "call": None}, []),
        ({"status": "completed", "tool": "bash", "command": "pytest", "exit": None}, []),
        ({"status": "completed", "tool": "bash", "command": "pytest", "exit": True}, []),
        (
            {"status": "completed", "tool": "bash", "command": "pytest", "exit": 1, "workdir": "a"},
            [("outcome", "pytest", 1, "/work/shop/a")],
        ),
    ],
)
def test_what_opencode_may_send(body: dict[str, Any], known: list[tuple[Any, ...]]) -> None:
    told = {"event": "tool", "tool": "edit", "call": "c1", "directory": SHOP, **body}
    assert said(Event("E", "hook", 5.0, "opencode", told, "agent", SHOP)) == known


@pytest.mark.parametrize("payload", ["", "[]", "{", '{"a": ', "null"])
def test_a_payload_that_is_none_is_set_aside(payload: str) -> None:
    with pytest.raises(ValueError, match=r"JSON|Expecting"):
        told_by_event(claude_event(payload))


@pytest.mark.parametrize("path", ["relative.jsonl", "/etc/passwd", 5, None])
def test_only_a_transcript_is_read(path: object) -> None:
    logs: list[AgentLog] = []
    told_by_event(claude_event({"hook_event_name": "Stop", "transcript_path": path}), logs.append)
    assert logs == []


def test_a_hook_of_another_program_is_kept_as_it_came() -> None:
    event = Event("E", "hook", 5.0, "nvim", {"accepted": True}, "person", SHOP)
    assert told_by_event(event) == (event,)


def test_each_event_has_an_id_of_its_own_and_the_same_again() -> None:
    edits = [{"new_string": "a"}, {"new_string": "b"}]
    event = claude_event(after("MultiEdit", {"file_path": "/a", "edits": edits}, tool_use_id=None))
    first = told_by_event(event)
    assert [(e.id, e.body["new"]) for e in first] == [("E.0", "a"), ("E.1", "b")]
    assert told_by_event(event) == first
