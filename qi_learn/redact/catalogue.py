"""A catalogue of shapes that others keep, if it is installed: more services than our own rules know.

Called in this process on bytes in memory. It is never asked whether a secret is valid, which would
send it to its provider.
"""

from __future__ import annotations

from qi_learn.redact.spans import Span


class Catalogue:
    def spans(self, text: str) -> list[Span]:
        return []
