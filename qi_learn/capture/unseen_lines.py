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
from collections.abc import Sequence

_DEFINES = re.compile(
    r"\s*(?:@|(?:export |default |async |public |private |protected |static |pub(?:\([a-z]+\))? )*"
    r"(?:def|class|function|fn|func|impl|struct|interface|import|from|use)\b"
    r"|(?:export )?(?:const|let|var) \w+ = (?:async )?(?:\([^)]*\)|\w+) =>)"
)
"""A line that runs when its file is loaded, whatever is called."""


def is_unseen(
    region: str, text: str, python: bool, ran: Sequence[int], missed: Sequence[int] | None
) -> bool:
    """Whether none of the lines of a region of a file ran that could.

    `ran`, `missed`: ranges of lines, first and last in turn; without the latter the lines that can
    run are those of Python's statements.
    """
    at = text.find(region)
    if not region.strip() or at < 0 or text.find(region, at + 1) >= 0:
        return False
    first = text.count("\n", 0, at) + 1
    own = [
        first + n
        for n, line in enumerate(region.split("\n"))
        if line.strip() and not _DEFINES.match(line)
    ]
    if _any_within(own, ran):
        return False
    if missed is not None:
        return _any_within(own, missed)
    return python and not _statements(text).isdisjoint(own)


def _any_within(lines: Sequence[int], ranges: Sequence[int]) -> bool:
    """Whether one of some lines, in order, lies in a range; these may have any length."""
    for first, last in zip(ranges[::2], ranges[1::2], strict=False):
        at = bisect_left(lines, first)
        if at < len(lines) and lines[at] <= last:
            return True
    return False


def _statements(text: str) -> set[int]:
    """The first lines of Python's statements; nothing of what does not parse."""
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return set()
    return {
        node.lineno
        for node in ast.walk(tree)
        if isinstance(node, ast.stmt)
        and not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))
    }
