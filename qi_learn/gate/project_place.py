"""The place of a suggestion in a file of a commit, and a model's code put there.

The place is found by the text that settled there, and by the lines before it if that text stands in
the file more than once. What is put there is the part of an answer's code that the place holds:
of Python the definition of that name with the imports it came with, else the block as it is. The
file's line ends stay what they are.
"""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass

from qi_learn.code_text import code_blocks, indentation, reindent

BINARY = "its file is no text"
NOT_THERE = "its place is not found in the commit"


@dataclass(frozen=True, slots=True)
class CodePlace:
    """A text in a file of a project, as it was committed."""

    text: str
    name: str = ""
    """The qualified name of the definition that it is; empty if it is none."""
    before: tuple[str, ...] = ()
    """The lines before it."""


@dataclass(frozen=True, slots=True)
class PlaceInFile:
    """A file's text around a place."""

    head: str
    text: str
    tail: str
    windows: bool
    """Whether its lines end with `\\r\\n`."""

    def holding(self, code: str) -> bytes:
        """The file with code in the place."""
        whole = self.head + code + self.tail
        return (whole.replace("\n", "\r\n") if self.windows else whole).encode("utf-8", "replace")

    def placed(self, code: str) -> bytes:
        """The file with code in the place, at the indentation that the place has."""
        moved = reindent(code, indentation(self.text)) if self._begins_a_line else code
        return self.holding(moved.rstrip("\n") + ("\n" if self.text.endswith("\n") else ""))

    @property
    def _begins_a_line(self) -> bool:
        return not self.head or self.head.endswith("\n")


def find_place(file: bytes, place: CodePlace) -> PlaceInFile | str:
    """Where a place is in a file; if it is not found, why."""
    try:
        text = file.decode("utf-8")
    except UnicodeDecodeError:
        return BINARY
    if "\0" in text:
        return BINARY
    windows = "\r\n" in text
    text, wanted = (each.replace("\r\n", "\n") for each in (text, place.text))
    if not wanted.strip():
        return NOT_THERE
    starts = [match.start() for match in re.finditer(re.escape(wanted), text)]
    if len(starts) > 1:
        starts = [at for at in starts if _follows(text, at, place.before)]
    if len(starts) != 1:
        return NOT_THERE
    start, end = starts[0], starts[0] + len(wanted)
    return PlaceInFile(text[:start], wanted, text[end:], windows)


def _follows(text: str, at: int, lines: tuple[str, ...]) -> bool:
    """Whether a place follows some lines."""
    if not lines:
        return False
    above = text[:at].split("\n")[:-1]
    return [line.strip() for line in above[-len(lines) :]] == [line.strip() for line in lines]


def code_for(place: CodePlace, answer: str, *, completion: bool) -> str:
    """The code of an answer that belongs in a place; empty if it has none.

    `completion`: whether the answer goes on from a text, so that all of it is code.
    """
    if completion and "```" not in answer:
        return answer
    blocks = [block.text for block in code_blocks(answer)]
    if not blocks:
        return ""
    name = place.name.rpartition(".")[2]
    if not name:
        return blocks[0]
    named = re.compile(rf"\b(?:def|class|func|fn|function|const|let)\b[^\n]*\b{re.escape(name)}\b")
    block = next((text for text in blocks if named.search(text)), blocks[0])
    return _definition(block, name, place.text) or block


def _definition(code: str, name: str, wanted: str) -> str | None:
    """The definition of a name in Python code with its imports, if that alone is wanted."""
    only = _nodes(wanted)
    if only is None or len(only) != 1 or getattr(only[0], "name", "") != name:
        return None
    nodes = _nodes(code)
    found = next(
        (
            node
            for top in nodes or ()
            for node in ast.walk(top)
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
            and node.name == name
        ),
        None,
    )
    if nodes is None or found is None:
        return None
    lines = reindent(code, "").split("\n")
    first = min([found.lineno, *(each.lineno for each in found.decorator_list)])
    own = reindent("\n".join(lines[first - 1 : found.end_lineno]), "")
    imports = [
        "\n".join(lines[node.lineno - 1 : node.end_lineno])
        for node in nodes
        if isinstance(node, ast.Import | ast.ImportFrom)
    ]
    return "\n".join([*imports, own])


def _nodes(code: str) -> list[ast.stmt] | None:
    """The statements of Python code, wherever it stood; None if it is none."""
    try:
        return ast.parse(reindent(code, "")).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
