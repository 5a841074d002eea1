"""A suggestion's states as values, and what follows for its turn.

The states are the region in which it stands, that it is gone, and that it is settled. Nothing here
reads or writes anything.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import groupby
from typing import TypeVar

from qi_learn.fates import accepted, inferred_fate, turn_fate
from qi_learn.records import Feedback, Suggestion, Tracked, TurnChange
from qi_learn.settings import CaptureSettings
from qi_learn.step_guard import StepGuard
from qi_learn.track.exact import METHOD
from qi_learn.track.growth import grown
from qi_learn.track.likeness import TAKEN, likeness
from qi_learn.track.moved_imports import moved_imports, with_imports
from qi_learn.track.region import Region, Trace, around, defines, text_of
from qi_learn.track.suggestions import Frame, goes_on_behind
from qi_learn.workspace.changes import FileSaved

T = TypeVar("T")
FOLLOWED = 8 * 86400.0
"""Seconds after its placement for which a suggestion is followed: the last look at it is after
seven days.
"""


def is_followed(tracked: Tracked, project: str, now: float) -> bool:
    """Whether the suggestion was found in a file of the project, not too long ago."""
    placed_at = tracked.suggestion.placed_at
    return (
        tracked.suggestion.state != "waiting"
        and tracked.turn.project == project
        and placed_at is not None
        and placed_at >= now - FOLLOWED
    )


def name_of(tracked: Tracked) -> str:
    """How a suggestion is named where it is set aside."""
    return f"{tracked.suggestion.turn_id}/{tracked.suggestion.ordinal}"


def each_guarded(
    items: Iterable[T],
    step: Callable[[T], Suggestion],
    guard: StepGuard,
    name: Callable[[T], str],
) -> Iterator[Suggestion]:
    """What a step makes of each item, without those that cannot be understood."""
    for item in items:
        with guard.step("suggestion", name(item)):
            yield step(item)


def is_exact(suggestion: Suggestion) -> bool:
    """Whether the lines in which the suggestion was found are an edit and nothing else.

    Then its region is those lines, whatever they are a part of.
    """
    return suggestion.match_method == METHOD


def is_fragment(suggestion: Suggestion) -> bool:
    """Whether the suggestion is an edit of some lines: its region is they and nothing else.

    Also if a formatter came in between, so that it was not found as it is.
    """
    return is_exact(suggestion) or suggestion.old is not None


def is_its_lines(tracked: Tracked) -> bool:
    """Whether the region is the lines that were found and no more: the rest is the person's.

    So it is with an edit, and with a completion in code that goes on behind it.
    """
    return is_fragment(tracked.suggestion) or goes_on_behind(tracked)


def trace_of(suggestion: Suggestion) -> Trace:
    """What is kept of a placed suggestion to find it again."""
    return Trace(
        suggestion.region or "",
        suggestion.name,
        suggestion.before,
        suggestion.after,
        defines(suggestion.text) and not is_fragment(suggestion),
        is_fragment(suggestion),
    )


def stands_at(
    suggestion: Suggestion,
    saved: FileSaved,
    region: Region,
    frame: Frame,
    added: Collection[int] | None = None,
) -> Suggestion:
    """The suggestion with the region it has in a file now.

    It is placed, and touched with that save if its text is another one. `added`: the lines of the
    file that are younger than the suggestion; None if unknown.
    """
    lines = saved.text.split("\n")
    if not is_fragment(suggestion):
        region = grown(region, lines, frame.whole_lines(suggestion.text))
    text = text_of(lines, region)
    head = moved_imports(suggestion, lines, region, added)
    whole = with_imports(head, suggestion.text, frame.cut(text))
    before, after = around(lines, region)
    return replace(
        suggestion,
        state="placed",
        file=saved.place,
        name=region.name,
        before=before,
        after=after,
        region=text,
        head=head,
        similarity=max(likeness(whole, suggestion.text), _least(suggestion, text)),
        touched_at=suggestion.touched_at if text == suggestion.region else saved.ts,
        reverted=False,
        sign=None,
    )


def _least(suggestion: Suggestion, region: str) -> float:
    """The least likeness of what stands in the place of an edit that names its file.

    The lines that it brought are often few beside those that it repeats, and others put lines
    between: as long as all that it brought stands, in its order, a part of it was taken. If it only
    took lines out of those that it repeats, it is taken as long as they are away.
    """
    if not is_exact(suggestion):
        return 0.0
    old, own, now = map(_solid, (suggestion.old or "", suggestion.text, region))
    brought = [line for line in own if line not in old]
    if not any(map(str.isalnum, "".join(brought))):
        removed = Counter(old) - Counter(own)
        away = bool(removed) and not brought and not removed & (Counter(now) - Counter(own))
        return TAKEN if away else 0.0
    there = iter(now)
    return TAKEN if all(line in there for line in brought) else 0.0


def _solid(text: str) -> list[str]:
    return [bare for line in text.split("\n") if (bare := line.strip())]


def superseded(suggestion: Suggestion, ts: float, *, same: bool = False) -> Suggestion:
    """The suggestion after another one was put in its place; one that waits goes on waiting.

    `same`: whether that one is the same text.
    """
    if suggestion.placed_at is None:
        alike = 1.0 if same else suggestion.similarity
        return replace(suggestion, sign="superseded", similarity=alike)
    if suggestion.sign == "superseded":
        return suggestion
    return replace(
        suggestion,
        state="settled",
        region=None,
        final_text=None,
        touched_at=ts,
        settled_at=ts,
        sign="superseded",
    )


def gone(suggestion: Suggestion, ts: float) -> Suggestion:
    """The suggestion after its region went: it is settled as that, unless it comes again."""
    return replace(suggestion, state="placed", region=None, similarity=0.0, touched_at=ts)


def settled(suggestion: Suggestion, frame: Frame, now: float, *, commit: str | None) -> Suggestion:
    """The suggestion settled as it is now: the region's text is the final version.

    `commit`: the one that has it. Without one, an earlier commit counts for as long as its text
    stands.
    """
    final = None if suggestion.region is None else final_text(suggestion, frame)
    if commit is None and final is not None and final == suggestion.final_text:
        commit = suggestion.commit
    return replace(suggestion, state="settled", settled_at=now, final_text=final, commit=commit)


def brought_by(suggestion: Suggestion, frame: Frame, commit: str | None) -> str | None:
    """The commit that brought the code as it stands now: the first that has it.

    `commit`: the one that had its final version. A later commit of the same file does not take its
    place; None if the code is another one now.
    """
    return commit if final_text(suggestion, frame) == suggestion.final_text else None


def final_text(suggestion: Suggestion, frame: Frame) -> str:
    """The code that took the suggestion's place, as it stands in the file.

    Whole lines for a code block, and for a completion what is between the ends of the person's own
    lines. Completions and tool arguments end with a line feed only if the suggestion did.
    """
    text = with_imports(suggestion.head, suggestion.text, frame.cut(suggestion.region or "")) + "\n"
    return text if suggestion.start > 0 or suggestion.text.endswith("\n") else text[:-1]


def turn_changes(
    tracked: Sequence[Tracked],
    after: Iterable[Suggestion],
    settings: CaptureSettings,
    *,
    project: str | None = None,
) -> tuple[TurnChange, ...]:
    """What changed, turn by turn; empty if nothing did.

    `tracked`: all suggestions of each turn, turn by turn, as they were. `after`: those that were
    looked at, as they are now; their fates are inferred here. `project`: the project in which they
    were found: what was believed before gives way to it.
    """
    now = {_key(s): _with_fate(s, settings) for s in after}
    changes = []
    for turn, group in groupby(tracked, key=lambda t: t.turn):
        before = [t.suggestion for t in group]
        own = [now.get(_key(s), s) for s in before]
        changed = tuple(s for s, old in zip(own, before, strict=True) if s != old)
        if changed:
            found = turn.project != project and any(s.state == "placed" for s in changed)
            changes.append(
                TurnChange(
                    turn.id,
                    changed,
                    implicit_feedback(own, turn.ended),
                    project if found else None,
                    any(s.repaired_by is not None for s in own),
                )
            )
    return tuple(changes)


def _with_fate(suggestion: Suggestion, settings: CaptureSettings) -> Suggestion:
    fate = inferred_fate(
        suggestion, accepted=settings.accepted_similarity, kept=settings.modified_similarity
    )
    return replace(suggestion, inferred=fate)


def _key(suggestion: Suggestion) -> tuple[str, int]:
    return suggestion.turn_id, suggestion.ordinal


def implicit_feedback(suggestions: Sequence[Suggestion], ended: float) -> Feedback:
    """What became of a turn that ended at `ended`, by what was seen of its suggestions.

    Accepted if one of them was taken, modified if one of those was; what was rejected is modified
    if something else stands in its place.
    """
    fate = turn_fate([s.inferred for s in suggestions])
    standing = [
        s
        for s in suggestions
        if s.state == "settled" and s.final_text is not None and not s.reverted
    ]
    placed = [s for s in suggestions if s.placed_at is not None]
    surest = max(placed, key=lambda s: s.match_confidence or 0.0, default=None)
    changed = fate == "edited" if accepted(fate) else bool(standing) or None
    return Feedback(
        accepted=accepted(fate),
        modified=None if accepted(fate) is None else changed,
        final_version="\n".join(s.final_text or "" for s in standing) if standing else None,
        time_to_accept=max(0.0, min(s.placed_at or 0.0 for s in placed) - ended)
        if placed
        else None,
        match_method=surest.match_method if surest else None,
        match_confidence=surest.match_confidence if surest else None,
    )
