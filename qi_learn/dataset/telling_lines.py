"""The lines by which a text is known again.

Lines are compared without their white space, so that code is found again under another indentation.
Short ones say nothing: every file has a `return None`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence, Set

TELLING = 16
"""Characters from which on a line can tell where it comes from."""
MOST = 0.5
"""Share of a text's telling characters in lines that are trained on, from which on it is known."""


def telling_lines(text: str) -> Iterator[str]:
    """The lines that can tell where they come from, without their white space."""
    return (line for line in plain_lines(text.split("\n")) if len(line) >= TELLING)


def is_known(text: str, trained: Set[str]) -> bool:
    """Whether most of a text's telling lines are among those that are trained on."""
    own = list(telling_lines(text))
    return bool(own) and mostly_in(own, trained)


def mostly_in(lines: Sequence[str], known: Set[str]) -> bool:
    """Whether most characters of some lines are in known ones; true of no lines."""
    size = sum(len(line) for line in lines if line in known)
    return size >= MOST * sum(map(len, lines))


def plain_lines(lines: Iterable[str]) -> Iterator[str]:
    """Lines without their white space, those that have nothing else left out."""
    return (plain for line in lines if (plain := "".join(line.split())))
