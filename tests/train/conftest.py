"""What the tests of the training share."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.tiny_models import write_tiny_model


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A GGUF file that the tests of a module train on."""
    path = tmp_path_factory.mktemp("base") / "sha256-abc"
    return write_tiny_model(path, layers=3, tensor_type="Q4_0")
