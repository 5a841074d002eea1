"""A stash of the day before that is brought back is no save; what was never read is one."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from qi_learn.workspace.changes import FileSaved
from qi_learn.workspace.watcher import Watcher
from tests.support.repository import Repository
from tests.support.watching import rest, texts


@pytest.mark.parametrize("options", [(), ("-u",)])
@pytest.mark.parametrize("pause", [0.0, 0.3])
def test_what_is_stashed_and_brought_back_before_it_is_read_is_a_save(
    tmp_path: Path, options: tuple[str, ...], pause: float
) -> None:
    repo = Repository(tmp_path / "work")
    repo.write("a.py", "a = 1\n")
    repo.commit()
    file = "new.py" if options else "a.py"
    with Watcher() as watcher:
        watcher.add(repo.root)
        time.sleep(1.2)
        repo.write(file, "a = 'mine'\n")
        repo.git("stash", "-q", *options)
        time.sleep(pause)
        repo.git("stash", "pop", "-q")
        seen = rest(watcher, repo.root)
        told = [(s.file, s.text, s.taken_back) for s in seen if isinstance(s, FileSaved)]
        assert told == [(file, "a = 'mine'\n", False)]
        repo.git("stash", "-q", *options)
        time.sleep(1.2)
        repo.git("stash", "pop", "-q")
        assert (file, "a = 'mine'\n") not in texts(rest(watcher, repo.root))


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
