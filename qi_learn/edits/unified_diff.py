"""Unified diffs: in a fence that says so, or with their two header lines in front of the hunks.

As `diff -u` and git write them, and as models do: without line numbers (aider's `udiff`, see
aider/coders/udiff_coder.py), without headers, without the space of an empty line.

A hunk is one edit: its lines from the first that changes to the last, as they were and as they are
to be. What stands around them is the same in both.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from qi_learn.edits.edit import Edit, Passage
from qi_learn.edits.lines import TextLine
from qi_learn.record_class import dataclass

_FENCE = re.compile(r"[ \t]*(`{3,}|~{3,})[ \t]*(?:diff|udiff|patch)\b.*", re.IGNORECASE)
_BESIDE = (
    *("diff --git ", "index ", "new file mode ", "deleted file mode ", "old mode ", "new mode "),
    *("similarity index ", "rename from ", "rename to ", "Binary files "),
)
_NOWHERE = "/dev/null"


def diffs_in(lines: Sequence[TextLine]) -> Iterator[Passage]:
    """The diffs of a text: each fence that says it is one, each bare one with its headers."""
    number = 0
    while number < len(lines):
        opened = _FENCE.fullmatch(lines[number].text)
        if opened:
            last = _closing(lines, number + 1, opened[1])
            body = [line.text for line in lines[number + 1 : last]]
            stop = min(last + 1, len(lines))
            yield Passage(lines[number].start, lines[stop - 1].end, tuple(edits_in(body)))
            number = stop
        elif _headed(lines, number):
            last = _over(lines, number)
            body = [line.text for line in lines[number:last]]
            yield Passage(lines[number].start, lines[last - 1].end, tuple(edits_in(body)))
            number = last
        else:
            number += 1


def _closing(lines: Sequence[TextLine], first: int, fence: str) -> int:
    """The line that closes a fence. Lines of a diff have a sign in front, so it is unmistakable."""
    for number in range(first, len(lines)):
        bare = lines[number].text.strip()
        if len(bare) >= len(fence) and not bare.strip(fence[0]):
            return number
    return len(lines)


def _headed(lines: Sequence[TextLine], number: int) -> bool:
    return (
        number + 2 < len(lines)
        and lines[number].text.startswith("--- ")
        and lines[number + 1].text.startswith("+++ ")
        and lines[number + 2].text.startswith("@@")
    )


def _over(lines: Sequence[TextLine], first: int) -> int:
    """The first line that is not of a bare diff any more."""
    number = first + 3
    while number < len(lines):
        text = lines[number].text
        if not text.startswith(("+", "-", " ", "@@", "\\", *_BESIDE)) and (
            text or not _goes_on(lines, number)
        ):
            break
        number += 1
    return number


def _goes_on(lines: Sequence[TextLine], number: int) -> bool:
    """Whether what stands behind an empty line, or three, is of the diff.

    A line with `-` alone may be one of a list: that is not read on.
    """
    behind = (line.text for line in lines[number + 1 : number + 4])
    after = next((text for text in behind if text), "")
    return after.startswith((" ", "@@", *_BESIDE))


@dataclass(frozen=True, slots=True)
class DiffHunk:
    """The lines of a diff between two headers, by their numbers in it."""

    path: str | None
    header: int | None
    """The line that begins with `@@`, if it has one."""
    lines: tuple[int, ...]


def edits_in(body: Sequence[str]) -> Iterator[Edit]:
    """The edits of a diff's lines."""
    for hunk in hunks_in(body):
        yield from edit_of_hunk(hunk.path, [body[number] for number in hunk.lines])


def hunks_in(body: Sequence[str]) -> Iterator[DiffHunk]:
    """The hunks of a diff's lines; some are empty."""
    path: str | None = None
    header: int | None = None
    hunk: list[int] = []
    number = 0
    while number < len(body):
        line = body[number]
        after = body[number + 1] if number + 1 < len(body) else ""
        if line.startswith("--- ") and after.startswith("+++ "):
            yield DiffHunk(path, header, tuple(hunk))
            path, header, hunk = _path(line[4:], after[4:]), None, []
            number += 1
        elif line.startswith(("@@", *_BESIDE)):
            yield DiffHunk(path, header, tuple(hunk))
            header, hunk = number if line.startswith("@@") else None, []
        elif not line.startswith("\\"):
            hunk.append(number)
        number += 1
    yield DiffHunk(path, header, tuple(hunk))


def _path(old: str, new: str) -> str | None:
    """The file of a diff, by its two headers: dates, and the `a/` and `b/` of git, left out."""
    before, after = (text.split("\t")[0].strip() for text in (old, new))
    if after == _NOWHERE:
        return None
    if after.startswith("b/") and (before.startswith("a/") or before == _NOWHERE):
        return after[2:]
    return after or None


def core_of(hunk: Sequence[str]) -> range:
    """The lines of a hunk from the first that changes to the last; none if it changes nothing."""
    changed = [n for n, line in enumerate(hunk) if line[:1] in ("+", "-")]
    return range(changed[0], changed[-1] + 1) if changed else range(0)


def edit_of_hunk(path: str | None, hunk: Sequence[str]) -> Iterator[Edit]:
    """The edit that lines with `+`, `-` or a space in front are; none if they change nothing."""
    core = [hunk[number] for number in core_of(hunk)]
    old = [line[1:] for line in core if line[:1] != "+"]
    new = [line[1:] for line in core if line[:1] != "-"]
    if not any(line.strip() for line in (*old, *new)):
        return
    yield Edit(path, "\n".join([*old, ""]) if old else None, "\n".join([*new, ""]) if new else "")
