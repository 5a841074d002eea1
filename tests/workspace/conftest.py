"""What tests of the watcher share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from qi_learn.workspace.watcher import Watcher
from tests.support.repository import Repository


@pytest.fixture
def watcher(repo: Repository) -> Iterator[Watcher]:
    with Watcher() as watcher:
        watcher.add(repo.root)
        yield watcher
