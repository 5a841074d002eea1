"""Random work in a project: trees made, moved, linked and removed, odd files, git in between."""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from tests.support.repository import Repository

NAMES: tuple[bytes, ...] = (
    *(b"a", b"b.py", b"c d", b"caf\xe9.py", "é.py".encode(), b"e\xcc\x81.py", b"x\ny", b":(top)"),
    *(b"-rf", b"*", b"__pycache__", b"node_modules", b"build", b"n.ipynb", b".git2", b"\xf0\x9f"),
)
CONTENTS: tuple[bytes, ...] = (
    *(b"", b"x = 1\r\ny = 2\r\n", "é = 1\n".encode("latin-1"), "u = 1\n".encode("utf-16")),
    *(b"\0\1\2", b'{"cells": [], "nbformat": 4}', b"x = (\n" + b"    a0 +\n" * 3000 + b"    1)\n"),
    *(b"plain = 1\n", b"big" * 400_000),
)


LARGE = 100 * 1000 * 1000


class Commotion:
    """Does things in a project's directory, as a seed says. Git may be one of them."""

    def __init__(self, root: Path, seed: int, *, git: Repository | None = None) -> None:
        self._root = os.fsencode(root)
        self._git = git
        self._random = random.Random(seed)
        self._branches = 0
        self._has_large = False

    def step(self) -> None:
        """Do one thing; what cannot be done is not."""
        acts: list[Callable[[], None]] = [
            *(self._make, self._make, self._write, self._write, self._write),
            *(self._move, self._link, self._remove, self._short_lived, self._large),
        ]
        if self._git is not None:
            acts += [self._commit, self._switch, self._stash, self._clean]
        with suppress(OSError, shutil.Error, AssertionError):
            self._random.choice(acts)()

    def _place(self, depth: int = 3) -> bytes:
        parts = [self._random.choice(NAMES) for _ in range(self._random.randint(1, depth))]
        return os.path.join(self._root, b"play", *parts)

    def _make(self) -> None:
        os.makedirs(self._place(4))

    def _write(self) -> None:
        place = self._place()
        os.makedirs(os.path.dirname(place), exist_ok=True)
        with open(place, "wb") as file:
            file.write(self._random.choice(CONTENTS))

    def _large(self) -> None:
        """A file of 100 MB, real or with a hole; git does not have to take it up."""
        name = b"large.py" if self._git is None else b"build/large.py"
        place = os.path.join(self._root, b"play", name)
        os.makedirs(os.path.dirname(place), exist_ok=True)
        with open(place, "ab") as file:
            if self._has_large:
                file.write(b"more = 1\n")
            elif self._git is None and self._random.random() < 0.5:
                for _ in range(100):
                    file.write(b"x = 10000\n" * (LARGE // 1000))
            else:
                file.truncate(LARGE)
        self._has_large = True

    def _move(self) -> None:
        os.rename(self._place(2), self._place(2))

    def _link(self) -> None:
        os.symlink(
            self._random.choice([self._root, b"/", b"nowhere", self._place()]), self._place()
        )

    def _remove(self) -> None:
        place = self._place(2)
        if os.path.islink(place) or os.path.isfile(place):
            os.unlink(place)
        else:
            shutil.rmtree(place)

    def _short_lived(self) -> None:
        top = os.path.join(self._root, b"play", b"tmp%d" % self._random.randrange(5))
        os.makedirs(os.path.join(top, b"p", b"q", b"r"), exist_ok=True)
        shutil.rmtree(top)

    def _commit(self) -> None:
        assert self._git is not None
        self._git.git("add", "-A", check=False)
        self._git.git("commit", "-qm", "Some", check=False)

    def _switch(self) -> None:
        assert self._git is not None
        self._branches += 1
        self._git.git("checkout", "-qf", "-b", f"b{self._branches}", "HEAD~", check=False)

    def _stash(self) -> None:
        assert self._git is not None
        self._git.git("stash", "-q", check=False)
        if self._random.random() < 0.5:
            self._git.git("stash", "pop", "-q", check=False)

    def _clean(self) -> None:
        assert self._git is not None
        self._git.git("clean", "-qfdx", "play", check=False)
