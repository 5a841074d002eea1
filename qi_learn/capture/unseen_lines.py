"""Whether the coverage of a run says that it did not execute the lines of a suggestion.

Then its result says nothing of that suggestion, though its file took part. The invariant: unseen
has a positive sign. Lines of it could run, and none did; that a function was defined is no run of
it. What the report does not have, or what cannot be found in the file as the run saw it, is not
unseen.
"""

from __future__ import annotations

import ast
import re
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from functools import cached_property

_DEFINES = re.compile(
    r"\s*(?:@|(?:export |default |async |public |private |protected |static |pub(?:\([a-z]+\))? )*"
    r"(?:def|class|function|fn|func|impl|struct|interface|import|from|use)\b"
    r"|(?:export )?(?:const|let|var) \w+ = (?:async )?(?:\([^)]*\)|\w+) =>)"
)
"""A line that runs when its file is loaded, whatever is called."""


class SourceLines:
    """The lines of one file as runs saw it: looked through once for many of them."""

    def __init__(self, text: str, *, python: bool) -> None:
        self._text = text
        self._python = python
        self._own: dict[str, list[int]] = {}

    def is_unseen(self, region: str, ran: Sequence[int], missed: Sequence[int] | None) -> bool:
        """Whether none of the lines of a region of the file ran that could.

        `ran`, `missed`: ranges of lines, first and last in turn; without the latter the lines that
        can run are those of Python's statements.
        """
        own = self._own.get(region)
        if own is None:
            own = self._own[region] = list(self._lines_of(region))
        if not own or _any_within(own, ran):
            return False
        if missed is not None:
            return _any_within(own, missed)
        return not self._statements.isdisjoint(own)

    def _lines_of(self, region: str) -> Iterator[int]:
        """The numbers of a region's lines that run when it is called; none if it is not found."""
        at = self._text.find(region)
        if not region.strip() or at < 0 or self._text.find(region, at + 1) >= 0:
            return
        first = self._text.count("\n", 0, at) + 1
        for n, line in enumerate(region.split("\n")):
            if line.strip() and not _DEFINES.match(line):
                yield first + n

    @cached_property
    def _statements(self) -> frozenset[int]:
        return _statements(self._text) if self._python else frozenset()


def _any_within(lines: Sequence[int], ranges: Sequence[int]) -> bool:
    """Whether one of some lines, in order, lies in a range; these may have any length."""
    for first, last in zip(ranges[::2], ranges[1::2], strict=False):
        at = bisect_left(lines, first)
        if at < len(lines) and lines[at] <= last:
            return True
    return False


def _statements(text: str) -> frozenset[int]:
    """The first lines of Python's statements; nothing of what does not parse."""
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return frozenset()
    return frozenset(
        node.lineno
        for node in ast.walk(tree)
        if isinstance(node, ast.stmt)
        and not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))
    )
