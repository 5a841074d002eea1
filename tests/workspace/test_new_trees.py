"""What is committed in a working tree that was made just now is told."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from qi_learn.workspace.watcher import Watcher
from tests.support.repository import ENV, Repository
from tests.support.watching import commits, rest, texts, until

OWN = "def mean(values):\n    return sum(values) / len(values)\n"


@pytest.fixture
def repo(tmp_path: Path) -> Repository:
    repo = Repository(tmp_path / "work")
    repo.write("a.py", "a = 1\n")
    repo.commit("Begin")
    return repo


@pytest.mark.parametrize(
    ("place", "make"),
    [
        ("../linked", "git worktree add -q ../linked -b topic"),
        ("linked", "git worktree add -q linked -b topic"),
        ("inner", "git init -q inner; echo b=1 >inner/b.py"),
        ("clone", "git clone -q . clone"),
    ],
)
def test_it_is_told_with_its_save(
    repo: Repository, watcher: Watcher, place: str, make: str
) -> None:
    own = repo.root.parent / "own.py"
    own.write_text(OWN)
    act = f"{make}; cd {place}; cp {own} mean.py; git add -A; git commit -qm There"
    subprocess.run(act, shell=True, cwd=repo.root, env=ENV, check=True, capture_output=True)
    name = f"{place}/mean.py" if not place.startswith("..") else "mean.py"
    seen = until(watcher, lambda seen: (name, OWN) in texts(seen) and commits(seen), seconds=20)
    seen += rest(watcher, repo.root)
    others = [(f"{place}/b.py", "b=1\n")] if place == "inner" else []
    assert sorted(texts(seen)) == sorted([(name, OWN), *others])
    files = [file for told in commits(seen) for file in told.files]
    assert sorted(files) == sorted([name, *(name for name, _ in others)])


def test_a_tree_that_is_only_made_is_silent(repo: Repository, watcher: Watcher) -> None:
    repo.git("worktree", "add", "-q", "linked", "-b", "topic")
    repo.git("clone", "-q", ".", "clone")
    seen = rest(watcher, repo.root)
    assert (texts(seen), commits(seen)) == ([], [])
