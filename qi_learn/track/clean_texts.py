"""The texts of the person's files as `track` reads them: without secrets.

An answer is stored with a placeholder where a secret stood, and the tag in it is that secret's own.
So a file is compared with it only after its text was redacted in the same way, and what is taken
from the file (a region, the lines around it, a final version) holds none. A file in which only a
secret became another one has changed: its tag is another.

What was stored by older rules is compared by those of today as well (`as_today`), until it was
looked through: else what is a secret by now would make kept code look like code that is gone.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Sequence

from qi_learn.records import Tracked
from qi_learn.redact import KnownValues, Redactor
from qi_learn.track.notebooks import code_of

MOST, ROOM = 1000, 16_000_000
"""The most texts that are known by their hash, and characters of those with secrets."""
LAST = 4
"""The last texts are known as they are: each of many suggestions asks for the same ones."""


class CleanTexts:
    """Takes secrets out of the texts of files, each text once."""

    def __init__(self, redactor: Redactor) -> None:
        self.redactor = redactor
        self.behind = False
        """Whether some of what is stored was not looked through by the rules of today."""
        self._known = KnownValues(redactor, len, most=MOST, room=ROOM)
        self._last: deque[tuple[str, str]] = deque(maxlen=LAST)

    def of(self, text: str) -> str:
        """The text without secrets."""
        for known, clean in self._last:
            if known == text:
                return clean
        digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16)
        clean = self._known.clean(digest.hexdigest(), text).value
        self._last.append((text, clean))
        return clean

    def of_file(self, text: str | None, name: str) -> str | None:
        """The same of a file's text, if it is known; of a notebook its code."""
        return None if text is None else self.of(code_of(text, name))

    def as_today(self, tracked: Sequence[Tracked]) -> tuple[Tracked, ...]:
        """Stored suggestions as the rules of today leave them."""
        if not self.behind:
            return tuple(tracked)
        return tuple(self.redactor.clean(each).value for each in tracked)
