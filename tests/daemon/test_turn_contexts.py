"""The context of a turn's project: given when git has answered, and the drain waits for no git."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from qi_learn.daemon import projects
from qi_learn.daemon.intake import Intake
from qi_learn.outside.git_files import look_of_head
from qi_learn.paths import Paths
from qi_learn.records import Turn
from qi_learn.score.names_index import NamesIndex
from qi_learn.settings import Settings
from qi_learn.spool import Spool
from qi_learn.store import feedback, turns
from qi_learn.store.database import Store, open_store
from qi_learn.workspace.qi_learn_ignore import NAME
from qi_learn.workspace.registry import add_project
from qi_learn.workspace.watcher import Watcher
from tests.support.command_line import wait_until
from tests.support.repository import Repository
from tests.support.turn_events import turn_event

HANGING_GIT = """#!/bin/sh
echo asked >> {place}/asked
while [ ! -e {place}/released ]; do sleep 0.02; done
exec {git} "$@"
"""


class Home:
    """A home with one project, whose rounds are done one by one."""

    def __init__(self, root: Path, store: Store) -> None:
        self.store, self.repo = store, Repository(root / "project")
        self.repo.write("a.py", "x = 1\n")
        self.commit = self.repo.commit()
        self.paths = Paths.under(root / "home")
        add_project(self.paths, self.repo.root)
        self.watcher = Watcher()
        self.intake = Intake(self.paths, Settings(), self.watcher, wait=False)

    def ask(self, id: str) -> None:
        spool = Spool(self.paths.spool, "gateway")
        asked = {"messages": [{"role": "user", "content": "Explain."}]}
        said = '{"message": {"role": "assistant", "content": "So."}, "done": true}'
        body = turn_event("/api/chat", asked, said).body
        spool.append("turn", body, project=str(self.repo.root), id=id)
        spool.close()

    def tick(self) -> int:
        return self.intake.tick(self.store, time.time())

    def turn(self, id: str) -> Turn:
        return turns.load_turn(self.store, id)

    def ticked_until_known(self, id: str) -> Turn:
        wait_until(lambda: self.tick() >= 0 and self.turn(id).commit is not None)
        return self.turn(id)


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    with open_store(Paths.under(tmp_path / "home").ensure().database) as store:
        made = Home(tmp_path, store)
        yield made
        made.intake.close()
        made.watcher.close()


def test_a_git_that_hangs_holds_no_drain_up(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = tmp_path / "bin" / "git"
    fake.parent.mkdir()
    fake.write_text(HANGING_GIT.format(place=tmp_path, git=shutil.which("git")))
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{fake.parent}:{os.environ['PATH']}")
    home.ask("01J0000000000000000000000A")
    try:
        home.tick()
        turn = home.turn("01J0000000000000000000000A")
        assert (turn.commit, turn.context) == (None, {}), "it is stored though git hangs"
        wait_until((tmp_path / "asked").exists)
        home.ask("01J0000000000000000000000B")
        home.tick()
        assert home.turn("01J0000000000000000000000B").context == {}
    finally:
        (tmp_path / "released").touch()
    for id in ("01J0000000000000000000000A", "01J0000000000000000000000B"):
        turn = home.ticked_until_known(id)
        assert (turn.commit, turn.context["language"]) == (home.commit, "python")
    wait_until(lambda: home.tick() >= 0 and not home.intake.pending)
    domains = home.store.rows("SELECT DISTINCT domain FROM turns")
    assert [row[0] for row in domains] == ["python"], "the classes follow from the context"
    assert feedback.dirty_turns(home.store) == []


def test_a_context_counts_until_head_moves(home: Home) -> None:
    home.ask("01J0000000000000000000000A")
    home.ticked_until_known("01J0000000000000000000000A")
    home.ask("01J0000000000000000000000B")
    home.tick()
    assert home.turn("01J0000000000000000000000B").commit == home.commit, "known: given at once"
    second = home.repo.commit()
    home.intake._contexts._projects[str(home.repo.root)].looked = float("-inf")
    home.ask("01J0000000000000000000000C")
    assert home.ticked_until_known("01J0000000000000000000000C").commit == second
    home.repo.git("checkout", "-q", "-b", "other")
    home.intake._contexts._projects[str(home.repo.root)].looked = float("-inf")
    home.ask("01J0000000000000000000000D")
    assert home.ticked_until_known("01J0000000000000000000000D").context["branch"] == "other"


def test_a_linked_working_tree_and_a_directory_within(tmp_path: Path) -> None:
    repo = Repository(tmp_path / "first")
    repo.write("sub/a.py", "")
    repo.commit()
    repo.git("worktree", "add", "-q", str(tmp_path / "second"))
    tree = tmp_path / "second"
    before = look_of_head(repo.root / "sub"), look_of_head(tree)
    assert before[0] == look_of_head(repo.root)
    repo.git("-C", str(tree), "commit", "-q", "--allow-empty", "-m", "There")
    assert look_of_head(tree) != before[1]
    assert look_of_head(repo.root) == before[0]
    repo.git("pack-refs", "--all")
    assert look_of_head(repo.root) != before[0], "asked again rather than not at all"
    assert look_of_head(Path("/")) is None


def test_the_index_of_names_goes_when_the_rules_leave_out_more(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(projects, "THERE_SECONDS", 0.0)
    names = NamesIndex(home.paths.names)
    assert names.used(home.repo.root, ["elsewhere"], before=time.time() + 10) == set()
    home.tick()
    (kept,) = home.paths.names.glob("*.names")
    (home.repo.root / NAME).write_text("a.py\n")  # and no answer is scored after that
    home.tick()
    assert not kept.exists()
