"""Times and texts as a person reads them on a terminal."""

from __future__ import annotations

import time
import unicodedata
from collections.abc import Mapping


def clock(ts: float) -> str:
    """Local date and time, to the minute."""
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(ts))


def one_line(text: str) -> str:
    """A recorded text for the terminal, on one line.

    White space is single blanks, and there are no control characters, which could be commands to
    the terminal.
    """
    return "".join(
        c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in " ".join(text.split())
    )


def fitted(text: str, cells: int) -> str:
    """A line cut to so many columns of a terminal, with a sign where something is left out."""
    used, most = 0, len(text)
    for at, sign in enumerate(text):
        used += _cells(sign)
        if used > cells - 1 and most == len(text):
            most = at  # up to here there is room for the sign
        if used > cells:
            return f"{text[:most]}\N{HORIZONTAL ELLIPSIS}"
    return text


def _cells(sign: str) -> int:
    """How many columns a sign takes: wide ones two, and none what joins the sign before it."""
    if unicodedata.combining(sign):
        return 0
    return 2 if unicodedata.east_asian_width(sign) in "WF" else 1


def saw_forgotten(count: int) -> str:
    """The mark of a version that saw what was forgotten since."""
    return f"saw {count} answer{' that was' if count == 1 else 's that were'} forgotten"


def counted(count: object, what: str) -> str:
    """So many of something, in words."""
    return f"{count} {what}{'' if count == 1 else 's'}"


def by_reason(counts: Mapping[str, int]) -> str:
    """Numbers of what was left out, each with its reason."""
    return ", ".join(f"{count} ({one_line(reason)})" for reason, count in counts.items())
