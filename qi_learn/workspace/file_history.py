"""The texts of a watched file within the capture window, and since when each stood there.

So "added since the turn" can be told.

The invariant: `before(ts)` is the text the file had at that time, as far back as the window goes.
Earlier than that it is the oldest text kept. Texts are kept compressed. A file that was not read
when watching began (there was no room) has an unknown beginning, which is None.
"""

from __future__ import annotations

import zlib


class FileHistory:
    """The texts of one file, oldest first.

    `window`: seconds of history that are kept. `began`: when the first text was read.
    """

    def __init__(
        self, baseline: str | None, *, window: float, began: float = float("-inf")
    ) -> None:
        self._began = began
        self._versions: list[tuple[float, bytes | None]] = [(float("-inf"), _packed(baseline))]
        self._window = window

    def before(self, ts: float) -> str | None:
        """The text just before the time `ts`; "" if there was no file yet, None if unknown."""
        return _text(
            next(
                (packed for when, packed in reversed(self._versions) if when < ts),
                self._versions[0][1],
            )
        )

    def reaches(self, ts: float) -> bool:
        """Whether `before(ts)` is the text of that time, not only the oldest that is kept."""
        return max(self._began, self._versions[0][0]) <= ts

    @property
    def newest(self) -> str | None:
        """The last text that was recorded."""
        return _text(self._versions[-1][1])

    @property
    def size(self) -> int:
        """Bytes that the texts take."""
        return sum(len(packed) for _, packed in self._versions if packed is not None)

    def record(self, ts: float, text: str) -> float:
        """Add a text and let go those older than the window; returns its time.

        That is later than the time of the text before (clocks are coarse).
        """
        ts = max(ts, self._versions[-1][0] + 1e-6)
        self._versions.append((ts, _packed(text)))
        first = max(
            (i for i, (when, _) in enumerate(self._versions) if when < ts - self._window), default=0
        )
        del self._versions[:first]
        return ts

    def shorten(self) -> None:
        """Keep only the newest text and the one before it: there is no room for more."""
        del self._versions[:-2]


def _packed(text: str | None) -> bytes | None:
    return None if text is None else zlib.compress(text.encode("utf-8"), 1)


def _text(packed: bytes | None) -> str | None:
    return None if packed is None else zlib.decompress(packed).decode("utf-8")
