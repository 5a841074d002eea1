"""Blocks of code whose fence, or the line in front of it, names a file.

aider's `whole` format (aider/coders/wholefile_coder.py: the name alone on the line in front),
Continue's and others' (`python src/main.py` behind the fence, `python:src/main.py`,
`title="main.py"`). A fence with line numbers (`12:30:src/main.py`, `main.py (1-9)`) quotes a file
and asks for no edit.
"""

from __future__ import annotations

import re

from qi_learn.code_text import Block
from qi_learn.edits.lines import is_file_name, name_alone

_ATTRIBUTE = re.compile(
    r"""(?:title|file|filename|filepath|path|name)\s*=\s*["']?([^"'\s}]{1,260})""", re.IGNORECASE
)
_QUOTES = re.compile(r"^\d+:\d+:|\(\d+(?:-\d+)?\)|[:#]L?\d+(?:-L?\d+)?$")
_INFO = 400


def file_of(answer: str, block: Block) -> str | None:
    """The file that a block is for, as the answer names it; None if it names none or quotes it."""
    opening = answer.rfind("\n", max(0, block.start - _INFO), max(block.start - 1, 0)) + 1
    info = answer[opening : max(block.start - 1, 0)].strip().lstrip("`~").strip()
    if _QUOTES.search(info):
        return None
    if attribute := _ATTRIBUTE.search(info):
        return attribute[1] if is_file_name(attribute[1]) else None
    for word in reversed(info.split()):
        name = word.rpartition(":")[2] if ":" in word and not _drive(word) else word
        if is_file_name(name):
            return name
    return _above(answer, opening)


def _drive(word: str) -> bool:
    return len(word) > 2 and word[1] == ":" and word[2] in "\\/"


def _above(answer: str, opening: int) -> str | None:
    """The name that stands alone on the line in front of a fence; one line may be empty."""
    end = opening
    for _ in range(2):
        if end <= 0:
            return None
        start = answer.rfind("\n", max(0, end - _INFO), end - 1) + 1
        line = answer[start : end - 1]
        if line.strip():
            return name_alone(line)
        end = start
    return None
