"""Takes secrets out of texts, before the first write to the database.

A secret is known in two ways. By its own shape: keys of known services, private keys in PEM, JSON
web tokens, passwords in URLs. By the word beside it, such as `password` or `api_key`: a literal
that looks random (digits and letters, many bits), because entropy alone would take hashes and test
data. Each becomes `[REDACTED:<kind>:<tag>]`. The tag is four hex digits of an HMAC under this
installation's own key: the same secret has the same tag, so conversations still join and repeat,
and without the key no words can be tried against it.

Not covered: weak passwords, secrets in prose, personal data. Most texts cost only a search for each
rule's fixed letters.
"""

from __future__ import annotations

import hashlib
import hmac
import math
import os
import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from qi_learn.errors import StoreError
from qi_learn.paths import sync_directory
from qi_learn.records import Message, Turn

PLACEHOLDER = re.compile(r"\[REDACTED:[a-z-]+:[0-9a-f]{4}\]")
KEY_BYTES = 32
SHORTEST = 12
"""A shorter text holds no secret that is looked for here."""


@dataclass(frozen=True, slots=True)
class Rule:
    """A secret known by its shape.

    The pattern is tried only if one of `needles` is in the text. Its group `secret` is replaced, or
    all of it if it has none.
    """

    kind: str
    needles: tuple[str, ...]
    pattern: re.Pattern[str]


def _rule(kind: str, needles: str, pattern: str) -> Rule:
    return Rule(kind, tuple(needles.split()), re.compile(pattern))


# The shapes are the services' own. One that is also the beginning of an ordinary word (`sk-`) must
# be long and carry digits.
RULES: tuple[Rule, ...] = (
    _rule(
        "private-key",
        "PRIVATE",
        r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----"
        r"(?P<secret>(?:[A-Za-z0-9+/=:,\s]|\\[rn]|-(?!----)){40,})",
    ),
    _rule("aws-key", "AKIA ASIA", r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b"),
    _rule("github-token", "ghp_ gho_ ghu_ ghs_ ghr_", r"\bgh[pousr]_[A-Za-z0-9]{36,255}\b"),
    _rule("github-token", "github_pat_", r"\bgithub_pat_[A-Za-z0-9_]{22,255}\b"),
    _rule("gitlab-token", "glpat-", r"\bglpat-[A-Za-z0-9_-]{20,}"),
    _rule("slack-token", "xox", r"\bxox[abeoprs]-[A-Za-z0-9-]{10,}"),
    _rule(
        "slack-webhook",
        "hooks.slack.com",
        r"hooks\.slack\.com/services/(?P<secret>[A-Za-z0-9/]{20,})",
    ),
    _rule("anthropic-key", "sk-ant-", r"\bsk-ant-[A-Za-z0-9_-]{20,}"),
    _rule(
        "openai-key", "sk-", r"\bsk-(?:proj-|svcacct-)?(?=[A-Za-z0-9_-]*[0-9])[A-Za-z0-9_-]{32,}"
    ),
    _rule("stripe-key", "k_live_ k_test_", r"\b[rs]k_(?:live|test)_[0-9A-Za-z]{16,}"),
    _rule("npm-token", "npm_", r"\bnpm_[A-Za-z0-9]{36}\b"),
    _rule("pypi-token", "pypi-", r"\bpypi-[A-Za-z0-9_-]{50,}"),
    _rule("huggingface-token", "hf_", r"\bhf_[A-Za-z0-9]{30,}\b"),
    _rule("google-key", "AIza", r"\bAIza[0-9A-Za-z_-]{35}"),
    _rule("netlify-token", "nfp_ nfc_ nfo_ nfu_ nfb_", r"\bnf[pcoub]_[A-Za-z0-9]{36}"),
    _rule("sendgrid-key", "SG.", r"\bSG\.[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{16,}"),
    _rule("jwt", "eyJ", r"\beyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}"),
    _rule("azure-key", "AccountKey=", r"\bAccountKey=(?P<secret>[A-Za-z0-9+/]{40,}={0,2})"),
    _rule("url-password", "://", r"://[^\s:/@\"'<>]{0,200}:(?P<secret>[^\s/@\"'<>{}$\[\]]{3,})@"),
)
_NEEDLES = tuple((needle, rule) for rule in RULES for needle in rule.needles)
_WORDS = (
    *("password", "passwd", "passphrase", "secret", "token", "api_key", "apikey", "api-key"),
    *("access_key", "accesskey", "private_key", "auth_key", "bearer", "credential"),
)
# After the word: the rest of the name, quotes, what assigns, and either a quoted literal or a bare
# one that is not the beginning of an expression.
_ASSIGNED = re.compile(
    r"[A-Za-z0-9_-]{0,30}[\"'\]]{0,2}\s{0,4}(?::=|=>|==?|:|(?<=[Bb]earer)\s)\s{0,4}"
    r"(?:[rbf]?(?P<quote>[\"'`])(?P<quoted>[^\s\"'`]{10,512})(?P=quote)"
    r"|(?P<bare>[A-Za-z0-9+/=_~-]{20,512})(?![\w.(\[]))"
)
_IDENTIFIER = re.compile(r"[A-Za-z_]+(?:_[A-Za-z0-9]+)*|[a-z]+(?:-[a-z0-9]+)+")
_HALF_PAIR = re.compile("[\ud800-\udfff]")
_NO_SECRETS = {
    *("password", "passwd", "pass", "pwd", "secret", "changeme", "postgres", "mysql", "root"),
    *("admin", "user", "username", "example", "test", "guest", "token"),
}


class Redactor:
    """Takes secrets out of texts, values and turns.

    Each method returns what it is given without them; the same object if there was none.
    """

    def __init__(self, key: bytes) -> None:
        self._key = key

    def text(self, text: str) -> str:
        """The text with a placeholder for each secret.

        What is no text becomes U+FFFD: half a surrogate pair cannot be stored.
        """
        before = None
        # again, because a secret may end where one that was taken out began
        while text != before and len(text) >= SHORTEST:
            before = text
            for needle, rule in _NEEDLES:
                if needle in text:
                    text = rule.pattern.sub(self._by_shape(rule.kind), text)
            text = self._by_place(text)
        return _storable(text)

    def value(self, value: Any) -> Any:
        """A JSON value with every text in it redacted but the keys."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, Mapping):
            changed = {_storable(str(k)): self._beside(str(k), v) for k, v in value.items()}
            return changed if changed != value else value
        if isinstance(value, (list, tuple)):
            items = [self.value(v) for v in value]
            return items if items != list(value) else value
        return value

    def turn(self, turn: Turn) -> Turn:
        """A turn with all its texts redacted."""
        return replace(
            turn,
            messages=tuple(
                Message(m.role, self.text(m.content), self.value(m.extra)) for m in turn.messages
            ),
            answer=self.text(turn.answer),
            answer_extra=self.value(turn.answer_extra),
            options=self.value(turn.options),
            request=self.value(turn.request),
            context=self.value(turn.context),
        )

    def _beside(self, name: str, value: Any) -> Any:
        """A value under its key, `{"api_key": "..."}`, redacted: the key is the word beside it."""
        if (
            isinstance(value, str)
            and any(word in name.lower() for word in _WORDS)
            and not re.search(r"\s", value)
            and looks_random(value, quoted=True)
        ):
            return self._placeholder("assigned", value)
        return self.value(value)

    def _by_shape(self, kind: str) -> Callable[[re.Match[str]], str]:
        def replaced(match: re.Match[str]) -> str:
            secret = match.groupdict().get("secret")
            if secret is None:
                return self._placeholder(kind, match[0])
            if secret.lower() in _NO_SECRETS or PLACEHOLDER.search(secret) or not secret.strip():
                return match[0]
            start, end = match.span("secret")
            return (
                match[0][: start - match.start()]
                + self._placeholder(kind, secret)
                + match[0][end - match.start() :]
            )

        return replaced

    def _by_place(self, text: str) -> str:
        parts, at = [], 0
        for start, end in _assigned(text):
            if start >= at:
                parts += [text[at:start], self._placeholder("assigned", text[start:end])]
                at = end
        return "".join([*parts, text[at:]]) if parts else text

    def _placeholder(self, kind: str, secret: str) -> str:
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


class _Finder(Redactor):
    """Redacts to see what goes. Its placeholders are thrown away with its text."""

    def __init__(self) -> None:
        super().__init__(b"")
        self.secrets: dict[tuple[str, str], None] = {}

    def _placeholder(self, kind: str, secret: str) -> str:
        self.secrets[kind, secret] = None
        return super()._placeholder(kind, secret)


def load_redactor(path: Path) -> Redactor:
    """The redactor with this installation's key, which is made (0600) if it is absent.

    Raises StoreError if it cannot be read or made.
    """
    try:
        if not path.exists():
            _make_key(path)
        key = path.read_bytes()
    except OSError as error:
        what = f"The key for redacting secrets, {path}, cannot be read or made: {error}"
        raise StoreError(
            what, "Nothing is stored without it. Check who owns the file and its directory."
        ) from error
    if len(key) != KEY_BYTES:
        what = (
            f"The key for redacting secrets, {path}, is damaged "
            f"({len(key)} bytes, not {KEY_BYTES})."
        )
        raise StoreError(
            what, "Delete it: a new one is made, and the same secret gets another tag from then on."
        )
    return Redactor(key)


def _make_key(path: Path) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    temp = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    temp.unlink(missing_ok=True)
    fd = os.open(temp, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(fd, "wb") as file:
            file.write(os.urandom(KEY_BYTES))
            file.flush()
            os.fsync(file.fileno())
        if not path.exists():
            temp.rename(path)
    finally:
        temp.unlink(missing_ok=True)
    sync_directory(path.parent)


def _assigned(text: str) -> list[tuple[int, int]]:
    """The spans (start, end) of literals that look random beside a word that says they are secret.

    They come in order of their start.
    """
    spans = []
    lower = text.lower()
    for word in _WORDS:
        at = lower.find(word)
        while at >= 0:
            match = _ASSIGNED.match(text, at + len(word))
            if match and looks_random(
                match["quoted"] or match["bare"], quoted=match["quoted"] is not None
            ):
                spans.append(match.span("quoted" if match["quoted"] is not None else "bare"))
            at = lower.find(word, at + len(word))
    return sorted(spans)


def looks_random(literal: str, *, quoted: bool) -> bool:
    """Whether a literal is letters and digits, no name in words, and of enough entropy.

    Enough is at least 40 bits (Shannon entropy of its characters x length), or 70 if it is not even
    quoted.
    """
    digits = sum(c.isdigit() for c in literal)
    if (
        not digits
        or digits == len(literal)
        or "[REDACTED:" in literal
        or any(c in literal for c in "{}<>$()")
    ):
        return False
    if not quoted and (
        digits < 3 or (_IDENTIFIER.fullmatch(literal) and re.search("[_-]", literal))
    ):
        return False
    if quoted and literal.lower().startswith(("http://", "https://", "/", "./")):
        return False
    entropy = -sum(
        n / len(literal) * math.log2(n / len(literal)) for n in Counter(literal).values()
    )
    return entropy >= 2.8 and entropy * len(literal) >= (40 if quoted else 70)


def _storable(text: str) -> str:
    return _HALF_PAIR.sub("\ufffd", text) if not text.isascii() else text
