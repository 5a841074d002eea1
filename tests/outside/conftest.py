"""What the tests of this folder share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import fake_models_server as fake


@pytest.fixture
def models(tmp_path: Path) -> Iterator[fake.FakeModels]:
    with fake.FakeModels(tmp_path / "store") as server:
        yield server
