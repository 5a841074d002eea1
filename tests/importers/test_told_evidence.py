"""An export from anywhere: what cannot be is refused, and a rejection needs a sign."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from qi_learn.importers.told_evidence import checked
from qi_learn.records import Became, Feedback, GivenRating, Score, Suggestion, Survival

AT = 1_790_000_000.0
COMMIT = "c" * 40
KEPT = Suggestion(
    "T",
    0,
    "x = 1",
    -1,
    -1,
    state="settled",
    file="a.py",
    region="x = 1",
    similarity=1.0,
    placed_at=AT,
    settled_at=AT,
    final_text="x = 1",
    commit=COMMIT,
    inferred="kept",
    fate="kept",
)
LEFT = Survival("T", 0, COMMIT, "a.py", 1, ((3,),), AT, 1.0, due=AT)
WHOLE = Became(
    ratings=(GivenRating("R", AT, comment="Good."),),
    suggestions=(KEPT,),
    seen=Feedback(accepted=True, modified=False),
    left=(LEFT,),
    score=Score("T", 0.7, 0.5, 0.9, "x = 1"),
)


def suggested(**values: object) -> Callable[[], Became]:
    return lambda: replace(WHOLE, suggestions=(replace(KEPT, **values),))  # type: ignore[arg-type]


def left(**values: object) -> Callable[[], Became]:
    return lambda: replace(WHOLE, left=(replace(LEFT, **values),))  # type: ignore[arg-type]


def test_what_may_be_is_as_it_is() -> None:
    assert checked(WHOLE) == WHOLE
    assert checked(Became()) == Became()


@pytest.mark.parametrize(
    "made",
    [
        suggested(commit="--output=/tmp/a"),
        suggested(repaired_by="HEAD"),
        suggested(similarity=7.0),
        suggested(placed_at=1e300),
        suggested(settled_at=-1.0),
        left(commit=f"{COMMIT}\n"),
        left(lines=((-5,),)),
        left(lines=((10**12,),)),
        left(after_week=-0.5),
        left(due=float("inf")),
        lambda: replace(WHOLE, suggestions=(KEPT, KEPT)),
        lambda: replace(WHOLE, score=Score("T", 99.0, 0.5, 0.9, "x = 1")),
        lambda: replace(WHOLE, score=Score("T", 0.7, 0.5, 1.5, "x = 1")),
        lambda: replace(WHOLE, ratings=(GivenRating("R", AT, 9),)),
    ],
)
def test_what_cannot_be_is_refused(made: Callable[[], Became]) -> None:
    with pytest.raises(ValueError, match=r"is none|no file|not 1 to 5|one number"):
        checked(made())


UNPLACED = replace(KEPT, region=None, final_text=None, similarity=None, placed_at=None, commit=None)
REJECTED = replace(WHOLE, seen=Feedback(accepted=False), left=(), ratings=())


def rejected(suggestion: Suggestion) -> Became:
    return replace(
        REJECTED, suggestions=(replace(suggestion, inferred="rejected", fate="rejected"),)
    )


@pytest.mark.parametrize(
    "suggestion",
    [
        UNPLACED,
        KEPT,
        replace(KEPT, similarity=0.97),
        replace(KEPT, similarity=None),
        replace(KEPT, said="declined"),
        replace(KEPT, region=None, final_text=None, sign="superseded"),
    ],
    ids=["never found", "as it was", "edited", "of no likeness", "typed by hand", "replaced"],
)
def test_a_rejection_without_a_sign_is_unknown_and_scored_anew(suggestion: Suggestion) -> None:
    mended = checked(rejected(suggestion))
    (own,) = mended.suggestions
    assert (own.inferred, own.fate) == ("unknown", "unknown")
    assert (mended.seen.accepted, mended.score) == (None, None)


def test_but_what_the_person_said_of_it_stays() -> None:
    given = replace(rejected(UNPLACED), ratings=(GivenRating("R", AT, 1),))
    assert checked(given).suggestions[0].fate == "rejected"


def test_a_fate_that_neither_what_was_seen_nor_what_was_said_gives_is_named_anew() -> None:
    mended = checked(suggested(fate="rejected")())
    assert [(s.inferred, s.fate) for s in mended.suggestions] == [("kept", "kept")]
    assert mended.score is None
    said = replace(suggested(fate="rejected")(), ratings=(GivenRating("R", AT, 1),))
    assert checked(said) == said
    again = (GivenRating("S", AT + 1, 5), *said.ratings)
    assert checked(replace(said, ratings=again)).suggestions[0].fate == "kept"


@pytest.mark.parametrize(
    "suggestion",
    [
        replace(UNPLACED, said="declined"),
        replace(UNPLACED, sign="left_out"),
        replace(KEPT, reverted=True),
        replace(KEPT, region=None, final_text=None),
        replace(KEPT, similarity=0.3),
    ],
    ids=["declined", "left out", "reverted", "gone", "rewritten"],
)
def test_a_rejection_with_a_sign_stays(suggestion: Suggestion) -> None:
    assert checked(rejected(suggestion)) == rejected(suggestion)
