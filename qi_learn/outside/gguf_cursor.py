"""A cursor over the head of a GGUF file, which never reads past the end of the file.

Nothing in the file is believed: every length is held against what is left of the file before it is
used.
"""

from __future__ import annotations

import mmap
import struct
from pathlib import Path

from qi_learn.errors import ModelError

MAX_STRING = 1 << 24
SCALARS: dict[int, str] = {
    0: "<B",
    1: "<b",
    2: "<H",
    3: "<h",
    4: "<I",
    5: "<i",
    6: "<f",
    7: "<?",
    10: "<Q",
    11: "<q",
    12: "<d",
}
"""The kinds of plain values: GGUF's number, and the form `struct` reads."""


class GgufCursor:
    """Reads forward from `at`."""

    def __init__(self, path: Path, view: mmap.mmap, size: int) -> None:
        self.path = path
        self.view = view
        self.size = size
        self.at = 0

    def bad(self, what: str) -> ModelError:
        """The error for a file that is damaged at this byte."""
        return ModelError(
            f"{self.path} is damaged: {what} (at byte {self.at})", "Fetch the model file again."
        )

    def skip(self, count: int) -> int:
        """Step over `count` bytes. Returns where they start."""
        start = self.at
        if count > self.size - start:
            raise self.bad(f"{count} bytes were announced, the file ends before")
        self.at = start + count
        return start

    def scalar(self, form: str) -> int | float | bool:
        """The next plain value, in a form of `SCALARS`."""
        start = self.skip(struct.calcsize(form))
        value: int | float | bool = struct.unpack_from(form, self.view, start)[0]
        return value

    def u32(self) -> int:
        return int(self.scalar("<I"))

    def u64(self) -> int:
        return int(self.scalar("<Q"))

    def text(self, limit: int = MAX_STRING) -> str:
        """The next string, of at most `limit` bytes."""
        length = self.u64()
        if length > limit:
            raise self.bad(f"a text of {length} bytes")
        start = self.skip(length)
        return bytes(self.view[start : start + length]).decode("utf-8", "replace")

    def count(self, smallest: int, what: str) -> int:
        """A number of things of at least `smallest` bytes each.

        It is never more than what is left of the file can hold.
        """
        number = self.u64()
        if number > (self.size - self.at) // smallest:
            raise self.bad(f"{number} {what} in a file of {self.size} bytes")
        return number
