"""No setting of the person changes an answer of git, and no question runs a program or fetches."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from qi_learn.errors import NotFound
from qi_learn.outside import git, git_blobs
from qi_learn.score.names_index import NamesIndex
from tests.support.repository import ENV, Repository

SETTINGS = """
[core]
    fsmonitor = {program}
    hooksPath = {hooks}
    pager = {program}
    editor = {program}
    quotePath = true
[color]
    ui = always
    grep = always
[grep]
    lineNumber = true
    column = true
    fullName = true
    patternType = perl
[log]
    showSignature = true
    showRoot = false
    date = relative
    decorate = full
[diff]
    external = {program}
    noprefix = true
    renames = copies
    ignoreSubmodules = all
    relative = true
[format]
    pretty = raw
[pager]
    log = {program}
    ls-files = {program}
    diff-tree = {program}
[submodule]
    recurse = true
[status]
    short = true
[credential]
    helper = {program}
"""


@pytest.fixture
def repo(tmp_path: Path) -> Repository:
    repo = Repository(tmp_path / "repo")
    repo.write(".gitignore", "build/\n")
    repo.write("a.py", "alpha = 1\n")
    repo.write("ünï.py", "beta = 1\n")
    repo.commit("First")
    repo.write("a.py", "alpha = 2\n")
    repo.write("b.py", "gamma = 1\n")
    repo.commit("Second\n\nWith a body.")
    repo.write("a.py", "alpha = 3\n")
    repo.write("new.py", "delta = 1\n")
    repo.write("build/out.py", "x = 1\n")
    return repo


def answers(repo: Repository) -> list[object]:
    """One answer of every question."""
    root, head = repo.root, str(git.head(repo.root))
    first = repo.git("rev-parse", "HEAD~")
    return [
        *(git.repository_of(root), git.top(root), head, git.branch(root)),
        *(git.tracked(root), git.tracked(root, untracked=True)),
        *(git.ignored(root, ["build/out.py", "a.py"]), git.ignored_directories(root)),
        *(git.changed(root, first, head), git.text_at(root, head, "a.py")),
        *(git.contains(root, head, first), git.message(root, head)),
        *(git.commit_facts(root, head)[0], git_blobs.tree_blobs(root, head)),
        *(git_blobs.index_blobs(root, ["a.py"]), git_blobs.changed_blobs(root, first, head)),
        *(git_blobs.unlike_index(root), git_blobs.unlike_commit(root, first)),
        git_blobs.filtered(root, ["a.py"]),
    ]


def test_the_persons_settings_change_no_answer_and_start_nothing(
    repo: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran = tmp_path / "ran"
    hooks = tmp_path / "hooks"
    hooks.mkdir()
    for program in (tmp_path / "program", hooks / "post-index-change", hooks / "post-checkout"):
        program.write_text(f"#!/bin/sh\necho $0 >> {ran}\n")
        program.chmod(0o755)
    settings = tmp_path / "settings"
    settings.write_text("")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(settings))
    before = answers(repo)
    settings.write_text(SETTINGS.format(program=tmp_path / "program", hooks=hooks))
    for name in ("GIT_PAGER", "PAGER", "GIT_EDITOR", "GIT_EXTERNAL_DIFF", "GIT_ASKPASS"):
        monkeypatch.setenv(name, str(tmp_path / "program"))
    monkeypatch.setenv("GIT_DIR", str(tmp_path))
    monkeypatch.setenv("LANGUAGE", "de")
    assert answers(repo) == before
    assert not ran.exists()
    # the settings do run programs, if git is asked without care
    subprocess.run(["git", "status"], cwd=repo.root, env=ENV | {"GIT_CONFIG_GLOBAL": str(settings)})
    assert ran.exists()


def test_a_partial_clone_is_not_filled_by_a_question(repo: Repository, tmp_path: Path) -> None:
    repo.git("config", "uploadpack.allowFilter", "true")
    repo.git("stash", "-u", "-q")
    url = repo.root.as_uri()
    repo.git("clone", "-q", "--filter=blob:none", "--no-checkout", url, str(tmp_path / "part"))
    part = tmp_path / "part"
    subprocess.run(
        ["git", "sparse-checkout", "set", "--no-cone", "/a.py"], cwd=part, env=ENV, check=True
    )
    subprocess.run(["git", "checkout", "-q"], cwd=part, env=ENV, check=True)
    head = str(git.head(part))
    assert git.text_at(part, head, "a.py") == "alpha = 2\n"
    assert git.text_at(part, head, "b.py") is None
    index = NamesIndex(tmp_path / "names")
    assert index.used(part, ["alpha", "gamma"], before=4e9) is None
    missing = subprocess.run(
        ["git", "rev-list", "--objects", "--missing=print", "HEAD"],
        cwd=part,
        env=ENV,
        capture_output=True,
        text=True,
        check=True,
    )
    assert missing.stdout.count("?") >= 2


def test_one_odd_path_does_not_keep_its_neighbours_from_their_answer(
    repo: Repository, tmp_path: Path
) -> None:
    other = Repository(tmp_path / "other")
    other.write("m.py", "m = 1\n")
    other.commit()
    repo.git("-c", "protocol.file.allow=always", "submodule", "add", "-q", str(other.root), "sub")
    (repo.root / "link").symlink_to(tmp_path)
    asked = ["a.py", "build/x.py", "sub/m.py", "sub/__pycache__", "link/y.py", ":odd.py", "z.py"]
    assert git.ignored(repo.root, asked) == {
        *("build/x.py", "sub/m.py", "sub/__pycache__", "link/y.py")
    }


def test_a_repository_that_git_refuses_to_open_is_not_taken_for_none(
    repo: Repository, tmp_path: Path
) -> None:
    repo.git("worktree", "add", "-q", str(tmp_path / "tree"))
    assert git.repository_of(tmp_path / "tree") == repo.root / ".git/worktrees/tree"
    assert git.common_directory(tmp_path / "tree") == repo.root / ".git"
    repo.root.rename(tmp_path / "moved")
    with pytest.raises(NotFound, match="not a git repository: "):
        git.repository_of(tmp_path / "tree")
    assert git.repository_of(tmp_path) is None


@pytest.mark.parametrize("kind", ["sha1", "sha256"])
def test_the_id_of_a_content_is_computed_as_git_does(tmp_path: Path, kind: str) -> None:
    repo = Repository(tmp_path / "repo", kind)
    repo.git("config", "core.autocrlf", "input")
    repo.write("a.py", "a = 1\n")
    (repo.root / "crlf.py").write_bytes(b"a = 1\r\nb = 2\r\n")
    commit = repo.commit()
    for file, blob in git_blobs.tree_blobs(repo.root, commit).items():
        assert blob in git_blobs.blob_ids((repo.root / file).read_bytes(), kind)


def test_many_paths_are_answered_like_few(repo: Repository) -> None:
    for n in range(3):
        repo.write(f"deep/d{n}/x.py", f"x = {n}\n")
    head = repo.commit()
    few = ["a.py", "deep/d1", "not there"]
    many = [*few, *(f"none{n}" for n in range(200))]
    found = git_blobs.tree_blobs(repo.root, head, few)
    assert sorted(found) == ["a.py", "deep/d1/x.py"]
    assert git_blobs.tree_blobs(repo.root, head, many) == found
