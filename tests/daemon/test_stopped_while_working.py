"""`qi-learn daemon` as a process is stopped, the person goes on, and it is started again."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from qi_learn.records import Outcome, Suggestion
from qi_learn.spool import Spool
from qi_learn.store import feedback
from qi_learn.store.database import open_store
from qi_learn.workspace.registry import add_project
from tests.support.command_line import wait_until
from tests.support.daemon_process import daemon
from tests.support.repository import Repository
from tests.support.world import World, turn_body

KEPT = "def mean(values):\n    total = sum(values)\n    return total / max(1, len(values))\n"
REMOVED = "class Clock:\n    def tick(self, now):\n        self.last, self.now = self.now, now\n"
PASTED = "def words(line):\n    for part in line.strip().split(','):\n        yield part.lower()\n"
LEFT = "async def fetch(url, retries=3):\n    while retries > 0:\n        retries -= 1\n"
ANSWERS = (KEPT, REMOVED, PASTED, LEFT)
"""What was committed and stays, or is removed; pasted while stopped; on another branch before."""


@pytest.fixture
def project(tmp_path: Path) -> Repository:
    project = Repository(tmp_path / "project")
    project.write("README", "Steps.\n")
    project.commit("Begin")
    project.git("checkout", "-q", "-b", "other")
    project.write("left.py", LEFT)
    project.commit("Elsewhere")
    project.git("checkout", "-q", "main")
    return project


def _fates(world: World) -> dict[str, Suggestion]:
    """What is known of each answer."""
    with open_store(world.paths.database, readonly=True) as store:
        turns = [turn_id for (turn_id,) in store.rows("SELECT id FROM turns")]
        return {s.text: s for turn_id in turns for s in feedback.suggestions_of(store, turn_id)}


def _outcome(world: World, answer: str) -> Outcome:
    with open_store(world.paths.database, readonly=True) as store:
        return feedback.load_outcome(store, _fates(world)[answer].turn_id)


def _until(world: World, *wanted: tuple[str, Callable[[Suggestion], bool]]) -> None:
    def holds() -> bool:
        fates = _fates(world)
        return all(answer in fates and holds(fates[answer]) for answer, holds in wanted)

    try:
        wait_until(holds, 60)
    except AssertionError:
        raise AssertionError(_fates(world)) from None


def test_what_happened_while_it_was_stopped_is_told_right(
    tmp_path: Path, base: Path, project: Repository
) -> None:
    world = World.make(tmp_path / "home", base, None)
    add_project(world.paths, project.root)
    with daemon(world):
        _answered(world, project)
        _until(world, *((answer, lambda s: True) for answer in ANSWERS))
        project.write("kept.py", KEPT)
        project.write("removed.py", REMOVED)
        _until(world, *((a, lambda s: s.state != "waiting") for a in (KEPT, REMOVED)))
        project.commit("Two answers")
        _until(world, *((a, lambda s: s.commit is not None) for a in (KEPT, REMOVED)))
    project.git("rm", "-q", "removed.py")
    project.commit("One less")
    project.write("pasted.py", PASTED)
    commit = project.commit("One more")
    project.git("checkout", "-q", "other", "--", "left.py")
    _tests_pass(world, project)
    with daemon(world):
        _until(
            world,
            (PASTED, lambda s: s.commit is not None),
            (REMOVED, lambda s: s.region is None and s.state == "settled"),
            (KEPT, lambda s: s.region is not None and s.state == "settled"),
        )
        wait_until(lambda: _outcome(world, KEPT).tests_pass is not None, 120)
    fates = _fates(world)
    assert (fates[PASTED].file, fates[PASTED].commit) == ("pasted.py", commit)
    assert fates[KEPT].final_text is not None
    assert fates[REMOVED].final_text is None
    assert fates[LEFT].state == "waiting", fates[LEFT]
    assert _outcome(world, REMOVED).tests_pass is None


def _answered(world: World, project: Repository) -> None:
    spool = Spool(world.paths.spool, "gateway")
    for n, answer in enumerate(ANSWERS):
        body = turn_body(n, answer, session="s", at=time.time() - 5)
        spool.append("turn", body, author="model", project=str(project.root))
    spool.close()


def _tests_pass(world: World, project: Repository) -> None:
    """The person's shell says so, after the code was removed."""
    spool = Spool(world.paths.spool, "hook")
    body = {
        "kind": "test",
        "command": "pytest -q",
        "exit_code": 0,
        "seconds": 0.1,
        "cwd": str(project.root),
    }
    time.sleep(1)
    spool.append("outcome", body, author="person", project=str(project.root))
    spool.close()
