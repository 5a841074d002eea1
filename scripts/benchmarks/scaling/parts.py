"""What is measured without a daemon's process: a round of the intake, and the database's size."""

from __future__ import annotations

import time
from pathlib import Path

from qi_learn.daemon.intake import Intake
from qi_learn.paths import Paths
from qi_learn.records import Message, Suggestion, Turn
from qi_learn.settings_file import load_settings
from qi_learn.spool import Spool
from qi_learn.store import feedback
from qi_learn.store.database import open_store
from qi_learn.store.turns import save_turn
from qi_learn.workspace.registry import add_project
from qi_learn.workspace.watcher import Watcher
from scripts.benchmarks.scaling.homes import BODY, IN_A_TRANSACTION, make_projects
from tests.support.redacted import as_redacted


def outcome_loop_ms(place: Path, files: int, placed: int = 200) -> float:
    """The longest round of the intake after a test's result with so many placed suggestions."""
    (project,) = make_projects(place / "project", 1, files)
    paths = Paths.under(place / "home").ensure()
    add_project(paths, project)
    settings = load_settings(paths.settings_file)
    now = time.time()
    with open_store(paths.database) as store, Watcher() as watcher:
        for n in range(placed):
            code = f"def total_{n}(prices, rate, offset):\n{BODY}"
            turn = Turn(
                f"T{n:05d}", "/api/chat", "m", "m", (Message("user", "q"),),
                f"```python\n{code}```\n", now - 600, now - 500, project=str(project), session="s",
            )  # fmt: skip
            save_turn(store, as_redacted(turn))
            suggestion = Suggestion(
                turn.id, 0, code, 10, 10 + len(code), "python", "placed",
                f"package_0/module_{n % 50}.py", region=code, placed_at=now - 400,
                touched_at=now - 400,
            )  # fmt: skip
            feedback.save_suggestions(store, as_redacted([suggestion]))
        intake = Intake(paths, settings, watcher)
        while intake.tick(store, now) or intake.pending:
            pass
        spool = Spool(paths.spool, "bench")
        body = {"kind": "test", "command": "pytest", "exit_code": 0, "seconds": 1.0}
        spool.append("outcome", body, project=str(project), ts=now)
        spool.close()
        longest = 0.0
        while True:
            began = time.perf_counter()
            more = intake.tick(store, now + 1)
            longest = max(longest, time.perf_counter() - began)
            if not more and not intake.pending:
                return round(1000 * longest, 1)


def agent_turns_gb(place: Path, count: int) -> float:
    """What 500,000 turns of an agent take, each with 42 kB of tools and its whole conversation."""
    tools = [
        {"type": "function", "function": {"name": f"tool_{n}", "description": "what it does " * 80}}
        for n in range(40)
    ]
    with open_store(place / "qi-learn.db") as store:
        said: tuple[Message, ...] = ()
        for first in range(0, count, IN_A_TRANSACTION):
            with store.transaction():
                for n in range(first, min(count, first + IN_A_TRANSACTION)):
                    said = said if len(said) < 40 else ()
                    said = (*said, Message("tool", f"result {n}\n" + BODY * 3))
                    answer = f"def step_{n}(prices, rate, offset):\n{BODY}"
                    turn = Turn(
                        f"A{n:09d}", "/v1/chat/completions", "m", "m", said, answer, float(n),
                        n + 1.0, request={"tools": tools}, project="/p", session=f"s{n // 20}",
                    )  # fmt: skip
                    save_turn(store, as_redacted(turn))
                    feedback.save_suggestions(
                        store,
                        as_redacted([Suggestion(turn.id, 0, answer, 0, len(answer), "python")]),
                    )
                    said = (*said, Message("assistant", answer))
        store.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return round((place / "qi-learn.db").stat().st_size * 500_000 / count / 1e9, 2)
