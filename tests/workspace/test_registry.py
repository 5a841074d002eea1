"""The list of projects: what may be on it, and that shells can read it."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from qi_learn.errors import SettingsError
from qi_learn.paths import Paths
from qi_learn.workspace.registry import add_project, load_projects, project_of, remove_project
from tests.support.repository import Repository
from tests.support.terminals import Terminal, environment, events, make_home, need


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    return Paths.under(tmp_path / "home").ensure()


NAMES = ("\u00dcbung", "e\u0301t\u00e9", "\u6f22\u5b57", "\U0001f980", "%s [x]*?")


@pytest.mark.parametrize("name", [*NAMES, 'a "b" \\\\u00e9'])
def test_a_path_of_any_letter_stands_as_it_is(paths: Paths, tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    assert add_project(paths, tmp_path / name)
    assert load_projects(paths) == (tmp_path / name,)
    assert name.replace("\\", "\\\\").replace('"', '\\"') in paths.projects.read_text("utf-8")


def test_a_path_that_is_not_utf_8_is_kept(paths: Paths, tmp_path: Path) -> None:
    odd = tmp_path / os.fsdecode(b"caf\xe9")
    odd.mkdir()
    assert add_project(paths, odd)
    assert load_projects(paths) == (odd,)
    assert b"caf\xe9" in paths.projects.read_bytes()


def test_what_is_no_project_is_refused(
    paths: Paths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "home/me").mkdir(parents=True)
    monkeypatch.setenv("HOME", str(tmp_path / "home/me"))
    for name in ("a\nb", "tab\t"):
        (tmp_path / name).mkdir()
    (tmp_path / "file").touch()
    for path in ("/", "/..", ".", "home", "home/me", "file", "nowhere", "a\nb", "tab\t"):
        with pytest.raises(SettingsError):
            add_project(paths, tmp_path / path)
    assert load_projects(paths) == ()


def test_a_link_is_registered_as_what_it_is(paths: Paths, tmp_path: Path) -> None:
    (tmp_path / "real/src").mkdir(parents=True)
    (tmp_path / "link").symlink_to("real")
    assert add_project(paths, tmp_path / "link")
    assert not add_project(paths, tmp_path / "real/../link")
    assert load_projects(paths) == (tmp_path / "real",)
    assert project_of(paths, tmp_path / "link/src") == tmp_path / "real"


def test_a_project_is_taken_off_also_if_it_is_gone(paths: Paths, tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        add_project(paths, tmp_path / name)
    (tmp_path / "one").rmdir()
    assert remove_project(paths, tmp_path / "one")
    assert not remove_project(paths, tmp_path / "one")
    assert load_projects(paths) == (tmp_path / "two",)


def test_registering_again_writes_an_older_list_anew(paths: Paths, tmp_path: Path) -> None:
    (tmp_path / "\u00dcbung").mkdir()
    paths.projects.write_text(json.dumps([str(tmp_path / "\u00dcbung")], indent=1) + "\n")
    assert not add_project(paths, tmp_path / "\u00dcbung")
    assert "\u00dcbung" in paths.projects.read_text("utf-8")


# --- in the shells ---


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
@pytest.mark.parametrize("name", ["\u00dcbung", "\u6f22 \U0001f980", "[x]*? %s \\n", "e\u0301"])
def test_the_hooks_find_a_project_of_any_letter(shell: str, name: str, tmp_path: Path) -> None:
    home = make_home(tmp_path)
    (home / name / "deep").mkdir(parents=True)
    add_project(Paths.under(home), home / name)
    terminal = Terminal(need(shell), home, at=f"{name}/deep")
    terminal.type("pytest 3")
    terminal.close()
    (told,) = events(home)
    assert (told.project, told.body["cwd"]) == (str(home / name), str(home / name / "deep"))


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_hooks_find_a_project_through_links(shell: str, tmp_path: Path) -> None:
    """Into the middle of a project, with another path written in $PWD; and a list with a link."""
    home = make_home(tmp_path)
    (home / "real/project/deep").mkdir(parents=True)
    (home / "link").symlink_to("real/project/deep")
    add_project(Paths.under(home), home / "real/project")
    terminal = Terminal(need(shell), home, PWD=str(home / "link"))
    terminal.type(f"cd {home}/link")
    terminal.type("pytest 3")
    terminal.close()
    (told,) = events(home)
    assert told.project == str(home / "real/project")
    assert told.body["cwd"] == str(home / "real/project/deep")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_hooks_read_a_list_of_version_0_1(shell: str, tmp_path: Path) -> None:
    """It had letters escaped, and links as they were typed."""
    home = make_home(tmp_path)
    (home / "\u00dcbung").mkdir()
    (home / "typed").symlink_to("\u00dcbung")
    projects = [str(home / "\u00dcbung"), str(home / "typed")]
    Paths.under(home).projects.write_text(json.dumps(projects, indent=1) + "\n")
    terminal = Terminal(need(shell), home, at="\u00dcbung")
    terminal.type("pytest 3")
    terminal.close()
    assert environment(home)["QI_LEARN_HOME"] == str(home)
    assert [event.project for event in events(home)] == [str(home / "\u00dcbung")]


def test_a_working_tree_that_lies_elsewhere_belongs_to_the_project_of_its_repository(
    paths: Paths, tmp_path: Path
) -> None:
    repository = Repository(tmp_path / "work")
    repository.write("web/a.ts", "")
    repository.commit()
    repository.git("worktree", "add", "-q", "../feature")
    add_project(paths, repository.root)
    linked = tmp_path / "feature"
    assert project_of(paths, linked) == repository.root
    assert project_of(paths, linked / "web/a.ts") == repository.root
    assert project_of(paths, tmp_path) is None
    add_project(paths, repository.root / "web")
    assert project_of(paths, linked / "web") == repository.root / "web"
    other = Repository(tmp_path / "other")
    assert project_of(paths, other.root) is None
