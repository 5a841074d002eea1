"""Saves and commits as a person's tools make them, seen through the operating system's own events
(and once by looking).
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest

from qi_learn.errors import NotFound
from qi_learn.workspace.changes import Committed, FileSaved
from qi_learn.workspace.file_history import FileHistory
from qi_learn.workspace.watcher import Watcher
from tests.support.repository import Repository

Seen = list[FileSaved | Committed]


@pytest.fixture
def repo(tmp_path: Path) -> Repository:
    repo = Repository(tmp_path / "work")
    repo.write("a.py", "a = 1\n")
    repo.write("pkg/b.py", "b = 1\n")
    repo.write(".gitignore", "*.log\nbuild/\n")
    repo.write("build/out.py", "x = 1\n")
    repo.commit("Begin")
    return repo


def until(watcher: Watcher, enough: Callable[[Seen], object], *, seconds: float = 20.0) -> Seen:
    """Everything told until `enough`."""
    seen: Seen = []
    deadline = time.monotonic() + seconds
    while not enough(seen) and time.monotonic() < deadline:
        seen += watcher.poll()
        time.sleep(0.01)
    assert enough(seen), seen
    return seen


def texts(seen: Seen) -> list[tuple[str, str]]:
    return [(s.file, s.text) for s in seen if isinstance(s, FileSaved)]


def rest(watcher: Watcher, repo: Repository) -> Seen:
    """What is told up to a save made now: so all that came before it."""
    repo.write("mark.py", f"{time.time_ns()}\n")
    return [
        s
        for s in until(watcher, lambda seen: any(f == "mark.py" for f, _ in texts(seen)))
        if not (isinstance(s, FileSaved) and s.file == "mark.py")
    ]


def test_a_save_is_told_with_its_text_and_the_text_before_is_known(
    watcher: Watcher, repo: Repository
) -> None:
    path = repo.write("a.py", "a = 2\r\n")
    (saved,) = until(watcher, len)
    assert isinstance(saved, FileSaved)
    assert (saved.project, saved.path, saved.file, saved.text) == (
        str(repo.root),
        path,
        "a.py",
        "a = 2\n",
    )
    assert abs(saved.ts - time.time()) < 20
    assert watcher.history(path).before(saved.ts) == "a = 1\n"
    assert watcher.history(path).newest == "a = 2\n"
    assert watcher.history(repo.root / "never.py").before(saved.ts) == ""


def test_a_save_by_renaming_is_one_save_of_the_file(watcher: Watcher, repo: Repository) -> None:
    (repo.root / "a.py.new").write_text("a = 3\n")
    (repo.root / "a.py.new").replace(repo.root / "a.py")
    assert texts(until(watcher, len)) == [("a.py", "a = 3\n")]
    assert rest(watcher, repo) == []


def test_a_save_as_vim_makes_it(watcher: Watcher, repo: Repository) -> None:
    (repo.root / "4913").write_text("")
    (repo.root / "4913").unlink()
    (repo.root / "a.py").rename(repo.root / "a.py~")
    (repo.root / "a.py").write_text("a = 4\n")
    (repo.root / "a.py~").unlink()
    assert ("a.py", "a = 4\n") in texts(
        until(watcher, lambda seen: ("a.py", "a = 4\n") in texts(seen))
    )
    assert rest(watcher, repo) == []


def test_a_burst_ends_with_the_last_text_and_repeats_nothing(
    watcher: Watcher, repo: Repository
) -> None:
    for n in range(200):
        repo.write("a.py", f"a = {n}\n")
    seen = texts(until(watcher, lambda seen: ("a.py", "a = 199\n") in texts(seen)))
    assert all(one != after for one, after in pairwise(seen))  # "" is there twice, at times
    whole = [told for told in seen if told[1]]
    assert len(whole) == len(set(whole)) < 100
    repo.write("a.py", "a = 199\n")
    assert rest(watcher, repo) == []


def test_new_directories_deleted_and_renamed_files(watcher: Watcher, repo: Repository) -> None:
    repo.write("new/deep/c.py", "c = 1\n")
    assert texts(until(watcher, len)) == [("new/deep/c.py", "c = 1\n")]
    repo.write("new/deep/d.py", "d = 1\n")
    assert texts(until(watcher, len)) == [("new/deep/d.py", "d = 1\n")]
    (repo.root / "pkg").rename(repo.root / "renamed")
    assert texts(until(watcher, lambda seen: len(seen) == 2)) == [
        ("pkg/b.py", ""),
        ("renamed/b.py", "b = 1\n"),
    ]
    (repo.root / "a.py").unlink()
    assert texts(until(watcher, len)) == [("a.py", "")]


def test_what_is_ignored_secret_binary_or_huge_is_not_told(
    watcher: Watcher, repo: Repository
) -> None:
    for name in (
        "x.log",
        "build/out.py",
        "build/sub/y.py",
        "node_modules/z.js",
        ".env",
        "id_rsa",
        "x.swp",
        ".venv/lib/q.py",
    ):
        repo.write(name, "secret = 1\n")
    (repo.root / "binary.dat").write_bytes(b"\x00\x01")
    (repo.root / "latin.txt").write_bytes("é".encode("latin-1"))
    (repo.root / "huge.txt").write_text("x" * 1_000_001)
    (repo.root / "link.py").symlink_to(repo.root / "a.py")
    assert rest(watcher, repo) == []


def test_what_a_tool_writes_down_of_its_conversations_is_no_place_of_code(
    watcher: Watcher, repo: Repository
) -> None:
    for name in (
        ".aider.chat.history.md",
        ".aider.input.history",
        "pkg/.aider.llm.history",
        ".specstory/history/2026-11-29_03-13Z-total.md",
    ):
        repo.write(name, "#### Let total skip them\n\n```python\ndef total(): ...\n```\n")
    assert rest(watcher, repo) == []


def test_a_gitignore_that_changes_counts_from_then_on(watcher: Watcher, repo: Repository) -> None:
    repo.write("notes.txt", "1\n")
    assert texts(until(watcher, len)) == [("notes.txt", "1\n")]
    repo.write(".gitignore", "*.log\nbuild/\nother.txt\n")
    until(watcher, len)
    repo.write("other.txt", "2\n")
    assert rest(watcher, repo) == []


def test_a_commit_is_told_after_the_saves_in_it(watcher: Watcher, repo: Repository) -> None:
    before = repo.git("rev-parse", "HEAD")
    repo.write("a.py", "a = 5\n")
    repo.write("pkg/b.py", "b = 5\n")
    commit = repo.commit("Five")
    seen = until(watcher, lambda seen: any(isinstance(s, Committed) for s in seen))
    assert sorted(texts(seen)) == [("a.py", "a = 5\n"), ("pkg/b.py", "b = 5\n")]
    last = seen[-1]
    assert isinstance(last, Committed)
    assert (last.project, last.commit, last.previous, last.files, last.action) == (
        str(repo.root),
        commit,
        before,
        ("a.py", "pkg/b.py"),
        "commit",
    )
    assert rest(watcher, repo) == []


def test_amend_revert_and_reset_are_told_apart(watcher: Watcher, repo: Repository) -> None:
    begin = repo.git("rev-parse", "HEAD")
    repo.write("a.py", "a = 6\n")
    repo.commit("Six")
    repo.git("commit", "-q", "--amend", "-m", "Six, amended")
    repo.git("revert", "--no-edit", "HEAD")
    repo.git("reset", "-q", "--hard", begin)
    seen = until(watcher, lambda seen: sum(isinstance(s, Committed) for s in seen) == 4)
    assert [s.action for s in seen if isinstance(s, Committed)] == [
        "commit",
        "amend",
        "revert",
        "reset",
    ]
    assert [s.files for s in seen if isinstance(s, Committed)] == [("a.py",), (), ("a.py",), ()]


def test_what_git_writes_on_another_branch_is_not_a_save(
    watcher: Watcher, repo: Repository
) -> None:
    repo.git("checkout", "-q", "-b", "side")
    repo.write("a.py", "a = 7\n")
    repo.commit("Seven")
    repo.write("pkg/b.py", "b = 7\n")
    until(watcher, lambda seen: ("pkg/b.py", "b = 7\n") in texts(seen))
    repo.git("checkout", "-q", "main")
    seen = until(watcher, lambda seen: any(isinstance(s, Committed) and s.files for s in seen))
    assert texts(seen) == []
    assert watcher.history(repo.root / "a.py").newest == "a = 1\n"
    assert rest(watcher, repo) == []


def test_head_may_move_a_moment_after_the_files_were_written(
    watcher: Watcher, repo: Repository
) -> None:
    """A checkout writes the files, lets go of `index.lock`, then moves HEAD: here as its two steps,
    with time between them as on a busy machine.
    """
    repo.git("checkout", "-q", "-b", "side")
    repo.write("a.py", "a = 7\n")
    repo.commit("Seven")
    until(watcher, lambda seen: any(isinstance(s, Committed) and s.files for s in seen))
    repo.git("read-tree", "-m", "-u", "HEAD", "main")
    time.sleep(0.2)
    repo.git("symbolic-ref", "-m", "checkout: moving from side to main", "HEAD", "refs/heads/main")
    seen = until(watcher, lambda seen: any(isinstance(s, Committed) and s.files for s in seen))
    assert texts(seen) == []
    assert watcher.history(repo.root / "a.py").newest == "a = 1\n"
    assert rest(watcher, repo) == []


def test_files_are_not_read_while_git_writes_them(watcher: Watcher, repo: Repository) -> None:
    lock = repo.root / ".git/index.lock"
    lock.write_text("")
    repo.write("a.py", "a = 8\n")
    time.sleep(0.5)
    assert watcher.poll() == []
    lock.unlink()
    assert texts(until(watcher, len)) == [("a.py", "a = 8\n")]


def test_the_log_of_head_may_be_shortened(watcher: Watcher, repo: Repository) -> None:
    repo.write("a.py", "a = 9\n")
    repo.commit("Nine")
    until(watcher, lambda seen: any(isinstance(s, Committed) for s in seen))
    repo.git("reflog", "expire", "--expire=now", "--all")
    repo.write("a.py", "a = 10\n")
    commit = repo.commit("Ten")
    seen = until(watcher, lambda seen: any(isinstance(s, Committed) for s in seen))
    assert [s.commit for s in seen if isinstance(s, Committed)] == [commit]


def test_projects_come_and_go_and_the_inner_one_owns_its_files(
    watcher: Watcher, repo: Repository, tmp_path: Path
) -> None:
    plain = tmp_path / "plain"
    (plain / "inner").mkdir(parents=True)
    watcher.add(plain)
    watcher.add(plain / "inner")
    (plain / "inner" / "x.py").write_text("x = 1\n")
    (saved,) = until(watcher, len)
    assert isinstance(saved, FileSaved)
    assert (saved.project, saved.file) == (str(plain / "inner"), "x.py")
    watcher.remove(plain)
    watcher.remove(plain / "inner")
    (plain / "y.py").write_text("y = 1\n")
    assert rest(watcher, repo) == []
    with pytest.raises(NotFound):
        watcher.add(tmp_path / "nowhere")


def test_a_project_may_become_a_repository(watcher: Watcher, tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    plain.mkdir()
    (plain / "x.py").write_text("x = 1\n")
    watcher.add(plain)
    commit = (late := Repository(plain)).commit("First")
    seen = until(watcher, len)
    assert [(s.commit, s.files) for s in seen if isinstance(s, Committed)] == [(commit, ("x.py",))]
    assert late.root == plain


def test_without_events_the_tree_is_looked_at(repo: Repository) -> None:
    with Watcher(polling=True) as watcher:
        watcher.add(repo.root)
        repo.write("a.py", "a = 11\n")
        repo.write("top/new.py", "n = 1\n")
        seen = until(watcher, lambda seen: len(texts(seen)) == 2)
        assert sorted(texts(seen)) == [("a.py", "a = 11\n"), ("top/new.py", "n = 1\n")]


FEW_WATCHES = """
import sys, time
from pathlib import Path
from qi_learn.workspace.watcher import Watcher
root = Path(sys.argv[1])
for n in range(40):
    (root / f"d{n}").mkdir()
Path("/proc/sys/user/max_inotify_watches").write_text("20")
with Watcher() as watcher:
    watcher.add(root)
    (root / "d39" / "x.py").write_text("x = 1\\n")
    seen = []
    while not seen:
        seen = watcher.poll()
        time.sleep(0.02)
    print(seen[0].file, "|", *watcher.notes)
"""


def test_too_few_watches_are_noticed_and_the_tree_is_looked_at(tmp_path: Path) -> None:
    given = subprocess.run(
        ["unshare", "-Ur", "sh", "-c", "echo 20 > /proc/sys/user/max_inotify_watches"],
        capture_output=True,
        check=False,
    )
    if given.returncode:
        pytest.skip(
            f"NOT TESTED: no user namespace with a limit of its own here: {given.stderr.decode()}"
        )
    done = subprocess.run(
        ["unshare", "-Ur", sys.executable, "-c", FEW_WATCHES, str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("d39/x.py | ")
    assert "fs.inotify.max_user_watches" in done.stdout


def test_a_history_keeps_the_window_and_knows_what_it_does_not_know() -> None:
    history = FileHistory("0", window=10)
    for ts in (100.0, 105.0, 112.0, 112.0):
        history.record(ts, f"text of {ts}")
    assert history.before(90) == "text of 100.0"  # the oldest kept
    assert history.before(105.0) == "text of 100.0"
    assert history.before(106) == "text of 105.0"
    assert history.newest == "text of 112.0"
    assert FileHistory(None, window=10).before(1.0) is None


def test_memory_is_bounded(repo: Repository) -> None:
    noise = [os.urandom(20_000).hex() for _ in range(6)]
    with Watcher(memory=60_000) as watcher:
        repo.write("z.py", noise[0])
        watcher.add(repo.root)
        for text in noise[1:]:
            repo.write("a.py", text)
            until(watcher, len)
        assert watcher.history(repo.root / "a.py").size < 3 * 25_000
        assert watcher.history(repo.root / "a.py").newest == noise[-1]
