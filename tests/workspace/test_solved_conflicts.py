"""A conflict that a person solves is a save, also if it is added and concluded at once."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from qi_learn.workspace.watcher import Watcher
from tests.support.repository import ENV, Repository
from tests.support.watching import rest, texts, until

LINES = [f"a{n} = 1\n" for n in range(12)]
SOLVED = "import os\n\n\ndef both():\n    return 3\n"
Do = Callable[[Repository], None]


def _with(lines: dict[int, str]) -> str:
    return "".join(lines.get(n, line) for n, line in enumerate(LINES))


@pytest.fixture
def repo(tmp_path: Path) -> Repository:
    """Two branches: `a.py` conflicts, `b.py` is merged by git, `c.py` only the other one has."""
    repo = Repository(tmp_path / "work")
    repo.git("config", "user.name", "A Person")
    repo.git("config", "user.email", "person@example.org")
    repo.write("a.py", "import os\n")
    repo.write("b.py", _with({}))
    repo.commit("Begin")
    repo.git("checkout", "-q", "-b", "other")
    for text in ("y = 1\n", "y = 11\n"):
        repo.write("a.py", f"import os\n{text}")
        repo.write("b.py", _with({0: f"b = '{text[4]}'\n"}))
        repo.write("c.py", f"c = '{text}'\n")
        repo.commit("On another branch")
    repo.git("checkout", "-q", "main")
    repo.write("a.py", "import os\ny = 2\n")
    repo.write("b.py", _with({11: "b = 'mine'\n"}))
    repo.commit("On main")
    return repo


def _run(repo: Repository, command: str) -> None:
    env = {**ENV, "GIT_EDITOR": "true"}
    subprocess.run(command, shell=True, cwd=repo.root, env=env, check=True, capture_output=True)


def _merge(repo: Repository) -> None:
    repo.git("merge", "-q", "other", check=False)


def _pick(repo: Repository) -> None:
    repo.git("cherry-pick", "other~", check=False)


def _rebase(repo: Repository) -> None:
    repo.git("rebase", "-q", "other", check=False)


def _pop(repo: Repository) -> None:
    repo.write("a.py", "import os\ny = 3\n")
    repo.git("stash", "-q")
    repo.write("a.py", "import os\ny = 4\n")
    repo.commit("Meanwhile")
    repo.git("stash", "pop", "-q", check=False)


STOPS: tuple[tuple[Do, str], ...] = (
    (_merge, ""),
    (_merge, "; git merge --continue"),
    (_merge, "; git commit -qm Merged"),
    (_pick, ""),
    (_pick, "; git cherry-pick --continue"),
    (_rebase, ""),
    (_rebase, "; git rebase --continue"),
    (_pop, ""),
)


def _into_the_file(repo: Repository, then: str) -> None:
    (repo.root / "a.py").write_text(SOLVED)
    _run(repo, f"git add a.py{then}")


def _by_a_tool(repo: Repository, then: str) -> None:
    solved = repo.root.parent / "solved"
    solved.write_text(SOLVED)
    repo.git("config", "mergetool.own.cmd", f'cat {solved} > "$MERGED"')
    repo.git("config", "mergetool.own.trustExitCode", "true")
    repo.git("config", "mergetool.keepBackup", "false")
    _run(repo, f"git mergetool -y -t own{then}")


@pytest.mark.parametrize("solve", [_into_the_file, _by_a_tool], ids=lambda s: s.__name__.strip("_"))
@pytest.mark.parametrize(("stop", "then"), STOPS, ids=lambda s: str(getattr(s, "__name__", s)))
def test_a_conflict_that_is_solved_and_added_at_once_is_a_save(
    repo: Repository, stop: Do, then: str, solve: Callable[[Repository, str], None]
) -> None:
    with Watcher() as watcher:
        watcher.add(repo.root)
        stop(repo)
        assert "<<<<<<<" in (repo.root / "a.py").read_text()
        time.sleep(0.7)  # git made the file just now
        before = texts(rest(watcher, repo.root))
        solve(repo, then)
        seen = until(watcher, lambda seen: ("a.py", SOLVED) in texts(seen), seconds=10)
        seen += rest(watcher, repo.root)
        told = [(file, text) for file, text in before + texts(seen) if not file.startswith("a_")]
        own = [("a.py", f"import os\ny = {n}\n") for n in (3, 4)] if stop is _pop else []
        assert [save for save in told if save not in own] == [("a.py", SOLVED)]


def test_what_is_taken_from_the_other_side_is_gits(repo: Repository) -> None:
    with Watcher() as watcher:
        watcher.add(repo.root)
        _merge(repo)
        time.sleep(1.2)
        _run(repo, "git checkout -q --theirs a.py; git add a.py; git merge --continue")
        assert texts(rest(watcher, repo.root)) == []


@pytest.mark.parametrize(
    "then", ["", "; git commit -qm x", "; git commit -qm x; git checkout -q other"]
)
def test_what_git_merged_before_it_waited_is_gits_however_late_it_is_read(
    repo: Repository, then: str
) -> None:
    with Watcher() as watcher:
        watcher.add(repo.root)
        lock = repo.root / ".git/index.lock"
        _run(repo, f"git merge -q other || true; echo y=5 >a.py; git add a.py{then}")
        lock.touch()  # nothing is read while git is at work
        time.sleep(1.5)
        lock.unlink()
        told = texts(rest(watcher, repo.root))
        assert [save for save in told if save[0] != "a.py"] == []
