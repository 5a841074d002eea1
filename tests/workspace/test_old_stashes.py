"""A stash of the day before that is brought back is no save."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from qi_learn.workspace.watcher import Watcher
from tests.support.repository import Repository
from tests.support.watching import rest, texts


@pytest.mark.parametrize("files", [("mul.py",), ("a.py", "mul.py"), ("a.py",)])
def test_it_was_made_before_watching_began(tmp_path: Path, files: tuple[str, ...]) -> None:
    repo = Repository(tmp_path / "work")
    repo.write("a.py", "a = 1\n")
    repo.commit()
    for file in files:
        repo.write(file, "total = 0\nmean = total\n")
    repo.git("stash", "-q", "-u")
    with Watcher() as watcher:
        watcher.add(repo.root)
        time.sleep(1)  # nothing is saved meanwhile
        repo.git("stash", "pop", "-q")
        assert texts(rest(watcher, repo.root)) == []
        repo.write("mul.py", "total = 1\n")
        assert texts(rest(watcher, repo.root)) == [("mul.py", "total = 1\n")]
