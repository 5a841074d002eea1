"""Answers that leave out code that is there already: `# ... existing code ...`."""

from __future__ import annotations

import re

_SIGN = r"(?:\#|//|/\*|--|<!--|\{/\*|;)"
_MARK = re.compile(
    rf"\s*(?:{_SIGN}\s*(?:\.\.\.|…)(?!/).*"
    rf"|{_SIGN}.*\b(?:(?:existing|previous|remaining|unchanged|original)\s+(?:code|lines?|methods?"
    r"|functions?|imports?|implementation|part)|rest\s+of\s+(?:the|your)|(?:stays?|remains?)\s+"
    r"(?:the\s+same|unchanged)|same\s+as\s+(?:before|above)|no\s+changes?).*)\s*",
    re.IGNORECASE,
)


def is_elision(line: str) -> bool:
    """Whether a line says that code which is there is left out."""
    return _MARK.fullmatch(line) is not None


def pieces_of(suggestion: str) -> list[str]:
    """The code between the elisions of a suggestion; itself alone if it has none."""
    pieces: list[list[str]] = [[]]
    for line in suggestion.split("\n"):
        if is_elision(line):
            pieces.append([])
        else:
            pieces[-1].append(line)
    return ["\n".join(piece) for piece in pieces if any(line.strip() for line in piece)]
