"""Cycles, versions, the audit journal and events in the store; what was tampered with shows."""

from __future__ import annotations

import sqlite3
import stat
from dataclasses import replace
from pathlib import Path

import pytest

from qi_learn import codec
from qi_learn.errors import NotFound
from qi_learn.records import (
    Event,
    Plan,
    Release,
    TrainResult,
    Verdict,
)
from qi_learn.store import audit, events, releases, runs, turns
from qi_learn.store.database import Store, open_store
from tests.support.redacted import as_redacted
from tests.support.stored_turns import (
    a_turn,
)

PLAN = codec.build(
    Plan,
    {
        "run_id": "R1",
        "seed": 1,
        "base_gguf": "base.gguf",
        "base_digest": "ab",
        "base_weights": None,
        "architecture": "llama",
        "device": "cpu",
        "dtype": "float32",
        "first_layer": 20,
        "layer_count": 10,
        "target_modules": ["q_proj", "v_proj"],
        "rank": 8,
        "alpha": 16.0,
        "dropout": 0.0,
        "learning_rate": 1e-3,
        "weight_decay": 0.01,
        "warmup_steps": 4,
        "max_steps": 48,
        "batch_size": 8,
        "accumulation": 1,
        "max_length": 512,
        "replay_share": 0.25,
        "generic_share": 0.125,
        "lambda_general": 300.0,
        "lambda_past": 200.0,
        "eval_every": 8,
        "patience": 3,
        "max_seconds": 3600.0,
    },
)


RESULT = TrainResult(48, "steps", 0.5, 0.6, 0.9, 0.01, 0.0, 100.0, 321.5, "adapter")


VERDICT = Verdict(False, (), ("thin",), "none", "nothing", 0.5, "1.0.0", {"gate_nll": 1.25})


def cycle(ts: float, **body: object) -> Event:
    return Event(f"E{ts}", "cycle", ts, "cycle", {"run": "R1", **codec.plain(body)})


def test_a_cycle_is_told_piece_by_piece(store: Store) -> None:
    runs.apply_cycle(
        store,
        as_redacted(
            cycle(10.0, state="planned", reason="100 fresh", parent="1.0.0", fresh=100, plan=PLAN)
        ),
    )
    examples = [
        {"turn": "T1", "hash": "a", "split": "train"},
        {"turn": "T2", "hash": "b", "split": "gate"},
    ]
    runs.apply_cycle(store, as_redacted(cycle(11.0, state="snapshotted", examples=examples)))
    runs.apply_cycle(store, as_redacted(cycle(13.0, state="gated", verdict=VERDICT)))
    runs.apply_cycle(store, as_redacted(cycle(12.0, state="trained", train=RESULT, reason="late")))
    runs.apply_cycle(store, as_redacted(cycle(14.0, state="refused", reason="gate")))
    runs.apply_cycle(
        store,
        as_redacted(
            Event(
                "E",
                "cycle",
                20.0,
                "cycle",
                {
                    "run": "R2",
                    "state": "planned",
                    "examples": [{"turn": "T3", "hash": "c", "split": "dev"}],
                },
            )
        ),
    )
    run = runs.load_run(store, "R1")
    assert (
        run.state,
        run.reason,
        run.started,
        run.updated,
        run.parent,
        run.fresh,
        run.examples,
    ) == ("refused", "gate", 10.0, 14.0, "1.0.0", 100, 2)
    assert (run.plan, run.train, run.verdict) == (PLAN, RESULT, VERDICT)
    assert [r.id for r in runs.list_runs(store)] == ["R2", "R1"]
    assert runs.learned(store, ["R1"]) == {"T1", "T2"}
    assert runs.learned(store, ["R1", "R2"]) == {"T1", "T2", "T3"}
    assert runs.learned(store, []) == set()
    assert runs.runs_of(store, "T2") == ["R1"]
    assert [entry.what for entry in audit.entries(store, limit=2)] == [
        "cycle planned",
        "cycle refused",
    ]
    with pytest.raises(NotFound):
        runs.load_run(store, "R9")


@pytest.mark.parametrize(
    "body",
    [
        {"state": "planned"},
        {"run": "R1"},
        {"run": "R1", "state": "done"},
        {"run": "R1", "state": "planned", "plan": {"seed": 1}},
        {"run": "R1", "state": "planned", "examples": [{"turn": "T1"}]},
        {
            "run": "R1",
            "state": "planned",
            "examples": [{"turn": "T1", "hash": "a", "split": "test"}],
        },
    ],
)
def test_what_is_no_cycle_leaves_nothing(store: Store, body: dict[str, object]) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 (each its own words)
        runs.apply_cycle(store, as_redacted(Event("E1", "cycle", 1.0, "cycle", body)))
    assert runs.list_runs(store) == []
    assert audit.entries(store, limit=9) == []


BASE = Release("1.0.0", "qi-agent:v1.0.0", "ab", 1.0, "ab")


NEXT = Release(
    "1.1.0", "qi-agent:v1.1.0", "cd", 2.0, "ab", "1.0.0", "R1", "adapters/v1.1.0", "ef", True
)


def release(ts: float, **body: object) -> Event:
    return Event(
        f"E{ts}", "release", ts, "deploy", {"alias": "qi-agent:latest", **codec.plain(body)}
    )


def test_releases_and_moves_are_kept_and_audited(store: Store) -> None:
    releases.apply_release(
        store, as_redacted(release(1.0, action="base", release=BASE, version="1.0.0"))
    )
    releases.apply_release(
        store, as_redacted(release(2.0, action="released", release=NEXT, version="1.1.0"))
    )
    releases.apply_release(
        store, as_redacted(release(3.0, action="switched", version="1.1.0", **{"from": "1.0.0"}))
    )
    releases.apply_release(
        store, as_redacted(release(4.0, action="rolled_back", version="1.0.0", **{"from": "1.1.0"}))
    )
    assert releases.rollback_seconds(store) is None
    releases.apply_release(store, as_redacted(release(5.0, action="retired", version="1.1.0")))
    assert releases.list_releases(store) == [BASE, NEXT]
    assert releases.load_release(store, "1.1.0") == NEXT
    assert releases.retired_releases(store) == {"1.1.0": 5.0}
    assert releases.list_moves(store, limit=2)[1] == releases.Move(
        4.0, "rolled_back", "1.0.0", "qi-agent:latest", "1.1.0"
    )
    assert [e.what for e in audit.entries(store, limit=9)] == [
        "release retired",
        "release rolled_back",
        "release switched",
        "release released",
        "release base",
    ]
    for seconds in (0.9, 0.75):
        releases.apply_release(
            store,
            as_redacted(
                release(6.0 + seconds, action="rolled_back", version="1.0.0", seconds=seconds)
            ),
        )
    assert releases.rollback_seconds(store) == 0.75  # the last one
    with pytest.raises(ValueError, match="sold"):
        releases.apply_release(store, as_redacted(release(6.0, action="sold", version="1.0.0")))
    with pytest.raises(ValueError, match="version"):
        releases.apply_release(
            store, as_redacted(release(6.0, action="released", release=NEXT, version="1.2.0"))
        )


def test_the_audit_journal_cannot_be_changed_quietly(store: Store) -> None:
    for i in range(4):
        audit.append(store, float(i), "forget", {"turn": f"T{i}"})
    assert audit.verify(store) == []
    assert [e.body["turn"] for e in audit.entries(store, limit=2)] == ["T3", "T2"]
    with pytest.raises(sqlite3.IntegrityError, match="append-only"):
        store.execute("UPDATE audit SET what = 'x' WHERE number = 2")
    with pytest.raises(sqlite3.IntegrityError, match="append-only"):
        store.execute("DELETE FROM audit")
    store.execute("DROP TRIGGER audit_is_not_changed")
    store.execute("DROP TRIGGER audit_is_not_cut")
    store.execute('UPDATE audit SET body = \'{"turn":"T9"}\' WHERE number = 2')
    assert audit.verify(store) == ["audit entry 2: was changed"]
    store.execute('UPDATE audit SET body = \'{"turn":"T1"}\' WHERE number = 2')
    assert audit.verify(store) == []
    store.execute("DELETE FROM audit WHERE number = 4")
    assert audit.verify(store) == ["audit: 4 entries were made, the journal ends with 3"]
    store.execute("DELETE FROM audit WHERE number = 2")
    assert "audit entry 2: missing" in audit.verify(store)


def test_events_come_back(store: Store) -> None:
    event = Event("E1", "git", 5.0, "hook", {"head": "c0ffee"}, "agent", "p")
    assert events.save_event(store, as_redacted(event), taken=6.0)
    assert not events.save_event(store, as_redacted(replace(event, ts=7.0)), taken=8.0)
    assert events.events_of(store, "git") == [event]
    assert (
        events.events_of(store, "git", since=5.1)
        == events.events_of(store, "git", project="q")
        == []
    )


def test_everything_is_private_to_the_user(tmp_path: Path) -> None:
    place = tmp_path / "home" / "data" / "qi-learn.db"
    with open_store(place) as store:
        turns.save_turn(store, as_redacted(a_turn()))
        assert {p.name: stat.S_IMODE(p.stat().st_mode) for p in place.parent.iterdir()} == {
            place.name + end: 0o600 for end in ("", "-wal", "-shm")
        }
    assert stat.S_IMODE(place.parent.stat().st_mode) == 0o700
