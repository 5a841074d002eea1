"""What the tests of this folder share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from qi_learn.store.database import open_store
from tests.support.tracked_code import FILE, World


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with open_store(tmp_path / "qi.db") as store:
        world = World(tmp_path / "work", store)
        world.begin("stats.py", FILE)
        yield world
