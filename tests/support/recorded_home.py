"""A home with a past: turns, ratings and scores in the database, versions in the journal, a run
that ended; all written by the modules that write them in earnest.
"""

from __future__ import annotations

import json
import sqlite3
from dataclasses import replace
from pathlib import Path
from typing import Any

from qi_learn.deploy import journal
from qi_learn.deploy.journal import Deployment
from qi_learn.paths import Paths
from qi_learn.records import Check, Message, Release, Score, Signal, Suggestion, Turn, Verdict
from qi_learn.rundir.directory import RunDirectory, RunRequest
from qi_learn.spool import spool_files
from qi_learn.store import feedback, turns
from qi_learn.store.database import open_store
from qi_learn.workspace.registry import add_project
from tests.support.redacted import as_redacted

RUN = "01HZXW0000000000000000RN01"
ESCAPE = "\x1b]0;owned\x07"
"""Sets a terminal's title; it stands in a recorded prompt."""


def a_turn(
    id: str,
    *,
    at: float,
    question: str = "Write add.",
    answer: str = "def add(a, b):\n    return a + b\n",
    **more: object,
) -> Turn:
    made = Turn(
        id,
        "/api/chat",
        "qwen:7b",
        "qi-agent:v1.1.0",
        (Message("user", question),),
        answer,
        at,
        at + 2.0,
    )
    return replace(made, **more)  # type: ignore[arg-type]


def record(paths: Paths, project: Path) -> None:
    """Record three turns, oldest first: T1 (in the project, scored, rated by the caller), T2
    (elsewhere), T3 (failed).
    """
    paths.ensure()
    project.mkdir(parents=True, exist_ok=True)
    add_project(paths, project)
    with open_store(paths.database) as store:
        turns.save_turn(
            store,
            as_redacted(
                a_turn(
                    "T1",
                    at=100.0,
                    project=str(project),
                    question=f"Write add.\n\n{ESCAPE}",
                    session="s1",
                )
            ),
        )
        turns.save_turn(store, as_redacted(a_turn("T2", at=200.0, question="Explain the moon.")))
        turns.save_turn(
            store, as_redacted(a_turn("T3", at=300.0, question="Again.", status=500, answer=""))
        )
        feedback.save_suggestions(
            store,
            as_redacted(
                [
                    Suggestion(
                        "T1",
                        0,
                        "return a + b",
                        0,
                        10,
                        file="a.py",
                        name="add",
                        similarity=0.9,
                        state="settled",
                    )
                ]
            ),
        )
        signals = (Signal("rating", 0.8, 3.0, "rated 4 of 5"),)
        feedback.save_score(
            store,
            as_redacted(
                Score(
                    "T1",
                    0.8,
                    0.63,
                    0.7,
                    "def add(a, b): ...",
                    signals,
                    ("0.50 settled", "0.20 committed"),
                    400.0,
                )
            ),
        )


def deploy(paths: Paths) -> Deployment:
    """Write a journal of version 1.0.0 (the base) and the live 1.1.0, learned by the run."""
    base = Release("1.0.0", "qi-agent:v1.0.0", "aa" * 32, 50.0, "aa" * 32)
    learned = Release(
        "1.1.0", "qi-agent:v1.1.0", "bb" * 32, 90.0, "aa" * 32, parent="1.0.0", run_id=RUN
    )
    made = Deployment(
        "qi-agent:latest", "salt", "1.1.0", releases=(base, learned), chain=("1.0.0", "1.1.0")
    )
    paths.ensure()
    return journal.update(paths, lambda _: made)


def ended_run(paths: Paths, *, ended: bool = True) -> RunDirectory:
    """The run behind 1.1.0: requested, gated (with an interval that has no upper end), deployed."""
    run = RunDirectory(paths.runs / RUN)
    run.path.mkdir(parents=True)
    run.write(
        run.request,
        RunRequest(
            RUN, "http://127.0.0.1:1", 80.0, "120 new examples", 0, 120, "/base.gguf", "1.0.0"
        ),
    )
    run.journal(81.0, "train", "begun")
    checks = (
        Check("domain relevance", True, 0.2, 0.1, float("inf"), 0.0, "learned: 0.200 nats less"),
        Check("coherence", False, 0.5, None, None, 0.0, "loops"),
    )
    run.write(
        run.verdict,
        Verdict(
            True,
            checks,
            ("few-shot is worse",),
            "low",
            "qi-learn rollback",
            0.75,
            "v1.0.0",
            {"speed": float("nan")},
        ),
    )
    if ended:
        run.write(run.outcome, {"state": "deployed", "reason": "", "version": "1.1.0"})
    return run


def schema_from_the_future(paths: Paths) -> bytes:
    """Mark the database as a newer version's; its bytes."""
    with open_store(paths.database) as store:
        store.conn.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        store.conn.execute("PRAGMA journal_mode = DELETE")
    raw = sqlite3.connect(paths.database)
    raw.execute("PRAGMA user_version = 99")
    raw.close()
    return paths.database.read_bytes()


def spool_events(paths: Paths) -> list[dict[str, Any]]:
    """The events that wait in the spool, as JSON, in the order in which their files began."""
    return [
        json.loads(line[9:])
        for file in spool_files(paths.spool)
        for line in file.read_bytes().splitlines()
    ]
