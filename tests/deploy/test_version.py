"""Version numbers."""

from __future__ import annotations

import pytest

from qi_learn.deploy.version import FIRST, Version, next_version, parse_version
from qi_learn.errors import NotFound


def test_version_numbers() -> None:
    assert parse_version("v1.10.0") > parse_version("1.9.9")
    assert [str(next_version(b, Version(1, 2, 3))) for b in ("major", "minor", "patch")] == [
        "2.0.0",
        "1.3.0",
        "1.2.4",
    ]
    assert next_version("minor", FIRST, {Version(1, 1, 0), Version(1, 2, 0)}) == Version(1, 3, 0)
    assert [v.is_base for v in (FIRST, Version(1, 1, 0), Version(1, 0, 1), Version(2, 0, 0))] == [
        True,
        False,
        False,
        True,
    ]


@pytest.mark.parametrize(
    "text", ["", "1", "1.0", "1.0.0.0", "v1.0.x", "-1.0.0", "1.0.0-rc1", "latest", "1.0.٣"]
)
def test_what_is_no_version(text: str) -> None:
    with pytest.raises(NotFound, match="not a version"):
        parse_version(text)
