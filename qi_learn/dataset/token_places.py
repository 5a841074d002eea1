"""What the place of a token says in its language: lines, columns, and what stands together."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from qi_learn.dataset.code_pieces import CLOSES, OPENS, Code
from qi_learn.dataset.signs import LEAVES

_BEGIN_COMMANDS = {"do", "then", "else", "elif", "in", *"{()|&!"}
"""Behind these a command begins anyway."""
_BLOCKS = {
    *("if", "elif", "else", "for", "while", "with", "try", "except", "finally", "def", "class"),
    *("async", "match", "case"),
}
"""A statement that begins so has others in it, behind a colon."""
_OF_COMMANDS = {"do", "then", "else", "elif", "fi", "done", "esac", *"{})"}


@dataclass(frozen=True, slots=True)
class TokenPlace:
    """What a token's place says; None of anything that says nothing."""

    begins: bool | None = None
    """Whether a statement or command begins with it."""
    depth: float | None = None
    """How deep the line is that begins with it."""
    joined: bool | None = None
    """Whether it stands directly behind the token before it."""


NOWHERE = TokenPlace()
"""Of what is not code."""


def places_of(code: Code, kept: Sequence[int]) -> Iterator[tuple[int, TokenPlace]]:
    """What the places of these pieces say, each with its number; others are passed over."""
    depths = dict(_depths(_lines(code)))
    last = None
    for number in kept:
        yield number, _place(code, number, last, depths)
        last = number


def _lines(code: Code) -> Iterator[tuple[int, float]]:
    """The tokens that lines outside brackets begin with, and their columns.

    An item may stand below the key that holds it, at the same column: it counts as half a one more.
    """
    layout = code.grammar.layout
    if not layout:
        return
    brackets = "[{" if layout == "items" else OPENS
    for number in sorted(code.first):
        if number in code.quoted or _is_in(code, number, brackets):
            continue
        piece = code.pieces[number]
        start = code.text.rfind("\n", 0, piece.start) + 1
        before = code.text[start : piece.start]
        if layout == "recipes":
            yield number, int(before.startswith("\t"))
            continue
        column = len(before.expandtabs(8)) + _of_item(code, number)
        yield number, column
        if layout == "statements":
            yield from _behind(code, number, column)
        while layout == "items" and _is_item(code, number) and not code.ends_line(number):
            number += 1
            if number >= len(code.pieces):
                break
            yield number, code.pieces[number].start - start + _of_item(code, number)


def _behind(code: Code, first: int, column: float) -> Iterator[tuple[int, float]]:
    """The further statements of a line, and their columns: behind a colon they are deeper."""
    opens = code.words[first] in _BLOCKS
    for number in range(first + 1, len(code.words)):
        before = code.words[number - 1]
        if number in code.first and code.held[number] is None:
            return
        if code.held[number] is None and before == ":" and opens:
            opens, column = False, column + 0.5
            yield number, column
        elif code.held[number] is None and before == ";":
            yield number, column


def _is_item(code: Code, number: int) -> bool:
    piece = code.pieces[number]
    return piece.text == "-" and code.text[piece.end : piece.end + 1] in ("", " ", "\n")


def _of_item(code: Code, number: int) -> float:
    return 0.5 if code.grammar.layout == "items" and _is_item(code, number) else 0


def _place(code: Code, number: int, last: int | None, depths: Mapping[int, float]) -> TokenPlace:
    grammar, depth = code.grammar, depths.get(number)
    begins = joined = None
    if last is not None and number not in code.quoted:
        begins = _begins(code, number, last) if grammar.newlines else None
        joined = _joined(code, number, last) if grammar.spaces is not None else None
    return NOWHERE if begins is depth is joined is None else TokenPlace(begins, depth, joined)


def _begins(code: Code, number: int, last: int) -> bool | None:
    if code.grammar.newlines == "return":
        return code.ends_line(number - 1) if code.words[number - 1] in LEAVES else None
    if code.grammar.newlines == "commands":
        return _begins_command(code, number, last)
    if code.words[last] == ":" or code.held[number] is not None or code.words[number] in CLOSES:
        return None  # what stands behind a colon may stand on the next line as well
    return number in code.first or code.words[number - 1] == ";"


def _begins_command(code: Code, number: int, last: int) -> bool | None:
    before, token = code.words[last], code.words[number]
    if before in _BEGIN_COMMANDS or token in _OF_COMMANDS or ";" in (before, token):
        return None
    opened = code.held[number]
    if opened and code.words[opened] == "(" and code.words[opened - 1] == "=":
        return None  # the entries of a list
    return number in code.first or code.words[number - 1] == ";"


def _joined(code: Code, number: int, last: int) -> bool | None:
    free = code.grammar.spaces or ""
    if code.grammar.layout == "items" and code.words[last] == ":" and last:
        free = "" if code.words[last - 1][0] not in "\"'}]" else free  # a key has a space behind it
    if code.words[last] in free or code.words[number] in free or _in_sum(code, number):
        return None
    return code.pieces[last].end == code.pieces[number].start


def _in_sum(code: Code, number: int) -> bool:
    """Whether a token stands in double parentheses, in which a shell calculates."""
    opened = code.held[number]
    while opened is not None:
        outer = code.held[opened]
        if outer == opened - 1 and code.words[opened] == code.words[outer] == "(":
            return True
        opened = outer
    return False


def _is_in(code: Code, number: int, brackets: str) -> bool:
    """Whether a token stands in one of these brackets."""
    opened = code.held[number]
    while opened is not None:
        if code.words[opened] in brackets:
            return True
        opened = code.held[opened]
    return False


def _depths(lines: Iterator[tuple[int, float]]) -> Iterator[tuple[int, float]]:
    """How deep each line is, by the columns of those before it."""
    above: list[tuple[float, float]] = []
    for number, column in lines:
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
