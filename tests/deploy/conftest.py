"""A home on a small real server, for every test of versions and the alias."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import fake_models_server as fake
from tests.support.deploy_home import ALIAS, Home


@pytest.fixture(params=["local store", "by copy"])
def home(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Home]:
    with fake.FakeModels(tmp_path / "store", watched=ALIAS) as models:
        made = Home(tmp_path, models, local=request.param == "local store")
        yield made
        made.server.close()
