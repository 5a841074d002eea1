"""No text makes the rules slow: runs of every needle, and lines of a megabyte."""

from __future__ import annotations

import random
import string
import time

import pytest

from qi_learn.redact import Redactor
from qi_learn.redact.redactor import _needles
from qi_learn.redact.spans import lowered

REDACTOR = Redactor(b"k" * 32)
SECONDS = 90
"""Of processor time for a megabyte, forty times what the slowest takes: quadratic work takes hours.
"""
MEGABYTE = 1_000_000
RUN, RUN_SECONDS = 5_000, 1.4
"""Characters of a run of one needle, and twenty times what the slowest takes."""
LINES = {
    "letters": "a",
    "digits": "7",
    "hex": "0123456789abcdef",
    "base64": "QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVo+",
    "quotes": "'\"`",
    "backslashes": "\\",
    "blanks": " ",
    "newlines": "\n",
    "brackets": "([{<",
    "colons": "a:b@",
    "equals": "password=",
    "quoted": 'password="',
    "name and value": '"name": "password", ',
    "terraform": '"token" { a = "b" ',
    "xml": "<password>",
    "options": " --password ",
    "begin": "-----BEGIN PRIVATE KEY-----\n",
    "begin and end": "-----BEGIN PRIVATE KEY----- -----END ",
    "jwt": "eyJ-",
    "urls": "://a:b",
    "at-signs": "://a:b/@",
    "curl": " -u a:b1",
    "mysql": "mysql -p1a",
    "netrc": "login a password ",
    "cookie": "cookie: sid=a1; ",
    "assigned": 'password = "aB3dE5fG7hJ9" ',
    "placeholders": "[REDACTED:url-password:ab12] ",
    "half placeholders": "[REDACTED:",
    "types": "token: a: b: c",
    "calls": "password(",
    "commas": '("token", ',
    "schemas": '"password": {"a": ',
    "percent": "password%3A%22",
    "percent signs": "password = %q(a",
    "entities": "password=&quot;",
    "here-documents": "password = <<E\n",
    "blocks": 'password = """\n',
    "parts": 'password = "".join(["a", "b", ',
    "defaults": "password:\n  a: b\n",
    "forms": 'name="password"\n\n',
    "CDATA": "<password><![CDATA[",
    "base64 that names one": "UEFTU1dPUkQ9",
    "web keys": '"d": "aB3dE5fG7hJ9kL1mN3pQ5", ',
    "keys": '{"jwt": {"key": "',
    "accounts": "accounts: ['0x",
    "cookies": "cookies = {'a': 'b', ",
    "parameters": "put-parameter --value a ",
    "drives": "net use \\\\a ",
    "colours": "\x1b[1m",
    "colours, escaped": "\\\\\\u001b[1",
}


def seconds(text: str) -> float:
    start = time.process_time()
    REDACTOR.text(text)
    return time.process_time() - start


@pytest.mark.parametrize("piece", LINES.values(), ids=LINES)
def test_one_line_of_the_same(piece: str) -> None:
    """A megabyte; a quarter of one where each piece calls a rule, which is the same by its law."""
    size = MEGABYTE if len(piece) < 6 else MEGABYTE // 4
    assert seconds(piece * (size // len(piece))) < SECONDS


def test_runs_of_every_needle() -> None:
    rng = random.Random(3)
    needles = sorted(_needles().words)
    assert len(needles) > 200
    for needle in needles:
        joint = rng.choice(["", rng.choice(string.ascii_letters), *" =:\"'"])
        assert seconds((needle + joint) * (RUN // (len(needle) + 1))) < RUN_SECONDS


def test_noise_of_needles() -> None:
    rng = random.Random(5)
    pieces = [*sorted(_needles().words), *"\"'`\\ \n=:,(){}[]<>@/.-_aZ9"]
    assert seconds("".join(rng.choices(pieces, k=30_000))) < SECONDS


def test_lower_case_keeps_every_character_at_its_place() -> None:
    every = "".join(map(chr, [*range(0xD800), *range(0xE000, 0x110000)]))
    assert len(lowered(every)) == len(every)
