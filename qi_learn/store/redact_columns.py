"""Values of columns looked through again: a text, or JSON. A damaged text comes as its bytes."""

from __future__ import annotations

import json
from typing import Any

from qi_learn.redact import Redactor

CHANGED = "redacted = 1, dirty = texts_gone IS NULL"
"""What a turn of which something was taken out gets: it is scored anew, if it has texts."""


def readable(value: Any) -> Any:
    """A column's text with signs in the place of what is no UTF-8; what is no text as it is."""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


def clean_text(redactor: Redactor, value: Any) -> Any:
    """A column's text without secrets; the same value if there were none."""
    text = readable(value)
    if not isinstance(text, str):
        return value
    clean = redactor.text(text)
    return value if clean == text else clean


def clean_json(redactor: Redactor, value: Any) -> Any:
    """A column's JSON without secrets; the same value if there were none."""
    text = readable(value)
    if not isinstance(text, str):
        return value
    try:
        given = json.loads(text)
    except ValueError:
        return clean_text(redactor, value)
    clean = redactor.clean(given).value
    return value if clean == given else json.dumps(clean, separators=(",", ":"))
