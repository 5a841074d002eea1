"""Keys that are known by the object they stand in: of a JSON web key, a section, a blockchain.

`{"kty": "oct", "k": "..."}`, `"Jwt": {"Key": "..."}`, `accounts: ["0x..."]`, and the cookies and
personal access tokens whose name is no word that tells of a secret elsewhere.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from qi_learn.redact.literals import is_key

Find = Callable[[str, int], tuple[int, int] | None]

JWK_PRIVATE = frozenset(("d", "p", "q", "dp", "dq", "qi", "k"))
"""The members of a JSON web key that are secret; the others are public."""
_SECTIONS = frozenset(("jwt", "jws", "jwe", "hmac", "signing", "encryption", "crypto", "cipher"))
_AROUND = 3000
_BEFORE = 400
_MEMBER = re.compile(
    r"[a-z]{1,2}\\{0,8}[\"']\s{0,4}:\s{0,4}\\{0,8}[\"'](?P<secret>[A-Za-z0-9_-]{20,2048}+={0,2})"
)
_TYPE = re.compile(r"kty\\{0,8}[\"']")
_MEMBER_BARE = re.compile(
    r"kty:\s{0,4}[\"']\w{2,4}[\"'],[^{}]{0,600}?\b[dk]:\s{0,4}[\"'](?P<secret>[A-Za-z0-9_-]{20,2048}+)"
)
_KEY_IN_LINES = re.compile(
    r"[a-z]{3,10}:[ \t]{0,4}\r?\n(?:[ \t]{2,40}\w[^\n]{0,100}\n){0,4}?[ \t]{2,40}key:[ \t]{1,4}"
    r"[\"']?(?P<secret>[^\s\"'\\]{10,2048}+)",
    re.I,
)
_KEY_IN_SECTION = re.compile(
    r"(?i:key)\\{0,8}[\"']\s{0,4}:\s{0,4}\\{0,8}[\"'](?P<secret>[^\s\"'\\]{10,2048}+)"
)
_OPENS = re.compile(r"[\"'](?P<name>\w{2,40})\\{0,8}[\"']\s{0,4}:\s{0,4}\Z")
_ON_A_CHAIN = re.compile(r"0x(?:[0-9a-fA-F]{40}|[0-9a-fA-F]{64})")
_CHAIN_KEY = r"0x[0-9a-fA-F]{64}"
_ACCOUNTS = re.compile(
    rf"accounts\\{{0,8}}[\"']?\s{{0,4}}[:=]\s{{0,4}}\[\s{{0,24}}\\{{0,8}}[\"']"
    rf"(?P<secret>{_CHAIN_KEY}(?:\\{{0,8}}[\"']\s{{0,4}},\s{{0,24}}\\{{0,8}}[\"']{_CHAIN_KEY}){{0,20}})"
)
_WALLET = re.compile(
    rf"(?:wallet|from_key)\(\s{{0,24}}\\{{0,8}}[\"'](?P<secret>{_CHAIN_KEY})\\{{0,8}}[\"']", re.I
)
_PAT = re.compile(
    r"(?<![A-Za-z])pat\\{0,8}[\"']?\]?[ \t]{0,24}(?:=>|:=|=|:)[ \t]{0,24}"
    r"(?:\\{0,8}(?P<quote>[\"'`]))?(?P<secret>[A-Za-z0-9]{20,200}+)(?![\w.(\[{/-])",
    re.I,
)
_SESSION = re.compile(
    r"(?:sessionid|PHPSESSID|JSESSIONID|connect\.sid|laravel_session)\\{0,8}[\"']?\]?\s{0,4}[:=,]\s{0,4}"
    r"(?:\\{0,8}[\"'])?(?P<secret>[A-Za-z0-9%+/_.~-]{16,1000}+)"
)
_UUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


def is_on_a_chain(literal: str) -> bool:
    """Whether a literal is an address (40 hex digits), or a key or hash (64)."""
    return _ON_A_CHAIN.fullmatch(literal) is not None


def is_chain_key(literal: str) -> bool:
    """Whether a literal can be the private key of an account."""
    return re.fullmatch(_CHAIN_KEY, literal) is not None and len(set(literal.lower())) >= 9


def name_beside(key: str, mapping: Mapping[object, object], section: str) -> str:
    """The name by which the value under a key of a JSON object is judged.

    `section`: the key under which the object itself stands.
    """
    lower = key.lower()
    if key == "value":
        name = mapping.get("name", mapping.get("key"))
        return name if isinstance(name, str) else section or key
    if key in JWK_PRIVATE and "kty" in mapping:
        return "private_key"
    if lower == "key" and _is_section(section):
        return "signing_key"
    return section if section and key in ("default", "const", "example") else key


def _is_section(name: str) -> bool:
    lower = name.lower()
    return any(lower.startswith(word) for word in _SECTIONS)


def _of_jwk(text: str, at: int) -> tuple[int, int] | None:
    match = _MEMBER.match(text, at + 1)
    if match is None:
        return None
    opening = text.rfind("{", max(0, at - _AROUND), at)
    closing = text.find("}", match.end(), match.end() + _AROUND)
    whole = text[opening if opening >= 0 else at : closing if closing >= 0 else match.end()]
    return match.span("secret") if _TYPE.search(whole) else None


def _in_section(text: str, at: int) -> tuple[int, int] | None:
    match = _KEY_IN_SECTION.match(text, at + 1)
    if match is None or not is_key(match["secret"], quoted=True):
        return None
    opening = text.rfind("{", max(0, at - _BEFORE), at)
    opens = _OPENS.search(text, max(0, opening - 80), opening) if opening >= 0 else None
    return match.span("secret") if opens and _is_section(opens["name"]) else None


def _found(pattern: re.Pattern[str]) -> Find:
    def find(text: str, at: int) -> tuple[int, int] | None:
        match = pattern.match(text, at)
        return match.span("secret") if match and is_key(match["secret"], quoted=True) else None

    return find


def _of_account(pattern: re.Pattern[str]) -> Find:
    def find(text: str, at: int) -> tuple[int, int] | None:
        match = pattern.match(text, at)
        return match.span("secret") if match and is_chain_key(match["secret"][:66]) else None

    return find


def _named(pattern: re.Pattern[str]) -> Find:
    """What stands beside a name that tells of a secret in its own case alone."""

    def find(text: str, at: int) -> tuple[int, int] | None:
        match = pattern.match(text, at)
        if match is None or _UUID.fullmatch(match["secret"]):
            return None
        return match.span("secret") if is_key(match["secret"], quoted=False) else None

    return find


RULES: tuple[tuple[str, tuple[str, ...], Find], ...] = (
    (
        "private-key",
        tuple(
            f"{opening}{member}{closing}:"
            for member in sorted(JWK_PRIVATE)
            for opening, closing in (('"', '"'), ('"', '\\"'), ("'", "'"))
        ),
        _of_jwk,
    ),
    ("private-key", ("kty:",), _found(_MEMBER_BARE)),
    ("assigned", ('"key":', '"key\\":', '"key" :'), _in_section),
    ("assigned", tuple(f"{section}:" for section in sorted(_SECTIONS)), _found(_KEY_IN_LINES)),
    ("private-key", ("accounts",), _of_account(_ACCOUNTS)),
    ("private-key", ("wallet(", "from_key("), _of_account(_WALLET)),
    ("assigned", ("pat=", "pat =", "pat:", 'pat"', "pat'", "pat\\"), _named(_PAT)),
    (
        "cookie",
        ("sessionid", "phpsessid", "connect.sid", "laravel_session"),
        _named(_SESSION),
    ),
)
"""Kind, needles in lower case, and what looks from there."""
