"""A unified diff that leads to another text than the one it was written for, in the same form.

The invariant: its headers, its context and what it takes away are as they were, and it is read
again before it is given: each hunk leads from the same text to the one that is wanted. Line numbers
are brought up to date if they were right.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from difflib import SequenceMatcher

from qi_learn.edits.edit import Edit
from qi_learn.edits.unified_diff import core_of, edit_of_hunk, hunks_in

_NUMBERS = re.compile(r"@@ -(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))? @@(.*)")
Side = list[str]


def rewritten(body: Sequence[str], texts: Mapping[Edit, str]) -> list[str] | None:
    """The lines of a diff with other texts in the place of what its edits put there.

    None if one of the edits is not in it or is there twice, if a hunk would change nothing, or if
    what is made would be read otherwise.
    """
    hunks = [[body[number] for number in hunk.lines] for hunk in hunks_in(body)]
    made: dict[int, list[str]] = {n: [line] for n, line in enumerate(body)}
    wanted: list[tuple[str | None, Side, Side]] = []
    moved: dict[str | None, int] = {}
    found: list[Edit] = []
    for hunk, own in zip(hunks_in(body), hunks, strict=True):
        edit = next(edit_of_hunk(hunk.path, own), None)
        shift, new = moved.get(hunk.path, 0), own
        after = _after(own)
        if edit is not None and edit in texts:
            found.append(edit)
            after = _with_text(own, texts[edit])
            new = list(_rewritten(own, texts[edit]))
            made |= {n: new if n == hunk.lines[0] else [] for n in hunk.lines}
            moved[hunk.path] = shift + len(after) - len(_after(own))
        if hunk.header is not None:
            made[hunk.header] = [_header(body[hunk.header], own, len(after), shift)]
        if after == _before(own) and own != new:
            return None
        wanted.append((hunk.path, _before(own), after))
    lines = [line for number in sorted(made) for line in made[number]]
    if sorted(map(repr, found)) != sorted(map(repr, texts)) or _sides(lines) != wanted:
        return None
    return lines


def _sides(body: Sequence[str]) -> list[tuple[str | None, Side, Side]]:
    """From what each hunk of a diff leads to what: applying it."""
    hunks = ((hunk.path, [body[n] for n in hunk.lines]) for hunk in hunks_in(body))
    return [(path, _before(lines), _after(lines)) for path, lines in hunks]


def _before(hunk: Sequence[str]) -> Side:
    return [line[1:] for line in hunk if line[:1] != "+"]


def _after(hunk: Sequence[str]) -> Side:
    return [line[1:] for line in hunk if line[:1] != "-"]


def _with_text(hunk: Sequence[str], text: str) -> Side:
    """What a hunk leads to with a text in the place of its new lines."""
    core = core_of(hunk)
    return [*_after(hunk[: core.start]), *_lines(text), *_after(hunk[core.stop :])]


def _rewritten(hunk: Sequence[str], text: str) -> Iterator[str]:
    core = core_of(hunk)
    old, new = _before(hunk[core.start : core.stop]), _lines(text)
    yield from hunk[: core.start]
    for step, i, j, first, last in SequenceMatcher(None, old, new, False).get_opcodes():
        if step == "equal":
            yield from (f" {line}" for line in old[i:j])
            continue
        yield from (f"-{line}" for line in old[i:j])
        yield from (f"+{line}" for line in new[first:last])
    yield from hunk[core.stop :]


def _lines(text: str) -> list[str]:
    return text.removesuffix("\n").split("\n") if text else []


def _header(header: str, own: Sequence[str], lines: int, shift: int) -> str:
    """The header of a hunk that leads to so many lines; `shift`: how many came in front of it."""
    found = _NUMBERS.fullmatch(header)
    if found is None:
        return header
    at, count, to, many, rest = found.groups()
    if int(count or 1) != len(_before(own)) or int(many or 1) != len(_after(own)):
        return header
    old = "" if count is None else f",{count}"
    new = "" if many is None and lines == 1 else f",{lines}"
    return f"@@ -{at}{old} +{int(to) + shift}{new} @@{rest}"
