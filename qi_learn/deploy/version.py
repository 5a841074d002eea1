"""Version numbers: a new base is a major, a learning cycle a minor, a repack or rescale a patch.

A number is given once, whatever becomes of it.
"""

from __future__ import annotations

import re
from collections.abc import Container
from typing import Literal, NamedTuple

from qi_learn.errors import NotFound

Bump = Literal["major", "minor", "patch"]
_VERSION = re.compile(r"v?([0-9]{1,9})\.([0-9]{1,9})\.([0-9]{1,9})")


class Version(NamedTuple):
    """Compares as numbers do: 1.10.0 is after 1.9.0."""

    major: int
    minor: int
    patch: int

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}.{self.patch}"

    @property
    def tag(self) -> str:
        """As a model's tag: `v1.1.0`."""
        return f"v{self}"

    @property
    def is_base(self) -> bool:
        """Base versions are the base model's own weights: never counted among the last three, never
        deleted.
        """
        return self.minor == self.patch == 0


FIRST = Version(1, 0, 0)


def parse_version(text: str) -> Version:
    """`1.1.0` or `v1.1.0`. Raises NotFound for what is no version."""
    found = _VERSION.fullmatch(text.strip())
    if found is None:
        raise NotFound(
            f"{text!r} is not a version.",
            "A version looks like v1.1.0; `qi-learn versions` lists them.",
        )
    return Version(*map(int, found.groups()))


def is_version(text: str) -> bool:
    return _VERSION.fullmatch(text) is not None


def next_version(bump: Bump, highest: Version, taken: Container[Version] = ()) -> Version:
    """The next number after the highest ever given that nobody has taken."""
    version = _next(bump, highest)
    while version in taken:
        version = _next(bump, version)
    return version


def _next(bump: Bump, version: Version) -> Version:
    match bump:
        case "major":
            return Version(version.major + 1, 0, 0)
        case "minor":
            return Version(version.major, version.minor + 1, 0)
        case "patch":
            return Version(version.major, version.minor, version.patch + 1)
