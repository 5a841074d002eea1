"""What is loaded of suggestions to follow them, and what became of them written as one."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from qi_learn.errors import NotFound
from qi_learn.records import Feedback, Message, Outcome, Suggestion, TurnChange
from qi_learn.step_guard import StepGuard
from qi_learn.store import feedback, turns
from qi_learn.store.database import Store
from qi_learn.store.followed import load_due, load_followed, save_changes
from tests.support.redacted import as_redacted
from tests.support.stored_turns import a_turn, clean


def keep(store: Store, turn: str, *suggestions: Suggestion, at: float = 100.0) -> None:
    clean(store, a_turn(turn, at=at, project="p"))
    own = [replace(s, turn_id=turn, ordinal=n) for n, s in enumerate(suggestions)]
    feedback.save_suggestions(store, as_redacted(own))


WAITING = Suggestion("", 0, "x = 1", 3, 8)
PLACED = replace(
    WAITING, state="placed", file="a.py", region="x = 1", placed_at=110.0, touched_at=110.0
)
SETTLED = replace(PLACED, state="settled", settled_at=200.0, commit="c" * 40)


def chosen(store: Store, file: str | None, *, ended: float = math.inf) -> list[tuple[str, int]]:
    loaded = load_followed(store, "p", StepGuard(), placed=100.0, ended=ended, file=file)
    return [(t.suggestion.turn_id, t.suggestion.ordinal) for t in loaded]


def test_whole_turns_are_chosen_by_file(store: Store) -> None:
    keep(store, "T1", WAITING, PLACED)
    keep(store, "T2", replace(SETTLED, file="b.py"))
    keep(store, "T3", replace(PLACED, region=None, touched_at=500.0))
    keep(store, "T4", WAITING, at=700.0)
    assert chosen(store, "a.py") == [("T1", 0), ("T1", 1), ("T3", 0)]
    assert chosen(store, "b.py") == [("T2", 0)]
    assert chosen(store, "b.py", ended=400.0) == [("T2", 0), ("T3", 0), ("T4", 0)]
    assert chosen(store, None) == [("T1", 0), ("T1", 1), ("T2", 0), ("T3", 0)]


def test_what_gave_way_to_something_else_is_chosen_by_the_likeness_that_counts(
    store: Store,
) -> None:
    for n, similarity in enumerate((0.3, 0.6, 0.9)):
        keep(store, f"T{n}", replace(PLACED, similarity=similarity, touched_at=500.0))

    def found(accepted: float) -> list[str]:
        loaded = load_followed(
            *(store, "p", StepGuard()),
            placed=100.0,
            ended=400.0,
            file="b.py",
            accepted=accepted,
        )
        return [t.turn.id for t in loaded]

    assert found(accepted=0.5) == ["T0"]
    assert found(accepted=0.7) == ["T0", "T1"]
    assert found(accepted=0.2) == []


def test_a_save_reads_nothing_of_what_was_placed_elsewhere_and_is_as_it_was(store: Store) -> None:
    keep(store, "T1", PLACED)
    keep(store, "T2", replace(PLACED, file="b.py", region=None, touched_at=500.0))
    keep(store, "T3", replace(PLACED, file="b.py", similarity=0.3, touched_at=500.0))
    few = _steps_of_a_save(store)
    elsewhere = replace(PLACED, file="c.py", similarity=1.0)
    keep(store, "T4", *(elsewhere for _ in range(500)))
    assert _steps_of_a_save(store) <= few + 1


def _steps_of_a_save(store: Store) -> int:
    """Hundreds of steps that the database takes to choose what a save may change."""
    steps: list[None] = []
    store.conn.set_progress_handler(lambda: steps.append(None), 100)
    assert [turn for turn, _ in chosen(store, "a.py", ended=400.0)] == ["T1", "T2", "T3"]
    store.conn.set_progress_handler(None, 0)
    return len(steps)


def test_time_chooses_what_is_over(store: Store) -> None:
    keep(store, "T1", PLACED)
    keep(store, "T2", replace(WAITING, touched_at=105.0), at=90.0)
    keep(store, "T3", SETTLED)
    keep(store, "T4", WAITING, at=1000.0)
    keep(store, "T5", replace(SETTLED, looked_at=110.0 + 7 * 86400.0))
    keep(store, "T6", replace(WAITING, state="unknown"), at=1.0)

    def due(now: float) -> list[str]:
        loaded = load_due(
            store, now, StepGuard(), settle=50.0, window_end=now - 300.0, looked_at=now - 1000.0
        )
        return sorted({t.suggestion.turn_id for t in loaded})

    assert (due(159.0), due(160.0)) == ([], ["T1"])
    assert (due(400.0), due(1200.0)) == (["T1", "T2"], ["T1", "T2", "T3"])


def test_the_prompt_comes_with_a_completion_only(store: Store) -> None:
    keep(store, "T1", WAITING)
    prompt = (Message("prompt", "def f("),)
    turns.save_turn(
        store, as_redacted(a_turn("T2", project="p", messages=prompt, request={"raw": True}))
    )
    feedback.save_suggestions(store, as_redacted([replace(WAITING, turn_id="T2")]))
    first, second = load_followed(store, "p", StepGuard(), placed=math.inf, ended=0.0)
    assert (first.prompt, first.request) == ("", {})
    assert (second.prompt, second.request) == ("def f(", {"raw": True})


@pytest.mark.parametrize(
    "damage",
    ["region = CAST(x'ff01' AS TEXT)", "before = 'no json'", "state = 'lost'"],
)
def test_a_damaged_row_costs_its_turn_alone(store: Store, damage: str) -> None:
    for turn in ("T1", "T2", "T3"):
        keep(store, turn, PLACED, PLACED)
    store.execute("UPDATE suggestions SET since = 0")
    store.execute(f"UPDATE suggestions SET {damage} WHERE turn_id = 'T2' AND ordinal = 1")
    guard = StepGuard()

    def due() -> list[str]:
        found = load_due(store, 999.0, guard, settle=9.0, window_end=0.0, looked_at=0.0)
        return [t.turn.id for t in found]

    assert due() == ["T1", "T1", "T3", "T3"]
    assert [(a.kind, a.count, a.name) for a in guard.set_aside] == [("suggestion", 1, "T2 1")]
    assert due() == ["T1", "T1", "T3", "T3"]
    assert guard.set_aside[0].count == 1, "it is not due any more, in no round"
    followed = load_followed(store, "p", guard, placed=100.0, file="a.py")
    assert {t.turn.id for t in followed} == {"T1", "T3"}


def test_changes_are_written_all_or_not_at_all(store: Store) -> None:
    keep(store, "T1", WAITING)
    placed = replace(PLACED, turn_id="T1", ordinal=0)
    seen = Feedback(accepted=True, modified=False)
    missing = replace(placed, ordinal=7)
    with pytest.raises(NotFound):
        save_changes(store, [as_redacted(TurnChange("T1", (placed, missing), seen, project="q"))])
    assert feedback.suggestions_of(store, "T1") == (replace(WAITING, turn_id="T1"),)
    assert (feedback.dirty_turns(store), turns.load_head(store, "T1").project) == ([], "p")

    save_changes(
        store, [as_redacted(TurnChange("T1", (placed,), seen, project="q", bug_introduced=True))]
    )
    assert feedback.suggestions_of(store, "T1") == (placed,)
    assert feedback.load_feedback(store, "T1") == seen
    assert feedback.load_outcome(store, "T1") == Outcome(bug_introduced=True)
    assert (feedback.dirty_turns(store), turns.load_head(store, "T1").project) == (["T1"], "q")
