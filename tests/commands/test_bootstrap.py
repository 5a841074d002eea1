"""`qi-learn bootstrap`: the person's own commits, and one cycle that may say no."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from qi_learn.commands.bootstrap import bootstrap
from qi_learn.errors import NotFound, SettingsError
from qi_learn.rundir.directory import RunDirectory, run_directories
from qi_learn.store.database import open_store
from qi_learn.workspace.registry import add_project
from tests.support.daemon_process import qi
from tests.support.imported_home import ImportedHome
from tests.support.world import World, tiny_base


class Silent:
    """Shows nothing."""

    def say(self, text: str) -> None:
        """Nothing."""

    def show(self, run: RunDirectory) -> None:
        """Nothing."""


def test_what_is_no_repository_or_no_project_is_said(tmp_path: Path) -> None:
    home = ImportedHome(tmp_path)
    with pytest.raises(NotFound, match="in no repository"):
        bootstrap(home.paths, home.settings, home.project, Silent(), now=home.now)
    other = tmp_path / "other"
    other.mkdir()
    subprocess.run(("git", "init", "-q"), cwd=other, check=True)
    with pytest.raises(SettingsError, match="no registered project"):
        bootstrap(home.paths, home.settings, other, Silent(), now=home.now)


def test_too_few_commits_are_imported_scored_and_refused_with_the_reason(tmp_path: Path) -> None:
    world = World.make(tmp_path / "home", tiny_base(tmp_path), None)
    repository = ImportedHome(tmp_path / "work").log_of("git")
    add_project(world.paths, repository)
    said = qi(world, "bootstrap", str(repository))
    assert said.returncode == 4, said.stdout + said.stderr
    assert "imported from your own commits: 1 new" in said.stdout
    with open_store(world.paths.database, readonly=True) as store:
        (row,) = store.rows("SELECT target_score FROM scores")
        assert row["target_score"] == 0.7
    assert len(run_directories(world.paths.runs)) == 1
