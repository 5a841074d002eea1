"""Version numbers: a new base is a major, a learning cycle a minor, a repack or rescale a patch.

A number is given only once, whatever becomes of its version.
"""

from __future__ import annotations

import re
from collections.abc import Container
from typing import Literal, NamedTuple

from qi_learn.errors import NotFound

Bump = Literal["major", "minor", "patch"]
_VERSION = r"v?([0-9]{1,9})\.([0-9]{1,9})\.([0-9]{1,9})"


class Version(NamedTuple):
    """A version number, ordered by its parts: 1.10.0 is after 1.9.0."""

    major: int
    minor: int
    patch: int

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}.{self.patch}"

    @property
    def tag(self) -> str:
        """The tag of its model: `v1.1.0`."""
        return f"v{self}"

    @property
    def is_base(self) -> bool:
        """True for the base model's own weights.

        They are never deleted, and not counted among the versions that are kept.
        """
        return self.minor == self.patch == 0


FIRST = Version(1, 0, 0)


def parse_version(text: str) -> Version:
    """The version in `1.1.0` or `v1.1.0`. Raises NotFound if the text is no version."""
    match = re.fullmatch(_VERSION, text.strip())
    if match is None:
        raise NotFound(
            f"{text!r} is not a version.",
            "A version looks like v1.1.0; `qi-learn versions` lists them.",
        )
    return Version(*map(int, match.groups()))


def is_version(text: str) -> bool:
    """True for `1.1.0` and `v1.1.0`."""
    return re.fullmatch(_VERSION, text) is not None


def next_version(bump: Bump, highest: Version, taken: Container[Version] = ()) -> Version:
    """The next number after the highest ever given that is not taken."""
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
