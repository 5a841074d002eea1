"""Where HEAD is, asked of git only when its files say that something moved."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from qi_learn.outside import git
from qi_learn.workspace.head_moves import Head
from tests.support.repository import Repository


@pytest.fixture
def calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file with a line for each git process that is started from now on."""
    real, place, log = shutil.which("git"), tmp_path / "bin", tmp_path / "calls"
    place.mkdir()
    shim = place / "git"
    shim.write_text(f'#!/bin/sh\necho "$*" >>"{log}"\nexec "{real}" "$@"\n')
    shim.chmod(0o755)
    log.touch()
    monkeypatch.setenv("PATH", f"{place}{os.pathsep}{os.environ['PATH']}")
    return log


def test_a_head_that_stood_is_not_asked_for_again_while_nothing_moves(
    tmp_path: Path, calls: Path
) -> None:
    """The next daemon knows where HEAD stood: a project at rest costs it no process each look."""
    repo = Repository(tmp_path / "repo")
    repo.write("a.py", "a = 1\n")
    repo.commit("One")
    git_dir = repo.root / ".git"
    stood = git.head(repo.root)
    size = (git_dir / "logs/HEAD").stat().st_size
    head = Head(repo.root, git_dir, since=0.0, stood=stood, log_read=size)
    assert head.moves(1.0) == ()
    before = calls.read_text()
    for now in range(2, 20):
        assert head.moves(float(now)) == ()
    assert calls.read_text() == before
    repo.write("a.py", "a = 2\n")
    repo.commit("Two")
    assert [move.new for move in head.moves(30.0)] == [git.head(repo.root)]


def test_a_head_that_jumped_meanwhile_is_told_though_its_log_does_not_say_so(
    tmp_path: Path, calls: Path
) -> None:
    repo = Repository(tmp_path / "repo")
    repo.write("a.py", "a = 1\n")
    repo.commit("One")
    stood = git.head(repo.root)
    repo.write("a.py", "a = 2\n")
    repo.commit("Two")
    git_dir = repo.root / ".git"
    log = git_dir / "logs/HEAD"
    log.write_text(log.read_text().splitlines(keepends=True)[0])  # expired meanwhile
    size = log.stat().st_size
    head = Head(repo.root, git_dir, since=0.0, stood=stood, log_read=size)
    for _ in range(3):
        assert [move.new for move in head.moves(2.0)] == [git.head(repo.root)]
    head.accept()
    assert head.moves(3.0) == ()
    assert calls.read_text()


def test_a_head_that_moved_between_two_clearings_of_its_log_is_told(tmp_path: Path) -> None:
    repo = Repository(tmp_path / "repo")
    repo.write("a.py", "a = 1\n")
    repo.commit("One")
    head = Head(repo.root, repo.root / ".git")
    for subject in ("Two", "Three"):
        repo.commit(subject)
        repo.git("reflog", "expire", "--expire=now", "--all")
        assert [move.new for move in head.moves(1.0)] == [git.head(repo.root)], subject
        head.accept()
    assert head.moves(2.0) == ()
