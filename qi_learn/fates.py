"""What became of a suggestion, in a word (contracts 5), and of a turn with several of them.

The invariant: rejected has a positive sign. It was declined, its own place was saved without it, it
was undone or rewritten, or the person said so. What was not seen is unknown, and what a person
says beats what was inferred.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from qi_learn.records import Fate, Feedback, GivenRating, Suggestion

ACCEPTED_SIMILARITY, KEPT_SIMILARITY = 0.5, 0.98
"""Of the final text to the suggestion: from the first on it is edited, from the second on kept."""
GOOD_RATING, BAD_RATING = 4, 2
"""From the first on a rating says that the answer was wanted, up to the second that it was not."""
EXPLICIT = ("rating", "correction", "comment", "mark")
"""The fields of `Feedback` that a person gives."""
_MARKED: dict[str, Fate] = {
    "kept": "kept",
    "edited": "edited",
    "rejected": "rejected",
    "ignore": "unknown",
}


def inferred_fate(
    suggestion: Suggestion,
    *,
    accepted: float = ACCEPTED_SIMILARITY,
    kept: float = KEPT_SIMILARITY,
) -> Fate | None:
    """What became of a suggestion by what was seen; None while that is open.

    `accepted`, `kept`: the likeness of the final text from which on it is edited, and kept.
    """
    if refused(suggestion, kept=kept):
        return "rejected"
    if suggestion.sign == "superseded":
        return "superseded"
    if suggestion.state == "unknown":  # the person's own word, if no file says otherwise
        return "kept" if suggestion.said == "accepted" else "unknown"
    if suggestion.state != "settled":
        return None
    if suggestion.sign == "left_out":
        return "rejected"
    if suggestion.placed_at is None:
        return "unknown"
    if suggestion.final_text is None or suggestion.reverted:
        return "rejected"
    if suggestion.similarity is None:
        return "unknown"
    if suggestion.similarity >= kept:
        return "kept"
    return "edited" if suggestion.similarity >= accepted else "rejected"


def refused(suggestion: Suggestion, *, kept: float = KEPT_SIMILARITY) -> bool:
    """Whether the person declined it, and did not take the same after all.

    What stands in its place may be it word for word: typed by hand, or asked for once more.
    """
    if suggestion.said != "declined":
        return False
    stands = suggestion.sign == "superseded" or (
        suggestion.final_text is not None and not suggestion.reverted
    )
    return not (stands and (suggestion.similarity or 0.0) >= kept)


def said_in(ratings: Iterable[GivenRating]) -> Feedback:
    """What a person said of a turn: of several ratings the newest of each field."""
    said = Feedback()
    for given in sorted(ratings, key=lambda g: (g.ts, g.id)):
        said = Feedback(
            rating=said.rating if given.rating is None else given.rating,
            correction=said.correction if given.correction is None else given.correction,
            comment=said.comment if given.comment is None else given.comment,
            mark=said.mark if given.mark is None else given.mark,
            match_method=given.match_method,
            match_confidence=given.match_confidence,
        )
    return said


def fate_of(inferred: Fate | None, said: Feedback) -> Fate | None:
    """The fate with what a person said of the turn, which beats what was inferred.

    A low rating rejects and a correction stands in its place. A high rating says that it was
    wanted, not that it was taken: then to be gone is no rejection.
    """
    if said.mark is not None:
        return _MARKED[said.mark]
    if said.rating is not None and said.rating <= BAD_RATING:
        return "rejected"
    if said.correction:
        return "edited"
    wanted = said.rating is not None and said.rating >= GOOD_RATING
    return "unknown" if wanted and inferred == "rejected" else inferred


def turn_fate(fates: Collection[Fate | None]) -> Fate | None:
    """What became of a turn by the fates of its suggestions; None while that is open.

    Kept if something of it was, and all that was taken is as it was suggested. Rejected only if
    nothing else may come of it.
    """
    if taken := {"kept", "edited"} & set(fates):
        return "edited" if "edited" in taken else "kept"
    if None in fates or not fates:
        return None
    for word in ("rejected", "superseded"):
        if word in fates:
            return word
    return "unknown"


def accepted(fate: Fate | None) -> bool | None:
    """R2's `accepted`: whether something was taken; None if that is not known."""
    return {"kept": True, "edited": True, "rejected": False}.get(fate or "")
