"""The texts of a watched file within the capture window, and since when each stood there.

So "added since the turn" can be told.

The invariant: `before(ts)` is the text the file had at that time, as far back as the window goes.
Earlier than that it is the oldest text kept. Texts are kept compressed; one that git has is kept by
its id and asked for when it is needed. A file that was not read when watching began (there was no
room) has an unknown beginning, which is None.
"""

from __future__ import annotations

import math
import zlib
from bisect import bisect_left
from dataclasses import dataclass
from pathlib import Path

from qi_learn.outside.git_blobs import read_blob
from qi_learn.workspace.files import FileContent, in_conflict

AHEAD_SECONDS = 1.0
"""Seconds by which a text may be newer than now because clocks are coarse."""


@dataclass(frozen=True, slots=True)
class Blob:
    """A text that git has, by the id of its content."""

    directory: Path
    id: str
    filtered: bool = False
    """Whether git writes it otherwise than it keeps it, so that only the id tells it."""

    def text(self) -> str | None:
        """The text; None if it is not to be had, or is none."""
        raw = None if self.filtered else read_blob(self.directory, self.id)
        return None if raw is None else FileContent(raw).text


Version = bytes | Blob | None
"""A compressed text, one that git has, or one that is not known."""


class FileHistory:
    """The texts of one file, oldest first.

    `window`: seconds of history that are kept. `began`: when the first text was read.
    """

    def __init__(
        self, baseline: str | Blob | None, *, window: float, began: float = float("-inf")
    ) -> None:
        self._began = began
        self._versions: list[tuple[float, Version]] = [(float("-inf"), _packed(baseline))]
        self._window = window

    def before(self, ts: float) -> str | None:
        """The text just before the time `ts`; "" if there was no file yet, None if unknown."""
        return self._text(self.number_before(ts))

    def number_before(self, ts: float) -> int:
        """Which of the kept texts, oldest first, is the one just before a time."""
        return max(0, bisect_left(self._versions, ts, key=lambda version: version[0]) - 1)

    def reaches(self, ts: float) -> bool:
        """Whether `before(ts)` is the text of that time, not only the oldest that is kept."""
        return max(self._began, self._versions[0][0]) <= ts

    @property
    def newest(self) -> str | None:
        """The last text that was recorded."""
        return self._text(len(self._versions) - 1)

    def ends_in_conflict(self) -> bool:
        """Whether the last text that was recorded has git's marks of a conflict."""
        newest = self._versions[-1][1]
        return isinstance(newest, bytes) and in_conflict(zlib.decompress(newest))

    def ends_with(self, content: FileContent) -> bool:
        """Whether a content is the last that was recorded. git is not asked for this."""
        newest = self._versions[-1][1]
        if isinstance(newest, Blob):
            return content.has_id(newest.id)
        return newest is not None and content.text == _unpacked(newest)

    def had(self, text: str, blob: str) -> bool:
        """Whether a text, which git keeps as `blob`, is one of those kept. git is not asked."""
        packed = _packed(text)
        ids = (v.id for _, v in self._versions if isinstance(v, Blob))
        return blob in ids or any(v == packed for _, v in self._versions)

    @property
    def size(self) -> int:
        """Bytes that the texts take."""
        return sum(len(v) for _, v in self._versions if isinstance(v, bytes))

    def record(self, ts: float, text: str | Blob | None, *, now: float = math.inf) -> float:
        """Add a text and let go those older than the window; returns its time.

        That is later than the time of the text before (clocks are coarse), but not than `now`: if
        the clock ran ahead before, the texts of that time are taken for older.
        """
        if self._versions[-1][0] > now + AHEAD_SECONDS:
            self._versions = [(min(when, ts), version) for when, version in self._versions]
        ts = max(ts, self._versions[-1][0] + 1e-6)
        self._versions.append((ts, _packed(text)))
        first = max(
            (i for i, (when, _) in enumerate(self._versions) if when < ts - self._window), default=0
        )
        del self._versions[:first]
        return ts

    def shift(self, seconds: float) -> None:
        """Go by a clock that was set by so many seconds: each text stays as old as it is."""
        self._began += seconds
        self._versions = [(when + seconds, version) for when, version in self._versions]

    def shorten(self) -> None:
        """Keep only the newest text and the one before it: there is no room for more."""
        del self._versions[:-2]

    def _text(self, index: int) -> str | None:
        when, version = self._versions[index]
        if not isinstance(version, Blob):
            return None if version is None else _unpacked(version)
        text = version.text()
        if text is not None and (when, version) in self._versions[index : index + 1]:
            self._versions[index] = (when, _packed(text))
        return text


def _packed(text: str | Blob | None) -> Version:
    return zlib.compress(text.encode("utf-8"), 1) if isinstance(text, str) else text


def _unpacked(packed: bytes) -> str:
    return zlib.decompress(packed).decode("utf-8")
