"""A file that has again what an earlier commit had in it, with git's index left as it was."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from qi_learn.workspace.changes import FileSaved
from qi_learn.workspace.watcher import Watcher
from tests.support.repository import Repository
from tests.support.watching import rest

CODE = "total = 0\nmean = total\n"


def _saves(watcher: Watcher, repo: Repository) -> list[tuple[str, str, bool]]:
    seen = rest(watcher, repo.root)
    return [(s.file, s.text, s.taken_back) for s in seen if isinstance(s, FileSaved)]


@pytest.mark.parametrize("tracked", [True, False])
def test_it_can_end_what_stood_there_and_is_no_place(tmp_path: Path, tracked: bool) -> None:
    repo = Repository(tmp_path / "work")
    repo.write("a.py", "a = 1\n")
    if tracked:
        repo.write("mul.py", "x = 1\n")
    repo.commit()
    repo.git("checkout", "-q", "-b", "other")
    repo.write("mul.py", CODE)
    repo.commit()
    repo.git("checkout", "-q", "-")
    time.sleep(1.2)
    with Watcher() as watcher:
        watcher.add(repo.root)
        repo.git("restore", "--source", "other", "mul.py")
        assert _saves(watcher, repo) == [("mul.py", CODE, True)]
        repo.write("mul.py", CODE + "more = 1\n")
        assert _saves(watcher, repo) == [("mul.py", CODE + "more = 1\n", False)]
