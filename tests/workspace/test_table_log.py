"""The log of HEAD as git tells it, for repositories that have no log in a file (reftable)."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from qi_learn.outside import git
from qi_learn.workspace.changes import FileSaved
from qi_learn.workspace.reflog import Reflog
from qi_learn.workspace.table_log import TableLog
from qi_learn.workspace.watcher import Watcher
from tests.support.repository import Repository
from tests.support.watching import commits, rest, texts, until


def _begun(repo: Repository) -> Repository:
    for n in range(4):
        repo.write(f"m{n}.py", f"m{n} = 1\nlast = 1\n")
    repo.commit("Begin")
    repo.git("checkout", "-q", "-b", "side")
    repo.write("m0.py", "m0 = 2\nlast = 1\n")
    repo.commit("On the side: more")
    repo.git("checkout", "-q", "main")
    return repo


def _work(repo: Repository, n: int) -> None:
    repo.write("m1.py", f"m1 = 'now {n}'\nlast = 1\n")
    repo.commit(f"Number {n}")
    repo.git("commit", "-q", "--amend", "-m", f"Number {n}, again")
    repo.git("checkout", "-q", "side")
    repo.git("checkout", "-q", "main")
    repo.git("reset", "-q", "--hard", "HEAD~1")


def test_git_tells_the_same_moves_as_its_file(tmp_path: Path) -> None:
    repo = _begun(Repository(tmp_path / "work"))
    own = repo.root / ".git"
    asked, read = TableLog(repo.root, own, own), Reflog(own)
    for n in range(3):
        assert asked.peek() == read.peek() == ()
        _work(repo, n)
        moves = read.peek()
        assert [move.action for move in moves][:3] == ["commit", "amend", "checkout"]
        assert asked.peek() == asked.peek() == moves
        read.accept()
        asked.accept()
    assert git.log_of(repo.root, "HEAD", 2) == git.log_of(repo.root, "HEAD", 100)[-2:]
    assert git.log_of(repo.root, "refs/stash", 3) == ()


def test_a_log_that_was_cleaned_up_is_told_so(tmp_path: Path) -> None:
    repo = _begun(Repository(tmp_path / "work"))
    own = repo.root / ".git"
    log = TableLog(repo.root, own, own)
    repo.git("reflog", "expire", "--expire=all", "--all")
    repo.commit("After it")
    assert (log.peek(), log.rewritten) == ((), True)
    log.accept()
    commit = repo.commit("And on")
    assert [move.new for move in log.peek()] == [commit]


@pytest.fixture
def repo(tmp_path: Path) -> Repository:
    """A repository whose references are in tables."""
    repo = Repository.__new__(Repository)
    repo.root = tmp_path / "work"
    repo.root.mkdir()
    repo.git("init", "-q", "-b", "main", "--ref-format=reftable", check=False)
    if not (repo.root / ".git/reftable").is_dir():
        pytest.skip("NOT TESTED: this git has no reftable (it is there from 2.45 on)")
    return _begun(repo)


def _stash(repo: Repository) -> None:
    repo.git("stash", "-q")
    time.sleep(1)
    repo.git("stash", "pop", "-q")


def _checkout(repo: Repository) -> None:
    repo.git("stash", "-q")
    repo.git("checkout", "-q", "side")


def _conflict(repo: Repository) -> None:
    repo.write("m0.py", "m0 = 9\nlast = 1\n")
    repo.git("commit", "-qam", "Against it")
    time.sleep(1)
    repo.git("merge", "-q", "side", check=False)
    assert "<<<<<<<" in (repo.root / "m0.py").read_text()


def _pick(repo: Repository) -> None:
    repo.git("stash", "-q")
    repo.git("cherry-pick", "side")


def _reset(repo: Repository) -> None:
    repo.git("reset", "-q", "--hard", "side")


def _file_of_a_branch(repo: Repository) -> None:
    repo.git("checkout", "-q", "side", "--", "m0.py")
    time.sleep(1)


@pytest.mark.parametrize(
    "write",
    [_stash, _checkout, _conflict, _pick, _reset, _file_of_a_branch],
    ids=lambda w: w.__name__.strip("_"),
)
def test_nothing_that_git_writes_is_a_save(
    repo: Repository, write: Callable[[Repository], None]
) -> None:
    with Watcher() as watcher:
        watcher.add(repo.root)
        repo.write("m3.py", "m3 = 'mine'\nlast = 1\n")
        until(watcher, lambda seen: len(texts(seen)) == 1)
        write(repo)
        told = [s for s in rest(watcher, repo.root) if isinstance(s, FileSaved)]
        assert [s.text for s in told if s.text != "m0 = 9\nlast = 1\n"] == []
        assert watcher.notes == ()


def test_saves_and_their_commits_are_told_also_to_the_next_watcher(repo: Repository) -> None:
    with Watcher() as watcher:
        watcher.add(repo.root)
        repo.git("checkout", "-q", "side")
        repo.write("m2.py", "m2 = 'mine'\n")
        repo.git("commit", "-qam", "Mine")
        seen = until(watcher, lambda seen: len(commits(seen)) == 2)
        assert [c.action for c in commits(seen)] == ["checkout", "commit"]
        assert texts(seen) == [("m2.py", "m2 = 'mine'\n")]
        until(watcher, lambda _: bool(watcher.stands()))
        stood = watcher.stands()[str(repo.root)]
    repo.write("m3.py", "m3 = 'meanwhile'\n")
    commit = repo.commit("Meanwhile")
    with Watcher() as watcher:
        watcher.add(repo.root, stood=stood)
        seen = until(watcher, lambda seen: bool(commits(seen)))
        assert [c.commit for c in commits(seen)] == [commit]
        assert texts(seen) == [("m3.py", "m3 = 'meanwhile'\n")]


def test_a_linked_tree_has_tables_of_its_own(repo: Repository, tmp_path: Path) -> None:
    repo.git("worktree", "add", "-q", str(tmp_path / "linked"), "side")
    linked = Repository.__new__(Repository)
    linked.root = tmp_path / "linked"
    with Watcher() as watcher:
        watcher.add(repo.root)
        linked.write("m0.py", "m0 = 'there'\n")
        until(watcher, lambda seen: ("m0.py", "m0 = 'there'\n") in texts(seen))
        commit = linked.commit("There")
        seen = until(watcher, lambda seen: bool(commits(seen)))
        assert [(c.commit, c.files) for c in commits(seen)] == [(commit, ("m0.py",))]
