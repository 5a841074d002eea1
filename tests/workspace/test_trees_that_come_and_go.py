"""Submodules, linked working trees and nested repositories that are made, moved and taken away.

Whatever stands in such a place afterwards is seen.
"""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import pytest

from qi_learn.workspace.watcher import Watcher
from tests.support.repository import Repository
from tests.support.watching import commits, texts, until

ALLOW = ("-c", "protocol.file.allow=always")


@pytest.fixture
def repo(tmp_path: Path) -> Repository:
    repo = Repository(tmp_path / "work")
    repo.write("a.py", "a = 1\n")
    repo.commit()
    return repo


def _with_submodule(tmp_path: Path) -> Repository:
    vendor = Repository(tmp_path / "vendor")
    vendor.write("m.py", "m = 1\n")
    vendor.commit()
    repo = Repository(tmp_path / "work")
    repo.write("main.py", "m = 1\n")
    repo.commit()
    repo.git(*ALLOW, "submodule", "add", "-q", str(vendor.root), "lib")
    repo.commit("With a submodule")
    return repo


def _saved(watcher: Watcher, root: Path, file: str) -> None:
    """A save of a file, now, is told; before everything is looked at after half a minute."""
    text = f"now = {time.time_ns()}\n"
    (root / file).write_text(text)
    until(watcher, lambda seen: (file, text) in texts(seen), seconds=20)


def test_a_repository_that_goes_while_git_is_asked_leaves_its_place_seen(
    repo: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """git is a script here that takes the repository away before it answers, once."""
    place, real = repo.root / "made", shutil.which("git")
    script = tmp_path / "bin" / "git"
    script.parent.mkdir()
    script.write_text(
        f'#!/bin/sh\ncase "$PWD" in {place}) '
        f"test -e {tmp_path}/once || {{ : > {tmp_path}/once; rm -rf {place}; }};; esac\n"
        f'exec {real} "$@"\n'
    )
    script.chmod(0o755)
    ready = Repository(tmp_path / "ready")
    ready.write("x.py", "x = 1\n")
    ready.commit()
    monkeypatch.setenv("PATH", f"{script.parent}:/usr/bin:/bin")
    with Watcher() as watcher:
        watcher.add(repo.root)
        ready.root.rename(place)
        deadline = time.monotonic() + 20
        while place.exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        place.mkdir()
        _saved(watcher, repo.root, "made/b.py")
        _saved(watcher, repo.root, "made/c.py")
        assert watcher.notes == ()


@pytest.mark.parametrize("pause", [0.0, 1.0])
def test_a_submodule_that_is_put_away_and_fetched_again_is_seen(
    tmp_path: Path, pause: float
) -> None:
    repo = _with_submodule(tmp_path)
    with Watcher() as watcher:
        watcher.add(repo.root)
        repo.git("submodule", "deinit", "-f", "-q", "lib")
        time.sleep(pause)
        repo.git(*ALLOW, "submodule", "update", "--init", "-q", "lib")
        time.sleep(1)
        assert [t for t in texts(watcher.poll()) if t[1]] == []
        _saved(watcher, repo.root, "lib/m.py")
        commit = Repository(repo.root / "lib").commit("Mine")
        seen = until(watcher, lambda seen: commit in [c.commit for c in commits(seen)])
        assert commits(seen)[-1].files == ("lib/m.py",)


def test_a_linked_working_tree_that_is_moved_is_seen(repo: Repository, tmp_path: Path) -> None:
    with Watcher() as watcher:
        watcher.add(repo.root)
        repo.git("worktree", "add", "-q", str(tmp_path / "out"))
        time.sleep(1)
        _saved(watcher, tmp_path / "out", "a.py")
        Repository(tmp_path / "out").commit()
        until(watcher, lambda seen: bool(commits(seen)))
        repo.git("worktree", "move", str(tmp_path / "out"), str(tmp_path / "elsewhere"))
        time.sleep(1)
        assert texts(watcher.poll()) == []
        _saved(watcher, tmp_path / "elsewhere", "a.py")
        assert watcher.notes == ()


def test_a_repository_that_is_moved_within_its_project_is_not_told_again(repo: Repository) -> None:
    with Watcher() as watcher:
        watcher.add(repo.root)
        inner = Repository(repo.root / "made")
        _saved(watcher, repo.root, "made/a.py")
        commit = inner.commit("Mine")
        until(watcher, lambda seen: commit in [c.commit for c in commits(seen)])
        inner.root.rename(repo.root / "moved")
        time.sleep(1)
        seen = watcher.poll()
        assert texts([s for s in seen if s.project == str(repo.root)]) == []
        assert commits(seen) == []
        _saved(watcher, repo.root, "moved/a.py")


@pytest.mark.parametrize("pause", [0.0, 0.5])
@pytest.mark.parametrize("kind", ["nested", "submodule"])
def test_a_repository_whose_place_a_link_took_for_a_while_is_seen(
    tmp_path: Path, repo: Repository, kind: str, pause: float
) -> None:
    if kind == "submodule":
        shutil.rmtree(repo.root)
        repo = _with_submodule(tmp_path)
    inner = Repository(repo.root / "lib")
    inner.write("m.py", "m = 2\n")
    inner.commit()
    inner.write("new.py", "n = 1\n")
    with Watcher() as watcher:
        watcher.add(repo.root)
        inner.root.rename(tmp_path / "away")
        inner.root.symlink_to(tmp_path / "away")
        time.sleep(pause)
        inner.root.unlink()
        (tmp_path / "away").rename(inner.root)
        time.sleep(1)
        _saved(watcher, repo.root, "lib/m.py")
        _saved(watcher, repo.root, "lib/other.py")
        commit = inner.commit("Mine")
        until(watcher, lambda seen: commit in [c.commit for c in commits(seen)], seconds=20)


@pytest.mark.parametrize("then", ["repaired", "saved", "committed"])
def test_two_linked_working_trees_that_change_places_are_seen(
    repo: Repository, tmp_path: Path, then: str
) -> None:
    """git is told of it, or it is not: `git worktree repair` is rarely thought of."""
    one, two = tmp_path / "one", tmp_path / "two"
    repo.git("worktree", "add", "-q", str(one))
    repo.git("worktree", "add", "-q", str(two))
    with Watcher() as watcher:
        watcher.add(repo.root)
        one.rename(tmp_path / "between")
        two.rename(one)
        (tmp_path / "between").rename(two)
        if then == "repaired":
            repo.git("worktree", "repair", str(one), str(two))
            time.sleep(1)
        if then == "committed":
            Repository(two).commit("There")
            time.sleep(1)
        _saved(watcher, one, "a.py")
        _saved(watcher, two, "a.py")


def test_places_of_repositories_are_used_again(repo: Repository) -> None:
    """A repository, another in its place, a plain directory, a repository in that."""
    with Watcher() as watcher:
        watcher.add(repo.root)
        for n in range(4):
            inner = Repository(repo.root / "inner")
            inner.write("x.py", f"x = {n}\n")
            inner.commit()
            time.sleep(0.1 * n)
            shutil.rmtree(inner.root)
        (repo.root / "inner").mkdir()
        _saved(watcher, repo.root, "inner/plain.py")
        again = Repository(repo.root / "inner")
        commit = again.commit("Anew")
        _saved(watcher, repo.root, "inner/plain.py")
        again.commit("And on")
        seen = until(watcher, lambda seen: bool(commits(seen)))
        assert {c.top for c in commits(seen)} == {str(again.root)}, commit
        _saved(watcher, repo.root, "beside.py")


def test_a_watcher_that_is_closed_at_work_ends_without_a_fault(
    repo: Repository, caplog: pytest.LogCaptureFixture
) -> None:
    """It is putting directories under watch that were made just now."""
    for n in range(5):
        with Watcher() as watcher:
            watcher.add(repo.root)
            for m in range(400):
                (repo.root / f"d{n}/p{m}/q").mkdir(parents=True)
    assert [r.getMessage() for r in caplog.records if r.levelname in ("ERROR", "WARNING")] == []
