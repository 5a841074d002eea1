"""What the store takes: values that passed `redact`, under a key of the tests."""

from __future__ import annotations

from typing import TypeVar

from qi_learn.redact import Redacted, Redactor

T = TypeVar("T")
REDACTOR = Redactor(b"k" * 32)


class KnowsNothing(Redactor):
    """The rules of a version that knew no secret."""

    def text(self, text: str) -> str:
        """The text as it is."""
        return text


BEFORE = KnowsNothing(b"k" * 32)


def as_before(value: T) -> Redacted[T]:
    """The value as a version stored it that did not know its secrets."""
    return BEFORE.clean(value)


def as_redacted(value: T) -> Redacted[T]:
    """The value without secrets."""
    return REDACTOR.clean(value)
