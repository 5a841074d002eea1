"""The tokens of code that count when a suggestion is compared with what stands in a file.

The invariant: what a formatter does leaves them as they are. White space, comments, the kind of
quotation marks, semicolons, trailing commas, backslashes at a line's end and parentheses that only
wrap are set aside, in every language by the same rules and without running any program.

Not covered: quotes that a formatter takes from the keys of an object, strings that are split or
joined, imports that are sorted.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

# Texts come first, so that a comment sign inside one is not a comment. `//` is one at the start of
# a line or behind `;{}` only: elsewhere it divides. `#include`, `#[derive]` and `this.#rows` are
# code, and so is `#rows = []` at the start of a line.
_TOKEN = re.compile(
    r"(?P<triple>\"{3}|'{3})"
    r"|(?P<text>\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\\n])*')"
    r"|(?P<comment>/\*.*?\*/|(?:^|(?<=[;{}]))[ \t]*//[^\n]*"
    r"|(?:^|(?<=\s))\#(?!(?:include|define|undef|pragma|if|ifdef|ifndef|elif|else|endif)\b|!?\["
    r"|[\w$]+\s?[:;=(?!])[^\n]*)"
    r"|(?P<wrap>\\(?=[ \t]*(?:\n|\Z)))"
    r"|(?P<prefix>\b[rRbBuUfF]{1,2}(?=[\"']))"
    r"|[^\W\d]\w*|\d[\w.]*|=>|[^\s\w]",
    re.MULTILINE | re.DOTALL,
)
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


_WORD = re.compile(r"\w+")


@dataclass(frozen=True, slots=True)
class PlacedToken:
    """A token, and where it stands in its text (characters)."""

    text: str
    """As `code_tokens` has it; of a word in a comment the word behind a `#` and a space."""
    start: int
    end: int

    @property
    def in_comment(self) -> bool:
        """Whether it is a word of a comment."""
        return self.text.startswith("# ")


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
    for token, line, _ in _counted("\n".join(lines), []):
        counted[line].append(token)
    return counted


def placed_tokens(text: str) -> list[PlacedToken]:
    """The tokens that count, and the words of comments, each with its place, in order."""
    comments: list[re.Match[str]] = []
    tokens = [
        PlacedToken(token, mark.start(), mark.end()) for token, _, mark in _counted(text, comments)
    ]
    words = [
        PlacedToken(
            f"# {word.group()}", comment.start() + word.start(), comment.start() + word.end()
        )
        for comment in comments
        for word in _WORD.finditer(comment.group())
    ]
    return sorted([*tokens, *words], key=lambda token: token.start) if words else tokens


def _counted(text: str, comments: list[re.Match[str]]) -> Iterator[tuple[str, int, re.Match[str]]]:
    """The tokens that count, each with its line and its match; `comments` takes those found."""
    found: list[str] = []
    places: list[int] = []
    marks: list[re.Match[str]] = []
    line = last = 0
    for mark in _TOKEN.finditer(text):
        kind, start = mark.lastgroup, mark.start()
        line += text.count("\n", last, start)
        last = start
        if kind == "comment":
            comments.append(mark)
        elif kind != "wrap" and (token := _spelt(mark.group(), kind)):
            found.append(token)
            places.append(line)
            marks.append(mark)
    aside = _aside(found, places)
    for i, (token, place, mark) in enumerate(zip(found, places, marks, strict=True)):
        if i not in aside and token != ";":
            yield token, place, mark


def _spelt(token: str, kind: str | None) -> str:
    """A token as every formatter would write it; empty if it says nothing."""
    if kind == "text":
        return '"' + token[1:-1].replace("\\'", "'").replace('\\"', '"') + '"'
    if kind == "triple":
        return '"""'
    if kind == "prefix":
        return token.lower().replace("u", "")
    return token.lower() if token[0].isdigit() else token


def _aside(tokens: Sequence[str], places: Sequence[int]) -> set[int]:
    """The numbers of trailing commas and of parentheses that only wrap."""
    aside: set[int] = set()
    opened: list[_Open] = []
    for i, token in enumerate(tokens):
        if token in _OPENS:
            opened.append(_Open(i))
        elif token == "," and opened:
            opened[-1].commas += 1
        if token in _AFTER_COMMA and i and tokens[i - 1] == ",":
            aside.add(i - 1)
        if token in _CLOSES and opened and _OPENS[tokens[opened[-1].at]] == token:
            group = opened.pop()
            if token == ")" and _wraps(tokens, places, group, i):
                aside |= {group.at, i}
    return aside


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
