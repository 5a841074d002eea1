"""SEARCH/REPLACE blocks: a text that is to go and one that is to stand there, between marks.

Written by aider (aider/coders/editblock_coder.py), Cline (`------- SEARCH`, its
src/core/assistant-message/diff.ts), Roo Code (with `:start_line:` and a line of dashes under the
first mark, its src/core/diff/strategies/multi-search-replace.ts), Zed's fenced diffs, avante.

A block without its three marks, in their order, is none.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from qi_learn.edits.lines import TextLine, lines_of
from qi_learn.record_class import dataclass

_SEARCH = re.compile(r"[ \t]*(?:<{5,9}|-{5,9}) ?(?:SEARCH|ORIGINAL)>?[ \t]*")
_DIVIDER = re.compile(r"[ \t]*={5,9}[ \t]*")
_REPLACE = re.compile(r"[ \t]*(?:>{5,9}|\+{5,9}) ?(?:REPLACE|UPDATED)>?[ \t]*")
_WHERE = re.compile(r":(?:start|end)_line:.*")


@dataclass(frozen=True, slots=True)
class SearchReplace:
    """One block: places in the text it was found in."""

    first: int
    """The number of the line with the first mark."""
    start: int
    end: int
    """Behind the last mark."""
    old: str
    new: str
    new_start: int
    new_end: int


def blocks_in(text: str, lines: Sequence[TextLine] | None = None) -> list[SearchReplace]:
    """The blocks of a text, in their order. `lines`: its lines, if they are known."""
    lines = lines_of(text) if lines is None else lines
    found: list[SearchReplace] = []
    search = divider = -1
    for number, line in enumerate(lines):
        if _SEARCH.fullmatch(line.text):
            search, divider = number, -1
        elif search >= 0 and divider < 0 and _DIVIDER.fullmatch(line.text):
            divider = number
        elif divider >= 0 and _REPLACE.fullmatch(line.text):
            found.append(_block(text, lines, search, divider, number))
            search = divider = -1
    return found


def _block(
    text: str, lines: Sequence[TextLine], search: int, divider: int, last: int
) -> SearchReplace:
    first = search + 1
    while first < divider and _WHERE.fullmatch(lines[first].text):
        first += 1
    if search + 1 < first < divider and set(lines[first].text.strip()) == {"-"}:
        first += 1
    old = text[lines[first].start : lines[divider].start] if first < divider else ""
    start, end = lines[divider].end, lines[last].start
    return SearchReplace(
        search, lines[search].start, lines[last].end, old, text[start:end], start, end
    )
