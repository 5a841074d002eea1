"""What would be taken out of a text, shown so that the secrets themselves are not."""

from __future__ import annotations

from dataclasses import dataclass

from qi_learn.redact import secret_spans

SHOWN = 2
"""Characters of a secret that are shown: enough to recognise one's own, useless to another."""


@dataclass(frozen=True, slots=True)
class RedactedPlace:
    """A secret in a text: on which line it begins, of what kind, how long, its first characters."""

    line: int
    kind: str
    length: int
    begins: str


def check_text(text: str) -> tuple[RedactedPlace, ...]:
    """The places of a text from which something would be taken before it is stored."""
    return tuple(
        RedactedPlace(
            text.count("\n", 0, span.start) + 1,
            span.kind,
            span.end - span.start,
            text[span.start : span.start + SHOWN],
        )
        for span in secret_spans(text)
    )
