"""Many projects at the start: one that takes long keeps no other waiting."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from qi_learn.workspace.watcher import Watcher
from tests.support.repository import Repository
from tests.support.watching import rest, texts, until

GIT = """#!/bin/sh
case "$PWD" in */slow*) while [ ! -e '{go}' ]; do sleep 0.05; done ;; esac
exec '{git}' "$@"
"""


def test_a_project_whose_git_is_slow_keeps_no_other_from_being_watched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, go = shutil.which("git"), tmp_path / "go"
    wrapper = tmp_path / "bin" / "git"
    wrapper.parent.mkdir()
    wrapper.write_text(GIT.format(git=real, go=go))
    wrapper.chmod(0o755)
    repos = [Repository(tmp_path / name) for name in ("slow", "quick", "more")]
    for repo in repos:
        repo.write("a.py", "a = 1\n")
        repo.commit()
    monkeypatch.setenv("PATH", f"{wrapper.parent}:/usr/bin:/bin")
    with Watcher() as watcher:
        try:
            for repo in repos:
                watcher.add(repo.root, wait=False)
            until(
                watcher, lambda _: [s.mode for s in watcher.states()][1:] == ["watched", "watched"]
            )
            assert watcher.states()[0].mode == "starting"
            rest(watcher, repos[2].root)
        finally:
            go.touch()
        until(watcher, lambda _: watcher.states()[0].mode == "watched")
        repos[0].write("a.py", "a = 2\n")
        until(watcher, lambda seen: ("a.py", "a = 2\n") in texts(seen))
