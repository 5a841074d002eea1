"""An export brings everything back: what became of turns too, once, and into any home."""

from __future__ import annotations

import json
import string
import tempfile
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qi_learn.commands.export_examples import ExampleFormat, export_examples
from qi_learn.commands.export_turns import export_turns
from qi_learn.commands.import_ import bring_in
from qi_learn.commands.import_request import ImportRequest
from qi_learn.daemon.alone import TakingIn
from qi_learn.fates import inferred_fate
from qi_learn.paths import Paths
from qi_learn.records import (
    AnswerFacts,
    CommandResult,
    Event,
    Fate,
    Feedback,
    Mark,
    Outcome,
    Said,
    Score,
    Signal,
    Suggestion,
    SuggestionState,
    Survival,
    Turn,
)
from qi_learn.redact import load_redactor
from qi_learn.report.listing import turns
from qi_learn.settings import Settings
from qi_learn.store import feedback
from qi_learn.store.command_results import save_command
from qi_learn.store.database import Store, open_store
from qi_learn.store.events import save_event
from qi_learn.store.lines_left import save_survivals
from qi_learn.store.named_fates import name_fates_anew
from qi_learn.store.outcome_evidence import mark_joined
from qi_learn.store.ratings import save_rating
from qi_learn.store.returning import load_became
from qi_learn.store.score_queue import save_facts
from qi_learn.store.turns import save_turn
from qi_learn.workspace.registry import add_project
from tests.support.dataset_world import CODE, START, turn
from tests.support.first_day_completions import COMPLETIONS
from tests.support.first_day_drops import deleted_a_minute_later, rated_one, the_best_of_three
from tests.support.first_day_edits import renamed_after_a_save
from tests.support.first_day_forms import a_unified_diff, appended_and_committed
from tests.support.kept_tables import candidates, kept_rows
from tests.support.played_day import Day, Scene
from tests.support.played_home import PlayedHome
from tests.support.redacted import as_redacted

NOW = START + 86400.0
THRESHOLD = Settings().train.quality_threshold


def a_home(root: Path, project: Path) -> Paths:
    """A home with one registered project."""
    project.mkdir(parents=True, exist_ok=True)
    paths = Paths.under(root).ensure()
    add_project(paths, project)
    with open_store(paths.database):
        load_redactor(paths.redaction_key)
    return paths


def take_in(paths: Paths) -> None:
    with open_store(paths.database) as store:
        TakingIn(paths, store).now()


def bring(paths: Paths, file: Path, *, now: float = NOW, **more: Any) -> Any:
    """Import an export, and take it in."""
    report = bring_in(paths, Settings(), ImportRequest("jsonl", file, **more), now=now)
    take_in(paths)
    return report


def rows(paths: Paths) -> dict[str, list[str]]:
    with open_store(paths.database) as store:
        return kept_rows(store)


def judged(paths: Paths) -> list[dict[str, Any]]:
    with open_store(paths.database) as store:
        return candidates(store, THRESHOLD)


# --- homes of all kinds ---------------------------------------------------------------------------

WORDS = st.text(string.ascii_lowercase + " \n()=", max_size=30)
SHARE = st.floats(0, 1)
TIMES = st.floats(START, START + 80000).map(lambda at: round(at, 3))
YES = st.none() | st.booleans()


@st.composite
def suggestions(draw: st.DrawFn, of: Turn, ordinal: int) -> Suggestion:
    state = draw(st.sampled_from(get_args(SuggestionState)))
    placed = state in ("placed", "settled")
    made = Suggestion(
        of.id,
        ordinal,
        draw(WORDS),
        -1,
        -1,
        draw(st.none() | st.just("python")),
        state,
        file=draw(st.sampled_from(("a.py", "b/c.py"))) if placed else None,
        name=draw(st.none() | st.just("area")),
        before=("import math",),
        region=draw(st.none() | WORDS) if placed else None,
        similarity=draw(SHARE) if placed else None,
        placed_at=draw(TIMES) if placed else None,
        touched_at=draw(TIMES),
        settled_at=draw(TIMES) if state == "settled" else None,
        final_text=draw(st.none() | WORDS) if state == "settled" else None,
        commit=draw(st.none() | st.just("c" * 40)) if state == "settled" else None,
        reverted=draw(st.booleans()),
        match_method=draw(st.sampled_from(("path", "lines", "tokens"))) if placed else None,
        looked_at=draw(TIMES) if state == "settled" else None,
        path=draw(st.none() | st.just("a.py")),
        old=draw(st.none() | WORDS),
        call=draw(st.none() | st.just("c1")),
        said=draw(st.none() | st.sampled_from(get_args(Said))),
        inferred=draw(st.none() | st.sampled_from(get_args(Fate))),
        repaired_by=draw(st.none() | st.just("d" * 40)),
        head=("import os",),
    )
    if made.inferred != "rejected":
        return made
    declined = replace(made, said="declined")
    if inferred_fate(declined) == "rejected":
        return declined
    return replace(made, inferred="unknown")  # declined, and there word for word after all


@st.composite
def fillings(draw: st.DrawFn) -> Callable[[Store], None]:
    """What fills a home: turns, and all that may become of them."""
    steps: list[Callable[[Store], object]] = []
    for n in range(draw(st.integers(1, 5))):
        of = turn(n, question=f"Write number {n}.", session=draw(st.sampled_from("ab")))
        of = replace(of, context=draw(st.sampled_from(({}, {"language": "python"}))))
        kept = draw(st.booleans())
        steps += _turn_steps(draw, of, kept)
    for n in range(draw(st.integers(0, 2))):
        result = CommandResult(
            f"C{n}", START + n, "/p", "test", "pytest", n, 1.0, failed=n, cwd="/p/tests"
        )
        steps.append(partial(_command, result=result))

    def fill(store: Store) -> None:
        for step in steps:
            step(store)

    return fill


def _turn_steps(draw: st.DrawFn, of: Turn, kept: bool) -> list[Callable[[Store], object]]:
    own = tuple(draw(suggestions(of, n)) for n in range(draw(st.integers(1, 3))))
    ratings = [
        Event(
            f"R{of.id}{n}",
            "rating",
            draw(TIMES),
            "cli",
            {"turn": of.id, "rating": draw(st.integers(1, 5)), "correction": draw(WORDS) or None}
            | {"mark": draw(st.none() | st.sampled_from(get_args(Mark)))},
            "person",
        )
        for n in range(draw(st.integers(0, 2)))
    ]
    seen = Feedback(
        accepted=draw(YES), modified=draw(YES), final_version=draw(WORDS), time_to_accept=3.0
    )
    outcome = Outcome(draw(YES), draw(YES), draw(YES), draw(st.none() | SHARE), draw(YES))
    left = [
        Survival(of.id, s.ordinal, s.commit, "a.py", 2, ((3,), (5, 6)), START, draw(SHARE), due=NOW)
        for s in own
        if s.commit is not None
    ]
    target = draw(st.none() | SHARE)
    signals = (Signal("rating", 0.4, 3.0, "rated"),)
    score = Score(of.id, draw(SHARE), 0.5, target, CODE, signals, ("settled",), START + 9)
    scored, redacted, never = draw(st.booleans()), draw(st.booleans()), draw(st.booleans())

    def store_it(store: Store) -> None:
        save_event(store, as_redacted(Event(of.id, "turn", of.ended, "gateway", {})), taken=NOW)
        save_turn(store, as_redacted(of), redacted=redacted)
        feedback.save_suggestions(store, as_redacted(own))
        feedback.save_implicit(store, of.id, as_redacted(seen))
        feedback.save_outcome(store, of.id, outcome)
        for event in ratings:
            save_event(store, as_redacted(event), taken=NOW)
            save_rating(store, as_redacted(event))
        name_fates_anew(store, of.id)
        save_survivals(store, left)
        save_facts(store, [AnswerFacts(of.id, of.project, True, 0, 2, 3, 1, START + 8)])
        if scored:
            feedback.save_score(store, as_redacted(score))
        if never:
            store.execute("UPDATE turns SET never_learn = 1 WHERE id = ?", (of.id,))

    return [store_it]


def _command(store: Store, result: CommandResult) -> None:
    event = Event(result.id, "outcome", result.ts, "cli", {"kind": "test"}, "person", "/p")
    save_event(store, as_redacted(event), taken=NOW)
    save_command(store, as_redacted(result))
    mark_joined(store, [result.id])


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(fill=fillings())
def test_a_home_that_is_exported_and_brought_in_elsewhere_is_the_same(
    fill: Callable[[Store], None],
) -> None:
    with tempfile.TemporaryDirectory() as place:
        root = Path(place)
        here, there = (a_home(root / name, root / "p") for name in ("here", "there"))
        for paths in (here, there):
            paths.projects.write_text(json.dumps(["/p"]))
        with open_store(here.database) as store:
            fill(store)
            fates = {s.fate for t in _ids(store) for s in feedback.suggestions_of(store, t)}
        assert fates
        before = rows(here)
        export_turns(here, root / "turns.jsonl")
        for again in (False, True):
            report = bring(there, root / "turns.jsonl", again=again)
            assert (report.not_understood, report.left_out) == (0, {})
            assert rows(there) == before
        assert judged(there) == judged(here)
        export_turns(there, root / "back.jsonl")
        assert (root / "back.jsonl").read_text() == (root / "turns.jsonl").read_text()
        bring(here, root / "turns.jsonl")
        assert rows(here) == before


def _ids(store: Store) -> list[str]:
    return [row["id"] for row in store.rows("SELECT id FROM turns ORDER BY id")]


# --- a day that was really worked -----------------------------------------------------------------


REMOVED = '        """One invoice."""\n'.removeprefix("    ")
"""What an agent takes out of the file, and nobody brings back."""


def _played(day: Day) -> None:
    told = {"file_path": day.file, "old_string": REMOVED, "new_string": ""}
    removal = day.call("Edit", {**told})
    day.repo.save(day.file, day.begun.replace(REMOVED, ""))
    day.repo.commit("Say less")
    day.home.wait(700.0)
    assert day.home.fates(removal) == ("kept",)
    completions: list[Scene] = [COMPLETIONS[0][0], COMPLETIONS[-1][0]]
    for scene in (
        *(appended_and_committed, deleted_a_minute_later, renamed_after_a_save, rated_one),
        *(the_best_of_three, a_unified_diff, *completions),
    ):
        scene(day)


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A home in which a day was worked, and the project."""
    root = tmp_path_factory.mktemp("day")
    with PlayedHome(root) as home:
        day = Day(home, "python")
        _played(day)
        day.settle()
        home.tick()
        for _ in range(500):
            if not home.intake.pending:
                break
            home.rest()
        now = home.clock()
    (root / "now").write_text(repr(now))
    return root, day.repo.root


def shown(paths: Paths, root: Path, name: str) -> dict[str, Any]:
    """All that a person can have of a home's evidence."""
    told: dict[str, Any] = {"log": turns(paths, limit=1000)}
    with open_store(paths.database, readonly=True) as store:
        told["became"] = {id: load_became(store, id) for id in _ids(store)}
    forms: tuple[ExampleFormat, ...] = ("openai", "sharegpt", "dpo")
    for form in forms:
        file = root / f"{name}-{form}"
        report = export_examples(paths, Settings(), file, form)
        told[form] = (file.read_text(), report)
    return told


def test_a_day_that_was_worked_comes_back_as_it_was(
    played: tuple[Path, Path], tmp_path: Path
) -> None:
    root, project = played
    now = float((root / "now").read_text())
    here, there = Paths.under(root / "home"), a_home(tmp_path / "there", project)
    export_turns(here, tmp_path / "turns.jsonl")
    report = bring(there, tmp_path / "turns.jsonl", now=now)
    assert (report.not_understood, report.left_out) == (0, {})
    before, after = shown(here, tmp_path, "here"), shown(there, tmp_path, "there")
    words = {s.fate for became in before["became"].values() for s in became.suggestions}
    assert {"kept", "edited", "rejected", "superseded"} <= words
    assert '\\"new_string\\": \\"\\"' in before["openai"][0]
    assert after == before
    assert judged(there) == judged(here)
    assert rows(there) == rows(here)
    bring(here, tmp_path / "turns.jsonl", now=now)
    assert shown(here, tmp_path, "again") == before
