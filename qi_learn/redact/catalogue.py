"""A catalogue of shapes that others keep, if it is installed: many more services than ours.

Kingfisher's rules (Apache 2.0, kept by MongoDB), the extra `secrets` of this package. It runs in
this process, on text in memory. It could also ask a provider whether a secret is valid; nothing
here calls that, since it would send the secret away. Without the extra our own rules stand alone,
and `catalogue_line` says so. Its rules for what ours know better are left out: they take a private
key's frame, a whole URL, or the word `password` in one.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
from functools import cache
from pathlib import Path
from typing import Any

from qi_learn.paths import Paths
from qi_learn.redact.spans import Span

DISTRIBUTION = "kingfisher-secret-scanner"
MODULE = "kingfisher_sdk"
KIND = "service-key"
OURS = ("private-key", "jdbc", "odbc", "curl-auth", "servicebus", "generic")
"""Parts of the names of rules that are left out."""


class Catalogue:
    """The rules, compiled at the first text and kept in a directory, for that takes seconds."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._compiled: Any = None

    def spans(self, text: str) -> list[Span]:
        """The secrets of a text that the catalogue knows, at places in the text."""
        data = text.encode("utf-8", "replace")
        spans = []
        for finding in self._scanner().scan(data):
            if not finding.visible or any(part in finding.rule_id for part in OURS):
                continue
            secret = finding.secret.encode()
            if b"://" in secret:
                continue
            place = finding.location
            start, end = place["start_offset"], place["end_offset"]
            at = data.find(secret, start, end) if secret else -1
            if at >= 0:
                start, end = at, at + len(secret)
            spans.append((start, end))
        return [Span(*_characters(text, data, span), KIND) for span in spans]

    def _scanner(self) -> Any:
        if self._compiled is None:
            from kingfisher_sdk import Rules, Scanner

            rules = Rules(cache_dir=self._directory)
            self._compiled = Scanner(rules, base64=False)
        return self._compiled


@cache
def installed_catalogue() -> Catalogue | None:
    """The catalogue of this process; None if the extra is not installed."""
    if importlib.util.find_spec(MODULE) is None:
        return None
    return Catalogue(Paths.default().data / "redaction-rules")


def catalogue_line() -> str:
    """Which rules are in use, for `doctor` and `redact --check`."""
    if installed_catalogue() is None:
        return "own rules alone; the extra `secrets` adds the shapes of some 400 more services"
    return f"own rules and those of {DISTRIBUTION} {importlib.metadata.version(DISTRIBUTION)}"


def _characters(text: str, data: bytes, span: tuple[int, int]) -> tuple[int, int]:
    """Places in the text of places in its UTF-8."""
    if len(text) == len(data):
        return span
    start = len(data[: span[0]].decode("utf-8", "ignore"))
    return start, start + len(data[span[0] : span[1]].decode("utf-8", "ignore"))
