"""Stretches of a text that are secrets, found by one search for all needles at once.

The needles of all rules are looked for together (Aho-Corasick, in native code), so an ordinary text
costs one pass whatever the number of rules; a rule runs only where one of its needles stands.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import ahocorasick_rs

PLACEHOLDER_HEAD = "[REDACTED:"
PLACEHOLDER = re.compile(r"\[REDACTED:[a-z-]+:[0-9a-f]{4}\]")


@dataclass(frozen=True, slots=True, order=True)
class Span:
    """From where to where a secret stands in its text, and what kind it is."""

    start: int
    end: int
    kind: str


Find = Callable[[str, int, int], Span | None]
"""What a rule does: text, start and end of its needle."""


class Needles:
    """All needles of all rules, compiled once."""

    def __init__(self, rules: Iterable[tuple[Sequence[str], Find]]) -> None:
        pairs: dict[str, list[Find]] = {}
        for needles, find in rules:
            for needle in needles:
                pairs.setdefault(needle, []).append(find)
        self.words = frozenset(pairs)
        self._finds = list(pairs.values())
        self._search = ahocorasick_rs.AhoCorasick(
            list(pairs), implementation=ahocorasick_rs.Implementation.DFA
        )

    def spans(self, text: str) -> list[Span]:
        """The secrets of a text in their order; some may overlap."""
        done: dict[Find, int] = {}
        spans = []
        held = _placeholders(text)
        for number, start, end in self._search.find_matches_as_indexes(
            lowered(text), overlapping=True
        ):
            if held and _within(held, start, end):
                continue  # a placeholder says `password` too
            for find in self._finds[number]:
                # a needle within what its rule has taken already says nothing new
                if start >= done.get(find, 0) and (span := find(text, start, end)) is not None:
                    spans.append(span)
                    done[find] = max(span.end, done.get(find, 0))
        return sorted(spans)


def merged(spans: Iterable[Span], text: str) -> list[Span]:
    """Spans joined where they overlap, under the kind of the more telling one.

    None touches a placeholder that is there already: one that does ends before it.
    """
    out: list[Span] = []
    for span in sorted(spans):
        if out and span.start < out[-1].end:
            kind = out[-1].kind if out[-1].kind != "assigned" else span.kind
            out[-1] = Span(out[-1].start, max(out[-1].end, span.end), kind)
        elif span.end > span.start:
            out.append(span)
    return [s for span in out for s in _outside(span, text)]


def lowered(text: str) -> str:
    """The text in lower case, each character at its own place."""
    # the only character whose lower case is two
    return text.replace("\u0130", "i").lower()


def _placeholders(text: str) -> list[tuple[int, int]]:
    """Where placeholders stand that an earlier pass put in."""
    return (
        [match.span() for match in PLACEHOLDER.finditer(text)] if PLACEHOLDER_HEAD in text else []
    )


def _within(held: list[tuple[int, int]], start: int, end: int) -> bool:
    """Whether start:end touches one of the stretches, which are in their order."""
    before = bisect_left(held, (end, 0))
    return before > 0 and held[before - 1][1] > start


def _outside(span: Span, text: str) -> list[Span]:
    held = text.find(PLACEHOLDER_HEAD, span.start, span.end)
    if held < 0:
        return [span]
    rest = text.find("]", held, span.end) + 1
    pieces = [Span(span.start, held, span.kind)]
    if rest > 0:
        pieces += _outside(Span(rest, span.end, span.kind), text)
    return [piece for piece in pieces if piece.end - piece.start >= 4]
