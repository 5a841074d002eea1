"""A rejection that an upgrade took back is trained against no more, in a run that goes on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from qi_learn.daemon.taken_back import drop_taken_back
from qi_learn.paths import Paths
from qi_learn.records import Pair, Snapshot, Suggestion
from qi_learn.rundir.directory import RunDirectory, RunRequest
from qi_learn.rundir.snapshot import load_snapshot, save_snapshot
from qi_learn.store import feedback, turns
from qi_learn.store.database import Store, open_store
from tests.support.recorded_home import a_turn
from tests.support.redacted import as_redacted

REJECT = Pair("", "", "reject", "p", "", "b", (1,), (), (5,))
PAIRS = tuple(replace(REJECT, id=id, hash=f"h-{id}") for id in ("UNDONE", "UNKNOWN"))
EDIT = Pair("UNKNOWN", "h-edit", "edit", "p", "a", "b", (1,), (2,), (3,), chosen_id="UNKNOWN")


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    return Paths.under(tmp_path / "home")


@pytest.fixture
def store(paths: Paths) -> Iterator[Store]:
    with open_store(paths.ensure().database) as opened:
        for id in ("UNDONE", "UNKNOWN"):
            turns.save_turn(opened, as_redacted(a_turn(id, at=100.0)))
        undone = Suggestion("UNDONE", 0, "x", 3, 4, state="settled", fate="rejected")
        unknown = Suggestion("UNKNOWN", 0, "x", 3, 4, state="unknown", fate="unknown")
        feedback.save_suggestions(opened, as_redacted([undone, unknown]))
        yield opened


def frozen(paths: Paths, id: str) -> RunDirectory:
    run = RunDirectory(paths.runs / id)
    run.path.mkdir(parents=True)
    run.write(run.request, RunRequest(id, "u", 1.0, "why", 0, 1, "/b.gguf", "1.0.0"))
    save_snapshot(run.snapshot, Snapshot(id, 1.0, "ab", (), pairs=(*PAIRS, EDIT)))
    return run


def pairs(run: RunDirectory) -> list[tuple[str, str]]:
    return [(pair.source, pair.id) for pair in load_snapshot(run.snapshot).pairs]


def test_what_has_a_sign_stays_and_the_other_goes(paths: Paths, store: Store) -> None:
    run = frozen(paths, "01HZXW0000000000000000RN01")
    for _ in range(2):
        drop_taken_back(paths, store)
        assert pairs(run) == [("reject", "UNDONE"), ("edit", "UNKNOWN")]


def test_what_an_ended_run_was_trained_on_stays_as_it_was(paths: Paths, store: Store) -> None:
    run = frozen(paths, "01HZXW0000000000000000RN01")
    run.write(run.outcome, {"state": "deployed", "reason": "", "version": "1.1.0"})
    drop_taken_back(paths, store)
    assert len(pairs(run)) == 3
