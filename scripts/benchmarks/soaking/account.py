"""The account: how often each accepted event is in the database, and who is still followed."""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections import Counter
from pathlib import Path
from typing import Any

from scripts.benchmarks.soaking.day import ask
from scripts.benchmarks.soaking.upstream import code_of
from scripts.benchmarks.soaking.world import World, in_window, start

TURNS = ("soak-c", "soak-last")
"""How the markers of turns begin, of which the gateway counts those that it could not record."""
CAUGHT_UP_SECONDS = 1200.0
"""The longest wait for what a day left to be taken in."""


def still_followed(world: World, projects: list[Path]) -> dict[str, float]:
    """How many projects are: an answer saved into each is found there; and after how long.

    A day of kills is more than is followed meanwhile: the last daemon catches up first.
    """
    start(world)
    for n, project in enumerate(projects):
        marker = f"soak-last-{n}"
        ask_until_answered(world, marker, project)
        world.accept(marker, "turns")
    time.sleep(8.0)  # a turn is taken in before its answer is saved
    for n, project in enumerate(projects):
        (project / "last.py").write_text(code_of(f"soak-last-{n}"))
    began = time.monotonic()
    found = wait_for(
        world,
        "SELECT count(*) FROM suggestions WHERE state != 'waiting' AND file IS NOT NULL "
        "AND text LIKE '%soak_last_%'",
        len(projects),
        CAUGHT_UP_SECONDS,
    )
    return {"projects_followed": found, "followed_after_s": round(time.monotonic() - began)}


def ask_until_answered(world: World, marker: str, project: Path, seconds: float = 60.0) -> None:
    """Ask until an answer comes: the day may have ended with a kill of the gateway."""
    deadline = time.monotonic() + seconds
    while not ask(world, "/api/chat", marker, project):
        if time.monotonic() > deadline:
            raise SystemExit(f"no gateway answered within {seconds:.0f} s after the day's end")
        time.sleep(0.5)


def wait_for(world: World, question: str, wanted: int, seconds: float = 90.0) -> int:
    deadline = time.monotonic() + seconds
    while (found := int(asked(world, question)[0][0])) < wanted and time.monotonic() < deadline:
        time.sleep(1.0)
    return found


def asked(world: World, question: str) -> list[tuple[Any, ...]]:
    (database,) = world.home.rglob("qi-learn.db")
    with contextlib.closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as db:
        return db.execute(question).fetchall()


def account(world: World) -> dict[str, Any]:
    """How often each accepted event is in the database."""
    texts = Counter[str]()
    for question in (
        "SELECT m.content FROM turns t JOIN messages m ON m.hash = t.tip",
        "SELECT comment FROM ratings",
        "SELECT command FROM commands",
    ):
        for (text,) in asked(world, question):
            texts[str(text).split()[-1]] += 1
    absent = [marker for marker in world.accepted if not texts[marker]]
    told = [marker for marker in absent if in_window(world, world.accepted[marker])]
    return {
        "sent": len(world.accepted),
        "stored": sum(1 for marker in world.accepted if texts[marker]),
        "lost": len(absent) - len(told),
        "unrecorded_while_full": len(told),
        "unrecorded_turns": sum(1 for marker in told if marker.startswith(TURNS)),
        "doubled": sum(1 for marker in world.accepted if texts[marker] > 1),
        "lost_ids": [marker for marker in absent if marker not in told][:20],
    }
