"""The sandbox of this machine, opened once a file."""

from __future__ import annotations

import pytest

from qi_learn.gate.sandbox import Sandbox
from tests.support.sandboxes import sandbox_or_skip


@pytest.fixture(scope="module")
def sandbox() -> Sandbox:
    return sandbox_or_skip()
