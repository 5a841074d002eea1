"""What git said of a file once does not count when it says another thing of it."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import pytest

from qi_learn.workspace.watcher import Watcher
from tests.support.repository import Repository
from tests.support.watching import texts, until


@pytest.fixture
def repo(tmp_path: Path) -> Repository:
    repo = Repository(tmp_path / "work")
    repo.write("a.py", "a = 1\n")
    repo.write("n/k.py", "k = 1\n")
    repo.commit()
    return repo


def _saved(watcher: Watcher, root: Path, file: str) -> None:
    """A save of a file, now, is told."""
    text = f"now = {time.time_ns()}\n"
    (root / file).write_text(text)
    until(watcher, lambda seen: (file, text) in texts(seen), seconds=20)


def _asked(watcher: Watcher, root: Path, file: str) -> None:
    """Have git asked of a file that it leaves out: it is looked at with another one."""
    (root / file).write_text("left out\n")
    time.sleep(0.7)
    _saved(watcher, root, "a.py")


def test_a_directory_whose_place_a_link_took_for_a_while_is_seen(
    repo: Repository, tmp_path: Path
) -> None:
    away, place = tmp_path / "away", repo.root / "n"
    with Watcher() as watcher:
        watcher.add(repo.root)
        place.rename(away)
        place.symlink_to(away)
        time.sleep(0.7)
        _saved(watcher, repo.root, "a.py")
        place.unlink()
        shutil.copytree(away, place)
        time.sleep(0.7)
        _saved(watcher, repo.root, "n/k.py")


def test_an_ignored_file_is_seen_when_git_has_it(repo: Repository) -> None:
    repo.write(".gitignore", "gen.py\n")
    repo.commit()
    with Watcher() as watcher:
        watcher.add(repo.root)
        _asked(watcher, repo.root, "gen.py")
        repo.git("add", "-f", "gen.py")
        repo.git("commit", "-q", "-m", "Generated")
        _saved(watcher, repo.root, "gen.py")


def test_a_file_that_the_repositorys_own_list_left_out_is_seen(repo: Repository) -> None:
    own = repo.root / ".git/info/exclude"
    own.parent.mkdir(exist_ok=True)
    own.write_text("gen.py\n")
    with Watcher() as watcher:
        watcher.add(repo.root)
        _asked(watcher, repo.root, "gen.py")
        own.write_text("")
        _saved(watcher, repo.root, "gen.py")
