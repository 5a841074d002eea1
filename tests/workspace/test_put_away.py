"""A save that git put into a stash before it was read is told; what git wrote there is not."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

import pytest

from qi_learn.workspace.changes import FileSaved
from qi_learn.workspace.watcher import Watcher
from tests.support.repository import ENV, Repository
from tests.support.watching import rest

LINES = [f"a{n} = 1\n" for n in range(12)]
OWN = "import os\n\n\ndef mean(values):\n    return sum(values) / len(values)\n"


def _with(lines: dict[int, str]) -> str:
    return "".join(lines.get(n, line) for n, line in enumerate(LINES))


@pytest.fixture
def repo(tmp_path: Path) -> Repository:
    """Two branches, of which the other has its first line of `a.py`."""
    repo = Repository(tmp_path / "work")
    repo.write("a.py", _with({}))
    repo.write("b.py", "b = 1\n")
    repo.commit("Begin")
    repo.git("checkout", "-q", "-b", "other")
    repo.write("a.py", _with({0: "a0 = 'other'\n"}))
    repo.commit("On another branch")
    repo.git("checkout", "-q", "main")
    return repo


def _run(repo: Repository, command: str) -> None:
    env = {**ENV, "GIT_EDITOR": "true"}
    subprocess.run(command, shell=True, cwd=repo.root, env=env, check=True, capture_output=True)


def _told(watcher: Watcher, repo: Repository) -> list[tuple[str, str]]:
    """The saves up to now, but for what git may have brought back."""
    seen = rest(watcher, repo.root)
    return [(s.file, s.text) for s in seen if isinstance(s, FileSaved) and not s.taken_back]


@pytest.mark.parametrize(
    ("file", "command"),
    [
        ("b.py", "git stash -q; git stash pop -q"),
        ("b.py", "git stash -q; git stash apply -q"),
        ("b.py", "git stash -q"),
        ("b.py", "git stash -q; git stash drop -q"),
        ("mean.py", "git stash -q -u; git stash pop -q"),
        ("mean.py", "git stash -q -u; sleep 0.3; git stash pop -q"),
    ],
)
def test_a_save_that_is_stashed_at_once_is_told_once(
    repo: Repository, watcher: Watcher, file: str, command: str
) -> None:
    rest(watcher, repo.root)
    (repo.root / file).write_text(OWN)
    _run(repo, command)
    told = _told(watcher, repo)
    _run(repo, "git stash pop -q || true; git stash -q -u; git stash pop -q")
    told += _told(watcher, repo)
    assert [save for save in told if save[0] == file] == [(file, OWN)]


@pytest.mark.parametrize("then", ["", "; git stash drop -q", "; git stash pop -q; git checkout ."])
def test_what_the_file_has_then_is_known_to_be_gits(
    repo: Repository, watcher: Watcher, then: str
) -> None:
    rest(watcher, repo.root)
    path = repo.root / "b.py"
    path.write_text(OWN)
    _run(repo, f"git stash -q{then}")
    assert _told(watcher, repo) == [("b.py", OWN)]
    assert watcher.history(path).newest == "b = 1\n"
    time.sleep(1.2)
    path.write_text("b = 1\n")
    assert _told(watcher, repo) == []


def test_it_is_told_once_if_it_was_read_before(repo: Repository, watcher: Watcher) -> None:
    (repo.root / "b.py").write_text(OWN)
    told = _told(watcher, repo)
    _run(repo, "git stash -q; git stash pop -q; git stash -q; sleep 1; git stash pop -q")
    assert told + _told(watcher, repo) == [("b.py", OWN)]


@pytest.mark.parametrize(
    "command",
    [
        "git merge -q --squash other; git stash -q; git stash pop -q",
        "git checkout -q other -- a.py; git stash -q; git stash drop -q",
        "git restore --source other a.py; git stash -q",
        "git cherry-pick -n other; git stash -q -u; git stash pop -q",
    ],
)
def test_what_git_wrote_and_put_away_is_gits(
    repo: Repository, watcher: Watcher, command: str
) -> None:
    repo.write("a.py", _with({11: "a11 = 'mine'\n"}))
    repo.commit("On main")
    time.sleep(1)
    rest(watcher, repo.root)
    _run(repo, command)
    assert _told(watcher, repo) == []


def test_some_of_the_changes_that_are_stashed_are_no_save(
    repo: Repository, watcher: Watcher
) -> None:
    both = _with({0: "a0 = 2\n", 11: "a11 = 2\n"})
    repo.write("a.py", both)
    assert _told(watcher, repo) == [("a.py", both)]
    _run(repo, "printf 'y\\nn\\n' | git stash push -q -p; git stash drop -q")
    told = _told(watcher, repo)
    assert ("a.py", _with({0: "a0 = 2\n"})) not in told


@pytest.mark.parametrize(
    "command",
    [
        "cp ../own a.py; sleep 0.4; git checkout -q -m other",
        "git add b.py; cp ../own b.py; git add b.py; sleep 1.5; git stash -q; git stash pop -q",
        "cp ../own new~; mv new~ b.py; sleep 0.4; git add b.py",
    ],
)
def test_what_would_be_lost_at_once_is_told_a_moment_later(
    repo: Repository, watcher: Watcher, command: str
) -> None:
    """Decision 0052 says what is lost if git follows before a save is read."""
    own = _with({11: "a11 = 'mine'\n"})
    (repo.root.parent / "own").write_text(own)
    _told(watcher, repo)
    _run(repo, command)
    assert [text for _, text in _told(watcher, repo) if "mine" in text][:1] == [own]


@pytest.mark.parametrize("back", ["pop", "apply"])
@pytest.mark.parametrize("at_once", [True, False])
@pytest.mark.parametrize("detached", [False, True])
def test_a_stash_of_another_working_tree_is_no_save_here(
    repo: Repository, watcher: Watcher, back: str, at_once: bool, detached: bool
) -> None:
    """It is told once, of the tree in which it was written; of none if both are on no branch and
    it was not read there.
    """
    branch = "--detach -q" if detached else "-q -b second"
    _run(repo, f"git worktree add {branch} ../second main")
    if detached:
        _run(repo, "git checkout -q --detach")
    time.sleep(1.2)
    rest(watcher, repo.root)
    (repo.root / "b.py").write_text(OWN)
    told = [] if at_once else _told(watcher, repo)
    _run(repo, "git stash -q")
    told += _told(watcher, repo)
    time.sleep(1.2)
    _run(repo, f"git -C ../second stash {back} -q")
    told += _told(watcher, repo)
    assert told == ([] if at_once and detached else [("b.py", OWN)])
