"""The parts of the watcher that are used alone, or only on other systems."""

from __future__ import annotations

import time
from pathlib import Path

from qi_learn.workspace.file_history import FileHistory
from qi_learn.workspace.inbox import MOST_MARKS, Inbox, Marks
from qi_learn.workspace.portable_source import PortableSource
from qi_learn.workspace.reflog import Reflog
from tests.support.repository import Repository


def _collect(inbox: Inbox, directory: str) -> Marks:
    """What is marked, until a directory and a file are: a file may be held back a little."""
    found = Marks()
    deadline = time.monotonic() + 20
    while not (directory in found.directories and found.files) and time.monotonic() < deadline:
        marks = inbox.take(0.1)
        assert marks is not None
        found.files += marks.files
        found.directories += marks.directories
        found.checkouts |= marks.checkouts
    return found


def test_watchdog_marks_the_same_where_there_is_no_inotify(tmp_path: Path) -> None:
    repo = Repository(tmp_path / "work")
    repo.write("pkg/a.py", "a = 1\n")
    (repo.root / "node_modules").mkdir()
    inbox = Inbox()
    source = PortableSource(inbox)
    try:
        source.watch(str(repo.root))
        source.watch(str(repo.root / "pkg"))
        repo.write("pkg/a.py", "a = 2\n")
        repo.write("node_modules/x.js", "x\n")
        repo.write(".env", "SECRET=1\n")
        (repo.root / "made").mkdir()
        repo.commit()
        found = _collect(inbox, str(repo.root / "made"))
        assert set(found.files) == {str(repo.root / "pkg/a.py")}
        assert str(repo.root / "made") in found.directories
        assert source.alive
    finally:
        source.close()


def test_marks_are_bounded_and_beyond_that_all_is_looked_at() -> None:
    inbox = Inbox()
    for n in range(MOST_MARKS + 1):
        inbox.mark_file(f"/w/{n}", closed=True)
    marks = inbox.take(10.0)
    assert marks is not None
    assert (marks.lost, marks.files) == (True, [])
    inbox.close()
    assert inbox.take(0.0) is None


def test_a_clock_that_ran_ahead_leaves_no_text_in_the_future() -> None:
    history = FileHistory("0", window=100)
    history.record(5000.0, "from the future", now=5000.0)
    assert history.record(1000.0, "after it was put back", now=1000.0) < 1001.0
    assert history.before(1002.0) == "after it was put back"
    assert history.before(999.0) == "0"


def test_moves_are_given_out_until_they_are_accepted(tmp_path: Path) -> None:
    repo = Repository(tmp_path)
    repo.commit()
    reflog = Reflog(tmp_path / ".git")
    first = repo.commit("Told")
    assert [move.new for move in reflog.peek()] == [first]
    second = repo.commit("Told too")
    assert [move.new for move in reflog.peek()] == [first, second]
    reflog.accept()
    assert reflog.peek() == ()
    third = repo.commit("Last")
    assert [move.new for move in reflog.moves()] == [third]
    assert reflog.moves() == ()
