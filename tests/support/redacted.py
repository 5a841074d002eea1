"""What the store takes: values that passed `redact`, under a key of the tests."""

from __future__ import annotations

from typing import TypeVar

from qi_learn.redact import Redacted, Redactor

T = TypeVar("T")
REDACTOR = Redactor(b"k" * 32)


def as_redacted(value: T) -> Redacted[T]:
    """The value without secrets."""
    return REDACTOR.clean(value)
