"""What the hook of Claude Code and the plug-in for OpenCode say: signs, commands, logs to read.

A payload as it came may hold whole files, so nothing of it is kept but what it says: that an edit
was applied, failed, or was declined by the person, and how a command of the agent's ended. The
invariant: what is not certain is not said. An interruption says nothing of an edit, and a refusal
that no person gave (`opencode run` refuses by itself what it would have to ask) is none.

Claude Code up to 1.0.120 names no call: then the edit's file and text do. It tells a command's exit
code by telling it at all: what ends with another than 0 is a failure, of which older versions tell
nothing. Not covered: tools of MCP servers, and commands that run on in the background.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, replace
from typing import Any

from qi_learn.capture.shell_outcomes import outcomes_of
from qi_learn.capture.told_in_requests import agent_command
from qi_learn.record_class import dataclass
from qi_learn.records import Event, Said
from qi_learn.refusals import CLAUDE_DECLINED, OPENCODE_REFUSED

_STOPPED = re.compile(r"Tool execution aborted|\[?Request interrupted by user", re.IGNORECASE)
_EXIT_CODE = re.compile(r"\A\s*(?:Error: )?Exit code:? (\d+)\b\n?")
_CLAUDE_EDITS = ("Edit", "MultiEdit", "Write", "NotebookEdit")
_OPENCODE_EDITS = ("edit", "write", "multiedit", "patch", "apply_patch")
_NAMED = {"id", "ts", "project"}


@dataclass(frozen=True, slots=True)
class AgentLog:
    """A log of an agent in which something new stands."""

    source: str
    """As `qi-learn import` names it."""
    path: str


Note = Callable[[AgentLog], object]


def told_by_event(event: Event, note: Note = lambda log: None) -> tuple[Event, ...]:
    """The events that a line of the spool stands for; `note` is told a log that is to be read.

    Their ids follow from its own, so that a line that comes again makes no new ones. Raises
    ValueError if the line is not of the form that its producer writes.
    """
    if event.kind != "hook" or event.source not in ("claude", "opencode"):
        return outcomes_of(event)
    told = _payload(event)
    says = _claude if event.source == "claude" else _opencode
    for log in _logs(event.source, told):
        note(log)
    return tuple(
        replace(event, id=f"{event.id}.{number}", kind=kind, body=body)
        for number, (kind, body) in enumerate(says(event, told))
    )


def _payload(event: Event) -> Mapping[str, Any]:
    raw = event.body.get("raw")
    if raw is None:
        return event.body
    given = json.loads(raw.get("payload", ""), strict=False) if isinstance(raw, Mapping) else None
    if not isinstance(given, Mapping):
        raise ValueError("the payload of a hook is no JSON object")
    return given


def _logs(source: str, told: Mapping[str, Any]) -> Iterator[AgentLog]:
    """The transcript that Claude Code names at an end, or the directory of OpenCode's sessions."""
    if source == "claude" and told.get("hook_event_name") in ("Stop", "SessionEnd", "SubagentStop"):
        path = told.get("transcript_path")
        if isinstance(path, str) and os.path.isabs(path) and path.endswith(".jsonl"):
            yield AgentLog("claude", path)
    elif source == "opencode" and told.get("event") == "idle":
        path = told.get("log")
        if isinstance(path, str) and os.path.isabs(path):
            yield AgentLog("opencode", path)


def _sign(said: Said, source: str, **about: Any) -> tuple[Any, dict[str, Any]]:
    return "sign", {"turn": None, "said": said, "by": f"{source} hook", **about}


def _outcome(
    event: Event, script: str, code: int | None, output: str, *, where: str | None, **more: Any
) -> Iterator[tuple[Any, dict[str, Any]]]:
    if event.project is None:
        return
    named = event.id, event.ts, event.project
    result = agent_command(named, script, code, output, where=where)
    if result is not None:
        known = {k: v for k, v in asdict(result).items() if k not in _NAMED and v is not None}
        yield "outcome", {**known, **more}


# --- Claude Code ----------------------------------------------------------------------------------


def _claude(event: Event, told: Mapping[str, Any]) -> Iterator[tuple[Any, dict[str, Any]]]:
    name, tool = told.get("hook_event_name"), told.get("tool_name")
    given = told.get("tool_input")
    if name not in ("PostToolUse", "PostToolUseFailure") or not isinstance(given, Mapping):
        return
    failed = name == "PostToolUseFailure"
    error = _text(told.get("error"))
    if tool in _CLAUDE_EDITS:
        said = _said(error, stopped=told.get("is_interrupt") is True) if failed else "applied"
        if said is not None:
            yield from _claude_edits(said, told, given)
    elif tool == "Bash" and not given.get("run_in_background"):
        yield from _claude_command(event, told, given, error if failed else None)


def _said(error: str, *, stopped: bool, attended: bool = True) -> Said | None:
    if error.startswith((CLAUDE_DECLINED, OPENCODE_REFUSED)):
        return "declined" if attended else None
    return None if stopped or _STOPPED.match(error) else "failed"


def _claude_edits(
    said: Said, told: Mapping[str, Any], given: Mapping[str, Any]
) -> Iterator[tuple[Any, dict[str, Any]]]:
    call = _text(told.get("tool_use_id"))
    if call:
        yield _sign(said, "claude", call=call)
        return
    path = _text(given.get("file_path")) or _text(given.get("notebook_path"))
    listed = given.get("edits")
    edits = listed if isinstance(listed, list) else [given]
    for edit in (each for each in edits if isinstance(each, Mapping)):
        names = ("new_string", "content", "new_source")
        new = next((edit[name] for name in names if isinstance(edit.get(name), str)), None)
        if path and new is not None:
            yield _sign(said, "claude", call=None, path=path, new=new)


def _claude_command(
    event: Event, told: Mapping[str, Any], given: Mapping[str, Any], error: str | None
) -> Iterator[tuple[Any, dict[str, Any]]]:
    script, where = _text(given.get("command")), _text(told.get("cwd"))
    if re.match(r"\s*cd\s+[^/\s]", script):
        return  # the directory that is told may be the one before it or behind it
    answer = told.get("tool_response", told.get("tool_result"))
    code, output = None, error or ""
    if error is not None:
        if told.get("is_interrupt") is True or (found := _EXIT_CODE.match(error)) is None:
            return
        code, output = int(found[1]), error[found.end() :]
    elif isinstance(answer, Mapping) and not _unsure(answer):
        code = 0
        output = "\n".join(_text(answer.get(name)) for name in ("stdout", "stderr"))
    else:
        return
    call = _text(told.get("tool_use_id")) or None
    yield from _outcome(event, script, code, output, where=where or None, call=call)


def _unsure(answer: Mapping[str, Any]) -> bool:
    """Whether a command may have ended with another code than 0, or not at all."""
    names = ("returnCodeInterpretation", "backgroundTaskId", "backgroundedByUser")
    return answer.get("interrupted") is not False or any(answer.get(name) for name in names)


# --- OpenCode -------------------------------------------------------------------------------------


def _opencode(event: Event, told: Mapping[str, Any]) -> Iterator[tuple[Any, dict[str, Any]]]:
    if told.get("event") != "tool" or told.get("status") not in ("completed", "error"):
        return
    tool, call, error = told.get("tool"), _text(told.get("call")), _text(told.get("error"))
    done = told.get("status") == "completed"
    if tool in _OPENCODE_EDITS and call:
        attended = told.get("attended") is not False
        said = "applied" if done else _said(error, stopped=False, attended=attended)
        if said is not None:
            yield _sign(said, "opencode", call=call)
    elif tool == "bash" and done:
        code = told.get("exit")
        if isinstance(code, int) and not isinstance(code, bool) and code >= 0:
            where = os.path.join(_text(told.get("directory")), _text(told.get("workdir")))
            seconds = told.get("seconds")
            timed = isinstance(seconds, (int, float)) and seconds > 0
            more: dict[str, Any] = {"seconds": seconds} if timed else {"call": call or None}
            script, output = _text(told.get("command")), _text(told.get("output"))
            yield from _outcome(event, script, code, output, where=where or None, **more)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
