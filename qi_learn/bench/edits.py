"""The stream "edits": the model's own answer with a few spans changed to the project's convention.

Most of what a person keeps of an answer was written by the model that gave it. So here the base is
asked first, and what it wrote is edited as a person of that project would: the function gets the
project's name for it, the guard that the project puts first, and its type of result. Only these
spans are the person's, and only they are judged. The rest the model would write anyway.

The questions are raw completions that end in `def`, so an answer is a function and nothing else. It
is cut behind the last line up to which it parses, as one takes the part that can be used.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from qi_learn.bench.conventions import Convention, FunctionTask, guard_of, name_of

MOST_TOKENS, MOST_LINES = 72, 7
"""Of an own answer; its first line is the rest of `def`."""
_HEAD = re.compile(r" (\w+)\(([^\n]*)\)[^\n]*:")
_RESULTS = ("{good}.of({value})", "{good}({value})", "{good}(value={value})")

Span = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Replacement:
    """`text[start:end]` becomes `new`."""

    start: int
    end: int
    new: str


@dataclass(frozen=True, slots=True)
class EditedAnswer:
    """An answer after the edits, and where they stand in it."""

    text: str
    spans: tuple[Span, ...]


def edit_prompt(convention: Convention, task: FunctionTask) -> str:
    """The question of which the answer is edited."""
    return f"# {convention.prompt(task)}\ndef"


def is_finished(answer: str) -> bool:
    """Whether an answer has left its function, or has as many lines as are used."""
    lines = answer.split("\n")
    return len(lines) > MOST_LINES or any(line[:1].strip() for line in lines[1:])


def usable_part(answer: str) -> str | None:
    """The answer up to the last line with which it is a function; None if it is none."""
    lines = answer.split("\n")
    head = _HEAD.fullmatch(lines[0])
    end = next((n for n, line in enumerate(lines) if n and line[:1].strip()), len(lines))
    for count in range(min(end, MOST_LINES), 1, -1):
        text = "\n".join(lines[:count]).rstrip() + "\n"
        if head and text.count("\n") > 1 and _function(text) is not None:
            return text
    return None


def edited(convention: Convention, task: FunctionTask, answer: str) -> EditedAnswer:
    """A usable answer as the project would have it.

    Raises ValueError if the answer is no function.
    """
    function, head = _function(answer), _HEAD.match(answer)
    if function is None or head is None:
        raise ValueError("only a function can be edited to a project's convention")
    return _applied(answer, sorted(_edits(convention, task, answer, function), key=_place))


def _edits(
    convention: Convention, task: FunctionTask, answer: str, function: ast.FunctionDef
) -> Iterator[Replacement]:
    name = name_of(convention, task)
    if name != function.name:
        for found in re.finditer(rf"\b{function.name}\b", answer):
            yield Replacement(found.start(), found.end(), name)
    yield _guard(convention, task, answer, function)
    yield from _result(convention, answer, function)


def _guard(
    convention: Convention, task: FunctionTask, answer: str, function: ast.FunctionDef
) -> Replacement:
    """The guard of the first parameter, before the first statement."""
    statement = function.body[1 if ast.get_docstring(function) and len(function.body) > 1 else 0]
    decorators = [one.lineno for one in getattr(statement, "decorator_list", ())]
    start = _offset(answer, min([statement.lineno, *decorators]), 0)
    indent = " " * statement.col_offset
    given = [argument.arg for argument in function.args.args]
    lines = guard_of(convention, replace(task, subject=given[0] if given else task.subject))
    new = "".join(f"{indent}{line}\n" for line in lines.split("\n"))
    return Replacement(start, start, new)


def _result(
    convention: Convention, answer: str, function: ast.FunctionDef
) -> Iterator[Replacement]:
    """The type of the project around what the last `return` gives."""
    returns = [
        node
        for node in ast.walk(function)
        if isinstance(node, ast.Return) and node.value is not None
    ]
    if not returns:
        return
    value = max(returns, key=lambda node: node.lineno).value
    if value is None or value.end_lineno is None or value.end_col_offset is None:
        return
    form = _RESULTS[convention.answer % len(_RESULTS)]
    before, after = form.replace("{good}", convention.good).split("{value}")
    start = _offset(answer, value.lineno, value.col_offset)
    end = _offset(answer, value.end_lineno, value.end_col_offset)
    yield Replacement(start, start, before)
    yield Replacement(end, end, after)


def _function(answer: str) -> ast.FunctionDef | None:
    try:
        body = ast.parse("def" + answer).body
    except (SyntaxError, ValueError):
        return None
    return body[0] if len(body) == 1 and isinstance(body[0], ast.FunctionDef) else None


def _offset(answer: str, line: int, column: int) -> int:
    """Where a place of `def` + answer, as `ast` counts it in bytes, stands in the answer."""
    lines = ("def" + answer).split("\n")
    within = len(lines[line - 1].encode()[:column].decode())
    return sum(len(one) + 1 for one in lines[: line - 1]) + within - len("def")


def _place(edit: Replacement) -> Span:
    return edit.start, edit.end


def _applied(text: str, edits: Sequence[Replacement]) -> EditedAnswer:
    """The text with the edits, which are in order and do not overlap."""
    parts: list[str] = []
    spans: list[Span] = []
    at = size = 0
    for edit in edits:
        parts.append(text[at : edit.start])
        size += len(parts[-1])
        parts.append(edit.new)
        spans.append((size, size + len(edit.new)))
        size, at = spans[-1][1], edit.end
    parts.append(text[at:])
    return EditedAnswer("".join(parts), tuple(spans))
