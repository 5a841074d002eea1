"""What became of turns, through the store's public door: changed evidence asks for a new score."""

from __future__ import annotations

import math
import sqlite3
from dataclasses import replace
from typing import Any

import pytest

from qi_learn.errors import NotFound
from qi_learn.records import (
    CommandResult,
    Feedback,
    Outcome,
    Score,
    Signal,
    Suggestion,
)
from qi_learn.step_guard import StepGuard
from qi_learn.store import command_results, feedback, outcome_evidence, ratings, turns
from qi_learn.store.database import Store
from qi_learn.store.followed import load_followed
from tests.support.redacted import as_redacted
from tests.support.stored_commands import commands_of
from tests.support.stored_turns import (
    FULL,
    SUGGESTION,
    a_turn,
    clean,
    rating,
)


def test_suggestions_come_back_and_mark_only_on_change(store: Store) -> None:
    clean(store, a_turn())
    waiting = Suggestion("T1", 1, "x", 3, 4)
    feedback.save_suggestions(store, as_redacted([SUGGESTION, waiting]))
    assert feedback.suggestions_of(store, "T1") == (SUGGESTION, waiting)
    assert not feedback.update_suggestion(store, as_redacted(waiting))
    assert feedback.dirty_turns(store) == []
    assert feedback.update_suggestion(
        store, as_redacted(replace(waiting, state="placed", file="p/b.py", placed_at=130.0))
    )
    assert feedback.dirty_turns(store) == ["T1"]
    with pytest.raises(NotFound):
        feedback.update_suggestion(store, as_redacted(replace(waiting, ordinal=7)))
    with pytest.raises(sqlite3.IntegrityError):
        feedback.save_suggestions(store, as_redacted([replace(waiting, turn_id="T9")]))


def followed(store: Store, project: str, *, ended: float) -> list[Suggestion]:
    loaded = load_followed(store, project, StepGuard(), placed=math.inf, ended=ended)
    return [tracked.suggestion for tracked in loaded]


def test_open_suggestions_are_unsettled_and_recent(store: Store) -> None:
    for id, at, project in (
        ("T1", 100.0, "p"),
        ("T2", 200.0, "p"),
        ("T3", 300.0, None),
        ("T4", 400.0, "q"),
    ):
        turns.save_turn(store, as_redacted(a_turn(id, at=at, project=project)))
        placed = Suggestion(id, 1, "y", 1, 2, state="placed", placed_at=at + 10)
        feedback.save_suggestions(
            store,
            as_redacted(
                [Suggestion(id, 0, "x", 0, 1), placed, replace(SUGGESTION, turn_id=id, ordinal=2)]
            ),
        )
    assert [
        (s.turn_id, s.ordinal) for s in followed(store, "p", ended=202.5) if s.state != "settled"
    ] == [(turn, n) for turn in ("T2", "T3", "T4") for n in (0, 1)]  # T4: it may be put here too
    both = [*followed(store, "p", ended=0.0), *followed(store, "q", ended=0.0)]
    assert {s.turn_id for s in both if s.state != "settled"} == {"T1", "T2", "T3", "T4"}


def test_feedback_joins_what_was_said_and_what_was_seen(store: Store) -> None:
    clean(store, a_turn())
    assert feedback.load_feedback(store, "T1") == Feedback()
    seen = Feedback(None, "seen", None, True, False, "final", 12.5, "name", 0.8)
    assert feedback.save_implicit(store, "T1", as_redacted(seen))
    assert feedback.dirty_turns(store) == ["T1"]
    assert feedback.load_feedback(store, "T1") == seen
    assert not feedback.save_implicit(store, "T1", as_redacted(seen))
    assert (
        ratings.save_rating(
            store,
            as_redacted(
                rating(
                    "R1", {"turn": "T1", "rating": 2, "correction": "mine", "comment": "no"}, ts=1.0
                )
            ),
        )
        == "T1"
    )
    ratings.save_rating(store, as_redacted(rating("R2", {"turn": "T1", "rating": 5}, ts=2.0)))
    ratings.save_rating(
        store,
        as_redacted(
            rating("R0", {"turn": "T1", "rating": 1, "comment": "older, came later"}, ts=0.0)
        ),
    )
    assert feedback.load_feedback(store, "T1") == replace(
        seen, rating=5, correction="mine", comment="no"
    )


def test_unknown_is_not_no(store: Store) -> None:
    clean(store, a_turn())
    assert not feedback.save_implicit(store, "T1", as_redacted(Feedback()))
    assert not feedback.save_outcome(store, "T1", Outcome())
    assert feedback.dirty_turns(store) == []
    assert feedback.load_outcome(store, "T1") == Outcome()
    assert feedback.save_outcome(store, "T1", Outcome(False, True, None, -0.25, False))
    assert feedback.load_outcome(store, "T1") == Outcome(False, True, None, -0.25, False)
    assert feedback.dirty_turns(store) == ["T1"]


@pytest.mark.parametrize(
    "body",
    [
        {"turn": "T1"},
        {"turn": "T1", "rating": 6},
        {"turn": "T1", "rating": True},
        {"turn": 3, "rating": 3},
        {"rating": "5"},
        {"rating": 3, "comment": 1},
    ],
)
def test_what_is_no_rating_is_refused(store: Store, body: dict[str, object]) -> None:
    turns.save_turn(store, as_redacted(a_turn()))
    with pytest.raises(ValueError, match="rating"):
        ratings.save_rating(store, as_redacted(rating("R1", body)))
    assert ratings.unmatched_ratings(store) == 0


def test_last_is_the_newest_of_the_ratings_project(store: Store) -> None:
    for id, at, project in (("T1", 10.0, "p"), ("T2", 20.0, "q"), ("T3", 30.0, None)):
        turns.save_turn(store, as_redacted(a_turn(id, at=at, project=project)))
    assert (
        ratings.save_rating(
            store, as_redacted(rating("R1", {"turn": "last", "rating": 3}, project="p"))
        )
        == "T1"
    )
    assert (
        ratings.save_rating(
            store, as_redacted(rating("R2", {"turn": "last", "rating": 3}, project=None))
        )
        == "T3"
    )
    assert (
        ratings.save_rating(
            store, as_redacted(rating("R3", {"turn": "last", "rating": 3}, project=None, ts=22.5))
        )
        == "T2"
    )
    assert (
        ratings.save_rating(
            store, as_redacted(rating("R4", {"turn": "last", "rating": 3}, project=None, ts=5.0))
        )
        is None
    )
    assert (
        ratings.save_rating(
            store, as_redacted(rating("R5", {"turn": "last", "rating": 1}, project="nowhere"))
        )
        == "T3"
    )
    found = feedback.load_feedback(store, "T3")
    assert (found.match_method, found.match_confidence) == ("last of an unknown project", 0.6)


def test_a_rating_waits_for_its_turn(store: Store) -> None:
    assert (
        ratings.save_rating(store, as_redacted(rating("R1", {"turn": "T1", "rating": 2}))) is None
    )
    assert ratings.unmatched_ratings(store) == 1
    clean(store, a_turn())
    assert ratings.match_ratings(store) == ("T1",)
    assert feedback.dirty_turns(store) == ["T1"]
    assert (feedback.load_feedback(store, "T1").rating, ratings.unmatched_ratings(store)) == (2, 0)


def test_a_command_is_joined_once_to_what_it_ran_over(store: Store) -> None:
    week = 7 * 86400.0
    for id, project, placed in (
        ("T1", "p", 1000.0),
        ("T2", "q", 1000.0),
        ("T3", "p", 1001.0),
        ("T4", "p", None),
    ):
        clean(store, a_turn(id, project=project))
        feedback.save_suggestions(
            store,
            as_redacted(
                [
                    Suggestion(
                        id,
                        0,
                        "x",
                        0,
                        1,
                        state="waiting" if placed is None else "settled",
                        placed_at=placed,
                        region="x",
                    )
                ]
            ),
        )
    command = CommandResult(
        "C1", 1000.5 + week, "p", "bench", "pytest -q", 1, 2.5, 3, 4, "c0ffee", 0.75, "/p/sub"
    )
    earlier = replace(command, id="C0", ts=1000.0)
    for each in (command, earlier):
        command_results.save_command(store, as_redacted(each))
    assert feedback.dirty_turns(store) == [], "only an outcome that changes marks its turn"
    assert [c.id for c in outcome_evidence.new_commands(store)] == ["C0", "C1"]
    spoken_for = outcome_evidence.placed_between(store, "p", command.ts - week, command.ts)
    assert [s.turn_id for s in spoken_for] == ["T3"]
    outcome_evidence.mark_joined(store, ["C0"])
    assert [c.id for c in outcome_evidence.new_commands(store)] == ["C1"]
    assert commands_of(store, "p") == (earlier, command)


SCORE = Score(
    "T1",
    0.8,
    0.5,
    0.7,
    "text",
    (Signal("rating", 0.8, 3.0, "rated 4"), Signal("accepted", 1.0, 2.0, "kept")),
    ("settled", "committed"),
    99.5,
)


def test_a_score_takes_the_mark_away(store: Store) -> None:
    turns.save_turn(store, as_redacted(a_turn()))
    assert feedback.dirty_turns(store) == ["T1"]
    assert feedback.load_score(store, "T1") is None
    feedback.save_score(store, as_redacted(SCORE))
    assert feedback.load_score(store, "T1") == SCORE
    assert feedback.dirty_turns(store) == []
    with pytest.raises(NotFound):
        feedback.save_score(store, as_redacted(replace(SCORE, turn_id="T9")))


def test_scored_turns_are_good_and_answered(store: Store) -> None:
    fates: dict[str, tuple[float | None, dict[str, Any]]] = {
        "T1": (0.7, {}),
        "T2": (0.9, {}),
        "T3": (0.69, {}),
        "T4": (1.0, {"status": 500}),
        "T5": (1.0, {"cancelled": True}),
        "T6": (None, {}),
    }
    for i, (id, (score, more)) in enumerate(fates.items()):
        turns.save_turn(store, as_redacted(a_turn(id, at=-i, **more)))
        feedback.save_score(store, as_redacted(replace(SCORE, turn_id=id, target_score=score)))
    assert feedback.scored_turns(store, threshold=0.7) == ["T5", "T2", "T1"]


def test_domains_are_shares_of_a_project(store: Store) -> None:
    for i, domain in enumerate(["web", "web", "data", None]):
        turns.save_turn(store, as_redacted(a_turn(f"T{i}", project="p", at=i)))
        if domain:
            feedback.save_classes(
                store, f"T{i}", "debugging", "complex", domain, as_redacted(("edit", "bash"))
            )
    assert feedback.domain_share(store, "p", "web") == pytest.approx(2 / 3)
    assert feedback.domain_share(store, "q", "web") == 0.0
    assert feedback.unclassified_turns(store) == ["T3"]


def test_an_interaction_has_every_field_of_the_record_it_implements(store: Store) -> None:
    turn = replace(FULL, id="T1")
    turns.save_turn(store, as_redacted(turn))
    bare = feedback.load_interaction(store, "T1")
    assert (bare.learning_type, bare.complexity, bare.domain, bare.tools_used, bare.score) == (
        "code_generation",
        "simple",
        "",
        (),
        None,
    )
    feedback.save_suggestions(store, as_redacted([SUGGESTION]))
    ratings.save_rating(
        store,
        as_redacted(
            rating("R1", {"turn": "T1", "rating": 4, "correction": "better", "comment": "so so"})
        ),
    )
    seen = Feedback(
        accepted=True,
        modified=True,
        final_version="final",
        time_to_accept=3.0,
        match_method="name",
        match_confidence=0.9,
    )
    feedback.save_implicit(store, "T1", as_redacted(seen))
    feedback.save_outcome(store, "T1", Outcome(True, False, True, 0.1, False))
    feedback.save_classes(store, "T1", "architecture", "medium", "web", as_redacted(("edit",)))
    feedback.save_score(store, as_redacted(SCORE))
    full = feedback.load_interaction(store, "T1")
    assert (full.turn, full.suggestions, full.score, full.outcome) == (
        turn,
        (replace(SUGGESTION, fate="edited"),),  # there is a correction
        SCORE,
        Outcome(True, False, True, 0.1, False),
    )
    assert full.feedback == Feedback(4, "better", "so so", True, True, "final", 3.0, "name", 0.9)
    assert (full.learning_type, full.complexity, full.domain, full.tools_used) == (
        "architecture",
        "medium",
        "web",
        ("edit",),
    )


# --- what is no evidence --------------------------------------------------------------------------


def test_a_further_look_and_the_end_of_a_wait_mark_nothing(store: Store) -> None:
    clean(store, a_turn())
    committed = replace(SUGGESTION, reverted=False, state="settled")
    waiting = Suggestion("T1", 1, "x", 3, 4)
    feedback.save_suggestions(store, as_redacted([committed, waiting]))
    assert feedback.update_suggestion(store, as_redacted(replace(committed, looked_at=90_000.0)))
    assert feedback.update_suggestion(store, as_redacted(replace(waiting, state="unknown")))
    assert feedback.dirty_turns(store) == []
    assert feedback.suggestions_of(store, "T1") == (
        replace(committed, looked_at=90_000.0),
        replace(waiting, state="unknown"),
    )
    assert feedback.update_suggestion(
        store, as_redacted(replace(committed, looked_at=95_000.0, final_text="another"))
    )
    assert feedback.dirty_turns(store) == ["T1"]


def test_domains_are_counted_whoever_changes_a_turn(store: Store) -> None:
    for n, domain in enumerate(("web", "web", "cli", "data")):
        clean(store, a_turn(f"T{n}", project="p"))
        feedback.save_classes(store, f"T{n}", "code_generation", "simple", domain, as_redacted([]))
    assert feedback.domain_share(store, "p", "web") == 0.5
    feedback.save_classes(store, "T0", "code_generation", "simple", "cli", as_redacted([]))
    turns.set_project(store, "T3", "q")
    assert feedback.domain_share(store, "p", "web") == pytest.approx(1 / 3)
    assert feedback.domain_share(store, "q", "data") == 1.0
    store.execute("DELETE FROM turns WHERE id = 'T1'")
    assert (feedback.domain_share(store, "p", "web"), feedback.domain_share(store, None, "x")) == (
        0.0,
        0.0,
    )
