"""What is said of a `config.toml` that cannot be used, with the lines on which it stands.

TOML's reader tells no lines of what it could read, so the file's own words are looked through: a
table's head, and a key at the beginning of a line.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from qi_learn.errors import SettingsError

_HEAD = re.compile(r"\s*\[\s*([\w-]+)\s*\]")
_KEY = re.compile(r"""\s*['"]?([\w-]+)['"]?\s*(?:\.\s*['"]?([\w-]+)['"]?\s*)?=""")
_NAMED = re.compile(r"\b([a-z_0-9]+)\.([a-z_0-9]+)\b|\[(\w+)\]")
_OF_ENVIRONMENT = "QI_LEARN__"


def unusable(path: Path | None, problems: Sequence[str]) -> SettingsError:
    """What is wrong, each thing on a line of its own, with its line in the file."""
    if all(_OF_ENVIRONMENT in problem for problem in problems):
        told = "\n".join(f"  - {problem}" for problem in problems)
        return SettingsError(
            f"The settings in the environment cannot be used:\n{told}",
            "Change or unset the variables named; `qi-learn config` lists every key.",
        )
    source, text = "", ""
    if path is not None:
        source = f" in {path}"
        with suppress(OSError, UnicodeDecodeError):
            text = path.read_text(encoding="utf-8")
    told = "\n".join(f"  - {_with_line(problem, text)}" for problem in problems)
    return SettingsError(
        f"The settings{source} cannot be used:\n{told}",
        "Mend the lines named; `qi-learn config` lists every key with its default.",
    )


def _with_line(problem: str, text: str) -> str:
    """The problem with the line of the first key or section that it names, if the file has it."""
    if _OF_ENVIRONMENT in problem:
        return problem
    lines = _lines(text)
    for found in _NAMED.finditer(problem):
        section, key, alone = found.groups()
        if (line := lines.get((alone or section, key or ""))) is not None:
            return f"{problem} (line {line})"
    return problem


def _lines(text: str) -> dict[tuple[str, str], int]:
    """By section and key (empty: the section's head): its last line in the file."""
    lines: dict[tuple[str, str], int] = {}
    section = ""
    for number, line in enumerate(text.splitlines(), 1):
        if head := _HEAD.match(line):
            section = head[1]
            lines.setdefault((section, ""), number)
        elif key := _KEY.match(line):
            first, second = key.groups()
            lines[(first, second) if second else (section, first)] = number
    return lines
