"""The tokens of a text, with what their layout means in its language.

The invariant: what the language's formatters do leaves them as they are, and where a language is
known, a change that means something does not. Of an unknown language they are those of the lexer.
"""

from __future__ import annotations

import keyword
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from qi_learn.dataset.grammars import Grammar, grammar_of
from qi_learn.lexer import Lexed, lexed, set_aside

_WORD = re.compile(r"\w+")
_NAME = re.compile(r"[^\W\d]\w*")
_OPENS, _CLOSES = "([{", ")]}"

_KEYWORDS = frozenset(keyword.kwlist) | {"match", "let", "mut", "case"}
_BINARY = frozenset("+-*/%@<>=!&|^.([?`") | {"and", "or", "is", "in", "not"}
"""What goes on with an expression behind a parenthesis that closes."""
_LOOSE = frozenset("+-*/%@<>=!&|^?:,~") | {"and", "or", "is", "in", "not", "if", "else", "lambda"}
"""What binds less than a `not` in front of it may."""
_CONDITIONS = {"if", "elif", "while", "switch", "for"}
_LEAVES = {"return", "break", "continue", "throw", "yield"}
_BEGIN_COMMANDS = {"do", "then", "else", "elif", "in", *"{()|&!"}
"""Behind these a command begins anyway."""
_OF_COMMANDS = {"do", "then", "else", "elif", "fi", "done", "esac", *"{})"}


@dataclass(frozen=True, slots=True)
class Layout:
    """What a token's place says; None of anything that says nothing."""

    begins: bool | None = None
    """Whether a statement or command begins with it."""
    depth: float | None = None
    """How deep the line is that begins with it."""
    joined: bool | None = None
    """Whether it stands directly behind the token before it."""


@dataclass(frozen=True, slots=True)
class MeantToken:
    """A token, and where it stands in its text (characters)."""

    text: str
    """As every formatter would write it; of a word in a comment the word behind a `#` and a
    space.
    """
    start: int
    end: int
    layout: Layout = Layout()

    @property
    def in_comment(self) -> bool:
        """Whether it is a word of a comment."""
        return self.text.startswith("# ")


def meant_tokens(text: str, language: str | None = None) -> list[MeantToken]:
    """The tokens of a text that mean something, and the words of its comments, in order."""
    grammar = grammar_of(language)
    pieces = lexed(text, lifetimes=grammar.lifetimes)
    code = _Code(text, pieces, grammar)
    words = [
        MeantToken(f"# {word.group()}", piece.start + word.start(), piece.start + word.end())
        for piece in pieces
        if piece.kind == "comment"
        for word in _WORD.finditer(text[piece.start : piece.end])
    ]
    return sorted([*code.tokens(), *words], key=lambda token: token.start)


class _Code:
    """The pieces of a text that count, read by the rules of its language."""

    def __init__(self, text: str, pieces: Sequence[Lexed], grammar: Grammar) -> None:
        self._text, self._grammar = text, grammar
        self._pieces = [piece for piece in pieces if piece.counts]
        self._is = [piece.text for piece in self._pieces]
        self._held = list(_held(self._is))
        self._quoted = _in_long_texts(self._pieces)
        self._first = _first_of_lines(pieces)

    def tokens(self) -> Iterator[MeantToken]:
        """Those that mean something, each with what its place says."""
        aside = self._aside()
        kept = [n for n in range(len(self._pieces)) if n not in aside]
        depths = dict(_depths(self._lines(), items=self._grammar.layout == "items"))
        last = None
        for number in kept:
            piece = self._pieces[number]
            layout = self._layout(number, last, depths)
            yield MeantToken(self._spelt(number), piece.start, piece.end, layout)
            last = number

    # --- signs ------------------------------------------------------------------------------------

    def _aside(self) -> set[int]:
        found, grammar = set_aside(self._pieces), self._grammar
        aside = {n for pair in found.pairs if self._only_wraps(*pair) for n in pair}
        aside |= {n for n in found.commas if not self._comma_counts(n)}
        aside |= {n for n, token in enumerate(self._is) if token == ";" and not self._ends(n)}
        if grammar.ends == "script":
            aside |= {n for pair in self._clear_conjunctions() for n in pair}
        return aside - self._quoted if grammar.newlines == "statements" else aside

    def _ends(self, number: int) -> bool:
        """Whether a semicolon says something."""
        ends = self._grammar.ends
        if ends == "rust":
            return self._statement(number) not in _LEAVES
        if ends == "script":
            return self._divides(number)
        if ends == "rules":
            return self._after(number) not in ("", "}")
        if ends == "between":
            return self._after(number) != ""
        if ends == "commands":  # `;;` is one sign
            at = self._pieces[number].start
            return ";" in self._text[at + 1 : at + 2] or self._text[at - 1 : at] == ";"
        return ends == "all"

    def _divides(self, number: int) -> bool:
        """Whether a script without this semicolon would be read in another way."""
        holder, after = self._held[number], self._after(number)
        if holder is not None and self._is[holder] == "(":
            return True
        if self._is[number - 1] == ")" and self._is_condition(number - 1):
            return True
        if after == "" or self._pieces[number + 1].line == self._pieces[number].line:
            return False
        twice = number + 2 < len(self._is) and self._is[number + 2] == after
        return after in "([`/" or (after in "+-*" and not twice)

    def _is_condition(self, closing: int) -> bool:
        opened = self._partner(closing)
        before = self._is[opened - 1] if opened else ""
        if before == "while":
            return opened < 2 or self._is[opened - 2] != "}"
        return before in ("if", "for")

    def _statement(self, number: int) -> str:
        """The token that the statement of a semicolon begins with."""
        at = number
        while at and self._is[at - 1] not in (";", "{", "}"):
            at -= 1
        return self._is[at]

    def _comma_counts(self, number: int) -> bool:
        """Whether a trailing comma makes a tuple, or another number of entries."""
        trailing, opened = self._grammar.trailing, self._held[number]
        if trailing == "all" or opened is None:
            return False
        if trailing == "none":
            return True
        commas = [n for n in self._within(opened, number + 1) if self._is[n] == ","]
        return commas == [number] and (self._is[opened] == "[") == self._is_behind_name(opened) and (
            self._is[opened] != "{"
        )

    def _is_behind_name(self, opened: int) -> bool:
        before = self._is[opened - 1] if opened else ""
        name = bool(_NAME.fullmatch(before)) and before not in _KEYWORDS
        return name or before in (")", "]") or before.startswith('"')

    def _only_wraps(self, opened: int, closed: int) -> bool:
        """Whether a pair of parentheses that wraps could be left out in this language."""
        wraps = self._grammar.wraps
        if wraps in ("all", "none"):
            return wraps == "all"
        before = self._is[opened - 1] if opened else ""
        if before in _CONDITIONS and wraps == "expressions":
            return False
        within = [self._is[n] for n in self._within(opened, closed)]
        if before in _CONDITIONS:
            return self._after(closed) not in _BINARY - ({"in"} if before == "for" else set())
        if before == "=>":
            return within[:1] == ["<"] or ("," not in within and within[:1] != ["{"])
        if before == "not" or before == "await" or (before == "in" and not self._is_loop(opened)):
            return not _LOOSE.intersection(within)
        if before == "assert" or (before == "=" and self._held[opened] is not None):
            return "," not in within
        return not self._goes_on(closed)

    def _is_loop(self, number: int) -> bool:
        """Whether a line begins with `for`."""
        line = self._pieces[number].line
        at = number
        while at and self._pieces[at - 1].line == line:
            at -= 1
        return self._is[at] in ("for", "async")

    def _goes_on(self, closed: int) -> bool:
        """Whether the next line goes on with the expression that a parenthesis ends."""
        by_lines = self._grammar.newlines == "statements" and self._held[closed] is None
        return not by_lines and self._after(closed) in _BINARY

    def _clear_conjunctions(self) -> Iterator[tuple[int, int]]:
        """The parentheses that only make clear that an `&&` binds more than an `||` beside it."""
        for closed, token in enumerate(self._is):
            if token != ")" or (opened := self._partner(closed)) < 0:
                continue
            within = "".join(self._is[n] for n in self._within(opened, closed))
            before, after = "".join(self._is[:opened][-2:]), "".join(self._is[closed + 1 :][:2])
            at_start = before[-1:] in ("=", "(", ",", ":", ";", "{", "") or before.endswith("return")
            at_end = after[:1] in (")", ",", ";", "}", "?", "") or self._ends_line(closed)
            loose = re.search(r"\|\||\?|,|(?<![=!<>])=(?!=)", within)
            if "&&" in within and not loose and "||" in (before, after):
                if (before == "||" or at_start) and (after == "||" or at_end):
                    yield opened, closed

    def _ends_line(self, number: int) -> bool:
        following = self._pieces[number + 1 : number + 2]
        return bool(following) and following[0].line > self._pieces[number].line

    def _after(self, number: int) -> str:
        return self._is[number + 1] if number + 1 < len(self._is) else ""

    def _partner(self, closed: int) -> int:
        """The bracket that this one closes; -1 if none does."""
        holder = self._held[closed - 1] if closed else None
        if closed and self._is[closed - 1] in _OPENS:
            return closed - 1
        if holder is None or _CLOSES[_OPENS.index(self._is[holder])] != self._is[closed]:
            return -1
        return holder

    def _within(self, opened: int, closed: int) -> Iterator[int]:
        """The tokens directly between two brackets."""
        return (n for n in range(opened + 1, closed) if self._held[n] == opened)

    def _spelt(self, number: int) -> str:
        """A token with what its quotation marks say."""
        piece, quotes = self._pieces[number], self._grammar.quotes
        if piece.kind != "text":
            return piece.text
        written = self._text[piece.start : piece.end]
        if quotes is None or set(quotes) & set(written[1:-1]):
            return written
        is_key = self._grammar.ends == "script" and self._after(number) == ":"
        if is_key and _NAME.fullmatch(written[1:-1]) and self._is[number - 1 : number] != ["?"]:
            return written[1:-1]
        return piece.text

    # --- layout -----------------------------------------------------------------------------------

    def _lines(self) -> Iterator[tuple[int, int, bool]]:
        """The tokens that lines outside brackets begin with, their columns, and whether it is the
        sign of an item.
        """
        layout = self._grammar.layout
        if not layout:
            return
        brackets = "[{" if layout == "items" else _OPENS
        for number in sorted(self._first):
            if number in self._quoted or _depth_of(number, self._held, self._is, brackets):
                continue
            piece = self._pieces[number]
            start = self._text.rfind("\n", 0, piece.start) + 1
            before = self._text[start : piece.start]
            if layout == "recipes":
                yield number, int(before.startswith("\t")), False
                continue
            yield number, len(before.expandtabs(8)), self._is_item(number)
            while layout == "items" and self._is_item(number) and not self._ends_line(number):
                number += 1
                if number >= len(self._pieces):
                    break
                yield number, self._pieces[number].start - start, self._is_item(number)

    def _is_item(self, number: int) -> bool:
        piece = self._pieces[number]
        return piece.text == "-" and self._text[piece.end : piece.end + 1] in ("", " ", "\n")

    def _layout(self, number: int, last: int | None, depths: dict[int, float]) -> Layout:
        grammar = self._grammar
        if number in self._quoted or last is None:
            return Layout(depth=depths.get(number))
        return Layout(
            self._begins(number, last) if grammar.newlines else None,
            depths.get(number),
            self._joined(number, last) if grammar.spaces is not None else None,
        )

    def _begins(self, number: int, last: int) -> bool | None:
        on_next_line = self._pieces[number].line > self._pieces[last].line
        before = self._is[last]
        if self._grammar.newlines == "return":
            return on_next_line if before in _LEAVES else None
        if self._grammar.newlines == "commands":
            return self._begins_command(number, last)
        if before == ":" or self._held[number] is not None or self._is[number] in _CLOSES:
            return None  # what stands behind a colon may stand on the next line as well
        return number in self._first or self._is[number - 1] == ";"

    def _begins_command(self, number: int, last: int) -> bool | None:
        before, token = self._is[last], self._is[number]
        if before in _BEGIN_COMMANDS or token in _OF_COMMANDS or ";" in (before, token):
            return None
        opened = self._held[number]
        if opened and self._is[opened] == "(" and self._is[opened - 1] == "=":
            return None  # the entries of a list
        return number in self._first or self._is[number - 1] == ";"

    def _joined(self, number: int, last: int) -> bool | None:
        free = self._grammar.spaces or ""
        if self._is[last] in free or self._is[number] in free or self._in_sum(number):
            return None
        return self._pieces[last].end == self._pieces[number].start

    def _in_sum(self, number: int) -> bool:
        """Whether a token stands in double parentheses, in which a shell calculates."""
        opened = self._held[number]
        while opened is not None:
            outer = self._held[opened]
            if outer == opened - 1 and self._is[opened] == self._is[outer] == "(":
                return True
            opened = outer
        return False


def _held(tokens: Sequence[str]) -> Iterator[int | None]:
    """For each token the open bracket that it stands in; a closing one stands outside."""
    opened: list[int] = []
    for number, token in enumerate(tokens):
        if token in _CLOSES and opened and _CLOSES[_OPENS.index(tokens[opened[-1]])] == token:
            opened.pop()
        yield opened[-1] if opened else None
        if token in _OPENS:
            opened.append(number)


def _depth_of(
    number: int, held: Sequence[int | None], tokens: Sequence[str], brackets: str
) -> bool:
    """Whether a token stands in one of these brackets."""
    opened = held[number]
    while opened is not None:
        if tokens[opened] in brackets:
            return True
        opened = held[opened]
    return False


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
            if piece.line > line and not goes_on and piece.text not in _CLOSES:
                first.add(number)
            number, line, goes_on = number + 1, piece.line, False
    return first


def _depths(lines: Iterator[tuple[int, int, bool]], *, items: bool) -> Iterator[tuple[int, float]]:
    """How deep each line is, by the columns of those before it.

    An item may stand below the key that holds it, at the same column.
    """
    above: list[tuple[float, float]] = []
    for number, at, is_item in lines:
        column = at + (0.5 if items and is_item else 0)
        last = None
        while above and above[-1][0] > column:
            last = above.pop()
        if not above:
            depth = 0.0 if last is None else last[1] - 1
        elif above[-1][0] == column:
            depth = above.pop()[1]
        else:
            depth = above[-1][1] + (1 if last is None else 0.5)
        above.append((column, depth))
        yield number, depth


def moved(old: Sequence[MeantToken], new: Sequence[MeantToken]) -> set[int]:
    """Which of these tokens, one by one the same, stand where they mean something else."""
    depths = [_fall(was.layout, now.layout) for was, now in zip(old, new, strict=True)]
    together = len({depth for depth in depths if depth is not None}) < 2
    return {
        number
        for number, (was, now) in enumerate(zip(old, new, strict=True))
        if _differs(was.layout.begins, now.layout.begins)
        or _differs(was.layout.joined, now.layout.joined)
        or (depths[number] and not together)
    }


def _fall(was: Layout, now: Layout) -> float | None:
    return None if was.depth is None or now.depth is None else now.depth - was.depth


def _differs(was: bool | None, now: bool | None) -> bool:
    return was is not None and now is not None and was != now
