"""Tags in an answer's text in which models without tools call them, and their parameters.

Each tag is looked for once from where the last one ended, so that a text of many opening tags
takes no longer than any other.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from qi_learn.record_class import dataclass


@dataclass(frozen=True, slots=True)
class Extent:
    """A part of a text: `start` up to `end`."""

    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Tagged:
    """A pair of tags."""

    name: str
    start: int
    """Where the opening tag begins."""
    inner: Extent
    end: int
    """Behind the closing tag."""


def tags_in(text: str, names: Sequence[str]) -> Iterator[Tagged]:
    """The pairs of tags with these names, outermost first; an open one that is never closed none.

    A tag counts at the beginning of a line only: within a sentence it is spoken of.
    """
    opening = re.compile(r"^[ \t]*<(" + "|".join(map(re.escape, names)) + r")>", re.MULTILINE)
    missing: set[str] = set()
    at = 0
    while opened := opening.search(text, at):
        name, closing = opened[1], f"</{opened[1]}>"
        stop = -1 if name in missing else text.find(closing, opened.end())
        if stop < 0:
            missing.add(name)
            at = opened.end()
            continue
        at = stop + len(closing)
        yield Tagged(name, opened.start(), Extent(opened.end(), stop), at)


def parameter(text: str, within: Extent, *names: str, last: bool = False) -> Extent | None:
    """The inside of the first of these tags in a part of a text.

    `last`: up to the last closing tag of its name, as a file's content may have the same one in it.
    """
    for name in names:
        opening, closing = f"<{name}>", f"</{name}>"
        start = text.find(opening, within.start, within.end)
        if start < 0:
            continue
        start += len(opening)
        find = text.rfind if last else text.find
        stop = find(closing, start, within.end)
        if stop >= 0:
            return Extent(start, stop)
    return None


def value(text: str, span: Extent | None) -> str | None:
    """The text of a parameter without white space around it; None if it is empty."""
    return None if span is None else text[span.start : span.end].strip() or None


def content(text: str, span: Extent) -> Extent:
    """A parameter that is a file's text: without the line feed behind its tag, and without a fence.

    Models put a fence around it now and then, which clients take off.
    """
    start = span.start + text.startswith("\n", span.start, span.end)
    end = span.end
    if text.startswith("```", start, end) and text[start:end].rstrip().endswith("```"):
        first = text.find("\n", start, end)
        last = text.rfind("```", start, end)
        if 0 <= first < last:
            return Extent(first + 1, last)
    return Extent(start, end)
