"""A file that has again what git had of it: from another branch, or typed back by the person."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from qi_learn.workspace.changes import FileSaved
from qi_learn.workspace.partly_restored import is_between
from qi_learn.workspace.watcher import Watcher
from tests.support.repository import ENV, Repository
from tests.support.watching import rest

FIRST, THERE = "m = 1\nlast = 1\n", "total = 0\nmean = total\n"


def _repository(root: Path, object_format: str = "sha1") -> Repository:
    """One with a file of which another branch has another text."""
    repo = Repository(root, object_format)
    repo.write("m.py", FIRST)
    repo.write("pkg/old.py", "old = 1\n")
    repo.commit()
    repo.git("checkout", "-q", "-b", "other")
    repo.write("m.py", THERE)
    repo.write("pkg/new.py", THERE)
    repo.commit()
    repo.git("checkout", "-q", "main")
    time.sleep(1.2)  # whole seconds of commits, and the age of files
    return repo


def _saves(watcher: Watcher, root: Path) -> list[tuple[str, str, bool]]:
    seen = rest(watcher, root)
    return [(s.file, s.text, s.taken_back) for s in seen if isinstance(s, FileSaved)]


@pytest.mark.parametrize("kind", ["sha1", "sha256", "packed", "linked", "polled"])
@pytest.mark.parametrize("file", ["m.py", "pkg/new.py"])
def test_what_git_restores_from_a_branch_is_no_place_of_an_answer(
    tmp_path: Path, kind: str, file: str
) -> None:
    repo = _repository(tmp_path / "work", "sha256" if kind == "sha256" else "sha1")
    if kind == "packed":
        repo.git("gc", "-q", "--prune=now")
        time.sleep(1.2)
    if kind == "linked":
        repo.git("worktree", "add", "-q", "../linked", "-b", "third")
        repo = Repository(tmp_path / "linked")
        time.sleep(1.2)
    looks = 2.5 if kind == "polled" else 0.0
    with Watcher(polling=kind == "polled") as watcher:
        watcher.add(repo.root)
        repo.git("restore", "--source=other", file)
        time.sleep(looks)
        assert _saves(watcher, repo.root) == [(file, THERE, True)]
        repo.write(file, THERE + "more = 1\n")
        time.sleep(looks)
        assert _saves(watcher, repo.root) == [(file, THERE + "more = 1\n", False)]


@pytest.mark.parametrize(
    "attribute", ["filter=shift", "ident", "working-tree-encoding=UTF-8", "text eol=crlf"]
)
def test_it_is_none_either_where_git_keeps_files_otherwise_than_it_writes_them(
    tmp_path: Path, attribute: str
) -> None:
    repo = Repository(tmp_path / "work")
    repo.git("config", "filter.shift.clean", "tr a-y b-z")
    repo.git("config", "filter.shift.smudge", "tr b-z a-y")
    repo.write(".gitattributes", f"*.py {attribute}\n")
    repo.write("m.py", FIRST)
    repo.commit()
    repo.git("checkout", "-q", "-b", "other")
    repo.write("m.py", f"# $Id$\n{THERE}")
    repo.commit()
    repo.git("checkout", "-q", "main")
    time.sleep(1.2)
    with Watcher() as watcher:
        watcher.add(repo.root)
        repo.git("restore", "--source=other", "m.py")
        given = (repo.root / "m.py").read_text()
        assert _saves(watcher, repo.root) == [("m.py", given, True)]
        repo.write("m.py", THERE + "more = 1\n")
        assert _saves(watcher, repo.root) == [("m.py", THERE + "more = 1\n", False)]


def test_some_of_what_the_index_has_is_no_place_either(tmp_path: Path) -> None:
    repo = _repository(tmp_path / "work")
    lines = "x = 1\n" * 20
    repo.write("m.py", f"{THERE}{lines}z = 2\ny = 3\n")
    repo.git("add", "m.py")
    repo.write("m.py", f"first = 1\n{lines}z = 1\n")
    time.sleep(1.2)
    with Watcher() as watcher:
        watcher.add(repo.root)
        restore = ["git", "restore", "-p", "m.py"]
        subprocess.run(restore, cwd=repo.root, env=ENV, input=b"y\nn\n", check=True)
        given = (repo.root / "m.py").read_text()
        assert given == f"{THERE}{lines}z = 1\n"
        assert _saves(watcher, repo.root) == [("m.py", given, True)]
        repo.write("m.py", THERE + lines)
        assert _saves(watcher, repo.root) == [("m.py", THERE + lines, False)]


@pytest.mark.parametrize(
    ("text", "between"),
    [
        *(("a\nx\nb\ny\n", True), ("1\nx\n2\ny\n", True), ("1\nx\nb\ny\n", True)),
        *(("a\nx\n2\ny\n", True), ("3\nx\nb\ny\n", False), ("1\nx\nb\n", False)),
        ("1\na\nx\nb\ny\n", False),
    ],
)
def test_a_text_is_between_two_if_it_has_the_one_or_the_other(text: str, between: bool) -> None:
    assert is_between(text, "a\nx\nb\ny\n", "1\nx\n2\ny\n") == between


def test_it_is_told_so_when_it_is_read_late(tmp_path: Path) -> None:
    """The reader was held up, and git did more meanwhile."""
    repo = _repository(tmp_path / "work")
    with Watcher() as watcher:
        watcher.add(repo.root)
        repo.git("restore", "--source=other", "m.py")
        lock = repo.root / ".git/index.lock"
        lock.touch()  # nothing is read while git is at work
        time.sleep(1.5)
        lock.unlink()
        repo.git("tag", "later")
        assert _saves(watcher, repo.root) == [("m.py", THERE, True)]


def test_what_is_saved_by_renaming_and_added_at_once_is_the_persons(tmp_path: Path) -> None:
    repo = _repository(tmp_path / "work")
    mine, file = "a = 1\nb = 2\n", repo.root / "m.py"
    with Watcher() as watcher:
        watcher.add(repo.root)
        file.with_name("m.tmp").write_text(mine)
        os.replace(file.with_name("m.tmp"), file)
        repo.git("add", "m.py")
        assert _saves(watcher, repo.root) == [("m.py", mine, False)]


def _into_the_file(path: Path) -> None:
    path.write_text(THERE)


def _by_renaming(path: Path) -> None:
    other = path.with_name(f"{path.name}.tmp")
    other.write_text(THERE)
    os.replace(other, path)


def _into_the_file_and_added(path: Path) -> None:
    path.write_text(THERE)
    subprocess.run(["git", "add", path.name], cwd=path.parent, env=ENV, check=True)


@pytest.mark.parametrize(
    "save",
    [_into_the_file, _by_renaming, _into_the_file_and_added],
    ids=lambda s: s.__name__.strip("_"),
)
def test_what_a_person_types_back_is_a_save_like_any_other(
    tmp_path: Path, save: Callable[[Path], None]
) -> None:
    repo = _repository(tmp_path / "work")
    with Watcher() as watcher:
        watcher.add(repo.root)
        save(repo.root / "m.py")
        assert _saves(watcher, repo.root) == [("m.py", THERE, False)]
