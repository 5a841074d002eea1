"""What a line that was typed in a shell says: the truth, or nothing.

A hook writes down what only the shell knows of a line. Here it is decided which of its commands are
told, each with the exit code that was its own for certain (decision 0048). The line itself goes no
further. Events of the hooks before, which told commands, pass as they are.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import cast

from qi_learn.capture.command_kind import CommandKind, listed_kind
from qi_learn.capture.shell_line import ShellLine, line_of, raw_line_of
from qi_learn.capture.shell_parts import AND, Part, Parts, Shell, parts_of
from qi_learn.records import Event

Told = tuple[int, int]
"""The number of a command in its line, and its exit code."""
_SHELLS = ("bash", "zsh", "fish")
_HARMLESS = frozenset(["cd", "clear", "date", "echo", "false", "git", "ls", "sleep", "true"])
"""Commands that cannot end a line."""
_TO_THE_END = frozenset(["cat", "tail", "tee", "sort", "wc"])
"""Commands that read all they are given, so that what writes it is not stopped by them."""
_STOPPED = range(145, 151)
"""Exit codes of a command that was stopped, and may go on."""
_EXPANDED = {
    "bash": re.compile(r"[$<>*?\[=~]"),
    "zsh": re.compile(r"[$<>*?\[=~^#]"),
    "fish": re.compile(r"[$<>*?=]"),
}
"""What may fail before a command runs, and end the line."""


def outcomes_of(event: Event) -> tuple[Event, ...]:
    """The events of commands that an event says: those of a shell's line, or itself.

    Their ids follow from its own, so that a line that comes again makes no new ones. Raises
    ValueError if the line is not of the form that the hooks write.
    """
    if event.kind != "outcome" or not {"line", "raw"} & event.body.keys():
        return (event,)
    if event.source not in _SHELLS:
        raise ValueError(f"a line of the shell {event.source!r} cannot be understood")
    if "raw" in event.body:
        raw, end = raw_line_of(event.body)
        if raw is None:
            return ()
        line, event = raw, replace(event, ts=end)
    else:
        line = line_of(event.body)
    told = told_of(line, cast(Shell, event.source))
    return tuple(
        replace(
            event,
            id=f"{event.id}.{number}" if number else event.id,
            body={
                "kind": kind,
                "command": command,
                "exit_code": code,
                "seconds": max(0.0, line.seconds),
                "cwd": line.cwd,
            },
        )
        for number, (command, kind, code) in enumerate(told)
    )


def told_of(line: ShellLine, shell: Shell) -> tuple[tuple[str, CommandKind, int], ...]:
    """The commands of a line that are told: text, kind and exit code of each."""
    typed = line.line
    if typed[:1].isspace() or (parts := _parts(line, shell)) is None:
        return ()
    if shell == "bash" and not _is_the_line(line, parts):
        return ()
    functions = line.functions.split()
    return tuple(
        (part.text, kind, code)
        for number, code in _told(line, shell, parts)
        if (part := parts.parts[number]).word not in functions
        and (kind := listed_kind(part.text)) is not None
    )


def _parts(line: ShellLine, shell: Shell) -> Parts | None:
    run = line.line
    if line.run is not None:
        if parts_of(line.line, shell, {}) is None:
            return None  # an alias may stand for what is read, in what is not
        run = line.run.replace("\n", ";")
        if "".join(run.split()) == "".join(line.line.split()):
            run = line.line
    return parts_of(run, shell, line.aliases)


def _is_the_line(line: ShellLine, parts: Parts) -> bool:
    """Whether the line of the history is the one that ran: it begins with its first command."""
    if (line.alone and len(parts.parts) > 1) or line.count > len(parts.parts):
        return False
    text = re.sub(r"\A(?:(?:time|-p)\s+)*", "", parts.parts[0].text)
    return _as_bash_writes(text) == _as_bash_writes(line.line if line.first is None else line.first)


def _as_bash_writes(command: str) -> str:
    """A command without blanks and what bash leaves out of it (`1> f` as `> f`)."""
    return "".join(command.split()).replace("1>", ">").replace("0<", "<")


def _told(line: ShellLine, shell: Shell, parts: Parts) -> list[Told]:
    """What follows from the exit code of the line, and from those of its last pipeline."""
    count, ops = len(parts.parts), parts.ops
    first = max(ops.rfind(";"), ops.rfind(AND)) + 1
    if not _reached(line, shell, parts, first):
        return []
    pipes = [int(code) for code in re.findall(r"\d+", line.pipes)] if count - first > 1 else []
    codes = pipes or [line.code]
    if len(codes) != count - first:
        return []
    return [*_earlier(line, parts), *sorted(_last(line, shell, parts, codes))]


def _reached(line: ShellLine, shell: Shell, parts: Parts, first: int) -> bool:
    """Whether the exit code is that of the last pipeline, which begins with part `first`."""
    if first == 0 or line.code == 0:
        return True
    group = parts.ops.rfind(";") + 1
    if line.code >= 128:
        return False
    # only a `cd` may stand before it, and it must have worked
    if group < first and not (first == 1 and parts.parts[0].word == "cd" and line.moved):
        return False
    return all(_is_calm(part, line, shell) for part in parts.parts[:group])


def _is_calm(part: Part, line: ShellLine, shell: Shell) -> bool:
    """Whether a command cannot have ended the line."""
    if _EXPANDED[shell].search(part.bare):
        return False
    if part.word not in _HARMLESS and listed_kind(part.text) is None:
        return False
    return part.word not in line.functions.split()


def _earlier(line: ShellLine, parts: Parts) -> list[Told]:
    """What stands before the last pipeline, if all of it is ours and ended with 0.

    Not if the last command changed the directory: what was before ran in another one.
    """
    before = parts.parts[: len(parts.ops)]
    if line.code != 0 or line.moved or parts.ops.strip(AND):
        return []
    if not all(listed_kind(part.text) for part in before):
        return []
    return [(number, 0) for number in range(len(before))]


def _last(line: ShellLine, shell: Shell, parts: Parts, codes: list[int]) -> Iterator[Told]:
    """What the last pipeline's exit codes say, from its end."""
    whole, count = True, len(parts.parts)
    for number, code in zip(reversed(range(count)), reversed(codes), strict=False):
        part = parts.parts[number]
        certain = code == 0 or (whole and (code < 128 or count == 1))
        if certain and _is_own(part.bare, code, line.options, shell):
            yield number, code
        whole = whole and part.word in _TO_THE_END  # else it may not read to the end


def _is_own(bare: str, code: int, options: str, shell: Shell) -> bool:
    """Whether an exit code can only be the command's own.

    Not for want of what it is written to or read from, of a variable or of a file, and not because
    it was stopped.
    """
    if code == 0:
        return True
    if code in _STOPPED or (shell != "fish" and "$" in bare and "u" in options.split(",")[0]):
        return False
    if shell == "bash":
        globbed = "failglob" in options and re.search(r"[*?\[]", bare)
        return code != 1 or not (re.search("[<>]", bare) or globbed)
    if shell == "zsh":
        return code != 1 or not re.search(r"[<>*?\[~^#]|\s=", bare)
    return not (
        (code == 1 and re.search("[<>]", bare))
        or (code == 2 and re.search(r"[<>]\s*\S*[$*?Q]", bare))
        or (code == 124 and re.search(r"[*?]", bare))
    )
