"""What an answer changes in one file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

CONTEXT = 2
"""Lines around a change that an edit repeats."""


@dataclass(frozen=True, slots=True)
class Change:
    """What an answer changes in one file."""

    path: str
    """From the project's root."""
    root: str
    """The project's directory, for clients that name files by their whole path."""
    language: str
    before: str
    """The file's text; "" if there is no such file yet."""
    after: str
    code: str
    """The code that a chat answer shows: the function or functions, whole."""

    def hunk(self) -> tuple[str, str, int]:
        """The old and the new lines of the change with some around them, and where they begin.

        With as many around them as make the old text the only one of its kind.
        """
        old, new = self.before.splitlines(True), self.after.splitlines(True)
        head = common_lines(old, new)
        tail = common_lines(old[head:][::-1], new[head:][::-1])
        around = CONTEXT
        while True:
            start, rest = max(0, head - around), max(0, tail - around)
            was = "".join(old[start : len(old) - rest])
            if self.before.count(was) == 1 or (start == 0 and rest == 0):
                return was, "".join(new[start : len(new) - rest]), start
            around += 1


def common_lines(left: Sequence[str], right: Sequence[str]) -> int:
    count = 0
    for one, other in zip(left, right, strict=False):
        if one != other:
            break
        count += 1
    return count
