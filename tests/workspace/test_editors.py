"""Each way in which editors and tools save a file ends in one told text."""

from __future__ import annotations

import ctypes
import mmap
import os
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from qi_learn.workspace import reader
from qi_learn.workspace.changes import FileSaved
from qi_learn.workspace.watcher import Watcher
from tests.support.repository import Repository
from tests.support.watching import rest, texts, until

NEW = "a = 1\n"
A = [("a.py", NEW)]
Saves = list[tuple[str, str]]


def _truncated_first(root: Path) -> None:
    (root / "a.py").write_text("")
    (root / "a.py").write_text(NEW)


def _emptied_long_before(root: Path) -> None:
    """As `generate > a.py` does: the shell empties the file, the program writes when it is done."""
    with (root / "a.py").open("w") as file:
        time.sleep(1.0)
        file.write(NEW)


def _copied_then_written_anew(root: Path) -> None:
    """As `git mergetool` does: what it copied is written over in place a moment later."""
    (root / "a.py").write_text("a = 0\n")
    time.sleep(0.03)
    with (root / "a.py").open("w") as file:
        time.sleep(0.2)
        file.write(NEW)


def _backup_renamed(root: Path) -> None:
    """As vim saves: a probe, the old file put aside, the new one written, the old one removed."""
    (root / "4913").write_text("")
    (root / "4913").unlink()
    (root / "a.py").rename(root / "a.py~")
    (root / "a.py").write_text(NEW)
    (root / "a.py~").unlink()


def _renamed_over(root: Path) -> None:
    (root / ".a.py.tmp123").write_text(NEW)
    (root / ".a.py.tmp123").replace(root / "a.py")


def _renamed_over_by_another_name(root: Path) -> None:
    (root / "a.py.sb-1234-x").write_text(NEW)
    (root / "a.py.sb-1234-x").replace(root / "a.py")


def _renamed_from_outside(root: Path) -> None:
    (root.parent / "made").write_text(NEW)
    (root.parent / "made").replace(root / "a.py")


def _through_a_link_to_the_project(root: Path) -> None:
    (root.parent / "link").symlink_to(root)
    (root.parent / "link/a.py").write_text(NEW)


def _through_a_link_to_the_file(root: Path) -> None:
    (root.parent / "link.py").symlink_to(root / "a.py")
    (root.parent / "link.py").write_text(NEW)


def _hard_link_broken(root: Path) -> None:
    os.link(root / "a.py", root.parent / "other")
    (root / "a.py").unlink()
    (root / "a.py").write_text(NEW)


def _mapped(root: Path) -> None:
    with open(root / "a.py", "r+b") as file, mmap.mmap(file.fileno(), 0) as memory:
        memory[4:5] = b"1"
        memory.flush()


def _in_place(root: Path) -> None:
    with open(root / "a.py", "r+b") as file:
        os.posix_fallocate(file.fileno(), 0, 100)
        file.write(NEW.encode())
        file.truncate()


def _exchanged(root: Path) -> None:
    """Two names are exchanged in one step, as some updaters do."""
    (root / "d/b.py").write_text("b = 1\n")
    library = ctypes.CDLL(None, use_errno=True)
    old, new = os.fsencode(root / "a.py"), os.fsencode(root / "d/b.py")
    if library.renameat2(-100, old, -100, new, 2):
        pytest.skip("NOT TESTED: this file system exchanges no names")


def _directory_exchanged(root: Path) -> None:
    shutil.copytree(root / "d", root / "d.new")
    (root / "d.new/b.py").write_text("b = 1\n")
    (root / "d").rename(root / "d.old")
    (root / "d.new").rename(root / "d")
    shutil.rmtree(root / "d.old")


def _case_only(root: Path) -> None:
    (root / "a.py").rename(root / "A.py")


def _case_of_a_directory(root: Path) -> None:
    (root / "d").rename(root / "D")
    time.sleep(0.5)
    (root / "D/b.py").write_text("b = 1\n")


def _byte_order_mark(root: Path) -> None:
    (root / "a.py").write_bytes(b"\xef\xbb\xbf" + NEW.replace("\n", "\r\n").encode())


WAYS: tuple[tuple[Callable[[Path], None], Saves], ...] = (
    *((_truncated_first, A), (_emptied_long_before, A), (_copied_then_written_anew, A)),
    *((_backup_renamed, A), (_renamed_over, A)),
    *((_renamed_over_by_another_name, A), (_renamed_from_outside, A)),
    *((_through_a_link_to_the_project, A), (_through_a_link_to_the_file, A)),
    *((_hard_link_broken, A), (_mapped, A), (_in_place, A)),
    (_exchanged, [("a.py", "b = 1\n"), ("d/b.py", "a = 0\n")]),
    (_directory_exchanged, [("d/b.py", "b = 1\n")]),
    (_case_only, [("a.py", ""), ("A.py", "a = 0\n")]),
    (_byte_order_mark, [("a.py", "\ufeffa = 1\n")]),
)


@pytest.fixture(params=["git", "plain"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    root = tmp_path / "work"
    (root / "d").mkdir(parents=True)
    (root / "a.py").write_text("a = 0\n")
    (root / "d/b.py").write_text("b = 0\n")
    if request.param == "git":
        Repository(root).commit()
    return root


@pytest.mark.skipif(sys.platform != "linux", reason="NOT TESTED: Linux's calls")
@pytest.mark.parametrize(("save", "told"), WAYS, ids=[w.__name__.strip("_") for w, _ in WAYS])
def test_a_save_of_any_kind_is_told_once(
    root: Path, save: Callable[[Path], None], told: Saves
) -> None:
    with Watcher() as watcher:
        watcher.add(root)
        save(root)
        assert sorted(texts(rest(watcher, root))) == sorted(told)


def test_a_file_in_a_directory_whose_name_changed_its_case(root: Path) -> None:
    with Watcher() as watcher:
        watcher.add(root)
        _case_of_a_directory(root)
        assert ("D/b.py", "b = 1\n") in texts(rest(watcher, root))


def test_a_file_that_stays_empty_is_told(root: Path) -> None:
    with Watcher() as watcher:
        watcher.add(root)
        (root / "a.py").write_text("")
        seen = until(watcher, lambda seen: ("a.py", "") in texts(seen))
        assert texts(seen + rest(watcher, root)) == [("a.py", "")]


def test_a_project_that_is_a_link_itself(root: Path, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(root)
    with Watcher() as watcher:
        watcher.add(link)
        (root / "a.py").write_text(NEW)
        (saved,) = (s for s in until(watcher, len) if isinstance(s, FileSaved))
        assert (saved.project, saved.file, saved.text) == (str(link), "a.py", NEW)


@pytest.mark.parametrize("pause", [0.0, 1.0])
@pytest.mark.parametrize("polling", [False, True], ids=["events", "polling"])
def test_a_project_that_is_removed_and_made_again_is_watched_on(
    root: Path, pause: float, polling: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A checkout that is cloned anew, a directory that a tool makes from nothing."""
    monkeypatch.setattr(reader, "IDLE_SECONDS", 2.0)  # of its return no event tells
    in_git = (root / ".git").exists()
    with Watcher(polling=polling) as watcher:
        watcher.add(root)
        if in_git:
            shutil.copytree(root, root.parent / "clone")
        shutil.rmtree(root)
        time.sleep(pause)
        if in_git:
            (root.parent / "clone").rename(root)
        else:
            root.mkdir()
        time.sleep(0.2)
        path = root / "after.py"

        def arrived() -> bool:
            path.write_text(f"n = {time.time_ns()}\n")
            time.sleep(0.1)
            return path in [s.path for s in watcher.poll() if isinstance(s, FileSaved)]

        deadline = time.monotonic() + 20
        while not arrived():
            assert time.monotonic() < deadline, watcher.states()
        assert watcher.states()[0].mode == ("polled" if polling else "watched")
        (root / "a.py").write_text(NEW)
        until(watcher, lambda seen: ("a.py", NEW) in texts(seen))


def test_a_project_that_was_moved_away_and_another_put_in_its_place(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader, "IDLE_SECONDS", 2.0)
    with Watcher() as watcher:
        watcher.add(root)
        root.rename(root.parent / "aside")
        root.mkdir()
        deadline = time.monotonic() + 60
        told: Saves = []
        while not [t for t in told if t[0] == "b.py"]:
            (root / "b.py").write_text(f"n = {time.time_ns()}\n")
            time.sleep(0.1)
            told += texts(watcher.poll())
            assert time.monotonic() < deadline, watcher.states()
