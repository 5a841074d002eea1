"""A home that is empty, and one with a past."""

from __future__ import annotations

from pathlib import Path

import pytest

from qi_learn.paths import Paths
from tests.support.recorded_home import deploy, ended_run, record


@pytest.fixture
def paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Paths:
    monkeypatch.setenv("HOME", str(tmp_path / "user"))
    return Paths.under(tmp_path / "home")


@pytest.fixture
def past(paths: Paths, tmp_path: Path) -> Paths:
    record(paths, tmp_path / "project")
    deploy(paths)
    ended_run(paths)
    return paths
