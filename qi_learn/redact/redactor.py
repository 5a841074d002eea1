"""Takes secrets out of texts, before the first write to the database.

A secret is known in two ways. By its own shape: keys of known services, private keys in PEM, JSON
web tokens, passwords in URLs and on command lines (`service_shapes`). By the name beside it, such
as `password` or `api_key` (`assignments`): a literal that looks random, because entropy alone would
take hashes and test data. A catalogue that others keep adds the shapes of more services, if it is
installed (`catalogue`). Each secret becomes `[REDACTED:<kind>:<tag>]`. The tag is four hex digits
of an HMAC under this installation's own key: the same secret has the same tag, so conversations
still join and repeat, and without the key no words can be tried against it.

Not covered: weak passwords, secrets in prose that no word introduces, personal data.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import is_dataclass, replace
from functools import cache
from typing import Any, TypeVar

from qi_learn.redact.assignments import beside, is_secret_value
from qi_learn.redact.catalogue import Catalogue, installed_catalogue
from qi_learn.redact.key_objects import is_chain_key, name_beside
from qi_learn.redact.record_fields import looked_at
from qi_learn.redact.redacted import Redacted, sealed
from qi_learn.redact.secret_names import KEYS, PASSWORDS
from qi_learn.redact.seen_secrets import NOTHING_SEEN, SeenSecrets
from qi_learn.redact.service_shapes import rules
from qi_learn.redact.spans import PLACEHOLDER, Needles, Span, merged
from qi_learn.storable import storable_text

T = TypeVar("T")
_COLOUR = re.compile(r"\x1b\[[0-9;]{0,20}[mK]")
# one sign first, so that the search for it is that of C
_COLOUR_WRITTEN = re.compile(r"\\\\{0,3}(?:u001[bB]|x1[bB]|033|e)\[[0-9;]{0,20}[mK]")
SHORTEST = 12
"""A shorter text holds no secret that is looked for here."""


class Redactor:
    """Takes secrets out of texts, values and records.

    Each method returns what it is given without them; the same object if there was none.
    """

    def __init__(
        self, key: bytes, catalogue: Catalogue | None = None, seen: SeenSecrets = NOTHING_SEEN
    ) -> None:
        """`seen`: is told of each secret that goes."""
        self._key = key
        self._catalogue = catalogue
        self._seen = seen

    def text(self, text: str) -> str:
        """The text with a placeholder for each secret.

        What is no text becomes U+FFFD: half a surrogate pair cannot be stored.
        """
        text = storable_text(text)
        # again, because a secret may end where one that was taken out began
        while len(text) >= SHORTEST and (spans := self._spans(text)):
            text = self._without(text, spans)
        return text

    def value(self, value: Any) -> Any:
        """A JSON value with every text in it redacted, long keys too."""
        return self._value(value, "")

    def _value(self, value: Any, section: str) -> Any:
        """The value; `section` is the key under which it stands."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, Mapping):
            changed = {
                self.text(str(k)): self._beside(name_beside(str(k), value, section), str(k), v)
                for k, v in value.items()
            }
            return changed if changed != value else value
        if isinstance(value, (list, tuple)):
            items = [self._item(section, v) for v in value]
            return items if items != list(value) else value
        return value

    def clean(self, value: T) -> Redacted[T]:
        """A record without secrets, or a list, tuple or mapping, as one that may be written.

        Raises TypeError for what is neither that nor a text or a number: it could hold one unseen.
        """
        return sealed(self._without_secrets(value))

    def _without_secrets(self, value: Any) -> Any:
        if is_dataclass(value) and not isinstance(value, type):
            return self._record(value)
        if isinstance(value, (list, tuple)):
            items = [self._without_secrets(v) for v in value]
            same = all(new is old for new, old in zip(items, value, strict=True))
            return value if same else type(value)(items)
        if value is None or isinstance(value, (str, Mapping, bool, int, float)):
            return self.value(value)
        raise TypeError(f"{type(value).__name__} is not looked through for secrets")

    def _record(self, record: Any) -> Any:
        changes = {}
        for name, words in looked_at(record.__class__):
            old = getattr(record, name)
            if old is None or (words and old in words):
                continue
            if (new := self._without_secrets(old)) is not old:
                changes[name] = new
        return replace(record, **changes) if changes else record

    def _beside(self, name: str, key: str, value: Any) -> Any:
        """A value under its key, `{"api_key": "..."}`, redacted: the key is the word beside it."""
        if isinstance(value, str) and is_secret_value(name, value):
            return self._placeholder("assigned", value)
        return self._value(value, key)

    def _item(self, section: str, value: Any) -> Any:
        """One of the values in a list, `{"accounts": ["0x..."]}`."""
        if section == "accounts" and isinstance(value, str) and is_chain_key(value):
            return self._placeholder("private-key", value)
        return self._value(value, "")

    def _spans(self, text: str) -> list[Span]:
        shown = _unescaped(text)
        spans = _needles().spans(shown)
        if self._catalogue is not None:
            spans += self._catalogue.spans(shown)
        return merged(spans, text)

    def _without(self, text: str, spans: list[Span]) -> str:
        parts, at = [], 0
        for span in spans:
            parts += [
                text[at : span.start],
                self._placeholder(span.kind, text[span.start : span.end]),
            ]
            at = span.end
        return "".join([*parts, text[at:]])

    def _placeholder(self, kind: str, secret: str) -> str:
        if self._seen is not NOTHING_SEEN:
            self._seen.note(secret)
        tag = hmac.new(self._key, secret.encode("utf-8", "replace"), hashlib.sha256).hexdigest()[:4]
        return f"[REDACTED:{kind}:{tag}]"


def has_placeholder(text: str) -> bool:
    """Whether something was taken out of the text.

    It must not be learned then, or the model would learn to print placeholders.
    """
    return "[REDACTED:" in text and PLACEHOLDER.search(text) is not None


def holds_secret(*texts: str) -> bool:
    """Whether a text holds what would be taken out today.

    It may have been stored before that kind of secret was known.
    """
    return any(find_secrets(text) for text in texts)


def find_secrets(text: str) -> tuple[tuple[str, str], ...]:
    """What would be taken out of the text: kind and secret, each pair once, in their order.

    These are the secrets themselves: never write them down.
    """
    finder = _Finder()
    finder.text(text)
    return tuple(finder.secrets)


def secret_spans(text: str) -> list[Span]:
    """Where in the text what would be taken out stands, in the order of the text."""
    if len(text) < SHORTEST:
        return []
    return Redactor(b"", installed_catalogue())._spans(storable_text(text))


class _Finder(Redactor):
    """Redacts to see what goes. Its placeholders are thrown away with its text."""

    def __init__(self) -> None:
        super().__init__(b"", installed_catalogue())
        self.secrets: dict[tuple[str, str], None] = {}

    def _placeholder(self, kind: str, secret: str) -> str:
        self.secrets[kind, secret] = None
        return super()._placeholder(kind, secret)


@cache
def _needles() -> Needles:
    """Everything that is looked for, compiled at the first text."""
    return Needles([*((rule.needles, rule.span) for rule in rules()), (PASSWORDS + KEYS, beside)])


def _blank(match: re.Match[str]) -> str:
    return " " * len(match[0])


def _unescaped(text: str) -> str:
    """The text with blanks for colours, and for line ends and tabs that are written as escapes.

    Each character stays at its place. Else the `n` of a line end would belong to the key behind it,
    as in `"first\\nghp_..."`, and the `m` of a colour to what it paints.
    """
    if "\x1b" in text:
        text = _COLOUR.sub(_blank, text)
    if "\\" not in text:
        return text
    text = _COLOUR_WRITTEN.sub(_blank, text)
    return text.replace("\\n", " \n").replace("\\t", " \t").replace("\\r", " \r")
