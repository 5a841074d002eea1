"""What is old goes: texts first, numbers later, in slices; what a version learned stays."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from pathlib import Path

import pytest

from qi_learn.daemon import expiring
from qi_learn.daemon.expiring import Expiring
from qi_learn.deploy import journal
from qi_learn.deploy.journal import load_deployment
from qi_learn.paths import Paths
from qi_learn.records import Message, Turn
from qi_learn.report import explain, keeping, listing, status
from qi_learn.rundir.directory import RunDirectory
from qi_learn.rundir.snapshot import load_snapshot
from qi_learn.settings import KeepSettings, Settings
from qi_learn.store import feedback, learnables, turns
from qi_learn.store.database import Store, open_store
from qi_learn.store.disk_use import used_bytes
from qi_learn.store.expiry import ShapeSweep, expire_texts
from tests.support import forgotten_home as home
from tests.support.forgotten_home import RUNS, files_with
from tests.support.redacted import as_redacted

DAY = 86400.0
AGED = 100 * DAY
"""Days after the conversation: past `raw_days`, before `scores_days`."""


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    paths = Paths.under(tmp_path / "home")
    home.make(paths)
    return paths


def expire(paths: Paths, store: Store, now: float, **keep: float) -> int:
    """Do slices until nothing is left; how many."""
    old = Expiring(paths, replace(KeepSettings(), **keep))  # type: ignore[arg-type]
    slices = 1
    while old.tick(store, now):
        slices += 1
        assert slices < 10_000
    return slices


def ids(store: Store) -> set[str]:
    assert turns.verify(store) == []
    return {row["id"] for row in store.rows("SELECT id FROM turns")}


def test_texts_go_and_numbers_stay(paths: Paths) -> None:
    with open_store(paths.database) as store:
        expire(paths, store, AGED)
        assert ids(store) == {"T1", "T2", "T3", "T4", "T5"}
        turn = turns.load_turn(store, "T2")
        assert (turn.messages, turn.answer, turn.request) == ((), "", {})
        assert (turn.started, turn.project, turn.session) == (200.0, home.PROJECT, "s1")
        score = feedback.load_score(store, "T2")
        assert score is not None
        assert (score.suggestion_score, score.target_score, score.target_text) == (0.9, 0.9, None)
        assert feedback.load_feedback(store, "T2").rating == 5
        assert feedback.load_feedback(store, "T2").comment is None
        assert store.rows("SELECT id FROM commands") == []
        assert store.rows("SELECT hash FROM messages WHERE content != ''") == []
        assert store.rows("SELECT id FROM shapes") == []
        found = files_with(paths, "adds two numbers")  # while the database is open, as it always is
    assert [f for f in found if "backup" not in f] == []
    assert listing.as_text(listing.turns(paths, limit=9)).count("have expired") == 5
    assert "its texts expired on" in explain.as_text(explain.explain(paths, Settings(), "T2"))


def test_a_reader_holds_the_text_up_no_longer_than_it_reads(paths: Paths) -> None:
    clock = [0.0]
    old = Expiring(paths, KeepSettings(), lambda: clock[0])
    with open_store(paths.database) as store, open_store(paths.database, readonly=True) as reader:
        reader.conn.execute("BEGIN")
        reader.rows("SELECT id FROM turns")
        while old.tick(store, AGED):
            pass
        assert any("backup" not in file for file in files_with(paths, "adds two numbers"))
        reader.conn.execute("COMMIT")
        clock[0] += expiring.LOOK_SECONDS
        assert not old.tick(store, AGED)
        found = files_with(paths, "adds two numbers")
    assert [file for file in found if "backup" not in file] == []


def test_what_was_learned_is_still_replayed_and_explained(paths: Paths) -> None:
    with open_store(paths.database) as store:
        expire(paths, store, 400 * DAY)
        assert ids(store) == {"T1", "T2", "T4"}  # those that were in a data set
        gone = learnables.load_evidence(store, threshold=0.5, learned=set(), earlier={"T1", "T2"})
        assert gone.gone == set()
        assert gone.learnable.fresh == ()
    for run in RUNS:  # behind versions whose models are there
        assert load_snapshot(RunDirectory(paths.runs / run).snapshot).examples
    assert "learned on top of" in explain.as_text(explain.explain(paths, Settings(), "v1.2.0"))


def test_a_data_set_goes_with_its_version(paths: Paths) -> None:
    gone = replace(load_deployment(paths), chain=("1.0.0",), retired=("1.2.0",))
    journal.update(paths, lambda _: gone)
    run = RunDirectory(paths.runs / RUNS[1])
    os.utime(run.outcome, (1.0, 1.0))
    os.utime(RunDirectory(paths.runs / RUNS[0]).outcome, (1.0, 1.0))
    with open_store(paths.database) as store:
        expire(paths, store, AGED)
    assert not list(run.snapshot.glob("*.jsonl"))
    assert (run.snapshot / "manifest.json").exists()
    assert load_snapshot(RunDirectory(paths.runs / RUNS[0]).snapshot).examples  # behind 1.1.0
    explained = explain.as_text(explain.explain(paths, Settings(), RUNS[1]))
    assert "started" in explained
    assert "ended: deployed" in explained


def test_nothing_goes_before_its_time_and_nothing_with_zero(paths: Paths) -> None:
    with open_store(paths.database) as store:
        expire(paths, store, 89 * DAY)
        expire(paths, store, 4000 * DAY, raw_days=0, scores_days=0)
        assert turns.load_turn(store, "T2").answer == home.ANSWER


def test_a_late_rating_leaves_an_expired_score_as_it_is(paths: Paths) -> None:
    with open_store(paths.database) as store:
        expire(paths, store, AGED)
        feedback.mark_dirty(store, "T2")
        assert feedback.dirty_turns(store) == []


def filled(store: Store, count: int) -> None:
    with store.transaction():
        for n in range(count):
            text = f"question {n} " + "words of it " * 60
            turn = Turn(
                f"F{n:05}", "/api/chat", "m", "m", (Message("user", text),), f"answer {n}" * 20,
                1000.0 + n, 1001.0 + n,
                request={"tools": [{"name": f"tool {n % 7} " + "x" * 300}]},
                context={"files": [f"{n // 100} " + "y" * 300]},
            )  # fmt: skip
            turns.save_turn(store, as_redacted(turn))


def test_the_size_is_kept_by_taking_the_oldest_first(tmp_path: Path) -> None:
    paths = Paths.under(tmp_path / "home").ensure()
    with open_store(paths.database) as store:
        filled(store, 1500)
        most = used_bytes(store) * 0.7
        expire(paths, store, 2000.0, size_gb=most / 1e9)
        assert used_bytes(store) <= most
        left = store.rows("SELECT id FROM turns WHERE texts_gone IS NULL ORDER BY id")
        assert 100 < len(left) < 1400
        assert [row["id"] for row in left] == [f"F{n:05}" for n in range(1500 - len(left), 1500)]
        assert turns.verify(store) == []
    kept = status.gather(paths, replace(Settings(), keep=KeepSettings(size_gb=most / 1e9))).kept
    assert kept is not None
    assert kept.expired == 1500 - len(left)
    assert f"the texts of {kept.expired} turns" in status.as_text(status.gather(paths, Settings()))


def test_it_goes_in_many_small_slices(tmp_path: Path) -> None:
    """Each round takes a few turns; how long one takes is measured by the benchmark."""
    paths = Paths.under(tmp_path / "home").ensure()
    with open_store(paths.database) as store:
        filled(store, 1500)
        ticks = 0.0

        def clock() -> float:  # an hour between two looks: a slice is over after one transaction
            nonlocal ticks
            ticks += 3600.0
            return ticks

        old = Expiring(paths, KeepSettings(), clock)
        old.tick(store, AGED)
        gone = store.rows("SELECT count(*) FROM turns WHERE texts_gone IS NOT NULL")[0][0]
        assert 0 < gone <= 20


def test_a_long_history_is_looked_through_a_piece_a_minute(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What no turn names any more is found at leisure: a look costs the same at any length."""
    monkeypatch.setattr(expiring, "SWEPT_AT_ONCE", 500)
    paths = Paths.under(tmp_path / "home").ensure()
    with open_store(paths.database) as store:
        filled(store, 1600)
        expire_texts(store, [f"F{n:05}" for n in range(1300)], time.time())
        clock, asked = 0.0, []
        store.conn.set_trace_callback(lambda sql: asked.append(sql) if "DISTINCT" in sql else None)
        old = Expiring(paths, KeepSettings(raw_days=0), lambda: clock)
        for look in range(3):  # of 500, 500 and 500 turns: a round in between does nothing
            assert not old.tick(store, AGED)
            assert not old.tick(store, AGED)
            assert len(asked) == look + 1
            clock += expiring.LOOK_SECONDS
        while old.tick(store, AGED):
            pass
        assert len(asked) == 4
        assert len(store.rows("SELECT id FROM shapes")) == 7 + 3


def test_a_pass_over_shapes_ends_where_the_last_of_them_is_named(tmp_path: Path) -> None:
    paths = Paths.under(tmp_path / "home").ensure()
    with open_store(paths.database) as store:
        filled(store, 1200)
        asked: list[str] = []
        store.conn.set_trace_callback(lambda sql: asked.append(sql) if "DISTINCT" in sql else None)
        assert not ShapeSweep().go_on(store, turns=100)
        assert len(asked) == 1


def test_a_shape_that_a_turn_names_again_meanwhile_stays(tmp_path: Path) -> None:
    """It was named by nothing when the pass began, and by the newest turn when it would go."""
    paths = Paths.under(tmp_path / "home").ensure()
    with open_store(paths.database) as store:
        filled(store, 300)
        request = {"tools": [{"name": "odd" * 99}]}
        odd = replace(turns.load_turn(store, "F00299"), request=request)
        turns.save_turn(store, as_redacted(replace(odd, id="ODD", answer="a")))
        expire_texts(store, ["ODD"], time.time())
        for meanwhile in (1, 3):  # while it looks, and when it is about to delete
            sweep, pieces = ShapeSweep(), 0
            while sweep.go_on(store, turns=100):
                pieces += 1
                if pieces == meanwhile:
                    new = replace(odd, id=f"N{meanwhile}", answer="b")
                    turns.save_turn(store, as_redacted(new))
            assert pieces >= meanwhile
            assert turns.load_turn(store, f"N{meanwhile}").request == request
            expire_texts(store, [f"N{meanwhile}"], time.time())
        assert turns.verify(store) == []


def test_shapes_that_a_turn_names_stay(tmp_path: Path) -> None:
    paths = Paths.under(tmp_path / "home").ensure()
    with open_store(paths.database) as store:
        filled(store, 1200)
        expire_texts(store, [f"F{n:05}" for n in range(900)], time.time())
        sweep = ShapeSweep()
        while sweep.go_on(store, turns=100, shapes=3):
            if not sweep.looks:  # a new turn names one that was found unneeded
                number = len(sweep.maybe or ())
                again = turns.load_turn(store, "F01199")
                new = replace(again, id=f"N{number}", answer="z")
                turns.save_turn(store, as_redacted(new))
        assert turns.verify(store) == []
        assert len(store.rows("SELECT id FROM shapes")) == 7 + 3
        for n in (900, 1199):
            assert turns.load_turn(store, f"F{n:05}").request["tools"]
            assert turns.load_turn(store, f"F{n:05}").context["files"]


def test_how_many_have_expired_is_told_also_of_turns_of_one_time(tmp_path: Path) -> None:
    paths = Paths.under(tmp_path / "home").ensure()
    with open_store(paths.database) as store:
        filled(store, 10)
        store.execute("UPDATE turns SET ended = 1004.0 WHERE ended > 1002.5 AND ended < 1007.5")
        for gone in (["F00000"], ["F00001", "F00002", "F00003"], [f"F{n:05}" for n in range(10)]):
            expire_texts(store, gone, 2000.0)
            kept = keeping.gather(paths.database, KeepSettings())
            assert kept is not None
            told = store.rows("SELECT count(*) FROM turns WHERE texts_gone IS NOT NULL")[0][0]
            assert kept.expired == told


def test_counting_them_looks_at_no_turn(tmp_path: Path) -> None:
    """By an index alone, as everything that `status` asks of a long history."""
    paths = Paths.under(tmp_path / "home").ensure()
    with open_store(paths.database) as store:
        filled(store, 200)
        expire_texts(store, [f"F{n:05}" for n in range(50)], 2000.0)
        asked: list[str] = []
        store.conn.set_trace_callback(lambda sql: asked.append(sql))
        assert keeping.expired(store, 1051.0) == 50
        store.conn.set_trace_callback(None)
        plans = [row[3] for sql in asked for row in store.rows(f"EXPLAIN QUERY PLAN {sql}")]
        assert plans
        assert all("SEARCH turns USING" in plan for plan in plans), plans
