"""Which signs of a text say something in its language, and which a formatter may change."""

from __future__ import annotations

import keyword
import re
from collections.abc import Iterator
from itertools import pairwise

from qi_learn.dataset.code_pieces import Code
from qi_learn.lexer import set_aside

_NAME = re.compile(r"[^\W\d]\w*")
_KEYWORDS = frozenset(keyword.kwlist) | {"match", "let", "mut", "case"}
_BINARY = frozenset("+-*/%@<>=!&|^.([?`") | {"and", "or", "is", "in", "not"}
"""What goes on with an expression behind a parenthesis that closes."""
_LOOSE = frozenset("+-*/%@<>=!&|^?:,~") | {"and", "or", "is", "in", "not", "if", "else", "lambda"}
"""What binds less than a `not` in front of it may."""
_CONDITIONS = {"if", "elif", "while", "switch", "for"}
LEAVES = {"return", "break", "continue", "throw", "yield"}


def aside(code: Code) -> set[int]:
    """The numbers of the pieces that a formatter could put there or take away."""
    found, grammar = set_aside(code.pieces), code.grammar
    numbers = {n for pair in found.pairs if _only_wraps(code, *pair) for n in pair}
    numbers |= {n for n in found.commas if not _comma_counts(code, n)}
    numbers |= {n for n, token in enumerate(code.words) if token == ";" and not _ends(code, n)}
    if grammar.ends == "script":
        numbers |= {n for pair in _clear_conjunctions(code) for n in pair}
        numbers |= set(_of_one_parameter(code)) | set(_leading_bars(code))
    if grammar.ends == "rust":
        numbers |= set(_of_arms(code))
    if grammar.layout == "statements":
        numbers |= set(_of_imports(code))
    return numbers - code.quoted


def _of_imports(code: Code) -> Iterator[int]:
    """The parentheses around what is imported."""
    for opened, token in enumerate(code.words):
        if token == "(" and opened and code.words[opened - 1] == "import":
            yield opened
            yield from code.closing(opened)


def _of_one_parameter(code: Code) -> Iterator[int]:
    """The parentheses around the only parameter of an arrow function."""
    for opened, token in enumerate(code.words):
        if token == "(" and code.words[opened + 2 : opened + 5] == [",", ")", "=>"]:
            yield from (opened, opened + 3)


def _leading_bars(code: Code) -> Iterator[int]:
    """What stands before the first of several types."""
    before = {"=", ":", "<", ",", "(", "extends"}
    for number, (left, token) in enumerate(pairwise(code.words), start=1):
        if token in "|&" and left in before and code.after(number) not in "|&":
            yield number


def _of_arms(code: Code) -> Iterator[int]:
    """The commas between the arms of a match, and braces around a value alone."""
    matches = {code.held[n] for n, token in enumerate(code.words) if token == "=>"}
    for number, token in enumerate(code.words):
        if token == "," and code.held[number] in matches - {None}:
            yield number
        if token == "{" and number and code.words[number - 1] in ("=>", "|"):
            for closed in code.closing(number):
                within = [code.words[n] for n in code.within(number, closed)]
                if within and not {";", "let", ","} & set(within):
                    yield from (number, closed)


def _ends(code: Code, number: int) -> bool:
    """Whether a semicolon says something."""
    ends = code.grammar.ends
    if ends == "rust":
        return code.statement(number) not in LEAVES
    if ends == "script":
        return _divides(code, number)
    if ends == "rules":
        return code.after(number) not in ("", "}")
    if ends == "between":
        return code.after(number) != ""
    if ends == "commands":  # `;;` is one sign
        at = code.pieces[number].start
        return ";" in code.text[at + 1 : at + 2] or code.text[at - 1 : at] == ";"
    return ends == "all"


def _divides(code: Code, number: int) -> bool:
    """Whether a script without this semicolon would be read in another way."""
    holder, after = code.held[number], code.after(number)
    if holder is not None and code.words[holder] == "(":
        return True
    if code.words[number - 1] == ")" and _is_condition(code, number - 1):
        return True
    beside = after and code.pieces[number + 1].line == code.pieces[number].line
    if not after or (beside and number not in code.first):
        return False
    twice = number + 2 < len(code.words) and code.words[number + 2] == after
    return after in "([`/" or (after in "+-*" and not twice)


def _is_condition(code: Code, closing: int) -> bool:
    opened = code.partner(closing)
    before = code.words[opened - 1] if opened else ""
    if before == "while":
        return opened < 2 or code.words[opened - 2] != "}"
    return before in ("if", "for")


def _comma_counts(code: Code, number: int) -> bool:
    """Whether a trailing comma makes a tuple, or another number of entries."""
    trailing, opened = code.grammar.trailing, code.held[number]
    if trailing == "all" or opened is None:
        return False
    if trailing == "none":
        return True
    commas = [n for n in code.within(opened, number + 1) if code.words[n] == ","]
    return (
        commas == [number]
        and (code.words[opened] == "[") == _is_behind_name(code, opened)
        and (code.words[opened] != "{")
    )


def _is_behind_name(code: Code, opened: int) -> bool:
    before = code.words[opened - 1] if opened else ""
    name = bool(_NAME.fullmatch(before)) and before not in _KEYWORDS
    return name or before in (")", "]", ">", "import") or before.startswith('"')


def _only_wraps(code: Code, opened: int, closed: int) -> bool:
    """Whether a pair of parentheses that wraps could be left out in this language."""
    wraps = code.grammar.wraps
    if wraps in ("all", "none"):
        return wraps == "all"
    before = code.words[opened - 1] if opened else ""
    if code.words[opened - 2 : opened - 1] == ["."] and _NAME.fullmatch(before):
        return False  # a call
    if before == "=" and code.grammar.ends == "script" and code.after(closed) == ":":
        return False  # parameters
    if before in _CONDITIONS and wraps == "expressions":
        return False
    within = [code.words[n] for n in code.within(opened, closed)]
    if before in _CONDITIONS:
        return code.after(closed) not in _BINARY - ({"in"} if before == "for" else set())
    if before == "=>":
        return within[:1] == ["<"] or ("," not in within and within[:1] != ["{"])
    if before == "not" or before == "await" or (before == "in" and not _is_loop(code, opened)):
        return not _LOOSE.intersection(within)
    if before == "assert" or (before == "=" and code.held[opened] is not None):
        return "," not in within
    return not _goes_on(code, closed)


def _is_loop(code: Code, number: int) -> bool:
    """Whether a line begins with `for`."""
    line = code.pieces[number].line
    at = number
    while at and code.pieces[at - 1].line == line:
        at -= 1
    return code.words[at] in ("for", "async")


def _goes_on(code: Code, closed: int) -> bool:
    """Whether the next line goes on with the expression that a parenthesis ends."""
    by_lines = code.grammar.newlines == "statements" and code.held[closed] is None
    return not by_lines and code.after(closed) in _BINARY


def _clear_conjunctions(code: Code) -> Iterator[tuple[int, int]]:
    """The parentheses that only make clear that an `&&` binds more than an `||` beside it."""
    for closed, token in enumerate(code.words):
        if token != ")" or (opened := code.partner(closed)) < 0:
            continue
        within = "".join(code.words[n] for n in code.within(opened, closed))
        before = "".join(code.words[max(0, opened - 2) : opened])
        after = "".join(code.words[closed + 1 : closed + 3])
        begins = before[-1:] in ("=", "(", ",", ":", ";", "{", "") or before.endswith("return")
        ends = after[:1] in (")", ",", ";", "}", "?", "") or code.ends_line(closed)
        loose = re.search(r"\|\||\?|,|(?<![=!<>])=(?!=)", within)
        beside = [before == "||" or begins, after == "||" or ends, "||" in (before, after)]
        if "&&" in within and not loose and all(beside):
            yield opened, closed


def spelt(code: Code, number: int) -> str:
    """A token with what its quotation marks say."""
    piece, quotes = code.pieces[number], code.grammar.quotes
    if piece.kind != "text":
        return piece.text
    written = code.text[piece.start : piece.end]
    if quotes is None or set(quotes) & set(written[1:-1]) or number in code.quoted:
        return written
    before = code.words[number - 1] if number else ""
    if code.grammar.layout == "items" and not _begins_scalar(code, number):
        return written
    is_key = code.grammar.ends == "script" and code.after(number) == ":" and before in ("{", ",")
    return written[1:-1] if is_key and _NAME.fullmatch(written[1:-1]) else piece.text


def _begins_scalar(code: Code, number: int) -> bool:
    """Whether a text of YAML begins here, not one that stands in another without quotes."""
    if number in code.first:
        return True
    before, holder = code.words[number - 1], code.held[number]
    in_list = holder is not None and code.words[holder] in "[{"
    return before in (":", "-", "?") or (in_list and before in (",", "[", "{"))
