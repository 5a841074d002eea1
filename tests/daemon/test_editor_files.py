"""An editor's signs are taken in only of files that are looked at anyway."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from qi_learn.daemon.alone import TakingIn
from qi_learn.daemon.intake import Intake
from qi_learn.paths import Paths
from qi_learn.settings import Settings
from qi_learn.store.database import Store, open_store
from qi_learn.workspace.registry import add_project
from qi_learn.workspace.watcher import Watcher
from tests.support.editor_lines import taken_line, write_lines
from tests.support.repository import Repository


def _by_the_daemon(paths: Paths, store: Store) -> None:
    with Watcher() as watcher:
        Intake(paths, Settings(), watcher).tick(store, time.time())


def _without_one(paths: Paths, store: Store) -> None:
    TakingIn(paths, store).now()


@pytest.mark.parametrize("take_in", [_by_the_daemon, _without_one])
@pytest.mark.parametrize(
    ("name", "stored"),
    [("a.py", 1), ("private/a.py", 0), ("../elsewhere.py", 0), ("\0", 0)],
)
def test_a_sign_counts_if_its_file_is_looked_at(
    tmp_path: Path, name: str, stored: int, take_in: Callable[[Paths, Store], None]
) -> None:
    repo = Repository(tmp_path / "project")
    repo.write(".qi-learn-ignore", "private/\n")
    repo.write("a.py", "x = 1\n")
    repo.commit("Begin")
    paths = Paths.under(tmp_path / "home").ensure()
    add_project(paths, repo.root)
    line = taken_line(
        repo.root / "a.py",
        "sum(values)",
        lead="",
        above="",
        ts=time.time(),
        wrong={"file": f"{repo.root}/{name}"},
    )
    write_lines(paths.spool, line)
    with open_store(paths.database) as store:
        take_in(paths, store)
        assert len(store.rows("SELECT id FROM events WHERE kind = 'sign'")) == stored
