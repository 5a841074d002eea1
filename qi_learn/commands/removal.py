"""What `qi-learn uninstall` finds: what it takes away, and what it only tells.

Each part looks for its own and changes nothing by that: listing and doing are two steps, so that
`--dry-run` and the question show exactly what would be done.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Removal:
    """One thing that goes. Doing it when it is gone already does no harm."""

    kind: str
    """`process`, `hook`, `git hook`, `settings`, `service`, `model` or `files`."""
    what: str
    do: Callable[[], None]
    """Raises QiError or OSError if it cannot be done."""


@dataclass(frozen=True, slots=True)
class Removals:
    """What a part found."""

    removals: tuple[Removal, ...] = ()
    left: tuple[str, ...] = ()
    """What stays, and what to do about it, in words."""

    def __add__(self, other: Removals) -> Removals:
        return Removals(self.removals + other.removals, self.left + other.left)


def rewrite(file: Path, change: Callable[[bytes], bytes]) -> None:
    """Replace a person's file by what `change` makes of its bytes, with the mode that it has.

    A link stays a link: the file that it leads to is replaced. What a process that was killed left
    beside it is written over. Raises OSError.
    """
    real = file.resolve()
    before = real.read_bytes()
    after = change(before)
    if after == before:
        return
    temp = real.with_name(f".{real.name}.qi-learn.tmp")
    try:
        with temp.open("wb") as out:
            out.write(after)
            out.flush()
            os.fsync(out.fileno())
        shutil.copymode(real, temp)
        temp.replace(real)
    finally:
        temp.unlink(missing_ok=True)


def without_lines(data: bytes, goes: Callable[[bytes], bool]) -> bytes:
    """The bytes without the lines that go; every other byte stays as it is."""
    return b"".join(line for line in data.splitlines(keepends=True) if not goes(line))
