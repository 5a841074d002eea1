"""Whether the coverage of a run says that it did not execute the lines of a suggestion.

Then its result says nothing of that suggestion, though its file took part. The invariant: unseen
has a positive sign. Lines of it could run, and none did; that a function was defined is no run of
it. What the report does not have, or what cannot be found in the file as the run saw it, is not
unseen.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Sequence

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
    own = {
        first + n
        for n, line in enumerate(region.split("\n"))
        if line.strip() and not _DEFINES.match(line)
    }
    did = own & set(_lines(ran))
    if did:
        return False
    could = set(_lines(missed)) if missed is not None else _statements(text) if python else set()
    return bool(own & could)


def _lines(ranges: Sequence[int]) -> Iterator[int]:
    for first, last in zip(ranges[::2], ranges[1::2], strict=False):
        yield from range(first, last + 1)


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
