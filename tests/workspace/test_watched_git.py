"""What git writes is never taken for the person's, and what it says is never needed to go on.

Each test is what people do with git, with the watcher looking on, late if the name says so.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from qi_learn.workspace.changes import Committed, FileSaved
from qi_learn.workspace.watcher import Watcher
from tests.support.repository import ENV, Repository
from tests.support.watching import Seen, commits, rest, texts, until


@pytest.fixture
def repo(tmp_path: Path) -> Repository:
    repo = Repository(tmp_path / "work")
    for n in range(6):
        repo.write(f"pkg/m{n}.py", f"m{n} = 1\nlast = 1\n")
    repo.write(".gitignore", "build/\n")
    repo.commit("Begin")
    repo.git("checkout", "-q", "-b", "side")
    for n in range(3):
        repo.write(f"pkg/m{n}.py", f"m{n} = 2\nlast = 1\n")
    repo.commit("On the side")
    repo.git("checkout", "-q", "main")
    repo.write("pkg/m5.py", "m5 = 3\nlast = 1\n")
    repo.commit("On main")
    return repo


def _stash(repo: Repository) -> None:
    repo.git("stash", "-q")
    time.sleep(1)
    repo.git("stash", "pop", "-q")


def _stash_with_untracked(repo: Repository) -> None:
    repo.git("stash", "-q", "-u")
    time.sleep(1)
    repo.git("stash", "pop", "-q")


def _conflict(repo: Repository) -> None:
    repo.git("stash", "-q")
    repo.git("checkout", "-q", "-b", "other")
    repo.write("pkg/m0.py", "m0 = 9\nlast = 1\n")
    repo.git("commit", "-qam", "Another")
    time.sleep(1)
    repo.git("merge", "-q", "side", check=False)
    assert "<<<<<<<" in (repo.root / "pkg/m0.py").read_text()
    time.sleep(1)


def _merge_that_waits(repo: Repository) -> None:
    repo.git("stash", "-q")
    repo.git("merge", "-q", "--no-commit", "--no-ff", "side")
    time.sleep(1)


def _squash(repo: Repository) -> None:
    repo.git("stash", "-q")
    repo.git("merge", "-q", "--squash", "side")
    time.sleep(1)


def _pick(repo: Repository) -> None:
    repo.git("stash", "-q")
    repo.git("cherry-pick", "side")


def _rebase(repo: Repository) -> None:
    repo.git("stash", "-q")
    repo.git("checkout", "-q", "side")
    repo.git("rebase", "-q", "main")


def _merge(repo: Repository) -> None:
    repo.git("stash", "-q")
    repo.git("merge", "-q", "side")


def _forward(repo: Repository) -> None:
    repo.git("stash", "-q")
    repo.git("checkout", "-q", "-b", "behind", "main~")
    repo.git("merge", "-q", "--ff-only", "side")


def _checkout(repo: Repository) -> None:
    repo.git("stash", "-q")
    repo.git("checkout", "-q", "side")
    repo.git("checkout", "-q", "main")
    repo.git("checkout", "-q", "side")


def _reset(repo: Repository) -> None:
    repo.git("reset", "-q", "--hard", "side")


def _reset_to_head(repo: Repository) -> None:
    repo.git("reset", "-q", "--hard")


def _gc(repo: Repository) -> None:
    repo.git("stash", "-q")
    repo.git("checkout", "-q", "side")
    repo.git("reflog", "expire", "--expire=now", "--all")
    repo.git("gc", "-q", "--prune=now")


def _branch_set_elsewhere(repo: Repository) -> None:
    repo.git("stash", "-q")
    repo.git("checkout", "-q", "-B", "main", "side")


def _branch_made_anew(repo: Repository) -> None:
    repo.git("stash", "-q")
    repo.git("switch", "-q", "-C", "main", "side")
    repo.git("branch", "-M", "renamed")


def _file_of_a_branch(repo: Repository) -> None:
    repo.git("checkout", "-q", "side", "--", "pkg/m0.py")
    time.sleep(1)


def _restore_from(repo: Repository) -> None:
    repo.git("restore", "--source=side", "--staged", "--worktree", "pkg/m0.py", "pkg/m1.py")
    time.sleep(1)


def _file_of_a_branch_committed(repo: Repository) -> None:
    repo.git("checkout", "-q", "side", "--", "pkg/m0.py")
    repo.git("commit", "-qm", "Taken over")


def _file_of_a_branch_packed(repo: Repository) -> None:
    time.sleep(2)  # commits have whole seconds
    repo.git("checkout", "-q", "side", "--", "pkg/m0.py")
    repo.git("gc", "-q", "--prune=now")


def _read_tree(repo: Repository) -> None:
    repo.git("stash", "-q")
    repo.git("read-tree", "-u", "-m", "HEAD", "side")
    time.sleep(1)


def _stash_of_a_path(repo: Repository) -> None:
    repo.git("stash", "push", "-q", "--", "pkg/m4.py")
    time.sleep(1)
    repo.git("stash", "pop", "-q")


def _stash_on_another_branch(repo: Repository) -> None:
    repo.git("stash", "-q")
    repo.git("checkout", "-q", "side")
    repo.write("pkg/m4.py", "m4 = 1\nlast = 1\nend = 1\n")
    repo.git("commit", "-qam", "The end")
    time.sleep(1)
    repo.git("stash", "pop", "-q", check=False)


def _am(repo: Repository) -> None:
    repo.git("stash", "-q")
    repo.git("format-patch", "-q", "-o", "../patches", "main..side")
    repo.git("am", "-q", "-3", *(str(p) for p in (repo.root.parent / "patches").iterdir()))


def _squash_committed(repo: Repository) -> None:
    repo.git("stash", "-q")
    repo.git("merge", "-q", "--squash", "side")
    repo.git("commit", "-qm", "As one")


def _rebase_with_its_own_stash(repo: Repository) -> None:
    repo.git("rebase", "-q", "--autostash", "side")


WRITES: tuple[Callable[[Repository], None], ...] = (
    *(_stash, _stash_with_untracked, _conflict, _merge_that_waits, _squash, _pick, _rebase),
    *(_branch_set_elsewhere, _branch_made_anew, _file_of_a_branch, _restore_from, _read_tree),
    *(_file_of_a_branch_committed, _file_of_a_branch_packed, _stash_of_a_path),
    *(_stash_on_another_branch, _am, _squash_committed, _rebase_with_its_own_stash),
    *(_merge, _forward, _checkout, _reset, _reset_to_head, _gc),
)


@pytest.mark.parametrize("late", [False, True], ids=["at once", "polled late"])
@pytest.mark.parametrize("write", WRITES, ids=lambda w: w.__name__.strip("_"))
def test_nothing_that_git_writes_is_a_save(
    watcher: Watcher, repo: Repository, write: Callable[[Repository], None], late: bool
) -> None:
    """Before it the person saves a file, which is told; after it too. In between nothing is."""
    repo.write("pkg/m4.py", "m4 = 'mine'\nlast = 1\n")
    repo.write("new.py", "n = 'mine'\n")
    until(watcher, lambda seen: len(texts(seen)) == 2)
    write(repo)
    if late:
        time.sleep(1.5)
    told = texts(rest(watcher, repo.root))
    # some commit a save of their own
    own = {"m0 = 9\nlast = 1\n", "m4 = 1\nlast = 1\nend = 1\n"}
    assert [t for t in told if t[1] not in own] == []
    repo.write("pkg/m1.py", "m1 = 'mine again'\n")
    assert ("pkg/m1.py", "m1 = 'mine again'\n") in texts(
        until(watcher, lambda seen: ("pkg/m1.py", "m1 = 'mine again'\n") in texts(seen))
    )


@pytest.mark.parametrize("kind", ["sha256", "no reflog", "shallow", "partial", "crlf", "filter"])
def test_repositories_of_every_kind(tmp_path: Path, repo: Repository, kind: str) -> None:
    """A checkout of another branch is silent, a save and its commit are told."""
    odd = _odd(tmp_path, repo, kind)
    with Watcher() as watcher:
        watcher.add(odd.root)
        odd.git("checkout", "-q", "side")
        time.sleep(1)
        assert texts(rest(watcher, odd.root)) == []
        odd.git("checkout", "-q", "main")
        odd.write("pkg/m1.py", "m1 = 'mine'\n")
        seen = until(watcher, lambda seen: len(texts(seen)) == 1)
        assert texts(seen) == [("pkg/m1.py", "m1 = 'mine'\n")]
        if kind != "filter":
            before = watcher.history(odd.root / "pkg/m1.py").before(1.0)
            assert before == "m1 = 1\nlast = 1\n"
        odd.git("commit", "-qam", "Mine")
        seen = until(watcher, lambda seen: any(c.files for c in commits(seen)))
        assert [(c.files, c.action) for c in commits(seen) if c.files][-1] == (
            ("pkg/m1.py",),
            "commit",
        )
        assert any("no log of HEAD" in note for note in watcher.notes) == (kind == "no reflog")


def _odd(tmp_path: Path, repo: Repository, kind: str) -> Repository:
    if kind in ("shallow", "partial"):
        repo.git("config", "uploadpack.allowFilter", "true")
        option = "--depth=2" if kind == "shallow" else "--filter=blob:none"
        target = tmp_path / "clone"
        repo.git("clone", "-q", option, "--no-single-branch", repo.root.as_uri(), str(target))
        clone = Repository(target)
        clone.git("checkout", "-q", "side")
        clone.git("checkout", "-q", "main")
        return clone
    odd = Repository(tmp_path / "odd", "sha256" if kind == "sha256" else "sha1")
    if kind == "no reflog":
        odd.git("config", "core.logAllRefUpdates", "false")
    if kind == "crlf":
        odd.git("config", "core.autocrlf", "true")
    if kind == "filter":
        odd.git("config", "filter.shift.clean", "tr a-y b-z")
        odd.git("config", "filter.shift.smudge", "tr b-z a-y")
        odd.write(".gitattributes", "*.py filter=shift\n")
    for n in range(4):
        odd.write(f"pkg/m{n}.py", f"m{n} = 1\nlast = 1\n")
    odd.commit("Begin")
    odd.git("checkout", "-q", "-b", "side")
    odd.write("pkg/m0.py", "m0 = 2\nlast = 1\n")
    odd.commit("Side")
    odd.git("checkout", "-q", "main")
    return odd


def test_a_commit_that_git_wrote_over_before_it_was_read_was_a_save(
    watcher: Watcher, repo: Repository
) -> None:
    """Quick agents save, commit and go back: the save is told all the same, before its commit."""
    repo.write("pkg/m3.py", "m3 = 'quick'\n")
    repo.git("commit", "-qam", "Quick")
    repo.git("checkout", "-q", "side")
    seen = until(watcher, lambda seen: len(commits(seen)) == 2)
    assert [(s.file, s.text) for s in seen if isinstance(s, FileSaved)] == [
        ("pkg/m3.py", "m3 = 'quick'\n")
    ]
    assert [c.action for c in commits(seen)] == ["commit", "checkout"]
    assert isinstance(seen[0], FileSaved)
    assert watcher.history(repo.root / "pkg/m3.py").newest == "m3 = 1\nlast = 1\n"


def test_what_git_wrote_is_its_own_though_the_commit_before_is_gone_and_no_log_tells(
    watcher: Watcher, repo: Repository
) -> None:
    """A conflict is committed, and git cleans up before it was read."""
    for number in range(2):
        repo.write("pkg/m0.py", f"m0 = {number}\nlast = 1\n")
        repo.commit("Mine")
        repo.git("reflog", "expire", "--expire=now", "--all")
        rest(watcher, repo.root)
    repo.git("reset", "-q", "--hard", "HEAD~")
    repo.git("merge", "-q", "--squash", "side", check=False)
    assert "<<<<<<<" in (repo.root / "pkg/m0.py").read_text()
    repo.git("commit", "-qam", "Squashed")
    repo.git("reflog", "expire", "--expire=now", "--all")
    (repo.root / ".git/ORIG_HEAD").unlink()
    repo.git("gc", "-q", "--prune=now")
    assert texts(rest(watcher, repo.root)) == []


def test_an_old_text_that_git_brought_and_that_was_committed_is_not_told_again(
    watcher: Watcher, repo: Repository
) -> None:
    """No commit of before says that git had it: rebasing gave it a later date."""
    for text in ("m3 = 'first'\n", "m3 = 'second'\n"):
        repo.write("pkg/m3.py", text)
        assert texts(rest(watcher, repo.root)) == [("pkg/m3.py", text)]
        later = ENV | {"GIT_COMMITTER_DATE": f"{int(time.time()) + 100} +0000"}
        words = ["git", "commit", "-qm", text, "pkg/m3.py"]
        subprocess.run(words, cwd=repo.root, env=later, check=True)
        rest(watcher, repo.root)
    repo.git("restore", "--source=HEAD~", "--staged", "--worktree", "pkg/m3.py")
    repo.git("commit", "-qm", "Taken again")
    repo.git("checkout", "-q", "side")
    assert texts(rest(watcher, repo.root)) == []


def test_moves_that_were_told_are_not_told_again_by_the_next_watcher(repo: Repository) -> None:
    """HEAD came twice through the commit where it stood, in the seconds that are looked back."""
    repo.git("checkout", "-q", "-b", "other")
    repo.write("new.py", "n = 1\n")
    repo.commit("Elsewhere")
    repo.git("checkout", "-q", "main")
    with Watcher() as watcher:
        watcher.add(repo.root)
        deadline = time.monotonic() + 20
        while not watcher.stands() and time.monotonic() < deadline:
            time.sleep(0.02)
        stood = watcher.stands()[str(repo.root)]
    repo.write("pkg/m2.py", "m2 = 'meanwhile'\n")
    commit = repo.commit("Meanwhile")
    with Watcher() as watcher:
        watcher.add(repo.root, stood=stood)
        seen = until(watcher, lambda seen: bool(commits(seen)))
    assert [c.commit for c in commits(seen)] == [commit]
    assert texts(seen) == [("pkg/m2.py", "m2 = 'meanwhile'\n")]


def test_what_head_has_is_a_save_that_says_if_git_brought_it_back(
    watcher: Watcher, repo: Repository
) -> None:
    """A person who takes a change back is told so, with git and without it."""
    for back in ("typed", "typed and looked at", "restored"):
        repo.write("pkg/m3.py", "m3 = 'changed'\n")
        until(watcher, lambda seen: len(texts(seen)) == 1)
        if back == "restored":
            repo.git("restore", "pkg/m3.py")
        else:
            repo.write("pkg/m3.py", "m3 = 1\nlast = 1\n")
        if back == "typed and looked at":
            repo.git("status")
        (saved,) = (
            s for s in until(watcher, lambda seen: bool(texts(seen))) if isinstance(s, FileSaved)
        )
        assert (saved.file, saved.text) == ("pkg/m3.py", "m3 = 1\nlast = 1\n")
        if back != "typed and looked at":  # git may have looked before we did
            assert saved.taken_back is (back == "restored")


def test_what_a_script_saves_adds_and_commits_at_once_is_the_persons(
    watcher: Watcher, repo: Repository
) -> None:
    for n in range(5):
        repo.write(f"quick{n}.py", f"q = {n}\n")
        repo.git("add", "-A")
        if n % 2:
            repo.git("commit", "-qm", "Quick")
        if n == 3:
            repo.git("gc", "-q")
    expected = [(f"quick{n}.py", f"q = {n}\n") for n in range(5)]
    seen = until(watcher, lambda seen: len(texts(seen)) >= 5)
    assert sorted(texts(seen)) == expected
    assert not [s for s in seen if isinstance(s, FileSaved) and s.taken_back]


def test_a_submodule_is_watched_with_commits_of_its_own(repo: Repository, tmp_path: Path) -> None:
    other = Repository(tmp_path / "other")
    other.write("m.py", "m = 1\n")
    other.commit()
    allow = ("-c", "protocol.file.allow=always")
    repo.git(*allow, "submodule", "add", "-q", str(other.root), "vendor")
    repo.commit("With a submodule")
    with Watcher() as watcher:
        watcher.add(repo.root)
        sub = Repository(repo.root / "vendor")
        (sub.root / "__pycache__").mkdir()
        (sub.root / "made").mkdir()
        sub.write("m.py", "m = 2\n")
        repo.write("pkg/m0.py", "m0 = 'mine'\n")
        seen = until(watcher, lambda seen: len(texts(seen)) == 2)
        assert sorted(texts(seen)) == [("pkg/m0.py", "m0 = 'mine'\n"), ("vendor/m.py", "m = 2\n")]
        assert {s.project for s in seen} == {str(repo.root)}
        assert watcher.history(sub.root / "m.py").before(1.0) == "m = 1\n"
        repo.git("commit", "-qm", "Mine", "pkg/m0.py")
        inner = sub.commit("Inner")
        seen = until(watcher, lambda seen: len(commits(seen)) == 2)
        told = {(c.commit, c.files, c.top) for c in commits(seen)}
        assert (inner, ("vendor/m.py",), str(sub.root)) in told
        assert (repo.git("rev-parse", "HEAD"), ("pkg/m0.py",), "") in told
        repo.git("submodule", "update", "-q", "-f")
        assert texts(rest(watcher, repo.root)) == []


@pytest.mark.parametrize("place", ["../feature", "tree", "build/tree"])
@pytest.mark.parametrize("when", ["before", "after"])
def test_linked_working_trees_belong_to_the_project(
    repo: Repository, place: str, when: str
) -> None:
    top = Path(os.path.normpath(repo.root / place))
    if when == "before":
        repo.git("worktree", "add", "-q", str(top), "side")
    with Watcher() as watcher:
        watcher.add(repo.root)
        if when == "after":
            repo.git("worktree", "add", "-q", str(top), "side")
            time.sleep(1)
        tree = Repository(top)
        tree.write("pkg/m1.py", "m1 = 'there'\n")
        seen = until(watcher, lambda seen: ("m1 = 'there'\n") in [t for _, t in texts(seen)])
        (saved,) = (s for s in seen if isinstance(s, FileSaved))
        assert saved.project == str(repo.root)
        assert saved.path == top / "pkg/m1.py"
        assert saved.file == ("pkg/m1.py" if place.startswith("..") else f"{place}/pkg/m1.py")
        assert watcher.history(saved.path).before(1.0) == "m1 = 2\nlast = 1\n"
        commit = tree.commit("There")
        seen = until(watcher, lambda seen: commit in [c.commit for c in commits(seen)])
        (told,) = (c for c in commits(seen) if c.commit == commit)
        assert (told.project, told.top, told.files) == (str(repo.root), str(top), (saved.file,))
        assert texts(rest(watcher, repo.root)) == []


def test_a_directory_that_became_a_link_stops_nothing(watcher: Watcher, repo: Repository) -> None:
    (repo.root / "pkg").rename(repo.root.parent / "elsewhere")
    (repo.root / "pkg").symlink_to(repo.root.parent / "elsewhere")
    (repo.root.parent / "elsewhere/m0.py").write_text("m0 = 'beyond the link'\n")
    time.sleep(0.5)
    repo.write("main.py", "m = 1\n")
    commit = repo.commit("Linked")
    seen = until(watcher, lambda seen: bool(commits(seen)))
    assert [c.commit for c in commits(seen)] == [commit]
    assert "m0 = 'beyond the link'\n" not in [text for _, text in texts(seen)]


def test_a_repository_of_another_user_is_blind_and_says_so_once(
    repo: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if os.getuid():
        pytest.skip("NOT TESTED: giving a repository away takes root")
    settings = tmp_path / "settings"
    settings.write_text("")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(settings))
    monkeypatch.setenv("HOME", str(tmp_path))
    for path in (repo.root, repo.root / ".git"):
        os.chown(path, 65534, 65534)
    with Watcher() as watcher:
        watcher.add(repo.root)
        (state,) = watcher.states()
        assert state.mode == "blind"
        assert any("safe.directory" in why for why in state.why)
        repo.write("build/gen.py", "g = 1\n")
        repo.write("pkg/m0.py", "m0 = 2\n")
        time.sleep(1)
        assert watcher.poll() == []
        assert watcher.alive
        # trusted after all: watched from then on, as soon as something happens in the repository
        settings.write_text(f"[safe]\n    directory = {repo.root}\n")
        env = {**ENV, "GIT_CONFIG_GLOBAL": str(settings)}
        watcher.retry_refused()
        deadline = time.monotonic() + 20
        while watcher.states()[0].mode != "watched" and time.monotonic() < deadline:
            time.sleep(0.05)
        repo.write("build/gen.py", "g = 2\n")
        repo.write("pkg/m0.py", "m0 = 3\n")
        seen = until(watcher, lambda seen: bool(seen))
        assert texts(seen) == [("pkg/m0.py", "m0 = 3\n")]
        subprocess.run(["git", "commit", "-qam", "Mine"], cwd=repo.root, env=env, check=True)
        until(watcher, lambda seen: any(isinstance(s, Committed) for s in seen))


def test_a_working_tree_whose_repository_moved_is_blind(repo: Repository, tmp_path: Path) -> None:
    repo.git("worktree", "add", "-q", str(tmp_path / "tree"), "side")
    repo.root.rename(tmp_path / "moved")
    with Watcher() as watcher:
        watcher.add(tmp_path / "tree")
        (state,) = watcher.states()
        assert (state.mode, watcher.alive) == ("blind", True)
        assert any("not a git repository" in why for why in state.why)


def test_a_repository_may_go_and_come_again(watcher: Watcher, repo: Repository) -> None:
    shutil.rmtree(repo.root / ".git")
    time.sleep(0.5)
    repo.write("pkg/m2.py", "m2 = 'without git'\n")
    seen = until(watcher, lambda seen: len(texts(seen)) == 1)
    assert texts(seen) == [("pkg/m2.py", "m2 = 'without git'\n")]
    again = Repository(repo.root)
    commit = again.commit("Anew")
    seen = until(watcher, lambda seen: bool(commits(seen)))
    assert [c.commit for c in commits(seen)] == [commit]
    assert texts(seen) == []
    assert watcher.states()[0].mode == "watched"


def test_a_working_tree_that_is_removed_is_let_go(
    watcher: Watcher, repo: Repository, caplog: pytest.LogCaptureFixture
) -> None:
    for place in ("tree", "../feature"):
        branch = place.rpartition("/")[2]
        repo.git("worktree", "add", "-q", str(repo.root / place), "-b", f"in-{branch}")
        time.sleep(0.5)
        repo.git("worktree", "remove", "--force", str(repo.root / place))
        time.sleep(0.5)
    caplog.clear()
    assert "mine" in str(texts(_after(watcher, repo)))
    assert [r.getMessage() for r in caplog.records if r.levelname != "INFO"] == []
    assert watcher.notes == ()


def _after(watcher: Watcher, repo: Repository) -> Seen:
    repo.write("pkg/m2.py", "m2 = 'mine'\n")
    return until(watcher, lambda seen: ("pkg/m2.py", "m2 = 'mine'\n") in texts(seen))


def test_a_copied_tree_is_known_by_git_and_not_read_into_memory(
    tmp_path: Path, repo: Repository
) -> None:
    """A copy's files have other times than git's index says: what they hold decides."""
    for number in range(60):
        repo.write(f"many/m{number}.py", f"m = {number}\n")
    repo.commit("Many")
    copied = Repository(shutil.copytree(repo.root, tmp_path / "copied", symlinks=True))
    for entry in copied.root.rglob("*.py"):
        os.utime(entry, (1e9, 1e9))
    (copied.root / "many/m7.py").write_text("m = 'mine'\n")
    with Watcher() as watcher:
        watcher.add(copied.root)
        (project,) = watcher._all()
        assert [name for name, _ in project.areas[str(copied.root)].files.below()] == ["many/m7.py"]
        copied.write("many/m8.py", "m = 8\nnew = 1\n")
        copied.write("many/m7.py", "m = 'mine'\nnew = 1\n")
        seen = until(watcher, lambda seen: len(texts(seen)) == 2)
        assert {file for file, _ in texts(seen)} == {"many/m7.py", "many/m8.py"}
        assert watcher.history(copied.root / "many/m8.py").before(time.time() - 60) == "m = 8\n"
        assert watcher.history(copied.root / "many/m7.py").before(time.time() - 60) == (
            "m = 'mine'\n"
        )
