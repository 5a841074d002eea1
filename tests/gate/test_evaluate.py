"""What is put to the served models, and what each part of it may take."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from qi_learn.gate.evaluate import tasks_within
from qi_learn.gate.questions import FOR_PROJECT_TESTS, SHARES, Shares, in_order_of_use
from qi_learn.records import Example
from qi_learn.settings import Settings


def example(name: str, session: str, *, own: bool) -> Example:
    made = Example(name, f"h-{name}", "p", "t", (1,), (2, 3), (True, True))
    return replace(made, session=session, person_mask=(True, own))


def test_what_the_person_changed_is_asked_first_and_of_every_session() -> None:
    gate = [
        example("a1", "a", own=True),
        example("a2", "a", own=False),
        example("b1", "b", own=True),
        example("b2", "b", own=True),
        example("c1", "c", own=False),
        example("b3", "b", own=True),
    ]
    assert [e.id for e in in_order_of_use(gate)] == ["b3", "a1", "b2", "b1", "c1", "a2"]


def test_an_example_without_a_session_is_one_by_itself() -> None:
    gate = [example(n, "", own=True) for n in ("a", "b")]
    assert [e.id for e in in_order_of_use(gate)] == ["b", "a"]
    assert in_order_of_use([]) == ()


@pytest.mark.parametrize("shares", [SHARES, FOR_PROJECT_TESTS])
def test_no_more_is_promised_than_there_is(shares: Shares) -> None:
    assert 0.9 < shares.total < 1


def test_tasks_are_as_many_as_their_share_pays_for() -> None:
    assert tasks_within(48, 6000) == 20
    assert tasks_within(48, 100_000) == 48
    assert tasks_within(2, 6000) == 2
    assert tasks_within(0, 6000) == 0
    assert tasks_within(48, 6000, FOR_PROJECT_TESTS) == 8


def test_the_pages_say_how_many_tasks_are_asked_by_default() -> None:
    gate, docs = Settings().gate, Path(__file__).parents[2] / "docs"
    asked = tasks_within(gate.execute, gate.max_generated)
    said = f"{asked} of {gate.execute} by default"
    assert said in (docs / "explanation" / "the-gate.md").read_text()
    contracts = " ".join((docs / "internals" / "contracts.md").read_text().split())
    assert f"as many of {gate.execute} tasks of our own" in contracts
    assert f"({asked} by default)" in contracts
