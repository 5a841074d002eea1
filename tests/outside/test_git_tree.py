"""A commit's files as git keeps them: nothing is run, nothing is fetched, nothing leads out."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from qi_learn.errors import NotFound
from qi_learn.outside import git_tree
from qi_learn.outside.git_tree import write_tree
from tests.support.repository import ENV, Repository


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository(tmp_path / "repository")


@pytest.fixture
def into(tmp_path: Path) -> Path:
    place = tmp_path / "into"
    place.mkdir()
    return place


def test_files_programs_and_links_are_written(repository: Repository, into: Path) -> None:
    repository.write("a/b.txt", "text\n")
    repository.write("run.sh", "#!/bin/sh\n").chmod(0o755)
    (repository.root / "link").symlink_to("/etc/passwd")
    (repository.root / "raw").write_bytes(b"\x00\xff\r\n")
    commit = repository.commit()
    repository.write("a/b.txt", "changed since\n")
    written = write_tree(repository.root, commit, into)
    assert written == {"a/b.txt", "run.sh", "raw"}
    assert (into / "a" / "b.txt").read_text() == "text\n"
    assert (into / "raw").read_bytes() == b"\x00\xff\r\n"
    assert (into / "run.sh").stat().st_mode & 0o777 == 0o755
    assert (into / "link").readlink() == Path("/etc/passwd")


def test_a_part_of_a_repository_gives_all_of_it(repository: Repository, into: Path) -> None:
    repository.write("part/a", "1")
    repository.write("b", "2")
    commit = repository.commit()
    assert write_tree(repository.root / "part", commit, into) == {"part/a", "b"}


def test_filters_and_attributes_change_nothing(
    repository: Repository, into: Path, tmp_path: Path
) -> None:
    ran = tmp_path / "ran"
    repository.write(".gitattributes", "* filter=mine text eol=crlf\ntests export-ignore\n")
    repository.write("a.py", "a = 1\n")
    repository.write("tests/test_a.py", "b = 2\n")
    commit = repository.commit()
    repository.git("config", "filter.mine.smudge", f"touch {ran}; tr a-z A-Z")
    repository.git("config", "filter.mine.required", "true")
    write_tree(repository.root, commit, into)
    assert (into / "a.py").read_bytes() == b"a = 1\n"
    assert (into / "tests" / "test_a.py").exists()
    assert not ran.exists()


def test_names_that_lead_out_are_left_out(
    repository: Repository, into: Path, tmp_path: Path
) -> None:
    """git itself makes no such tree; one that was made by hand may be fetched."""
    repository.write("x", "evil")
    blob = repository.git("hash-object", "-w", "x")
    raw = bytes.fromhex(blob)

    def tree(*entries: tuple[str, bytes, bytes]) -> str:
        body = b"".join(m.encode() + b" " + name + b"\0" + id for m, name, id in entries)
        done = subprocess.run(
            ["git", "hash-object", "-t", "tree", "-w", "--stdin", "--literally"],
            cwd=repository.root,
            env=ENV,
            input=body,
            capture_output=True,
            check=True,
        )
        return done.stdout.decode().strip()

    inner = bytes.fromhex(tree(("100644", b"out", raw)))
    top = tree(("40000", b"..", inner), ("40000", b".git", inner), ("100644", b"fine", raw))
    commit = repository.git("commit-tree", top, "-m", "x")
    assert write_tree(repository.root, commit, into) == {"fine"}
    assert sorted(p.name for p in tmp_path.iterdir()) == ["into", "repository"]


def test_submodules_are_left_out(repository: Repository, into: Path, tmp_path: Path) -> None:
    other = Repository(tmp_path / "other")
    other.write("a", "1")
    other.commit()
    allowed = ("-c", "protocol.file.allow=always")
    repository.git(*allowed, "submodule", "add", "-q", str(other.root), "sub")
    assert write_tree(repository.root, repository.commit(), into) == {".gitmodules"}


def test_a_commit_that_is_gone_or_damaged_is_not_written(
    repository: Repository, into: Path
) -> None:
    repository.write("a", "some text\n")
    commit = repository.commit()
    with pytest.raises(NotFound):
        write_tree(repository.root, "0" * 40, into)
    blob = repository.git("rev-parse", f"{commit}:a")
    (repository.root / ".git" / "objects" / blob[:2] / blob[2:]).unlink()
    with pytest.raises(NotFound):
        write_tree(repository.root, commit, into)


def test_one_that_is_too_large_is_not_written(
    repository: Repository, into: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository.write("a", "x" * 1000)
    repository.write("b", "x" * 1000)
    commit = repository.commit()
    monkeypatch.setattr(git_tree, "_AT_ONCE", 500)  # in portions
    assert write_tree(repository.root, commit, into) == {"a", "b"}
    monkeypatch.setattr(git_tree, "MOST_BYTES", 1999)
    with pytest.raises(NotFound, match="too large"):
        write_tree(repository.root, commit, into)
