"""A clock that is set, either way, changes no age: what stood in a file then is known."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from qi_learn.workspace.file_history import FileHistory
from qi_learn.workspace.watcher import Watcher
from tests.support.repository import Repository
from tests.support.watching import texts, until


@pytest.mark.parametrize("jump", [-3600.0, 3600.0, -86400.0 * 400], ids=["back", "ahead", "far"])
@pytest.mark.parametrize("in_git", [True, False], ids=["git", "plain"])
def test_texts_from_before_the_clock_was_set_are_as_old_as_they_were(
    tmp_path: Path, jump: float, in_git: bool
) -> None:
    """A turn between two saves, the clock set, a save: the text before the turn is the second."""
    set_by = [0.0]
    repo = Repository(tmp_path / "work") if in_git else None
    file = tmp_path / "work" / "a.py"
    file.parent.mkdir(exist_ok=True)
    file.write_text("a = 0\n")
    if repo is not None:
        repo.commit()
    with Watcher(clock=lambda: time.time() + set_by[0]) as watcher:
        watcher.add(tmp_path / "work")
        for n in (1, 2):
            file.write_text(f"a = {n}\n")
            until(watcher, len)
        time.sleep(1.1)  # clocks of files are coarse
        turn = time.time()
        set_by[0] = jump
        for n in (3, 4):
            file.write_text(f"a = {n}\n")
            (saved,) = until(watcher, len)
            assert texts([saved]) == [("a.py", f"a = {n}\n")]
            assert abs(saved.ts - time.time() - jump) < 30
        history = watcher.history(file)
        assert history.before(turn + jump) == "a = 2\n"
        assert history.before(turn + jump - 3600) == "a = 0\n"
        assert history.reaches(turn + jump)
        state = watcher.states()[0]
        assert state.last_event is not None
        assert abs(state.last_event - time.time() - jump) < 30


@pytest.mark.parametrize("jump", [-7200.0, 7200.0])
def test_what_was_not_told_yet_goes_by_the_clock_that_was_set(tmp_path: Path, jump: float) -> None:
    set_by = [0.0]
    with Watcher(clock=lambda: time.time() + set_by[0]) as watcher:
        watcher.add(tmp_path)
        (tmp_path / "a.py").write_text("a = 1\n")
        deadline = time.monotonic() + 30
        while watcher.history(tmp_path / "a.py").newest != "a = 1\n":
            assert time.monotonic() < deadline
            time.sleep(0.02)
        set_by[0] = jump
        (tmp_path / "b.py").write_text("b = 1\n")
        while watcher.history(tmp_path / "b.py").newest != "b = 1\n":
            assert time.monotonic() < deadline
            time.sleep(0.02)
        seen = until(watcher, lambda seen: len(seen) == 2)
        assert [abs(s.ts - time.time() - jump) < 60 for s in seen] == [True, True]


def test_a_history_is_shifted_as_a_whole() -> None:
    history = FileHistory("0", window=100, began=1000.0)
    history.record(1010.0, "1")
    history.record(1020.0, "2")
    history.shift(-500.0)
    assert [history.before(ts) for ts in (505.0, 515.0, 525.0)] == ["0", "1", "2"]
    assert (history.reaches(499.0), history.reaches(500.0)) == (False, True)
    assert history.record(526.0, "3", now=526.0) == 526.0
    assert history.before(525.0) == "2"
