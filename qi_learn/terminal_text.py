"""Text from anywhere, made harmless for a terminal."""

from __future__ import annotations

import unicodedata

SIGN = "\N{REPLACEMENT CHARACTER}"
_STEERING = {"Cc", "Cf", "Cs", "Zl", "Zp"}
"""Controls and escapes, marks that turn the direction of writing, halves of characters, separators
that a terminal takes for a new line.
"""
_JOINERS = "\N{ZERO WIDTH JOINER}\N{ZERO WIDTH NON-JOINER}\N{SOFT HYPHEN}"


def harmless(text: str) -> str:
    """The text with a sign in the place of what would steer a terminal; lines and tabs stay."""
    if text.isascii() and text.replace("\n", "").isprintable():
        return text
    return "".join(
        SIGN if unicodedata.category(c) in _STEERING and c not in f"\n\t{_JOINERS}" else c
        for c in text
    )
