"""A suggestion's states as values: where it stands, that it is gone, that it is settled; and what
that says of its turn.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from qi_learn.code_text import similarity
from qi_learn.records import Feedback, Suggestion
from qi_learn.settings import CaptureSettings
from qi_learn.store import feedback, turns
from qi_learn.store.database import Store
from qi_learn.track.region import Region, Trace, around, defines, text_of
from qi_learn.track.suggestions import CONTINUED, Frame, frame_of
from qi_learn.workspace.watcher import FileSaved


def frame_for(store: Store, suggestion: Suggestion) -> Frame:
    """The frame of a stored suggestion; the conversation is read only where there may be one."""
    if turns.load_head(store, suggestion.turn_id).endpoint not in CONTINUED:
        return Frame()
    return frame_of(turns.load_turn(store, suggestion.turn_id), suggestion)


def trace_of(suggestion: Suggestion) -> Trace:
    """What is known of a placed suggestion to find it again."""
    return Trace(
        suggestion.region or "",
        suggestion.name,
        suggestion.before,
        suggestion.after,
        defines(suggestion.text),
    )


def stands_at(suggestion: Suggestion, saved: FileSaved, region: Region, frame: Frame) -> Suggestion:
    """The suggestion with the region it has in a file now: placed, and touched with that save where
    its text is another one.
    """
    lines = saved.text.split("\n")
    text = text_of(lines, region)
    before, after = around(lines, region)
    return replace(
        suggestion,
        state="placed",
        file=saved.file,
        name=region.name,
        before=before,
        after=after,
        region=text,
        similarity=similarity(frame.cut(text), suggestion.text),
        touched_at=suggestion.touched_at if text == suggestion.region else saved.ts,
        reverted=False,
    )


def gone(suggestion: Suggestion, ts: float) -> Suggestion:
    """Its region is not there any more; it is settled as that, unless it comes again."""
    return replace(suggestion, state="placed", region=None, similarity=0.0, touched_at=ts)


def settled(suggestion: Suggestion, frame: Frame, now: float, *, commit: str | None) -> Suggestion:
    """As it is now: the region's text is the final version.

    `commit`: the one that has it; without one, an earlier commit counts while its text stands.
    """
    final = None if suggestion.region is None else final_text(suggestion, frame)
    if commit is None and final is not None and final == suggestion.final_text:
        commit = suggestion.commit
    return replace(suggestion, state="settled", settled_at=now, final_text=final, commit=commit)


def final_text(suggestion: Suggestion, frame: Frame) -> str:
    """The code that took the suggestion's place, as it stands in the file: whole lines for a code
    block; what is between the ends of the person's own lines for a completion. Completions and tool
    arguments end with a line feed only where the suggestion did.
    """
    text = frame.cut(suggestion.region or "") + "\n"
    return text if suggestion.start > 0 or suggestion.text.endswith("\n") else text[:-1]


def tell(store: Store, suggestion: Suggestion, settings: CaptureSettings) -> None:
    """Stores the suggestion, and what follows from it for its turn.

    Nothing is written where nothing changed.
    """
    if feedback.update_suggestion(store, suggestion):
        turn = turns.load_head(store, suggestion.turn_id)
        feedback.save_implicit(
            store,
            turn.id,
            implicit_feedback(feedback.suggestions_of(store, turn.id), turn.ended, settings),
        )


def accepted(suggestion: Suggestion, settings: CaptureSettings) -> bool | None:
    """Whether it was taken, as of now; None while that is open."""
    if suggestion.state != "settled":
        return None
    if suggestion.final_text is None or suggestion.reverted or suggestion.similarity is None:
        return False
    return suggestion.similarity >= settings.accepted_similarity


def implicit_feedback(
    suggestions: Sequence[Suggestion], ended: float, settings: CaptureSettings
) -> Feedback:
    """What became of a turn that ended at `ended`: taken where one of its suggestions was, changed
    where one of those was, known once one is settled.
    """
    judged = [(s, accepted(s, settings)) for s in suggestions]
    taken = [s for s, verdict in judged if verdict]
    known = [s for s, verdict in judged if verdict is not None]
    kept = [s for s in known if s.final_text is not None and not s.reverted]
    placed = [s for s in suggestions if s.placed_at is not None]
    surest = max(placed, key=lambda s: s.match_confidence or 0.0, default=None)
    changed = [(s.similarity or 0.0) < settings.modified_similarity for s in taken or kept]
    return Feedback(
        accepted=bool(taken) if known else None,
        modified=any(changed) if changed else None,
        final_version="\n".join(s.final_text or "" for s in kept) if kept else None,
        time_to_accept=max(0.0, min(s.placed_at or 0.0 for s in placed) - ended)
        if placed
        else None,
        match_method=surest.match_method if surest else None,
        match_confidence=surest.match_confidence if surest else None,
    )
