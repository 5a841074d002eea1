"""The index of decisions, from the head of each."""

from __future__ import annotations

import re
from pathlib import Path

from .markdown import table

_HEAD = re.compile(
    r"# (?P<number>\d{4}): (?P<title>.+)\n\n"
    r"\*\*Date:\*\* (?P<date>[\d-]+)\. \*\*Status:\*\* (?P<status>[^\n]+(?:\n[^\n]+)*)\n\n"
)
NEVER_MADE = {"0014": "never made", "0015": "never made"}
"""Numbers that were passed over: no commit has a file, or names a decision, of these."""


def index(root: Path) -> str:
    """A row a decision, numbers that were passed over included.

    Raises LookupError for a head of another form.
    """
    rows = {number: (number, words, "", "") for number, words in NEVER_MADE.items()}
    for page in sorted((root / "docs" / "internals" / "decisions").glob("[0-9]*.md")):
        match = _HEAD.match(page.read_text(encoding="utf-8"))
        if match is None or match["number"] != page.name[:4]:
            raise LookupError(f"{page.name} does not begin with number, title, date and status")
        title = match["title"][0].upper() + match["title"][1:]
        link, status = f"[{title}]({page.name})", match["status"].rstrip(".")
        rows[match["number"]] = (match["number"], link, match["date"], status)
    head = ("number", "decision", "date", "status")
    return table(head, [rows[number] for number in sorted(rows)])
