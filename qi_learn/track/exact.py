"""Where an edit stands that names its file: in that file, word for word, where its old text stood.

No likeness and no least length: the file is the one that was named, the text is there, and that
part of the file is not as it was. Indentation counts only between several places, as clients move
a text to where the old one stood; so do white space at the end of a line and blank lines around.
Of several places it is the one with the lines around it that the old text had.

Not covered: an edit that only takes text away (`removals`), and one of which another edit changed a
part before the file was saved: that is left to likeness.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from qi_learn.records import Suggestion, Tracked
from qi_learn.track.match import Match, NotCompared
from qi_learn.track.save import Save
from qi_learn.track.suggestions import frame_of
from qi_learn.workspace.changes import FileSaved

METHOD = "path"
"""How a match is named that was made here."""
AROUND = 3
"""Lines above and below that tell one place from another."""
_SANDBOXES = ("/workspace/", "/testbed/", "/mnt/project/")
"""Where agents that work in a container see the project."""


@dataclass(frozen=True, slots=True)
class _Place:
    """Lines `start` up to `end`, and what stands beside the text on the first and the last."""

    start: int
    end: int
    lead: str = ""
    trail: str = ""


def exactly_placed(
    tracked: Tracked, save: Save, others: Collection[int] = ()
) -> tuple[Tracked, Match] | None:
    """The suggestion with the ends of its lines, and where it stands; None if that is not certain.

    `others`: the first lines of where the same answer put the same text a first time. Raises
    NotCompared.
    """
    suggestion = tracked.suggestion
    if suggestion.path is None or not names(suggestion.path, tracked.turn.project, save.told):
        return None
    before = save.before(tracked.turn.started)
    if before is None or before == save.saved.text:
        return None
    if suggestion.said == "accepted":
        return _taken(tracked, before, save, others)
    place = _place(suggestion, before, save, others)
    if place is None:
        return None
    match = Match(place.start, place.end, 1.0, METHOD)
    framed = replace(suggestion, lead=place.lead, trail=place.trail)
    return replace(tracked, suggestion=framed), match


def _taken(
    tracked: Tracked, before: str, save: Save, others: Collection[int]
) -> tuple[Tracked, Match] | None:
    """A completion that was taken in the file: the lines that it is a part of, if they are new."""
    whole = frame_of(tracked).whole_lines(tracked.suggestion.text)
    place = _place(replace(tracked.suggestion, text=whole), before, save, others)
    if place is None or place.lead:
        return None
    return tracked, Match(place.start, place.end, 1.0, METHOD)


def elsewhere(tracked: Tracked, saved: FileSaved) -> bool:
    """Whether it was put into another file than the saved one, and that file is there.

    By a tool, or by a person who took it in an editor.
    """
    suggestion, project = tracked.suggestion, tracked.turn.project
    if suggestion.path is None or (suggestion.call is None and suggestion.said != "accepted"):
        return False
    if names(suggestion.path, project, saved):
        return False
    return any(os.path.isfile(path) for path in _meant(suggestion.path, project, saved))


def names(path: str, project: str | None, saved: FileSaved) -> bool:
    """Whether a path that an answer names is the saved file.

    It is absolute, or from the project, the directory above it, one of its working trees, or
    (if there is no such file) a directory within it. If the answer's own project has no such file
    it may be the saved one's.
    """
    try:
        return _names(_plain(path), path, project, saved)
    except ValueError:  # no name that a file can have
        return False


def is_still_away(suggestion: Suggestion, before: str, now: str) -> bool:
    """Whether an edit brought no line, and what it took out of the text `before` is still away."""
    if suggestion.old is None:
        return False
    own, old = _lines(suggestion.text), _lines(suggestion.old.strip("\n"))
    if not {line.strip() for line in own} <= {"", *(line.strip() for line in old)}:
        return False
    return _fewer(old, _lines(before), _lines(now))


def _names(plain: str, path: str, project: str | None, saved: FileSaved) -> bool:
    own = str(saved.path)
    if os.path.basename(plain) != saved.path.name and not os.path.islink(
        os.path.join(saved.project, plain)
    ):
        return False
    real = os.path.realpath(own)
    meant = _meant(path, project, saved)
    if any(os.path.realpath(each) == real for each in meant):
        return True
    tail = _tail(plain)
    if tail is None or any(os.path.lexists(each) for each in meant):
        return False
    return own.endswith(f"/{tail}")


def _plain(path: str) -> str:
    plain = path.removeprefix("file://").strip()
    if "\\" in plain and "/" not in plain:
        plain = plain.replace("\\", "/")
    return os.path.expanduser(plain)


def _meant(path: str, project: str | None, saved: FileSaved) -> list[str]:
    """The files that a path may mean.

    One that the answer's own project has is no other project's: each has its `setup.py`.
    """
    plain = _plain(path)
    if os.path.isabs(plain):
        return [plain]
    own = os.path.join(project or saved.project, plain)
    if project not in (None, saved.project) and os.path.lexists(own):
        return [own]
    roots = dict.fromkeys((project or saved.project, saved.project, saved.top))
    above = os.path.dirname(project or saved.project)
    return [os.path.join(root, plain) for root in (*roots, above) if root]


def _tail(plain: str) -> str | None:
    """A path from some directory within the project; None if it cannot be one."""
    for box in _SANDBOXES:
        plain = plain.removeprefix(box)
    tail = os.path.normpath(plain)
    return None if os.path.isabs(tail) or tail.startswith("..") else tail


def _place(
    suggestion: Suggestion, before: str, save: Save, others: Collection[int]
) -> _Place | None:
    own = _lines(suggestion.text.strip("\n"))
    old = None if suggestion.old is None else _lines(suggestion.old.strip("\n"))
    lines = _lines(save.saved.text)
    previous = _lines(before)
    added: set[int] = set()
    with suppress(NotCompared):
        added = save.text.added_since(before)[0]
    if not any(line.strip() for line in own):
        return None
    places = list(_whole_lines(own, lines))
    changed = [p for p in places if not added.isdisjoint(range(p.start, p.end))]
    if not changed and old is not None and _fewer(old, previous, lines):
        changed = places  # only lines that are gone tell it from what was there
    if not changed and old is not None:
        changed = _parts(own, old, lines, previous, added) or _left(own, old, lines, previous)
    changed = [p for p in changed if p.start not in others] or changed
    return _where_it_stood(changed, own, old, lines, previous)


def _lines(text: str) -> list[str]:
    return [line.rstrip() for line in text.split("\n")]


def _whole_lines(own: Sequence[str], lines: Sequence[str]) -> Iterator[_Place]:
    """The places at which the text is whole lines, however far they are indented."""
    bare = [line.strip() for line in own]
    first, count = bare[0], len(bare)
    here = [line.strip() for line in lines]
    for start, line in enumerate(here):
        if line == first and here[start : start + count] == bare:
            yield _Place(start, start + count, _indent(own, lines[start : start + count]))


def _indent(own: Sequence[str], there: Sequence[str]) -> str:
    """The white space in front of a text whose first line was named from behind it."""
    lead = len(there[0]) - len(own[0])
    return there[0][:lead] if lead > 0 and list(there[1:]) == list(own[1:]) else ""


def _fewer(old: Sequence[str], before: Sequence[str], now: Sequence[str]) -> bool:
    """Whether a text stands in a file less often than it did."""
    then, after = (sum(1 for _ in _whole_lines(old, lines)) for lines in (before, now))
    return then > after


def _parts_of_lines(own: Sequence[str], lines: Sequence[str], added: set[int]) -> Iterator[_Place]:
    """The places in changed lines at which the text begins or ends within a line."""
    if len(own) == 1:
        for number in sorted(added):
            at = lines[number].find(own[0])
            while at >= 0:
                end = at + len(own[0])
                yield _Place(number, number + 1, lines[number][:at], lines[number][end:])
                at = lines[number].find(own[0], at + 1)
        return
    last = len(own) - 1
    middle = list(own[1:last])
    for number in sorted(added | {n - last for n in added if n >= last}):
        if (
            number + last < len(lines)
            and lines[number].endswith(own[0])
            and lines[number + last].startswith(own[last])
            and list(lines[number + 1 : number + last]) == middle
        ):
            lead = lines[number][: len(lines[number]) - len(own[0])]
            yield _Place(number, number + last + 1, lead, lines[number + last][len(own[last]) :])


def _parts(
    own: Sequence[str],
    old: Sequence[str],
    lines: Sequence[str],
    before: Sequence[str],
    added: set[int],
) -> list[_Place]:
    """The parts of changed lines that may be the text: the old one stood between the same ends.

    If none is so, as other edits changed the line too, the only one with one of the ends.
    """
    places = list(_parts_of_lines(own, lines, added))
    sure = [place for place in places if _stood(place, old, before)]
    if sure or len(old) > 1:
        return sure
    likely = [place for place in places if _stood_at_one_end(place, old[0], before)]
    return likely if len(likely) == 1 else []


def _left(
    own: Sequence[str], old: Sequence[str], lines: Sequence[str], before: Sequence[str]
) -> list[_Place]:
    """The parts of lines that were left of an old text which stands there less often than it did.

    Such an edit brings no line: it took lines away, and ends within one that it repeats.
    """
    then, now = ("\n".join(text).count("\n".join(old)) for text in (before, lines))
    if then <= now:
        return []
    places = _parts_of_lines(own, lines, set(range(len(lines))))
    stood = [place for place in places if _stood(place, old, before)]
    return stood if len(stood) == 1 else []


def _stood(place: _Place, old: Sequence[str], before: Sequence[str]) -> bool:
    """Whether the old text stood between the same ends of a line."""
    wanted = [*old]
    wanted[0] = place.lead + wanted[0]
    wanted[-1] = (wanted[-1] + place.trail).rstrip()
    return any(
        before[n] == wanted[0] and list(before[n : n + len(wanted)]) == wanted
        for n in range(len(before) - len(wanted) + 1)
    )


def _stood_at_one_end(place: _Place, old: str, before: Sequence[str]) -> bool:
    first, last = place.lead + old, old + place.trail
    return any(line.startswith(first) or line.endswith(last) for line in before)


def _where_it_stood(
    places: Sequence[_Place],
    own: Sequence[str],
    old: Sequence[str] | None,
    lines: Sequence[str],
    before: Sequence[str],
) -> _Place | None:
    """Of several places the one with the lines around it that the old text had."""
    if len(places) < 2:
        return next(iter(places), None)
    stood = [] if old is None else list(_whole_lines(old, before))

    def likeness(place: _Place) -> tuple[int, int]:
        around = max((_around(place, lines, then, before) for then in stood), default=0)
        exact = sum(a == b for a, b in zip(own, lines[place.start : place.end], strict=False))
        return around, exact

    return max(places, key=likeness)


def _around(place: _Place, lines: Sequence[str], then: _Place, before: Sequence[str]) -> int:
    """How many lines next to a place are those that stood next to another."""
    above = zip(
        reversed(lines[max(0, place.start - AROUND) : place.start]),
        reversed(before[max(0, then.start - AROUND) : then.start]),
        strict=False,
    )
    below = zip(
        lines[place.end : place.end + AROUND], before[then.end : then.end + AROUND], strict=False
    )
    return _same(above) + _same(below)


def _same(pairs: Iterable[tuple[str, str]]) -> int:
    count = 0
    for one, other in pairs:
        if one != other:
            break
        count += 1
    return count
