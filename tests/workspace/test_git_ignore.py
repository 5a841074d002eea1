"""The files by which git leaves files out, and of whose change no event tells."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from qi_learn.workspace.git_ignore import GitIgnore, RulesElsewhere
from tests.support.repository import Repository


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The person's settings."""
    settings = tmp_path / "settings"
    settings.write_text("")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(settings))
    return settings


@pytest.fixture
def repo(tmp_path: Path) -> Repository:
    return Repository(tmp_path / "work")


def _rules(repo: Repository) -> GitIgnore:
    return GitIgnore(repo.root, repo.root / ".git", repo.root / ".git")


def _change(file: Path, text: str) -> None:
    """Put another file in its place, with a time of its own on every system."""
    made = file.with_name("made")
    made.write_text(text)
    before = os.stat(file).st_ctime_ns if file.exists() else 0
    while os.stat(made).st_ctime_ns <= before:
        made.write_text(text)
    made.rename(file)


def test_what_changed_since_an_area_knew_it_is_noticed_at_the_first_look(
    repo: Repository, settings: Path
) -> None:
    look = RulesElsewhere()
    assert not look.changed(())  # there is no project yet
    rules = _rules(repo)
    rules.stamp()
    _change(settings, "[core]\n\texcludesFile = ~/x\n")
    assert look.changed(rules.elsewhere.items())
    assert not look.changed(rules.elsewhere.items())  # what does not look is not told again


@pytest.mark.parametrize("by", ["the person's", "the repository's"])
def test_settings_that_are_included_decide_too(
    repo: Repository, settings: Path, tmp_path: Path, by: str
) -> None:
    person = by == "the person's"
    including = settings if person else repo.root / ".git/config"
    included = including.parent / "included"
    with including.open("a") as file:
        file.write("[include]\n\tpath = included\n\tpath = ~/not there\n")
    included.write_text("[include]\n\tpath = deeper\n")
    deeper, listed = included.parent / "deeper", tmp_path / "listed"
    listed.write_text("build/\n")
    rules = _rules(repo)
    before = rules.stamp()
    assert {str(included), str(deeper), os.path.expanduser("~/not there")} <= set(rules.elsewhere)
    look = RulesElsewhere()
    _change(deeper, f'[core]\n\texcludesFile = "{listed}"\n')
    assert look.changed(rules.elsewhere.items())
    assert rules.stamp() != before
    assert str(listed) in rules.elsewhere
    assert not RulesElsewhere().changed(rules.elsewhere.items())


def test_what_a_link_in_the_repository_points_at_is_looked_at(
    repo: Repository, settings: Path, tmp_path: Path
) -> None:
    own, real = repo.root / ".git/info/exclude", tmp_path / "real"
    rules = _rules(repo)
    rules.stamp()
    assert str(own) not in rules.elsewhere  # its directory is watched
    real.write_text("build/\n")
    own.unlink(missing_ok=True)
    own.parent.mkdir(exist_ok=True)
    own.symlink_to(real)
    before = rules.stamp()
    assert str(own) in rules.elsewhere
    _change(real, "")
    assert RulesElsewhere().changed(rules.elsewhere.items())
    assert rules.stamp() != before
