"""Pages of the documentation."""

from __future__ import annotations

import re
from pathlib import Path

_WRITTEN_BY_PROGRAMS = re.compile(r"^```(ini|xml)\n.*?^```$", re.MULTILINE | re.DOTALL)


def lines_by_hand(page: Path) -> list[str]:
    """The page's lines without its units and property lists: those stand as programs write them."""
    blank = _WRITTEN_BY_PROGRAMS.sub(lambda m: "\n" * m[0].count("\n"), page.read_text())
    return blank.splitlines()
