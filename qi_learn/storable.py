"""Values as the database can hold them: whole letters, and numbers of 64 bits.

JSON may hold half a surrogate pair, and a header bytes that are no UTF-8. SQLite takes neither, and
a record must not be lost for one letter: halves that stand side by side become their letter, a half
alone becomes U+FFFD.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

LARGEST = 2**63 - 1
_PAIR = re.compile("[\ud800-\udbff][\udc00-\udfff]")
_HALF = re.compile("[\ud800-\udfff]")


def storable_text(text: str) -> str:
    """The text in whole letters; the same object if it is so already."""
    if text.isascii() or not _HALF.search(text):
        return text
    return _HALF.sub("\ufffd", _PAIR.sub(_letter, text))


def storable_value(value: Any) -> Any:
    """A JSON value with every text in it, keys too, in whole letters; the same one if it is so."""
    if isinstance(value, str):
        return storable_text(value)
    if isinstance(value, Mapping):
        changed = {storable_text(str(key)): storable_value(one) for key, one in value.items()}
        return changed if changed != value else value
    if isinstance(value, (list, tuple)):
        items = [storable_value(one) for one in value]
        return items if items != list(value) else value
    return value


def storable_number(value: int | None) -> int | None:
    """A count; None if it is too large for one."""
    return value if value is None or -LARGEST <= value <= LARGEST else None


def _letter(halves: re.Match[str]) -> str:
    return halves[0].encode("utf-16-le", "surrogatepass").decode("utf-16-le")
