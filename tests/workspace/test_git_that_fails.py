"""What happens while git does not answer is looked at when it answers again."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import pytest

from qi_learn.workspace.watcher import Watcher
from tests.support.repository import Repository
from tests.support.watching import commits, texts, until


@pytest.fixture
def fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file: while it is there, git is a script that fails."""
    told = tmp_path / "fail"
    script = tmp_path / "bin" / "git"
    script.parent.mkdir()
    script.write_text(
        f"#!/bin/sh\ntest -e {told} && {{ echo 'fatal: no thread' >&2; exit 128; }}\n"
        f'exec {shutil.which("git")} "$@"\n'
    )
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{script.parent}:/usr/bin:/bin")
    return told


def _work(tmp_path: Path, name: str) -> Repository:
    repo = Repository(tmp_path / name)
    repo.write("a.py", "a = 1\n")
    repo.commit()
    return repo


def test_a_directory_that_is_made_meanwhile_is_seen(tmp_path: Path, fails: Path) -> None:
    repo = _work(tmp_path, "work")
    with Watcher() as watcher:
        watcher.add(repo.root)
        fails.touch()
        repo.write("made/n.py", "n = 1\n")
        repo.write("made/sub/m.py", "m = 1\n")
        time.sleep(1)
        fails.unlink()
        first = {("made/n.py", "n = 1\n"), ("made/sub/m.py", "m = 1\n")}
        until(watcher, lambda seen: first <= set(texts(seen)), seconds=25)
        repo.write("made/sub/new.py", "new = 1\n")
        until(watcher, lambda seen: ("made/sub/new.py", "new = 1\n") in texts(seen))


def test_a_repository_that_is_put_there_meanwhile_is_seen(tmp_path: Path, fails: Path) -> None:
    repo, other = _work(tmp_path, "work"), _work(tmp_path, "other")
    with Watcher() as watcher:
        watcher.add(repo.root)
        fails.touch()
        other.root.rename(repo.root / "inner")
        time.sleep(1)
        fails.unlink()
        time.sleep(7)
        inner = Repository(repo.root / "inner")
        inner.write("a.py", "a = 2\n")
        until(watcher, lambda seen: ("inner/a.py", "a = 2\n") in texts(seen))
        commit = inner.commit("Mine")
        until(watcher, lambda seen: commit in [c.commit for c in commits(seen)])
