"""Git at work in repositories of every kind, as a seed says, and a person who saves in between.

The person writes each text once. So a text that is told twice, or that the person never wrote, was
git's and was taken for the person's; also where git keeps no log of HEAD, or cleans it up.
"""

from __future__ import annotations

import os
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from qi_learn.workspace.changes import FileSaved
from qi_learn.workspace.watcher import Watcher
from tests.support.repository import Repository
from tests.support.watching import Seen, commits, rest, texts, until

KINDS = ("plain", "sha256", "no reflog", "shallow", "partial", "submodule", "linked", "crlf")
SEED = int(os.environ.get("QI_TEST_SEED") or time.time())
"""What git is made to do in the long test; the same again by giving it."""
NAMES = tuple(f"pkg/m{n}.py" for n in range(4))
LINES = 12


class Worker:
    """A person with git in a working tree."""

    def __init__(self, name: str, tree: Repository, seed: int) -> None:
        self.name, self.tree, self.seed = name, tree, seed
        self.wrote: set[str] = set()
        self._random = random.Random(f"{seed} {name}")
        self._count = 0

    def step(self) -> None:
        acts: tuple[Callable[[], None], ...] = (
            *(self._save, self._save, self._save, self._save, self._commit, self._commit),
            *(self._checkout, self._merge, self._rebase, self._stash, self._pick, self._reset),
            *(self._amend, self._squash, self._gc, self._forget, self._set_branch, self._take),
            *(self._restore, self._read_tree, self._stash_path, self._mail, self._squash_commit),
        )
        self._random.choice(acts)()

    def _git(self, *arguments: str) -> None:
        self.tree.git(*arguments, check=False)

    def _save(self) -> None:
        """One line of a file anew, which merges with other lines and conflicts with itself."""
        path = self.tree.root / self._random.choice(NAMES)
        lines = path.read_text().splitlines() if path.exists() else ["x = 0"] * LINES
        if "<<<<<<<" in "".join(lines):
            lines = ["x = 0"] * LINES
        self._count += 1
        lines[self._random.randrange(len(lines))] = f"{self._mark} = {self._count}"
        text = "\n".join([*lines, f"# {self._mark} {self._count}"][-LINES:]) + "\n"
        self.wrote.add(text)
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)

    @property
    def _mark(self) -> str:
        return "v_" + "".join(c if c.isalnum() else "_" for c in self.name)

    def _commit(self) -> None:
        self._git("add", "-A", "pkg")
        self._git("commit", "-qm", f"Commit {self._count}")

    def _amend(self) -> None:
        self._git("commit", "-qa", "--amend", "--no-edit")

    def _checkout(self) -> None:
        self._git("checkout", "-q", self._random.choice(["base", "side"]))

    def _merge(self) -> None:
        self._git("stash", "-q")
        self._git("merge", "-q", "-m", "Merge", self._random.choice(["base", "side"]))
        self._git("merge", "--abort")

    def _squash(self) -> None:
        self._git("stash", "-q")
        self._git("merge", "-q", "--squash", self._random.choice(["base", "side"]))
        self._git("reset", "-q", "--hard")

    def _rebase(self) -> None:
        self._git("stash", "-q")
        self._git("rebase", "-q", self._random.choice(["base", "side"]))
        self._git("rebase", "--abort")

    def _pick(self) -> None:
        self._git("stash", "-q")
        self._git("cherry-pick", self._random.choice(["base", "side"]))
        self._git("cherry-pick", "--abort")

    def _stash(self) -> None:
        self._git("stash", "-q", *self._random.choice([(), ("-u",)]))
        if self._random.random() < 0.7:
            self._git("stash", "pop", "-q")
            self._git("checkout", "-q", "-f", "HEAD", "--", "pkg")

    def _reset(self) -> None:
        self._git("reset", "-q", "--hard", self._random.choice(["HEAD", "HEAD~", "side"]))

    def _set_branch(self) -> None:
        self._git("stash", "-q")
        self._git("checkout", "-q", "-B", "third", self._random.choice(["base", "side"]))

    def _take(self) -> None:
        self._git("checkout", "-q", self._random.choice(["base", "side", "HEAD~"]), "--", NAMES[0])

    def _restore(self) -> None:
        commit = self._random.choice(["base", "side", "HEAD~2"])
        self._git("restore", f"--source={commit}", "--staged", "--worktree", "pkg")

    def _read_tree(self) -> None:
        self._git("stash", "-q")
        self._git("read-tree", "-u", "-m", "HEAD", self._random.choice(["base", "side"]))

    def _stash_path(self) -> None:
        self._git("stash", "push", "-q", "--", self._random.choice(NAMES))

    def _mail(self) -> None:
        self._git("stash", "-q")
        patch = self.tree.git(
            "format-patch", "--stdout", "-1", self._random.choice(["base", "side"])
        )
        file = self.tree.root.parent / f"{self._mark}.patch"
        file.write_text(patch + "\n")
        self._git("am", "-q", "-3", str(file))
        self._git("am", "--abort")

    def _squash_commit(self) -> None:
        self._git("stash", "-q")
        self._git("merge", "-q", "--squash", self._random.choice(["base", "side"]))
        self._commit()

    def _forget(self) -> None:
        self._git("reflog", "expire", "--expire=now", "--all")
        self._gc()

    def _gc(self) -> None:
        self._git("gc", "-q", "--prune=now")


def _begin(tree: Repository) -> None:
    for n, name in enumerate(NAMES):
        tree.write(name, f"m{n} = 0\n" + "x = 0\n" * (LINES - 1))
    tree.commit("Begin")
    tree.git("branch", "-M", "base")
    tree.git("checkout", "-q", "-b", "side")
    for n, name in enumerate(NAMES[:2]):
        tree.write(name, "x = 0\n" * (LINES - 1) + f"m{n} = 'side'\n")
    tree.commit("Side")
    tree.git("checkout", "-q", "base")
    tree.write(NAMES[3], "x = 0\n" * LINES + "m3 = 'base'\n")
    tree.commit("Base")


def _made(tmp_path: Path, kind: str) -> tuple[Path, Repository]:
    """A project of a kind, and the working tree in it where the work is done."""
    top = tmp_path / kind.replace(" ", "-")
    if kind in ("shallow", "partial"):
        source = Repository(tmp_path / f"{kind}-source")
        _begin(source)
        source.git("config", "uploadpack.allowFilter", "true")
        option = "--depth=2" if kind == "shallow" else "--filter=blob:none"
        url = source.root.as_uri()
        source.git("clone", "-q", option, "--no-single-branch", url, str(top))
        clone = _tree(top)
        clone.git("checkout", "-q", "side")
        clone.git("checkout", "-q", "base")
        return top, clone
    main = Repository(top, "sha256" if kind == "sha256" else "sha1")
    if kind == "no reflog":
        main.git("config", "core.logAllRefUpdates", "false")
    if kind == "crlf":
        main.git("config", "core.autocrlf", "true")
    _begin(main)
    if kind == "submodule":
        inner = Repository(tmp_path / "inner")
        _begin(inner)
        allow = ("-c", "protocol.file.allow=always")
        main.git(*allow, "submodule", "add", "-q", str(inner.root), "vendor")
        main.commit("With a submodule")
        sub = _tree(top / "vendor")
        sub.git("branch", "side", "origin/side")
        return top, sub
    if kind == "linked":
        main.git("checkout", "-q", "--detach")
        main.git("worktree", "add", "-q", str(tmp_path / "linked tree"), "base")
        return top, _tree(tmp_path / "linked tree")
    return top, main


def _tree(top: Path) -> Repository:
    tree = Repository.__new__(Repository)
    tree.root = top
    return tree


@pytest.fixture
def workers(
    tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[tuple[Watcher, list[Worker]]]:
    with Watcher() as watcher:
        workers = []
        for kind in KINDS:
            root, tree = _made(tmp_path, kind)
            watcher.add(root)
            workers.append(Worker(kind, tree, request.param))
        yield watcher, workers


def _work(watcher: Watcher, workers: list[Worker], seconds: float) -> None:
    seen: Seen = []
    pause = random.Random(0)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for worker in workers:
            worker.step()
        time.sleep(pause.choice([0.0, 0.0, 0.05, 0.3]))
        seen += watcher.poll()
    wanted = {}
    for worker in workers:
        path = worker.tree.root / "the save.py"
        path.write_text("arrives = 1\n")
        wanted[path] = worker

    def arrived(more: Seen) -> bool:
        return wanted.keys() <= {s.path for s in more if isinstance(s, FileSaved)}

    seen += until(watcher, arrived, seconds=120)
    wrong = []
    for worker in workers:
        top = str(worker.tree.root) + os.sep
        told = [s for s in seen if isinstance(s, FileSaved) and str(s.path).startswith(top)]
        own = [s for s in told if s.text and s.path not in wanted and not s.taken_back]
        count = Counter((s.file, s.text) for s in own)
        wrong += [(worker.name, "never written", t) for t in count if t[1] not in worker.wrote]
        wrong += [(worker.name, "told twice", t) for t, n in count.items() if n > 1]
    assert wrong == [], f"with the seed {workers[0].seed}"


@pytest.mark.parametrize("workers", [1], indirect=True)
def test_what_git_writes_is_nobodys_and_then_a_save_arrives(
    workers: tuple[Watcher, list[Worker]],
) -> None:
    _work(*workers, 8.0)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("workers", [SEED], indirect=True, ids=["seed"])
def test_after_a_minute_of_git_nothing_of_it_is_a_save(
    workers: tuple[Watcher, list[Worker]],
) -> None:
    _work(*workers, 60.0)


def test_references_in_tables_of_git_s_own(tmp_path: Path) -> None:
    """A checkout is silent; a save and its commit are told."""
    repo = _tree(tmp_path / "work")
    repo.root.mkdir()
    repo.git("init", "-q", "-b", "main", "--ref-format=reftable", check=False)
    if not (repo.root / ".git/reftable").is_dir():
        pytest.skip("NOT TESTED: this git has no reftable")
    _begin(repo)
    with Watcher() as watcher:
        watcher.add(repo.root)
        repo.git("checkout", "-q", "side")
        time.sleep(1)
        assert texts(rest(watcher, repo.root)) == []
        repo.write(NAMES[2], "mine = 1\n")
        until(watcher, lambda seen: (NAMES[2], "mine = 1\n") in texts(seen))
        repo.git("commit", "-qm", "Mine", NAMES[2])
        until(watcher, lambda seen: (NAMES[2],) in [c.files for c in commits(seen)])
