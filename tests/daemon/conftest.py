"""The tiny model that the daemon's tests learn on."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.world import tiny_base


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_base(tmp_path_factory.mktemp("base"))
