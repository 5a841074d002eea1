"""The secrets that were ever taken out, known again by a keyed hash: where no rule tells them.

A password is recognised by the name beside it. Without the name it is a word like any other, and a
model that has learned it would say just that. So of each secret that goes its hash under this
installation's key is kept, with its length by eights: no text, and without the key no words can be
tried against it (who has the key and this file can try words; the database lies beside them). Only
what looks random is kept: a weak password is a word that other texts hold too.

The file grows by 9 bytes a secret up to `MOST`; then the oldest quarter goes.
"""

from __future__ import annotations

import hmac
import logging
import os
import re
from collections.abc import Iterator, Set
from pathlib import Path

from qi_learn.redact.literals import is_random

logger = logging.getLogger(__name__)
MOST = 50_000
"""Secrets that are kept: 450 kB."""
SHORTEST, LONGEST = 8, 255
"""Characters; what is shorter is found everywhere, and of what is longer the beginning counts."""
PARTS = 16
"""Stretches without blanks that are kept of one secret: the lines of a private key."""
_CLASS = 8
_HASH = 8
_RECORD = 1 + _HASH
_RUN = re.compile(r"\S{8,}")
_PIECE = re.compile(r"[^\s\"'`()\[\]{}<>,;]{8,}")
"""What no quote, bracket or comma divides."""
_QUOTED = re.compile(r"([\"'`])(\S{8,255}?)\1")
_EDGE = re.compile(r"(?<![^\W_])|(?![^\W_])")
"""Between two characters of which one is no letter or digit."""
_TELLING = re.compile(r"[\dA-Z]")
"""What a random text of less than `PLAIN` characters has."""
PLAIN = 20
_AROUND = "\"'`()[]{}<>,;.:=!?"


class SeenSecrets:
    """What a home has seen; `note` and `find` may be called from any thread."""

    def __init__(self, key: bytes, file: Path | None, hashes: Set[bytes] = frozenset()) -> None:
        self._key = key
        self._file = file
        self._hashes = set(hashes)
        self._failed = False

    def __len__(self) -> int:
        return len(self._hashes)

    def note(self, secret: str) -> None:
        """Keep the hash of a secret that was taken out."""
        for part in _parts(secret):
            if (entry := self._entry(part)) not in self._hashes:
                self._hashes.add(entry)
                self._append(entry)

    def find(self, text: str) -> Iterator[tuple[int, int]]:
        """Where in a text a secret stands that was taken out elsewhere: from where to where.

        One is found that stands between blanks, quotes or other signs, not within a longer word.
        """
        if self._hashes:
            classes = {entry[0] for entry in self._hashes}
            checked: dict[str, bool] = {}  # code says the same words again and again
            for begin, end in dict.fromkeys(_stretches(text, classes)):
                part = text[begin:end]
                if part not in checked:
                    checked[part] = self._entry(part) in self._hashes
                if checked[part]:
                    yield begin, end

    def holds(self, *texts: str) -> bool:
        """Whether one of the texts holds a secret that was taken out elsewhere."""
        return any(next(self.find(text), None) is not None for text in texts)

    def _entry(self, part: str) -> bytes:
        digest = hmac.digest(self._key, b"seen " + part.encode("utf-8", "replace"), "sha256")
        return bytes([len(part) // _CLASS]) + digest[:_HASH]

    def _append(self, entry: bytes) -> None:
        """Write it down; on a full disk it is known until this process ends, which is told."""
        if self._file is None:
            return
        try:
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
            fd = os.open(self._file, flags, 0o600)
            try:
                os.write(fd, entry)
            finally:
                os.close(fd)
            self._failed = False
        except OSError as error:
            if not self._failed:
                logger.warning("%s cannot be written: %s", self._file, error)
            self._failed = True


NOTHING_SEEN = SeenSecrets(b"", None)
"""For a home without a key: nothing was taken out yet."""


def load_seen_secrets(key: bytes, file: Path) -> SeenSecrets:
    """What was seen so far. Raises OSError if the file is there and cannot be read."""
    try:
        data = file.read_bytes()
    except FileNotFoundError:
        data = b""
    entries = [data[n : n + _RECORD] for n in range(0, len(data) - _RECORD + 1, _RECORD)]
    if len(entries) > MOST:
        entries = entries[-(MOST * 3 // 4) :]
    if len(entries) * _RECORD != len(data):  # too many, or one that a full disk cut off
        temp = file.with_name(f".{file.name}.{os.getpid()}.tmp")
        temp.write_bytes(b"".join(entries))
        temp.chmod(0o600)
        temp.replace(file)
    return SeenSecrets(key, file, frozenset(entries))


def _stretches(text: str, classes: Set[int]) -> Iterator[tuple[int, int]]:
    """Where something of a length in `classes` stands that may be a secret.

    Pieces without quotes, brackets and commas, from any sign to any other; and what such signs are
    a part of, between quotes or blanks.
    """
    spans = [match.span(2) for match in _QUOTED.finditer(text)]
    for run in _RUN.finditer(text):
        word = run[0]
        begin = run.start() + len(word) - len(word.lstrip(_AROUND))
        spans += [run.span(), (begin, begin + len(word.strip(_AROUND)))]
    for piece in _PIECE.finditer(text):
        tells = [match.start() for match in _TELLING.finditer(text, *piece.span())]
        if not tells and len(piece[0]) < PLAIN:
            continue
        edges = {match.start() for match in _EDGE.finditer(text, *piece.span())}
        ordered = sorted(edges | set(piece.span()))
        spans += [
            (begin, end)
            for n, begin in enumerate(ordered)
            for end in ordered[n + 1 :]
            if SHORTEST <= end - begin <= LONGEST
            and (end - begin >= PLAIN or (tells and begin <= tells[-1] and tells[0] < end))
        ]
    yield from (
        (begin, end)
        for begin, end in spans
        if SHORTEST <= end - begin <= LONGEST and (end - begin) // _CLASS in classes
    )


def _parts(secret: str) -> Iterator[str]:
    """The stretches of a secret that can be known again, its own length at most `LONGEST`."""
    parts = (run[0][:LONGEST] for run in _RUN.finditer(secret) if "-----" not in run[0])
    strong = (part for part in parts if is_random(part))
    yield from (part for part, _ in zip(strong, range(PARTS), strict=False))
