"""The tokens of code that count when a suggestion is compared with what stands in a file.

The invariant: what a formatter does leaves them as they are. White space, comments, the kind of
quotation marks, semicolons, trailing commas, backslashes at a line's end and parentheses that only
wrap are set aside, in every language by the same rules and without running any program.

Not covered: quotes that a formatter takes from the keys of an object, strings that are split or
joined, imports that are sorted.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

# Texts come first, so that a comment sign inside one is not a comment. `//` is one at the start of
# a line or behind `;{}` only: elsewhere it divides. `#include`, `#[derive]` and `this.#rows` are
# code, and so is `#rows = []` at the start of a line.
_PATTERN = (
    r"(?P<triple>\"{3}|'{3})"
    r"|(?P<text>\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\\n])*')"
    r"|(?P<comment>/\*.*?\*/|(?:^|(?<=[;{}]))[ \t]*//[^\n]*"
    r"|(?:^|(?<=\s))\#(?!(?:include|define|undef|pragma|if|ifdef|ifndef|elif|else|endif)\b|!?\["
    r"|[\w$]+\s?[:;=(?!])[^\n]*)"
    r"|(?P<wrap>\\(?=[ \t]*(?:\n|\Z)))"
    r"|(?P<prefix>\b[rRbBuUfF]{1,2}(?=[\"']))"
    r"|[^\W\d]\w*|\d[\w.]*|=>|[^\s\w]"
)
_TOKEN = re.compile(_PATTERN, re.MULTILINE | re.DOTALL)
_APOSTROPHES = r"'(?:\\.|[^'\\\n])*'"
_CHARACTER = r"'(?:\\(?:u\{[^}\n]*\}|x\w\w|.)|[^'\\\n])'"
_WITH_LIFETIMES = re.compile(_PATTERN.replace(_APOSTROPHES, _CHARACTER), re.MULTILINE | re.DOTALL)
_OPENS = {"(": ")", "[": "]", "{": "}"}
_CLOSES = frozenset(_OPENS.values())
_AFTER_COMMA = _CLOSES | {">"}
_CONDITION = {"if", "elif", "while", "switch", "for"}
"""Some languages and formatters put what follows these in parentheses, others do not."""
_STATEMENT = {"=", "return", "in", "yield", "await", "assert", "=>", "del", "with", "throw", "not"}
"""A parenthesis behind one of these wraps, if the statement ends behind it."""
_ENTRY = {",", "(", "[", ":"}
"""The same, if there is one expression in it."""
_ENDS = _CLOSES | {",", ";", ":"}


class Lexed(NamedTuple):
    """A piece of a text, and where it stands (characters; lines from 0)."""

    text: str
    """As every formatter would write it; empty if it says nothing."""
    kind: str | None
    """`comment`, `wrap` (a backslash at a line's end), `text`, `triple`, `prefix`; None: a word, a
    number or a sign.
    """
    line: int
    start: int
    end: int

    @property
    def counts(self) -> bool:
        """Whether it is code, and says something."""
        return bool(self.text) and self.kind not in ("comment", "wrap")


@dataclass(frozen=True, slots=True)
class FormattingTokens:
    """What a formatter puts there or takes away, by the numbers of tokens."""

    commas: frozenset[int]
    """Those behind the last of several."""
    pairs: tuple[tuple[int, int], ...]
    """Parentheses that only wrap what is between them."""

    @property
    def numbers(self) -> set[int]:
        """Of all its tokens."""
        return {*self.commas, *(number for pair in self.pairs for number in pair)}


@dataclass(slots=True)
class _Open:
    """An open bracket: where it stands, and the commas that belong to it."""

    at: int
    commas: int = 0


def is_comment(line: str) -> bool:
    """Whether a line by itself is blank or a comment, also a part of a longer one."""
    own = line.strip()
    within = own.startswith(("/*", "* ", "*/")) or own == "*"
    return (within and "*/" not in own[:-2]) or not code_tokens(line)


def code_tokens(text: str) -> list[str]:
    """The tokens of a text that count, in order."""
    return [token for line in tokens_by_line(text.split("\n")) for token in line]


def tokens_by_line(lines: Sequence[str]) -> list[list[str]]:
    """The tokens that count in each of these lines, which are read as one text."""
    counted: list[list[str]] = [[] for _ in lines]
    code = [piece for piece in lexed("\n".join(lines)) if piece.counts]
    aside = set_aside(code).numbers
    for number, piece in enumerate(code):
        if number not in aside and piece.text != ";":
            counted[piece.line].append(piece.text)
    return counted


def lexed(text: str, *, lifetimes: bool = False) -> list[Lexed]:
    """All pieces of a text but its white space, in order.

    `lifetimes`: whether a quotation mark may stand for itself in front of a name, as in Rust.
    """
    pieces: list[Lexed] = []
    line = last = 0
    for mark in (_WITH_LIFETIMES if lifetimes else _TOKEN).finditer(text):
        line += text.count("\n", last, mark.start())
        last = mark.start()
        token = _spelt(mark.group(), mark.lastgroup)
        pieces.append(Lexed(token, mark.lastgroup, line, mark.start(), mark.end()))
    return pieces


def _spelt(token: str, kind: str | None) -> str:
    """A token as every formatter would write it; empty if it says nothing."""
    if kind == "text":
        return '"' + token[1:-1].replace("\\'", "'").replace('\\"', '"') + '"'
    if kind == "triple":
        return '"""'
    if kind == "prefix":
        return token.lower().replace("u", "")
    return token.lower() if token[0].isdigit() else token


def set_aside(code: Sequence[Lexed]) -> FormattingTokens:
    """The trailing commas and the parentheses that only wrap, of the pieces that count."""
    tokens, lines = [piece.text for piece in code], [piece.line for piece in code]
    commas: set[int] = set()
    pairs: list[tuple[int, int]] = []
    opened: list[_Open] = []
    for i, token in enumerate(tokens):
        if token in _OPENS:
            opened.append(_Open(i))
        elif token == "," and opened:
            opened[-1].commas += 1
        if token in _AFTER_COMMA and i and tokens[i - 1] == ",":
            commas.add(i - 1)
        if token in _CLOSES and opened and _OPENS[tokens[opened[-1].at]] == token:
            group = opened.pop()
            if token == ")" and _wraps(tokens, lines, group, i):
                pairs.append((group.at, i))
    return FormattingTokens(frozenset(commas), tuple(pairs))


def _wraps(tokens: Sequence[str], places: Sequence[int], group: _Open, end: int) -> bool:
    """Whether a pair of parentheses only wraps what is in it. `(a,)` does not."""
    before = tokens[group.at - 1] if group.at else ""
    after = tokens[end + 1] if end + 1 < len(tokens) else ""
    if end == group.at + 1 or (group.commas == 1 and tokens[end - 1] == ","):
        return False
    if before in _CONDITION or (after == "=>" and end == group.at + 2):
        return True
    over = not after or after in _ENDS or places[end + 1] > places[end]
    return over and (before in _STATEMENT or (before in _ENTRY and not group.commas))
