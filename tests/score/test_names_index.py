"""The names in use at a commit: the same as reading every file, and unknown if not all are here."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from qi_learn.score import names_index
from qi_learn.score.names_index import NamesIndex, OutdatedIndexes
from qi_learn.workspace.qi_learn_ignore import NAME
from tests.support.repository import ENV, Repository


@pytest.fixture
def repo(tmp_path: Path) -> Repository:
    repo = Repository(tmp_path / "work")
    repo.write("a.py", "alpha = beta  # gamma\n")
    repo.write("b.py", "beta = 1\n")
    (repo.root / "binary").write_bytes(b"\0delta\n")
    repo.commit()
    return repo


NAMES = ["alpha", "beta", "gamma", "delta", "epsilon", "größe"]


def test_it_follows_the_commits(repo: Repository, tmp_path: Path) -> None:
    index = NamesIndex(tmp_path / "names")
    later = time.time() + 10
    assert index.used(repo.root, NAMES, before=later) == {"alpha", "beta", "gamma"}
    repo.write("a.py", "größe = epsilon\n")
    assert index.used(repo.root, NAMES, before=later) == {"alpha", "beta", "gamma"}, "not committed"
    repo.commit()
    assert index.used(repo.root, NAMES, before=later) == {"beta", "epsilon", "größe"}
    again = NamesIndex(tmp_path / "names")
    assert again.used(repo.root, NAMES, before=later) == {"beta", "epsilon", "größe"}
    repo.git("reset", "-q", "--hard", "HEAD~1")
    assert again.used(repo.root, NAMES, before=later) == {"alpha", "beta", "gamma"}
    assert again.used(repo.root, NAMES, before=1e9) is None, "no commit is that old"


def test_git_is_asked_once_while_head_stands_still(
    repo: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = tmp_path / "asked"
    wrapper = tmp_path / "bin" / "git"
    wrapper.parent.mkdir()
    wrapper.write_text(f'#!/bin/sh\necho "$@" >> {asked}\nexec {shutil.which("git")} "$@"\n')
    wrapper.chmod(0o755)
    monkeypatch.setenv("PATH", str(wrapper.parent), prepend=os.pathsep)
    index, later = NamesIndex(tmp_path / "names"), time.time() + 10
    index.used(repo.root, NAMES, before=later)
    first = asked.read_text()
    for n in range(20):
        assert index.used(repo.root, NAMES, before=later + n) == {"alpha", "beta", "gamma"}
    assert asked.read_text() == first
    repo.write("a.py", "größe = epsilon\n")
    repo.commit()
    assert index.used(repo.root, NAMES, before=later) == {"beta", "epsilon", "größe"}
    assert index.used(repo.root, NAMES, before=1e9) is None, "older than every commit"


def test_only_below_the_project(repo: Repository, tmp_path: Path) -> None:
    repo.write("part/c.py", "epsilon = 1\n")
    repo.commit()
    index = NamesIndex(tmp_path / "names")
    assert index.used(repo.root / "part", NAMES, before=time.time() + 10) == {"epsilon"}


def test_a_partial_clone_is_unknown_and_fetches_nothing(repo: Repository, tmp_path: Path) -> None:
    repo.git("config", "uploadpack.allowFilter", "true")
    clone = tmp_path / "clone"
    argv = ["git", "clone", "-q", "--filter=blob:none", "--no-checkout", f"file://{repo.root}"]
    subprocess.run([*argv, str(clone)], env=ENV, check=True, capture_output=True)
    index = NamesIndex(tmp_path / "names")
    assert index.used(clone, NAMES, before=time.time() + 10) is None
    missing = ["git", "rev-list", "--objects", "--all", "--missing=print"]
    listed = subprocess.run(missing, cwd=clone, env=ENV, capture_output=True, text=True, check=True)
    assert listed.stdout.count("?") == 3


def test_a_damaged_or_absent_file_only_costs_time(repo: Repository, tmp_path: Path) -> None:
    later = time.time() + 10
    NamesIndex(tmp_path / "names").used(repo.root, NAMES, before=later)
    (kept,) = (tmp_path / "names").iterdir()
    assert b"alpha" not in kept.read_bytes()
    kept.write_bytes(kept.read_bytes()[:-3])
    index = NamesIndex(tmp_path / "names")
    assert index.used(repo.root, NAMES, before=later) == {"alpha", "beta", "gamma"}


def test_a_project_past_the_bounds_is_unknown(
    repo: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(names_index, "MOST_WORDS", 2)
    index = NamesIndex(tmp_path / "names")
    assert index.used(repo.root, NAMES, before=time.time() + 10) is None


def test_what_is_kept_is_bounded_and_goes_longest_unused_first(
    repo: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    others = [Repository(tmp_path / f"other{n}") for n in range(3)]
    for other in others:
        other.write("a.py", "alpha\n")
        other.commit()
    index, kept = NamesIndex(tmp_path / "names"), tmp_path / "names"
    index.used(repo.root, NAMES, before=time.time() + 10)
    (first,) = kept.iterdir()
    os.utime(first, (1e9, 1e9))
    monkeypatch.setattr(names_index, "ON_DISK", 3 * first.stat().st_size)
    for other in others:
        index.used(other.root, NAMES, before=time.time() + 10)
    assert first not in list(kept.iterdir())
    assert 0 < sum(p.stat().st_size for p in kept.iterdir()) <= names_index.ON_DISK


def test_what_is_left_out_is_not_indexed(repo: Repository, tmp_path: Path) -> None:
    repo.write("private/c.py", "epsilon = 1\n")
    repo.write(".env", "größe=1\n")
    repo.write(NAME, "private/\n")
    repo.commit()
    kept, later = tmp_path / "names", time.time() + 10
    index = NamesIndex(kept)
    assert index.used(repo.root, NAMES, before=later) == {"alpha", "beta", "gamma"}
    repo.write("private/c.py", "epsilon = größe\n")
    repo.write("d.py", "zeta = 1\n")
    repo.commit()
    assert index.used(repo.root, NAMES, before=later) == {"alpha", "beta", "gamma"}, "carried"
    repo.write(NAME, "private/\n/a.py\n")
    assert index.used(repo.root, NAMES, before=later) == {"beta"}, "the file changed"
    again = NamesIndex(kept)
    assert again.used(repo.root, NAMES, before=later) == {"beta"}
    (repo.root / NAME).unlink()
    everything = {"alpha", "beta", "gamma", "epsilon", "größe"}
    assert again.used(repo.root, NAMES, before=later) == everything


def test_an_index_by_other_rules_goes(repo: Repository, tmp_path: Path) -> None:
    kept, other = tmp_path / "names", Repository(tmp_path / "other")
    other.write("a.py", "alpha\n")
    other.commit()
    index = NamesIndex(kept)
    for root in (repo.root, other.root):
        index.used(root, NAMES, before=time.time() + 10)
    outdated = OutdatedIndexes(kept)
    outdated.drop([repo.root, other.root, tmp_path / "gone"])
    assert len(list(kept.iterdir())) == 2
    repo.write(NAME, "a.py\n")
    outdated.drop([repo.root, other.root])
    (left,) = kept.iterdir()
    left.write_bytes(left.read_bytes().replace(b"names 2", b"names 1", 1))
    outdated.drop([repo.root, other.root])
    assert not list(kept.iterdir()), "one of an older form has what no rule was asked about"
