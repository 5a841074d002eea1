"""How commands ended that an agent ran for its model: its next request holds their output.

Only what stands behind the last answer of a request is new: a client sends the rest again with each
request. A command counts if the client's own words name its exit code, or if its tool's report of
tests or errors is in the output; if its directory is known, by the call, a `cd` in front of it or
what the client says of its surroundings; and if no other tool was called behind it, which may have
changed a file. Else nothing is known of it. When it began is not told either: `command_times` in
the store knows that.

The clients' words for an exit code and a directory are those of Claude Code, Codex, OpenCode, Cline
and Roo Code, OpenHands, Gemini CLI and Qwen Code, as they stand in published conversations.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from qi_learn.capture.command_kind import CommandKind, listed_kind
from qi_learn.capture.command_words import read_command
from qi_learn.capture.shell_parts import AND, Parts, parts_of
from qi_learn.records import CommandResult, Message, Turn
from qi_learn.results.by_tool import printed_report
from qi_learn.results.tool_report import ToolReport

_COMMANDS = ("command", "cmd", "script")
_PLACES = ("workdir", "cwd", "working_directory", "directory", "dir_path")
_SHELLS = ("bash", "sh", "zsh")
_CODE = re.compile(
    r"\A\s*(?:Error: )?Exit code:? (?P<first>-?\d+)\b"  # Claude Code, Codex
    r"|\[The command completed with exit code (?P<hands>-?\d+)\.?\]"
    r"|^(?:Process exited with code|Exit Code:|Command exited with code) (?P<line>-?\d+)\s*$",
    re.MULTILINE,
)
_DIRECTORY = re.compile(
    r"^\s*(?:Primary w|W)orking directory: (?P<env>/\S.*?)\s*$"
    r"|<cwd>(?P<cwd>/[^<\n]+)</cwd>"
    r"|^\s*(?:-\s+)?I'm currently working in the directory: (?P<gemini>/\S.*?)\s*$"
    r"|^# Current (?:Working|Workspace) Directory \((?P<cline>/[^)\n]+)\)",
    re.MULTILINE,
)
_LOOKED_AT = 4
"""Messages at the beginning, and at the end, in which a client says where it works."""
_SAYS_WHERE = ("system", "developer", "user")


@dataclass(frozen=True, slots=True)
class _Ran:
    """One command of ours in a script."""

    command: str
    kind: CommandKind
    place: str
    """Where the script went before it; empty if it went nowhere."""
    last: bool
    """Whether it is the last of the script, so that the exit code is its own."""
    needed: bool
    """Whether the script ends with 0 only if the command did."""


def outcomes_told(turn: Turn) -> tuple[CommandResult, ...]:
    """The results of commands that a turn's request tells. Their ids follow from the turn's."""
    if turn.project is None:
        return ()
    at = next(
        (n for n in range(len(turn.messages) - 1, -1, -1) if turn.messages[n].role == "assistant"),
        None,
    )
    if at is None:
        return ()
    results = [message for message in turn.messages[at + 1 :] if message.role == "tool"]
    calls = _calls(turn.messages[at].extra)
    if not results or not calls:
        return ()
    stated = _stated_directory(turn.messages)
    found: list[CommandResult] = []
    for number, call in enumerate(calls):
        script = _script(call)
        if script is None or not all(_script(later) is not None for later in calls[number + 1 :]):
            continue
        output = _output_of(call, number, results)
        ran = _ran(script)
        where = None if ran is None else _directory(_arguments(call), ran.place, stated)
        if ran is None or output is None or where is None:
            continue
        code, text = _code_and_text(output)
        named = f"{turn.id}.{number}", turn.started, turn.project
        if (result := _result(named, ran, code, text, where)) is not None:
            found.append(result)
    return tuple(found)


def agent_command(
    named: tuple[str, float, str], script: str, code: int | None, output: str, *, where: str | None
) -> CommandResult | None:
    """The result of a script that an agent ran; None if nothing is known for certain.

    `named`: its id, time and project. `where`: the directory it began in, if that is known.
    """
    ran = _ran(script)
    directory = None if ran is None else _directory({}, ran.place, where)
    if ran is None or directory is None:
        return None
    return _result(named, ran, code, output, directory)


def _result(
    named: tuple[str, float, str], ran: _Ran, code: int | None, text: str, where: str
) -> CommandResult | None:
    report = printed_report(read_command(ran.command).tool, text)
    if code is not None and not (ran.needed if code == 0 else ran.last and not _went_nowhere(text)):
        code = None
    if code is None and report is not None and report.failed is not None:
        code = 1 if report.failed else 0 if report.passed else None
    if code is None:
        return None
    report = report or ToolReport(None)
    return CommandResult(
        *named,
        ran.kind,
        ran.command,
        code,
        0.0,
        failed=report.failed,
        passed=report.passed,
        cwd=where,
        interrupted=True if report.interrupted else None,
        tests=None if report.tests is None else tuple(_seen_from(where, report.tests)),
        failing=report.failing,
    )


def _went_nowhere(output: str) -> bool:
    """Whether the shell says that it could not go where the command was to run."""
    return re.search(r"^\S*(?:bash|sh|zsh): (?:line \d+: )?cd: ", output, re.MULTILINE) is not None


def _seen_from(where: str, files: Sequence[str]) -> Iterator[str]:
    yield from (os.path.relpath(os.path.join(where, file), where) for file in files)


# --- the call and its result ----------------------------------------------------------------------


def _calls(extra: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    made = extra.get("tool_calls")
    return [
        call
        for call in (made if isinstance(made, (list, tuple)) else ())
        if isinstance(call, Mapping) and isinstance(call.get("function"), Mapping)
    ]


def _arguments(call: Mapping[str, Any]) -> Mapping[str, Any]:
    given = call["function"].get("arguments")
    if isinstance(given, str):
        try:
            given = json.loads(given, strict=False)
        except (ValueError, RecursionError):
            return {}
    return given if isinstance(given, Mapping) else {}


def _script(call: Mapping[str, Any]) -> str | None:
    """The script of a call of a shell; None if it calls something else."""
    arguments = _arguments(call)
    given = next((arguments[name] for name in _COMMANDS if arguments.get(name)), None)
    if isinstance(given, str):
        return None if {"path", "file_path", "new_str", "file_text"} & arguments.keys() else given
    if isinstance(given, (list, tuple)) and all(isinstance(word, str) for word in given):
        words = list(given)
        if len(words) >= 3 and os.path.basename(words[0]) in _SHELLS and words[-2].endswith("c"):
            return str(words[-1])
        return " ".join(words)
    return None


def _output_of(call: Mapping[str, Any], number: int, results: Sequence[Message]) -> str | None:
    """The text of a call's result: by its id, else by its number."""
    id = call.get("id")
    for message in results:
        if id and message.extra.get("tool_call_id") == id:
            return message.content
    named = any(message.extra.get("tool_call_id") for message in results)
    return None if named or number >= len(results) else results[number].content


def _code_and_text(output: str) -> tuple[int | None, str]:
    """The exit code that a client names, and the output of the command."""
    if output.lstrip()[:1] == "{":
        try:
            given = json.loads(output, strict=False)
        except (ValueError, RecursionError):
            given = None
        if isinstance(given, Mapping):
            meta = given.get("metadata")
            code = (meta if isinstance(meta, Mapping) else given).get("exit_code")
            text = next((v for n in ("output", "stdout") if isinstance(v := given.get(n), str)), "")
            whole = isinstance(code, int) and not isinstance(code, bool)
            return (code if whole else None), text or output
    found = list(_CODE.finditer(output))
    return (int(next(g for g in found[-1].groups() if g)) if found else None), output


# --- the script -----------------------------------------------------------------------------------


def _ran(script: str) -> _Ran | None:
    """The one command of ours in a script; None if it has none, or several, or is not read."""
    parts = parts_of(script.strip(), "bash", {})
    if parts is None:
        return None
    ours = [
        (number, kind)
        for number, part in enumerate(parts.parts)
        if (kind := listed_kind(_bare(part.text))) in ("test", "compile")
    ]
    if len(ours) != 1:
        return None
    (number, kind) = ours[0]
    place = _went(parts, number)
    if place is None or kind is None:
        return None
    last = number == len(parts.parts) - 1
    needed = all(op == AND for op in parts.ops[number:])
    return _Ran(_bare(parts.parts[number].text), kind, place, last, needed)


def _bare(command: str) -> str:
    """A command without where its output goes."""
    return re.sub(r"\s+(?:2>&1|\d?>>?\s*/dev/null|&>\s*/dev/null)", "", command).strip()


def _went(parts: Parts, number: int) -> str | None:
    """Where the commands before it went; None if they may have changed more than the directory."""
    place = ""
    for at in range(number):
        words = parts.parts[at].text.split()
        if words[:1] != ["cd"] or len(words) != 2 or parts.ops[at] != AND:
            return None
        place = os.path.join(place, words[1].strip("'\""))
    return place


# --- the directory --------------------------------------------------------------------------------


def _directory(arguments: Mapping[str, Any], place: str, stated: str | None) -> str | None:
    """The directory in which a command ran, if it is known."""
    given = next((v for name in _PLACES if isinstance(v := arguments.get(name), str) and v), "")
    where = os.path.join(stated or "", given, place)
    return os.path.normpath(where) if where.startswith("/") else None


def _stated_directory(messages: Sequence[Message]) -> str | None:
    """Where a client says that it works."""
    ends = (*messages[:_LOOKED_AT], *messages[-_LOOKED_AT:])
    for message in ends:
        if message.role in _SAYS_WHERE and (found := _DIRECTORY.search(message.content)):
            return next(group for group in found.groups() if group)
    return None
