"""What a round asks the database: every statement has an index, idle and busy."""

from __future__ import annotations

import json
import re
import sqlite3
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from qi_learn.cycle import trigger
from qi_learn.daemon.expiring import Expiring
from qi_learn.daemon.intake import Intake
from qi_learn.paths import Paths
from qi_learn.records import Message, Suggestion, SuggestionState, Turn
from qi_learn.report.listing import turns as listed
from qi_learn.settings import KeepSettings, Settings
from qi_learn.spool import Spool
from qi_learn.store import feedback, ratings, seen_turns, turns
from qi_learn.store.database import Store, open_store
from qi_learn.store.turn_lines import list_turns, searched_since
from qi_learn.workspace.registry import add_project
from qi_learn.workspace.watcher import Watcher
from tests.support.redacted import as_redacted

ANSWER = "```python\ndef total(prices, rate):\n    return sum(prices) * (1 + rate)\n```\n"
CODE = ANSWER.split("\n", 1)[1].rsplit("```", 1)[0]
WANTED_WHOLE = ("turns_dirty", "turns_unclassified", "scores_unjudged", "candidates_fit")
"""Partial indexes that hold nothing but what is asked for."""
LARGE = ("turns", "messages", "suggestions", "events", "scores", "candidates", "feedback")


class Asked:
    """The statements that SQLite was asked while the block ran."""

    def __init__(self, store: Store) -> None:
        self._conn = store.conn
        self.statements: set[str] = set()

    def __enter__(self) -> Asked:
        self._conn.set_trace_callback(self.statements.add)
        return self

    def __exit__(self, *_: object) -> None:
        self._conn.set_trace_callback(None)

    def scans(self) -> list[str]:
        """Statements that read a large table from end to end, with their plans."""
        found = []
        for statement in sorted(self.statements):
            if not statement.lstrip().upper().startswith(("SELECT", "UPDATE", "DELETE", "WITH")):
                continue
            plan = [str(row[3]) for row in self._conn.execute(f"EXPLAIN QUERY PLAN {statement}")]
            if any(_scans(line) for line in plan):
                found.append(f"{statement}\n    " + "\n    ".join(plan))
        return found


def _scans(line: str) -> bool:
    """Whether a line of a plan reads a large table, or all of an index of it, to the end."""
    match = re.match(r"SCAN (\w+)", line)
    if match is None or any(line.endswith(f" INDEX {name}") for name in WANTED_WHOLE):
        return False
    return match[1] in (*LARGE, "t", "s", "m", "q", "a", "f", "e")


def history(store: Store, project: str, count: int, now: float) -> None:
    """Turns of every state: kept, waiting, passed by, scored and not, committed and looked at."""
    states: tuple[SuggestionState, ...] = ("waiting", "placed", "settled", "unknown")
    with store.transaction():
        for n in range(count):
            at = now - 60.0 * (count - n)
            asked = (Message("user", f"question {n}"),)
            turn = Turn(
                f"T{n:05d}", "/api/chat", "m", "m", asked, ANSWER, at, at + 5, project=project,
                session=f"s{n // 20}", done_reason="stop",
            )  # fmt: skip
            turns.save_turn(store, as_redacted(turn))
            state = states[n % 4]
            suggestion = Suggestion(turn.id, 0, CODE, 10, 10 + len(CODE), "python")
            if state in ("placed", "settled"):
                suggestion = replace(
                    suggestion, state=state, file="a.py", region=CODE, placed_at=at + 9,
                    touched_at=at + 9,
                )  # fmt: skip
            if state == "settled":
                suggestion = replace(
                    suggestion, settled_at=at + 700, commit="c" * 40, final_text=CODE
                )
            feedback.save_suggestions(store, as_redacted([suggestion]))


@pytest.fixture
def home(tmp_path: Path) -> Paths:
    return Paths.under(tmp_path / "home").ensure()


def test_no_round_reads_a_large_table_to_the_end(home: Paths, tmp_path: Path) -> None:
    project = tmp_path / "project"
    project.mkdir()
    (project / "a.py").write_text("x = 1\n")
    add_project(home, project)
    now = time.time()
    with open_store(home.database) as store, Watcher() as watcher:
        history(store, str(project), 300, now)
        store.execute("ANALYZE")
        intake = Intake(home, Settings(), watcher)
        rounds: dict[str, Callable[[], object]] = {
            "busy": lambda: intake.tick(store, now),
            "decides": lambda: trigger.decide(
                store, Settings(), learned_runs=("R1",), now=now, busy=False
            ),
            "idle": lambda: intake.tick(store, now + 1),
            "expires": lambda: Expiring(home, KeepSettings(size_gb=1e-9)).tick(store, now),
        }
        spool = Spool(home.spool, "gateway")
        asked_for = {"messages": [{"role": "user", "content": "and now?"}], "model": "m"}
        spool.append(
            "turn",
            {
                "endpoint": "/api/chat", "request": json.dumps(asked_for), "model_asked": "m",
                "response": json.dumps({"message": {"content": ANSWER}, "done": True}),
                "content_type": "application/json", "status": 200, "started": now, "ended": now,
            },
            project=str(project),
        )  # fmt: skip
        spool.append("rating", {"turn": "last", "rating": 5}, project=str(project), ts=now + 1)
        spool.append("rating", {"turn": "never seen", "rating": 5}, ts=now + 1)
        spool.append(
            "outcome",
            {"kind": "test", "command": "pytest", "exit_code": 0, "seconds": 1.0},
            project=str(project),
        )
        spool.append("git", {"head": "x"}, project=str(project))
        for name, act in rounds.items():
            with Asked(store) as asked:
                act()
            assert asked.statements, name
            assert asked.scans() == [], name
        assert seen_turns.newest_turn(store, str(project), before=now + 1) is not None
        assert ratings.unmatched_ratings(store) == 1
        spool.close()


def test_a_page_of_the_log_is_read_by_an_index(home: Paths) -> None:
    with open_store(home.database) as store:
        history(store, "/p", 50, 1e9)
    assert [line.id for line in listed(home, limit=2)] == ["T00049", "T00048"]
    with open_store(home.database, readonly=True) as store:
        for project in (None, "/p"):
            with Asked(store) as asked:
                list_turns(store, limit=5, project=project)
            (statement,) = asked.statements
            plan = [r[3] for r in store.conn.execute(f"EXPLAIN QUERY PLAN {statement}")]
            wanted = "turns_by_time" if project is None else "turns_by_project"
            assert wanted in plan[0], plan


def test_a_search_of_the_log_is_bounded_by_an_index(home: Paths) -> None:
    with open_store(home.database) as store:
        history(store, "/p", 50, 1e9)
        store.execute("ANALYZE")
    with open_store(home.database, readonly=True) as store:
        for project in (None, "/p"):
            with Asked(store) as asked:
                assert searched_since(store, project=project) is None
                list_turns(store, limit=5, query="no such words", project=project, since=1e9 - 600)
            assert len(asked.statements) == 2
            for statement in asked.statements:
                plan = [r[3] for r in store.conn.execute(f"EXPLAIN QUERY PLAN {statement}")]
                wanted = "turns_by_time" if project is None else "turns_by_project"
                assert wanted in plan[0], plan
                assert plan[0].startswith("SEARCH") or "OFFSET" in statement, plan
                assert not any("TEMP B-TREE FOR ORDER BY" in line for line in plan), plan


def test_the_plan_check_finds_a_scan(tmp_path: Path) -> None:
    with open_store(tmp_path / "x.db") as store:
        with Asked(store) as asked:
            store.rows("SELECT id FROM turns WHERE endpoint = 'x'")
        assert len(asked.scans()) == 1
        assert isinstance(store.conn, sqlite3.Connection)
