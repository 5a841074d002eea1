"""git is asked and not changed, a part of a repository is enough, and errors say what to do."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

import pytest

from qi_learn.errors import NotFound, ToolMissing
from qi_learn.outside import git, git_blobs, process
from tests.support.repository import Repository


@pytest.fixture
def repo(tmp_path: Path) -> Repository:
    return Repository(tmp_path / "repo")


def test_outside_a_repository_there_is_nothing_to_say(tmp_path: Path) -> None:
    assert (
        git.repository_of(tmp_path),
        git.top(tmp_path),
        git.head(tmp_path),
        git.branch(tmp_path),
    ) == (None, None, None, None)
    with pytest.raises(NotFound, match="git cannot answer"):
        git.tracked(tmp_path)


def test_a_repository_without_a_commit_has_a_branch_and_no_head(repo: Repository) -> None:
    assert (git.head(repo.root), git.branch(repo.root)) == (None, "main")
    assert git.repository_of(repo.root) == repo.root / ".git"


def test_paths_are_those_of_the_directory_asked_about(repo: Repository) -> None:
    repo.write("part/ünïcode name.py", "a = 1\n")
    repo.write("other.py", "b = 1\n")
    first = repo.commit()
    repo.write("part/ünïcode name.py", "a = 2\n")
    repo.write("other.py", "b = 2\n")
    second = repo.commit()
    part = repo.root / "part"
    assert git.changed(part, first, second) == ("ünïcode name.py",)
    assert git.changed(repo.root, "", second) == ("other.py", "part/ünïcode name.py")
    assert git.changed(repo.root, "", first) == ("other.py", "part/ünïcode name.py")
    assert git.text_at(part, first, "ünïcode name.py") == "a = 1\n"
    assert git.text_at(part, first, "no such.py") is None
    assert git.top(part) == repo.root
    assert git.tracked(part) == ("ünïcode name.py",)


def test_what_git_ignores_is_known_also_by_directory(repo: Repository) -> None:
    repo.write(".gitignore", "*.log\nbuild/\n")
    repo.write("build/out.py", "")
    repo.write("a.log", "")
    repo.write("a.py", "")
    assert git.ignored(repo.root, ["a.log", "a.py", "build/out.py", "not there.log"]) == {
        "a.log",
        "build/out.py",
        "not there.log",
    }
    assert git.ignored_directories(repo.root) == ("build",)
    assert git.tracked(repo.root, untracked=True) == (".gitignore", "a.py")


def test_the_reflog_tells_how_head_moved(repo: Repository) -> None:
    repo.write("a.py", "a = 1\n")
    first = repo.commit("First: a")
    repo.write("a.py", "a = 2\n")
    second = repo.commit("Second")
    repo.git("commit", "-q", "--amend", "-m", "Second, better")
    amended = git.head(repo.root)
    repo.git("revert", "--no-edit", "HEAD")
    reverting = git.head(repo.root)
    repo.git("reset", "-q", "--hard", first)
    repo.git("checkout", "-q", "-b", "side")
    moves = git.parse_reflog((repo.root / ".git/logs/HEAD").read_text())
    assert [(m.action, m.old, m.new) for m in moves] == [
        ("commit", "", first),
        ("commit", first, second),
        ("amend", second, amended),
        ("revert", amended, reverting),
        ("reset", reverting, first),
        ("checkout", first, first),
    ]
    assert moves[0].subject == "First: a"
    assert abs(moves[0].ts - time.time()) < 600
    assert reverting is not None
    assert git.reverted_by(git.message(repo.root, reverting)) == (amended,)
    assert git.contains(repo.root, str(amended), first)
    assert not git.contains(repo.root, first, str(amended))


def test_unknown_commits_are_an_error_that_names_the_command(repo: Repository) -> None:
    repo.commit()
    with pytest.raises(NotFound) as error:
        git.changed(repo.root, "", "1" * 40)
    assert f"git -C {repo.root} diff-tree" in error.value.hint


def test_without_git_it_says_so(repo: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(repo.root))
    with pytest.raises(ToolMissing, match="git"):
        git.head(repo.root)


# --- the process that everything outside is run in ------------------------------------------------


def test_output_exit_code_and_input_go_through(tmp_path: Path) -> None:
    code = (
        "import sys; print(sys.stdin.read().upper()); print('seen', file=sys.stderr); sys.exit(7)"
    )
    done = process.run([sys.executable, "-c", code], timeout=30, cwd=tmp_path, given=b"abc")
    assert (done.exit_code, done.text, done.error_text, done.timed_out) == (
        7,
        "ABC\n",
        "seen",
        False,
    )


def test_output_over_the_limit_is_cut_and_does_not_stop_the_command() -> None:
    done = process.run(
        [sys.executable, "-c", "print('x' * 5_000_000)"], timeout=30, max_output=1000
    )
    assert (done.exit_code, len(done.output)) == (0, 1000)


def test_a_command_over_its_time_is_killed_with_its_children(tmp_path: Path) -> None:
    note = tmp_path / "child"
    code = (
        "import subprocess, time; child = subprocess.Popen(['sleep', '600']); "
        f"open({str(note)!r}, 'w').write(str(child.pid)); time.sleep(600)"
    )
    done = process.run([sys.executable, "-c", code], timeout=3)
    assert (done.timed_out, done.exit_code) == (True, -signal.SIGKILL)
    assert _gone(int(note.read_text()))


def test_a_child_left_behind_neither_lives_on_nor_holds_us_up() -> None:
    started = time.monotonic()
    done = process.run(["sh", "-c", "sleep 600 & echo $!"], timeout=60)
    assert done.exit_code == 0
    assert time.monotonic() - started < 60
    assert _gone(int(done.text))


def test_a_missing_command_and_a_missing_directory_are_named(tmp_path: Path) -> None:
    with pytest.raises(ToolMissing, match="no-such-command-here"):
        process.run(["no-such-command-here"], timeout=1)
    with pytest.raises(NotFound, match="nowhere"):
        process.run(["true"], timeout=1, cwd=tmp_path / "nowhere")


def _gone(pid: int) -> bool:
    """Whether a process is dead, even if its parent has not collected it yet."""
    for _ in range(100):
        try:
            os.kill(pid, 0)
            if (
                Path(f"/proc/{pid}/stat").exists()
                and Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
            ):
                return True
        except (ProcessLookupError, FileNotFoundError):
            return True
        time.sleep(0.05)
    return False


@pytest.mark.parametrize("name", [":!x.py", ":(glob)x.py", ":w", "*.py", "[a].py", "?.py"])
def test_a_name_that_git_would_take_for_a_pattern_is_a_name(tmp_path: Path, name: str) -> None:
    repository = Repository(tmp_path)
    for file in (name, "main.py"):
        repository.write(file, f"# {file}\n")
    repository.commit("Begin")
    head = repository.git("rev-parse", "HEAD").strip()
    assert set(git_blobs.tree_blobs(tmp_path, head, [name])) == {name}
    assert set(git_blobs.index_blobs(tmp_path, [name])) == {name}
    assert git.ignored(tmp_path, [name, "main.py"]) == set()
