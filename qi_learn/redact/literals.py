"""Whether a literal beside a telling word is the secret itself, or only speaks of one.

A secret looks random. A name, a path, a template, a lookup and a placeholder such as `changeme` do
not: they are made of words, or at least of letters that stand together in words (`letter_pairs`). A
password may be words too, so beside `password` a quoted literal with a digit counts as well, unless
its words are those of an example.
"""

from __future__ import annotations

import base64
import binascii
import math
import re
from collections import Counter

from qi_learn.redact.letter_pairs import is_jumbled

_IDENTIFIER = re.compile(r"[A-Za-z_]+(?:_[A-Za-z0-9]+)*|[a-z]+(?:-[a-z0-9]+)+")
_WORD = re.compile(r"[A-Z]?[a-z]{3,}|[A-Z]{3,}(?![a-z])")
_LONG_WORD = re.compile("[A-Za-z]?[a-z]{4,}")
_VOWEL = re.compile("[aeiouyAEIOUY]")
_SIGNS = re.compile(r"[^A-Za-z0-9\s]")
_ODD = re.compile(r"[!#%^&*()$={}|~?+]")
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.I)
_HEX = re.compile(r"[0-9a-f]{24,}|[0-9A-F]{24,}")
_EXAMPLE = re.compile(
    r"example|sample|your[-_ ]|\byour|change[-_ ]?me|change[-_ ]?this|replace|insert|placeholder"
    r"|dummy|fake|\btest|[-_]test|^test|mock|foobar|todo|password|passwd|passphrase|secret|token"
    r"|api[-_ ]?key|access[-_ ]?key|redacted|undefined|hunter2|default|nopass|letmein|qwerty",
    re.I,
)
_SEQUENCE = re.compile(r"1234567|abcdefg|0123456|7654321|(.)\1{5}", re.I | re.S)
_REPEATED = re.compile(r"(.{1,4})\1{3}", re.I | re.S)
# What is looked up elsewhere, made up later or put in by a template.
_REFERENCE = re.compile(
    r"^(?:\$[{(]|%\(|\*+$|op://|arn:|vault:|file:|env:|ref[+:]|ENC\[|projects/|https?://|0x[0-9a-f]+$"
    r"|ssh-|sha\d{3}[:-]|data:)"
    r"|\$\{|\{\{|\$\(|<%|process\.env|os\.environ|getenv|\.{3}|…|\*{3}|\[A-Z|\{\d+,\d*\}|=>|\(\?|\\[sdwb]|\{[A-Za-z_]{3,}\}|&[lg]t;"
    # what is encrypted: sealed secrets, AWS KMS, OpenSSL
    r"|^(?:Ag[A-D][A-Za-z0-9+/=]{125}|AQICAH[a-z]|U2FsdGVkX1)"
    # a colour
    r"|^#(?:[0-9a-fA-F]{3,4}){1,2}$"
    r"|^(?:env|var|local|secrets|self|this|config|settings|vars|params|args|data|module)\.[a-z_]",
)
# The same where a generator may have put the sign: what is jumbled is none.
_MAYBE_REFERENCE = re.compile(
    r"^(?:\$(?:[A-Z_]{2}|[a-z_]{3,})|\{|%[A-Za-z_]|<|\[|@[A-Za-z]+[/(]|!|&|#[{ ]|--?[a-z]"
    r"|\.{0,2}/|~/|0x)"
    r"|\.(?:json|txt|html?|pem|ya?ml|py|[jt]sx?|go|rs|md|enc|key|crt|toml|ini|env|conf|log|sh|sock"
    r"|whl|gguf|safetensors|bin|csv|xml|php|rb|java|cs)$",
)
_HOST = re.compile(r"(?:[a-z0-9-]+\.)+[a-z]{2,}(?::\d+)?", re.I)
_DATE = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d|^\d{4}-\d\d-\d\d$")
JUDGED = 128
"""So many characters of a literal are looked at."""
LEAST_BITS = 34
JUMBLED_BITS = 22
"""Enough of what is jumbled: eight characters, all but two of them different."""
QUOTED_BITS = 40
BARE_BITS = 70


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
    per_character, bits = entropy(literal)
    return per_character >= 2.8 and bits >= (QUOTED_BITS if quoted else BARE_BITS)


def is_password(literal: str, *, quoted: bool) -> bool:
    """Whether a literal beside `password` is one that a person or a generator chose."""
    if not 8 <= len(literal) <= 512 or any(c.isspace() for c in literal):
        return False
    literal = literal[:JUDGED]
    digit = any(c.isdigit() for c in literal)
    jumbled = is_jumbled(literal)
    if (quoted or digit or jumbled) and is_random(literal, JUMBLED_BITS if jumbled else LEAST_BITS):
        return not _speaks_of_one(literal) and not _is_host(literal)
    if not quoted or not digit or len(literal) < 10 or "/" in literal:
        return False
    return (
        any(c.isalpha() for c in literal)
        and entropy(literal)[1] >= QUOTED_BITS
        and not (_EXAMPLE.search(literal) or _speaks_of_one(literal) or _is_host(literal))
    )


def is_key(literal: str, *, quoted: bool) -> bool:
    """Whether a literal beside `token`, `secret` or `api_key` is one that a service made."""
    if not 10 <= len(literal) <= 2048:
        return False
    literal = literal[:JUDGED]
    if any(c.isspace() for c in literal):
        return _is_salt(literal) and not _speaks_of_one(literal)
    if _UUID.fullmatch(literal):
        return True
    bits = QUOTED_BITS if quoted else QUOTED_BITS + 12
    return is_random(literal, bits) and not _speaks_of_one(literal)


def is_random(literal: str, least_bits: float = QUOTED_BITS) -> bool:
    """Whether a literal is mixed of kinds of characters, not made of words, and long enough."""
    if _HEX.fullmatch(literal):
        return len(set(literal)) >= 8
    digits = sum(c.isdigit() for c in literal)
    letters = sum(c.isalpha() for c in literal)
    signs = len(literal) - digits - letters
    upper = sum(c.isupper() for c in literal)
    if not letters or (not digits and not signs and min(upper, letters - upper) < 3):
        return False
    one_kind = signs == 0 or upper == 0 or upper == letters
    if digits == 0 and one_kind and len(literal) < 20 and not is_jumbled(literal):
        return False
    per_character, bits = entropy(literal)
    return per_character >= 2.5 and bits >= least_bits and not is_wordy(literal)


def is_wordy(literal: str) -> bool:
    """Whether most letters of a literal belong to words and names, as `SecretStr2` does."""
    letters = sum(c.isalpha() for c in literal)
    if len(_ODD.findall(literal)) >= 4:
        return False
    words = [w for w in _WORD.findall(literal) if _pronounceable(w)]
    if letters and sum(map(len, words)) < 0.65 * letters:
        return False
    return not is_jumbled(literal)


def is_basic_auth(encoded: str) -> bool:
    """Whether a text is the base64 of `user:password`."""
    decoded = decoded_base64(encoded)
    _user, colon, password = decoded.partition(b":")
    return bool(colon) and len(password) >= 3 and all(32 <= c < 127 for c in decoded)


def decoded_base64(encoded: str) -> bytes:
    """What a text in base64 says; nothing if it is none."""
    try:
        return base64.b64decode(encoded + "=" * (-len(encoded) % 4), altchars=None, validate=True)
    except (binascii.Error, ValueError):
        return b""


def is_reference(literal: str) -> bool:
    """Whether a literal is a lookup, a template, a path or an URL rather than a value."""
    if _REFERENCE.search(literal) is not None:
        return True
    return _MAYBE_REFERENCE.search(literal) is not None and not is_jumbled(literal)


def is_example(literal: str) -> bool:
    """Whether a literal is what documentation and tests write in place of a secret."""
    return _EXAMPLE.search(literal) is not None or _is_sequence(literal)


def entropy(literal: str) -> tuple[float, float]:
    """Shannon entropy of a literal's characters: bits per character, and in all."""
    counts = Counter(literal).values()
    bits = -sum(n / len(literal) * math.log2(n / len(literal)) for n in counts)
    return bits, bits * len(literal)


def _speaks_of_one(literal: str) -> bool:
    return (
        "[REDACTED:" in literal
        or is_reference(literal)
        or _is_sequence(literal)
        or _DATE.search(literal) is not None
        or (_EXAMPLE.search(literal) is not None and is_wordy(_EXAMPLE.sub("", literal) or "word"))
    )


def _is_sequence(literal: str) -> bool:
    """Whether a literal is typed along the keys, or repeats itself for a quarter of its length."""
    if _SEQUENCE.search(literal):
        return True
    return 4 * sum(len(m[0]) for m in _REPEATED.finditer(literal)) >= max(4, len(literal))


def _is_host(literal: str) -> bool:
    return _HOST.fullmatch(literal) is not None and not is_jumbled(literal)


def _is_salt(literal: str) -> bool:
    """A text with blanks that no person wrote, such as the salts of WordPress."""
    words = [word for word in _LONG_WORD.findall(literal) if _pronounceable(word)]
    return (
        len(literal) >= 32
        and literal.count(" ") <= 4
        and len(_SIGNS.findall(literal)) >= 6
        and len(words) <= 1
    )


def _pronounceable(word: str) -> bool:
    return len(_VOWEL.findall(word)) * 6 >= len(word) and not re.search(
        r"[b-df-hj-np-tv-xz]{5}|[qx][^ucptaie]|(.)\1\1", word, re.I
    )
