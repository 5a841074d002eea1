"""Private keys in PEM, however they are shown.

Plain, escaped in one line, quoted line by line in code, indented, with line numbers, in a diff or a
mail, without their end, or the whole file once more in base64. The head and the end stay, so that a
reader sees what was there.
"""

from __future__ import annotations

import re

from qi_learn.redact.literals import decoded_base64
from qi_learn.redact.spans import PLACEHOLDER_HEAD

LONGEST = 40_000
_HEAD = re.compile(
    r"-----BEGIN [A-Z0-9 ]{0,30}PRIVATE KEY(?: BLOCK)?-----"
    r"|---- BEGIN SSH2 (?:ENCRYPTED )?PRIVATE KEY ----"
)
_BREAK = re.compile(r"\n|\\{1,8}n")
_MARGIN = "0-9 \t|+>:.*#/\"'`,;-"
_LINE = re.compile(
    rf"[{_MARGIN}\\r]{{0,40}}?(?P<body>[A-Za-z0-9+/]{{16,120}}={{0,2}}|[A-Za-z0-9+/]{{1,80}}={{1,2}})"
    r"[\s\"'`+,;)\\r]{0,12}"
)
_FIELD = re.compile(rf"[{_MARGIN}]{{0,20}}(?:[A-Z][A-Za-z-]{{2,20}}: .{{0,200}}|[\s\"'+]*)")
_RUN = re.compile(r"[A-Za-z0-9+/]{24,}")
_PUTTY = re.compile(
    r"Private-Lines: \d{1,3}(?:\s{1,3}|\\{1,8}n)"
    r"(?P<body>(?:[A-Za-z0-9+/=]{16,80}+(?:\s|\\{1,8}n)*+){1,200}+)"
)
_BASE64 = re.compile(r"LS0tLS1CRUdJTi[A-Za-z0-9+/]{60,}+={0,2}")


def after_its_head(text: str, at: int) -> tuple[int, int] | None:
    """The body of the key whose head says `PRIVATE KEY` at `at`."""
    head = _HEAD.search(text, max(0, at - 45), at + 30)
    if head is None or not head.start() < at < head.end():
        return None
    start = head.end()
    dashes = head[0][:5]
    end = text.find(f"{dashes}END", start, start + LONGEST)
    other = text.find(f"{dashes}BEGIN", start, end if end >= 0 else start + LONGEST)
    if other < 0 and end >= 0:
        body = text[start:end]
        held = PLACEHOLDER_HEAD in body
        runs = sum(len(run) for run in _RUN.findall(body))
        return (start, end) if runs >= 40 and not held else None
    return _without_end(text, start)


def of_putty(text: str, at: int) -> tuple[int, int] | None:
    """The private part of a key as PuTTY writes it."""
    match = _PUTTY.match(text, at)
    return match.span("body") if match else None


def in_base64(text: str, at: int) -> tuple[int, int] | None:
    """A whole file with a private key, written in base64 (as in a kubeconfig)."""
    match = _BASE64.match(text, at)
    if match is None or b"PRIVATE KEY" not in decoded_base64(text[at : at + 80]):
        return None
    return match.span()


def _without_end(text: str, start: int) -> tuple[int, int] | None:
    """The lines of a key that is cut off."""
    at, last, taken = start, start, 0
    while at < min(len(text), start + LONGEST):
        newline = _BREAK.search(text, at, at + 400)
        stop = newline.start() if newline else min(len(text), at + 400)
        line = text[at:stop]
        match = _LINE.fullmatch(line)
        if match and PLACEHOLDER_HEAD not in line:
            last, taken = at + match.end("body"), taken + len(match["body"])
        elif _FIELD.fullmatch(line) is None:
            break
        if newline is None:
            break
        at = newline.end()
    return (start, last) if taken >= 40 else None
