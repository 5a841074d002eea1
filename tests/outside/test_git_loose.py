"""What git keeps as files of its own is read as git reads it, and else git is asked."""

from __future__ import annotations

from pathlib import Path

import pytest

from qi_learn.outside import git
from qi_learn.outside.git_blobs import read_blob
from qi_learn.outside.git_loose import loose_blob, loose_message, loose_text
from tests.support.repository import Repository

NAME = "pkg/größe x.py"


@pytest.fixture(params=["sha1", "sha256"])
def repo(request: pytest.FixtureRequest, tmp_path: Path) -> Repository:
    repo = Repository(tmp_path / "work", request.param)
    repo.write(NAME, "x = 'ü'\n")
    repo.write("empty.py", "")
    repo.commit("Größe\n\nMore of it.\n")
    return repo


def test_it_is_what_git_says(repo: Repository) -> None:
    commit, blob = repo.git("rev-parse", "HEAD", f"HEAD:{NAME}").split()
    assert loose_text(repo.root, commit, NAME) == (repo.root / NAME).read_bytes()
    assert loose_text(repo.root, commit, "empty.py") == b""
    assert loose_blob(repo.root / "pkg", blob) == (repo.root / NAME).read_bytes()
    assert loose_message(repo.root, commit) == repo.git("log", "-1", "--format=%B")


def test_a_linked_tree_has_the_objects_of_its_repository(repo: Repository) -> None:
    repo.git("worktree", "add", "-q", "../linked")
    commit = repo.git("rev-parse", "HEAD")
    linked = repo.root.parent / "linked"
    assert loose_text(linked, commit, NAME) == (repo.root / NAME).read_bytes()


@pytest.mark.parametrize("file", ["missing.py", "pkg", "pkg/none.py", "../work/empty.py"])
def test_what_is_no_file_there_is_not_known(repo: Repository, file: str) -> None:
    commit = repo.git("rev-parse", "HEAD")
    assert loose_text(repo.root, commit, file) is None
    assert git.text_at(repo.root, commit, file) in (None, "")


def test_what_lies_in_a_pack_is_asked_of_git(repo: Repository) -> None:
    commit, blob = repo.git("rev-parse", "HEAD", f"HEAD:{NAME}").split()
    repo.git("gc", "-q")
    assert loose_text(repo.root, commit, NAME) is None
    assert git.text_at(repo.root, commit, NAME) == "x = 'ü'\n"
    assert read_blob(repo.root, blob) == (repo.root / NAME).read_bytes()
    assert git.message(repo.root, commit) == "Größe\n\nMore of it."


@pytest.mark.parametrize("packed", [False, True])
def test_what_stands_for_another_is_asked_of_git(repo: Repository, packed: bool) -> None:
    commit = repo.git("rev-parse", "HEAD")
    repo.write(NAME, "x = 2\n")
    repo.git("replace", commit, repo.commit("Another"))
    if packed:
        repo.git("pack-refs", "--all")
    assert git.message(repo.root, commit) == "Another"
    assert git.text_at(repo.root, commit, NAME) == "x = 2\n"


def test_a_message_in_another_encoding_is_asked_of_git(repo: Repository) -> None:
    repo.git("-c", "i18n.commitEncoding=ISO-8859-1", "commit", "-q", "--allow-empty", "-m", "x")
    commit = repo.git("rev-parse", "HEAD")
    assert loose_message(repo.root, commit) is None
    assert git.message(repo.root, commit) == "x"


def test_an_object_that_is_damaged_is_asked_of_git(repo: Repository) -> None:
    blob = repo.git("rev-parse", f"HEAD:{NAME}")
    file = repo.root / ".git/objects" / blob[:2] / blob[2:]
    file.chmod(0o644)
    file.write_bytes(file.read_bytes()[:9])
    assert loose_blob(repo.root, blob) is None
