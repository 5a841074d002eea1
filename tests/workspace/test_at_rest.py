"""A repository in which git does nothing costs next to nothing, and what it does is still seen."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from qi_learn.workspace import inotify_source, reader
from qi_learn.workspace.area import Area
from qi_learn.workspace.area_look import Look, look
from qi_learn.workspace.repository_state import RepositoryState
from qi_learn.workspace.watcher import Watcher
from tests.support.repository import Repository
from tests.support.watching import Seen, commits, rest, until


@pytest.fixture
def repo(tmp_path: Path) -> Repository:
    return Repository(tmp_path / "project")


def state_of(repo: Repository) -> RepositoryState:
    return RepositoryState(repo.root, repo.root / ".git")


@pytest.mark.parametrize(
    "words",
    [
        ("commit", "-q", "--allow-empty", "-m", "two"),
        ("checkout", "-q", "-b", "other"),
        ("add", "new.py"),
        ("stash", "-q"),
        ("reset", "-q", "--hard"),
        ("config", "core.excludesFile", "/nowhere"),
    ],
    ids=lambda words: words[0],
)
def test_whatever_git_does_ends_the_rest(repo: Repository, words: tuple[str, ...]) -> None:
    repo.write("a.py", "a = 1\n")
    repo.commit()
    repo.write("a.py", "a = 2\n")
    repo.write("new.py", "n = 1\n")
    state = state_of(repo)
    before = state.still()
    assert before
    assert state.still() == before
    repo.git(*words)
    assert state.still() != before


def test_a_lock_and_a_repository_without_a_log_are_never_at_rest(repo: Repository) -> None:
    repo.write("a.py", "a = 1\n")
    repo.commit()
    lock = repo.root / ".git" / "index.lock"
    lock.touch()
    assert not state_of(repo).still()
    lock.unlink()
    assert state_of(repo).still()
    (repo.root / ".git" / "logs" / "HEAD").unlink()
    assert not state_of(repo).still()


def test_at_rest_it_is_looked_at_once_and_what_no_event_tells_is_found(
    repo: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    repo.write("a.py", "a = 1\n")
    repo.commit()
    looks: list[str] = []

    def counted(area: Area, names: list[str], now: float) -> Look | None:
        looks.append(area.top)
        return look(area, names, now)

    monkeypatch.setattr(reader, "look", counted)
    monkeypatch.setattr(reader, "IDLE_SECONDS", 0.05)
    monkeypatch.setattr(inotify_source.InotifySource, "_handle", lambda *_: None)
    with Watcher() as watcher:
        watcher.add(repo.root)
        rounds = 0

        def at_rest(_: Seen) -> bool:  # not one look in half a second of idle rounds
            nonlocal rounds
            rounds = 0 if looks else rounds + 1
            looks.clear()
            return rounds >= 50

        until(watcher, at_rest)
        repo.write("a.py", "a = 2\n")
        repo.commit()
        until(watcher, lambda seen: any(move.files == ("a.py",) for move in commits(seen)))


def test_a_commit_is_seen_while_another_project_takes_long(
    repo: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A look that waited for git to end is taken also if its time came in the middle of a round."""
    slow, begun = tmp_path / "slow", threading.Event()
    slow.mkdir()

    def slowly(area: Area, names: list[str], now: float) -> Look | None:
        if area.top == str(slow):
            begun.set()
            time.sleep(0.2)
        return look(area, names, now)

    repo.write("a.py", "a = 1\n")
    repo.commit()
    with Watcher() as watcher:
        watcher.add(repo.root)
        watcher.add(slow)
        repo.write("a.py", "a = 2\n")
        rest(watcher, repo.root)
        monkeypatch.setattr(reader, "look", slowly)
        (slow / "b.py").write_text("b = 1\n")
        assert begun.wait(20)
        (slow / "b.py").write_text("b = 2\n")
        commit = repo.commit()
        until(watcher, lambda seen: commit in [c.commit for c in commits(seen)], seconds=20)
