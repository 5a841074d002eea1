"""Texts with a named secret that are written in base64 as a whole: `ENV_B64=REJfUEFTU1dPUkQ9...`.

What `password`, `secret`, `token` and `api_key` look like in base64 depends on where in the text
they stand, in one of three ways; each of these is a needle.
"""

from __future__ import annotations

import base64
import re

from qi_learn.redact.literals import decoded_base64, is_key, is_password

_WORDS = ("password", "passwd", "secret", "token", "api_key", "apikey")
_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_LONGEST = 4000
_REST = re.compile(r"[A-Za-z0-9+/]{0,4000}+={0,2}")
_NAMED = re.compile(
    r"(?i:(?P<password>passw(?:or)?d)|secret|token|api_?key)(?:_?[A-Za-z]{0,12})[\"']?\s{0,4}[:=]"
    r"\s{0,4}(?P<quote>[\"']?)(?P<value>[^\s\"',;(){}\[\]<>]{8,512}+)(?![(\[])"
)


def _in_base64(word: str) -> set[str]:
    """What a word looks like in base64, without what its neighbours have a part in."""
    forms = set()
    for before in range(3):
        encoded = base64.b64encode(b"\0" * before + word.encode()).decode().rstrip("=")
        cut = (before + len(word)) % 3
        forms.add(encoded[(8 * before + 5) // 6 : len(encoded) - (1 if cut else 0)])
    return forms


NEEDLES = tuple(
    sorted(
        {
            form.lower()
            for word in _WORDS
            for cased in (word, word.upper(), word.capitalize())
            for form in _in_base64(cased)
        }
    )
)


def encoded_text(text: str, at: int) -> tuple[int, int] | None:
    """The whole base64 around a needle, if a secret stands beside its name in what it says."""
    head = text[max(0, at - _LONGEST) : at]
    start = at - len(head) + len(head.rstrip(_ALPHABET))
    rest = _REST.match(text, at)
    if rest is None or at - start >= _LONGEST:
        return None
    encoded = text[start : rest.end()]
    said = decoded_base64(encoded).decode("utf-8", "replace")
    for match in _NAMED.finditer(said):
        counts = is_password if match["password"] else is_key
        if counts(match["value"], quoted=bool(match["quote"])):
            return start, rest.end()
    return None
