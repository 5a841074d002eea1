"""The region of a file that a suggestion took, found again after every edit.

So what stands there in the end is the final version.

A region is a run of whole lines. From one text of the file to the next it is followed through the
lines around it that did not change, which works also while the file does not parse (an unclosed
string that swallows the rest of it changes nothing above and below). If the text before is not
known, the region is looked for by its own text, by its qualified name, then by the lines that stood
around it. If the file parses, a region that is a definition is exactly that definition: what was
added at its end belongs to it, what was put after it does not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

from qi_learn.code_text import indentation
from qi_learn.lexer import code_tokens, is_comment, tokens_by_line
from qi_learn.track.definitions import Definition, definitions
from qi_learn.track.match import occurrences
from qi_learn.track.run_of_lines import AROUND, alike_from_top, between, track

DEFINITION_WORDS = ("def ", "class ", "async def ", "@")


@dataclass(frozen=True, slots=True)
class Region:
    """Lines `start` up to `end`, with a name if they are one definition."""

    start: int
    end: int
    name: str | None = None


@dataclass(frozen=True, slots=True)
class Trace:
    """What is kept of a region to find it again.

    Its text, its name, the lines with code before it and after it.
    """

    text: str
    name: str | None
    before: tuple[str, ...]
    after: tuple[str, ...]
    defines: bool
    """Whether the suggestion was, or held, a definition or the beginning of one.

    Then a definition that begins in its place belongs to it to the end.
    """
    exact: bool = False
    """Whether it is an edit and nothing else: then comments in its place are of it as well."""


def defines(code: str) -> bool:
    """Whether code holds an outer definition (in no other one) or the beginning of one."""
    margin = indentation(code)
    return any(
        line.startswith(margin) and line[len(margin) :].startswith(DEFINITION_WORDS)
        for line in code.split("\n")
    )


def text_of(lines: Sequence[str], region: Region) -> str:
    """The region's text, without a line feed at its end."""
    return "\n".join(lines[region.start : region.end])


def around(lines: Sequence[str], region: Region) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The last lines that are not blank before a region, and the first ones after it."""
    above = (lines[i] for i in range(region.start - 1, -1, -1))
    below = (lines[i] for i in range(region.end, len(lines)))
    before = list(islice((line for line in above if line.strip()), AROUND))
    return tuple(before[::-1]), tuple(islice((line for line in below if line.strip()), AROUND))


# --- the first time -------------------------------------------------------------------------------


def region_at(text: str, file: str, start: int, end: int, *, exact: bool = False) -> Region:
    """The region for the lines that are a suggestion.

    It is the smallest definition of which they are the most, else these lines. `exact`: they are
    all that was suggested, and no more than they is its region.
    """
    lines = text.split("\n")
    first = _first_code(lines, start, end)
    holding = [
        d for d in definitions(text, file) or () if d.start <= first <= d.line and end <= d.end
    ]
    if holding:
        own = min(holding, key=lambda d: d.end - d.start)
        region = Region(start, own.end, own.name)
        if exact:
            return region if region.end == end else Region(start, end)
        if 2 * len(code_tokens(text_of(lines, Region(start, end)))) > len(
            code_tokens(text_of(lines, region))
        ):
            return region
    return Region(start, end)


def _first_code(lines: Sequence[str], start: int, end: int) -> int:
    found = tokens_by_line(lines[start:end])
    return next((start + n for n, tokens in enumerate(found) if tokens), start)


# --- again and again ------------------------------------------------------------------------------


def find_again(
    trace: Trace, new: str, file: str, *, old: str | None, added: set[int] | None = None
) -> Region | None:
    """The region in a new text of its file; None if it is gone.

    `old`: the text in which the trace was last seen; `added`: the lines of the new one that are
    younger than the suggestion; both None if unknown. If none of the code that took its place is
    younger, the suggestion was taken back.
    """
    lines, defined = new.split("\n"), definitions(new, file)
    before = [] if old is None else old.split("\n")
    span = _own_span(trace, before)
    if span is not None:
        tracked = track(before, lines, *span)
        region = None if tracked is None else _tidy(trace, lines, defined, *tracked)
        if region is None or not _is_younger(trace, lines, region, added):
            region = _elsewhere(trace, before, lines, definitions(old or "", file), defined)
        return region if region and _is_younger(trace, lines, region, added) else None
    span = _own_span(trace, lines)
    if span is None and (named := _by_name(trace, lines, defined)) is not None:
        return named
    span = span or between(trace.before, trace.after, lines)
    return None if span is None else _tidy(trace, lines, defined, *span)


def _is_younger(trace: Trace, lines: Sequence[str], region: Region, added: set[int] | None) -> bool:
    """Whether some code of a region is younger than the suggestion; of an edit also a comment."""
    return added is None or any(
        i in added and (code_tokens(lines[i]) or (trace.exact and lines[i].strip()))
        for i in range(region.start, region.end)
    )


def _own_span(trace: Trace, lines: Sequence[str]) -> tuple[int, int] | None:
    """The lines that are the region's own text; of several the ones with the same lines around."""
    own = trace.text.split("\n")
    starts = occurrences(own, lines) if trace.text.strip() else []
    if not starts:
        return None
    ends = {s: around(lines, Region(s, s + len(own))) for s in starts}
    best = max(
        starts,
        key=lambda s: (
            alike_from_top(ends[s][0][::-1], trace.before[::-1])
            + alike_from_top(ends[s][1], trace.after)
        ),
    )
    return best, best + len(own)


def _tidy(
    trace: Trace, lines: Sequence[str], defined: tuple[Definition, ...] | None, start: int, end: int
) -> Region | None:
    """The region without blank lines at its ends, and exactly the definition if one took its place.

    None if nothing is left.
    """
    while start < end and not lines[start].strip():
        start += 1
    while end > start and not lines[end - 1].strip():
        end -= 1
    if start == end:
        return None
    inside = [d for d in defined or () if start <= d.line < end]
    outer = [d for d in inside if not any(o.line < d.line < o.end for o in inside)]
    if not outer or not (trace.defines or trace.name):
        return Region(start, end)
    if trace.name is None and _only_began(trace, lines, end, outer[-1]):
        return Region(start, end)
    own = next((d for d in outer if d.name == trace.name), None) or (
        outer[0] if len(outer) == 1 and not _other_code(lines, start, end, outer[0]) else None
    )
    if own is not None:
        first = max(start, own.start)
        return Region(_comments_above(lines, start, first), own.end, own.name)
    return Region(start, max(end, outer[-1].end))


def _only_began(trace: Trace, lines: Sequence[str], end: int, last: Definition) -> bool:
    """Whether a definition goes on behind the region as it did before: that was not suggested.

    So it is with a signature, or the head of a class, that was put in the place of another one.
    """
    _, after = around(lines, Region(end, end))
    return end < last.end and bool(after) and after[0] in trace.after


def _other_code(lines: Sequence[str], start: int, end: int, own: Definition) -> bool:
    return any(code_tokens(lines[i]) for i in range(start, end) if not own.start <= i < own.end)


def _comments_above(lines: Sequence[str], start: int, first: int) -> int:
    """The first of the region's comments directly above the definition: they stay with it."""
    while first > start and lines[first - 1].strip() and is_comment(lines[first - 1]):
        first -= 1
    return first


def _by_name(
    trace: Trace, lines: Sequence[str], defined: tuple[Definition, ...] | None
) -> Region | None:
    named = [d for d in defined or () if d.name == trace.name]
    if len(named) != 1:
        return None
    start = named[0].start
    above = trace.before
    while start < named[0].line and above and lines[start] in above:
        start += 1  # a decorator that was there before the suggestion came
    return Region(start, named[0].end, named[0].name)


def _elsewhere(
    trace: Trace,
    before: Sequence[str],
    lines: Sequence[str],
    defined_before: tuple[Definition, ...] | None,
    defined: tuple[Definition, ...] | None,
) -> Region | None:
    """The region cut out and put in elsewhere: as it was, or changed but under its name.

    What was there a second time before is not taken for it.
    """
    own = trace.text.split("\n")
    starts = occurrences(own, lines)
    if len(starts) == 1 and len(occurrences(own, before)) == 1:
        return Region(starts[0], starts[0] + len(own), trace.name)
    once = [d.name for d in defined_before or ()].count(trace.name or "") == 1
    return _by_name(trace, lines, defined) if once else None
