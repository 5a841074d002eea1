"""The pieces of a text that count, and the brackets and lines that they stand in."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from qi_learn.dataset.grammars import Grammar
from qi_learn.lexer import Lexed

OPENS, CLOSES = "([{", ")]}"


class Code:
    """The pieces of a text that count, by their numbers."""

    def __init__(self, text: str, pieces: Sequence[Lexed], grammar: Grammar) -> None:
        self.text, self.grammar = text, grammar
        self.pieces = [piece for piece in pieces if piece.counts]
        self.words = [piece.text for piece in self.pieces]
        self.held = list(_held(self.words))
        """For each the open bracket that it stands in; a closing one stands outside."""
        self.quoted = self._quoted()
        """Those within a text of several lines: there no sign is a formatter's."""
        self.first = _first_of_lines(pieces)

    def _quoted(self) -> set[int]:
        if self.grammar.newlines == "statements":
            return _in_long_texts(self.pieces)
        if self.grammar.ends != "script":
            return set()
        marks = [number for number, word in enumerate(self.words) if word == "`"]
        spans = zip(marks[::2], marks[1::2], strict=False)
        return {n for a, b in spans for n in range(a + 1, b) if not self._is_expression(n)}

    def _is_expression(self, number: int) -> bool:
        """Whether a token in a template is code: in `${...}`."""
        opened = self.held[number]
        while opened is not None:
            if self.words[opened - 1 : opened + 1] == ["$", "{"]:
                return True
            opened = self.held[opened]
        return False

    def after(self, number: int) -> str:
        return self.words[number + 1] if number + 1 < len(self.words) else ""

    def partner(self, closed: int) -> int:
        """The bracket that this one closes; -1 if none does."""
        holder = self.held[closed - 1] if closed else None
        if closed and self.words[closed - 1] in OPENS:
            return closed - 1
        if holder is None or CLOSES[OPENS.index(self.words[holder])] != self.words[closed]:
            return -1
        return holder

    def within(self, opened: int, closed: int) -> Iterator[int]:
        """The tokens directly between two brackets."""
        return (n for n in range(opened + 1, closed) if self.held[n] == opened)

    def closing(self, opened: int) -> Iterator[int]:
        """The bracket that closes this one, if one does."""
        held = self.held[opened]
        closed = (n for n in range(opened + 1, len(self.words)) if self.held[n] == held)
        first = next(closed, None)
        if first is not None and self.words[first] in CLOSES:
            yield first

    def statement(self, number: int) -> str:
        """The token that the statement of a semicolon begins with."""
        at = number
        while at and self.words[at - 1] not in (";", "{", "}"):
            at -= 1
        return self.words[at]

    def ends_line(self, number: int) -> bool:
        following = self.pieces[number + 1 : number + 2]
        return bool(following) and following[0].line > self.pieces[number].line


def _held(tokens: Sequence[str]) -> Iterator[int | None]:
    """For each token the open bracket that it stands in; a closing one stands outside."""
    opened: list[int] = []
    for number, token in enumerate(tokens):
        if token in CLOSES and opened and CLOSES[OPENS.index(tokens[opened[-1]])] == token:
            opened.pop()
        yield opened[-1] if opened else None
        if token in OPENS:
            opened.append(number)


def _in_long_texts(pieces: Sequence[Lexed]) -> set[int]:
    """The tokens between two marks of three, and the second of the marks."""
    marks = [number for number, piece in enumerate(pieces) if piece.kind == "triple"]
    return {n for a, b in zip(marks[::2], marks[1::2], strict=False) for n in range(a + 1, b + 1)}


def _first_of_lines(pieces: Sequence[Lexed]) -> set[int]:
    """The first token of each line that does not go on with the one before it."""
    first: set[int] = set()
    number, line, goes_on = 0, -1, False
    for piece in pieces:
        if piece.kind == "wrap":
            goes_on = True
        elif piece.counts:
            if piece.line > line and not goes_on and piece.text not in CLOSES:
                first.add(number)
            number, line, goes_on = number + 1, piece.line, False
    return first
