"""How like two texts are, by a measure of its own: labels are not made by what they judge.

White space, comments, quotes, semicolons and trailing commas are set aside (contracts 5).
"""

from __future__ import annotations

import difflib
import re

_TOKEN = re.compile(r"[A-Za-z_$][\w$]*|\d[\w.]*|\"\"\"|'''|\"|'|`|[^\s\w]")
_COMMENT = {
    "python": r"(?m)(?:^|(?<=\s))#.*$",
    "": r"//[^\n]*|/\*.*?\*/",
}
_QUOTES = {'"""', "'''", '"', "'", "`"}


def tokens(text: str, language: str = "") -> list[str]:
    """The words and signs of a text that a formatter does not change."""
    text = re.sub(_COMMENT.get(language, _COMMENT[""]), " ", text, flags=re.DOTALL)
    found = [t for t in _TOKEN.findall(text) if t not in _QUOTES and t != ";"]
    return [t for t, after in zip(found, [*found, ""][1:], strict=True) if not _trails(t, after)]


def _trails(token: str, after: str) -> bool:
    return token == "," and after in (")", "]", "}")


def likeness(one: str, other: str, language: str = "") -> float:
    """0 to 1, by the longest matching runs of tokens."""
    left, right = tokens(one, language), tokens(other, language)
    return difflib.SequenceMatcher(None, left, right, autojunk=False).ratio()
