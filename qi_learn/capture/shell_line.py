"""A line that was typed in a shell, as the shell's hook wrote it.

zsh and fish write it as JSON. bash writes the history's own text, and what else there is, as it
stands (`spool_lines` makes texts of that), because to read it back would cost the shell more than
all the rest.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from qi_learn import codec

_ENTRY = re.compile(r"\s*(\d+)[ *] (.*)\n", re.DOTALL)
"""An entry of bash's history, as it lists it."""


@dataclass(frozen=True, slots=True)
class ShellLine:
    """The body of an `outcome` event of a shell: a line, and how it ended."""

    line: str
    """As the history has it."""
    code: int
    """The exit code of the line."""
    seconds: float
    cwd: str
    """The directory in which it ended, without links."""
    pipes: str = ""
    """The exit codes of its last pipeline, if that is one of several commands."""
    moved: int = 0
    """1: it ended in another directory than it began in."""
    first: str | None = None
    """The command that bash ran first, if it is not the line."""
    alone: int = 0
    """1: bash's history cannot tell the line; it is this one if it is of one command."""
    run: str | None = None
    """What zsh ran, its aliases replaced, if it is not the line."""
    options: str = ""
    """Letters of `$-`, and `failglob`, of a line for which they count."""
    aliases: Mapping[str, str] = field(default_factory=dict)
    """Those of bash among its words."""
    functions: str = ""
    """Functions among its words."""
    count: int = 0
    """How many commands of it bash said that it ran, at least."""


def line_of(body: Mapping[str, Any]) -> ShellLine:
    """The line that a shell wrote as JSON. Raises ValueError if it is not of that form."""
    line = codec.build(ShellLine, dict(body))
    texts = [line.line, line.cwd, line.pipes, line.options, line.functions]
    texts += [text for text in (line.first, line.run) if text is not None]
    if not isinstance(line.aliases, Mapping):
        raise ValueError("the aliases of the line are not an object")
    texts += [*line.aliases, *line.aliases.values()]
    numbers = (line.code, line.moved, line.alone, line.count)
    if not all(isinstance(text, str) for text in texts):
        raise ValueError("what stands where the line has a text is none")
    if not all(isinstance(number, int) for number in numbers):
        raise ValueError("what stands where the line has a number is none")
    return line


def raw_line_of(body: Mapping[str, Any]) -> tuple[ShellLine | None, float]:
    """The line that bash passed on, and the time it ended; None if the history holds another.

    Raises ValueError if it is not of that form.
    """
    texts: Mapping[str, str] = body["raw"]
    try:
        begin, end = (float(texts[name].replace(",", ".")) for name in ("begin", "end"))
        entry = _ENTRY.fullmatch(texts["line"])
        if entry is None or entry[1] != texts["number"] or "\n" in entry[2]:
            return None, end
        return _raw(texts, body["cwd"], entry[2], end - begin), end
    except KeyError as error:
        raise ValueError(f"the line of bash has no {error}") from error


def _raw(texts: Mapping[str, str], cwd: str, line: str, seconds: float) -> ShellLine:
    shopt = texts["shopt"].split(":")
    names, _, aliases = f"\n{texts['names']}".partition("\nalias ")
    return ShellLine(
        line=line,
        code=int(texts["code"]),
        seconds=seconds,
        cwd=cwd,
        pipes=texts["pipes"] if " " in texts["pipes"] else "",
        moved=int(texts["from"] != texts["to"]),
        first=texts["first"],
        alone=int(texts["alone"] or 0),
        options=texts["options"] + ",failglob" * ("failglob" in shopt),
        aliases=_aliases(f"alias {aliases}") if "expand_aliases" in shopt else {},
        functions=" ".join(name.split(" ", 1)[0] for name in names.splitlines()),
        count=int(texts["count"]),
    )


def _aliases(listed: str) -> dict[str, str]:
    """What `alias -p` says."""
    words = [word for word in shlex.split(listed) if "=" in word[1:]]
    pairs = (word.partition("=") for word in words)
    return {name: text for name, _, text in pairs}
