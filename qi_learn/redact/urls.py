"""Passwords and tokens in the authority of an URL: `scheme://user:password@host`."""

from __future__ import annotations

import re

from qi_learn.redact.literals import is_key, is_random, is_reference
from qi_learn.redact.spans import PLACEHOLDER_HEAD

_AUTHORITY = re.compile(
    r"://(?P<user>[^\s:/@\"'<>`\\]{0,200}+)(?::(?P<plain>[^\s/?#\"'<>`\\]{0,300})@)"
)
_TO_LAST_AT = re.compile(
    r"://(?P<user>[^\s:/@\"'<>`\\]{0,200}+):(?P<secret>[^\s@\"'<>`\\]{3,300}+)@(?=[A-Za-z0-9])"
)
_USER = re.compile(r"://(?P<user>[^\s:/@\"'<>`\\]{16,200}+)@(?=[A-Za-z0-9])")
_PORT = re.compile(r"\d{1,5}(?:[/?#]|$)")
_WORDS = {
    *("password", "passwd", "pass", "pwd", "secret", "changeme", "postgres", "mysql", "root"),
    *("admin", "user", "username", "example", "test", "guest", "token", "x-oauth-basic"),
    *("x-token-auth", "xxx", "***", "pw", "pwd", "your_password", "mypassword", "yourpassword"),
}


def password(text: str, at: int) -> tuple[int, int] | None:
    """What stands between the colon and the last at-sign before the host."""
    match = _AUTHORITY.match(text, at)
    if match is None:
        return _with_slash(text, at) or _user(text, at)
    if match["plain"].lower() in ("x-oauth-basic", "x-token-auth", ""):
        return _user_before(match)
    return match.span("plain") if _counts(match["plain"]) else None


def _with_slash(text: str, at: int) -> tuple[int, int] | None:
    match = _TO_LAST_AT.match(text, at)
    if match is None or _PORT.match(match["secret"]) or not is_random(match["secret"], 30):
        return None
    return match.span("secret")


def _user(text: str, at: int) -> tuple[int, int] | None:
    match = _USER.match(text, at)
    return _user_before(match) if match else None


def _user_before(match: re.Match[str]) -> tuple[int, int] | None:
    return match.span("user") if is_key(match["user"], quoted=False) else None


def _counts(secret: str) -> bool:
    """Whether the text before the at-sign is a password and no word for one."""
    return (
        len(secret) >= 3
        and secret.lower() not in _WORDS
        and PLACEHOLDER_HEAD not in secret
        and not any(sign in secret for sign in ("${", "{{", "$(", "&lt;"))
        and not (secret[0] in "{<[$%" and is_reference(secret))
        and not (secret[0] == "{" and secret[-1] == "}")
        and set(secret) - set("*x.") != set()
    )
