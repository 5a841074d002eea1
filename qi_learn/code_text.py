"""Text of answers: where the code is, and how alike two pieces of code are.

Also how to put the kept code in the place of the suggested. One definition of "code of an answer"
serves capture (what was suggested), data set (what is learned) and gate (what is compared).
"""

from __future__ import annotations

import ast
import keyword
import re
from collections.abc import Sequence
from dataclasses import dataclass

from rapidfuzz.distance import Levenshtein

from qi_learn.lexer import code_tokens

_FENCE = re.compile(
    r"^(?P<indent>[ \t]*)(?P<ticks>`{3,}|~{3,})[ \t]*(?P<info>[^\n`]*)$", re.MULTILINE
)
_PYTHON_IS_CALLED = (None, "python", "py", "python3")
_PYTHON = frozenset(keyword.kwlist)
_KEYWORDS = """
    abstract async await bool boolean break case catch char class const continue default defer
    delete double elif else elsif end enum export extends extern false final finally float for
    foreach func function goto impl implements import instanceof int interface let long match mod
    module mut namespace new nil none null operator override package private protected pub public
    return self short signed sizeof static struct super switch template then this throw throws
    trait true try type typedef typeof undefined union unless unsafe unsigned until use using var
    virtual void volatile where while with yield
"""
_ELSEWHERE = frozenset(_KEYWORDS.split())
"""Keywords of the languages that are not Python, all together: hardly one of them is a name."""


@dataclass(frozen=True, slots=True)
class Block:
    """A piece of code in an answer: `answer[start:end] == text`."""

    start: int
    end: int
    text: str
    language: str | None
    closed: bool = True
    """False if the fence was never closed: the answer was cut."""


def code_blocks(answer: str) -> tuple[Block, ...]:
    """The fenced blocks of an answer.

    An answer without a fence that parses as Python is one block (contracts 7).
    """
    blocks: list[Block] = []
    opened: re.Match[str] | None = None
    for mark in _FENCE.finditer(answer):
        if opened is None:
            opened = mark
        elif (
            mark["ticks"][0] == opened["ticks"][0]
            and len(mark["ticks"]) >= len(opened["ticks"])
            and not mark["info"].strip()
        ):
            blocks.append(_block(answer, opened, mark.start(), closed=True))
            opened = None
    if opened is not None and opened.end() < len(answer):
        blocks.append(_block(answer, opened, len(answer), closed=False))
    if not blocks and looks_like_code(answer):
        blocks.append(Block(0, len(answer), answer, "python"))
    return tuple(b for b in blocks if b.text.strip())


def _block(answer: str, opened: re.Match[str], end: int, *, closed: bool) -> Block:
    start = min(opened.end() + 1, end)
    text = answer[start:end]
    words = opened["info"].split()
    return Block(start, end, text, words[0].lower() if words else None, closed)


def looks_like_code(text: str) -> bool:
    """Whether the whole text parses as Python and is more than a bare word or number."""
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return any(
        not (
            isinstance(node, ast.Expr)
            and isinstance(node.value, (ast.Name, ast.Constant, ast.Tuple))
        )
        for node in tree.body
    )


def parses(text: str, language: str | None) -> bool | None:
    """Whether the code parses; None for a language that this module does not know."""
    if language not in _PYTHON_IS_CALLED:
        return None
    try:
        ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return True


def with_code(
    answer: str, blocks: Sequence[Block], kept: Sequence[str]
) -> tuple[str, tuple[tuple[int, int], ...]]:
    """The answer with each block's text replaced, and the spans (start, end) of the code in it.

    Unclosed fences are closed. `kept[i]` takes the place of `blocks[i]`. Raises ValueError if the
    two differ in length.
    """
    parts: list[str] = []
    spans: list[tuple[int, int]] = []
    at = length = 0
    for block, text in zip(blocks, kept, strict=True):
        text = text if text.endswith("\n") or not block.text.endswith("\n") else text + "\n"
        if not block.closed:
            text = text.rstrip("\n") + "\n"
        before = answer[at : block.start]
        parts += [before, text]
        length += len(before)
        spans.append((length, length + len(text)))
        length += len(text)
        at = block.end
        if not block.closed:
            parts.append("```")
            length += 3
    parts.append(answer[at:])
    return "".join(parts), tuple(spans)


def indentation(code: str) -> str:
    """The white space before the first line that is not blank."""
    first = next((line for line in code.split("\n") if line.strip()), "")
    return first[: len(first) - len(first.lstrip())]


def reindent(code: str, indent: str) -> str:
    """The code moved so that its first line stands at `indent`.

    Every line that starts with the first line's own indentation moves along; a line that does not
    (text of a string that reaches further to the left) stays where it is, and so do blank lines.
    Code that already stands there comes back unchanged.
    """
    own = indentation(code)
    if own == indent:
        return code
    return "\n".join(
        indent + line[len(own) :] if line.strip() and line.startswith(own) else line
        for line in code.split("\n")
    )


def similarity(left: str, right: str) -> float:
    """Edit similarity of two pieces of code over what counts of them (`lexer.py`).

    1 - Levenshtein / longer length; 1.0 for two empty ones.
    """
    return tokens_similarity(code_tokens(left), code_tokens(right))


def tokens_similarity(left: Sequence[str], right: Sequence[str]) -> float:
    """The same of tokens."""
    return float(Levenshtein.normalized_similarity(left, right)) if left or right else 1.0


def identifiers(text: str, language: str | None = None) -> set[str]:
    """Names used in code: words of at least three letters that are no keywords of its language."""
    keywords = _PYTHON if language in _PYTHON_IS_CALLED else _ELSEWHERE
    words = (t for t in code_tokens(text) if len(t) > 2 and (t[0].isalpha() or t[0] == "_"))
    return {word for word in words if word not in keywords}


def is_keyword(word: str) -> bool:
    """Whether a word is a keyword of some language, so that hardly anything is named so."""
    return word in _PYTHON or word in _ELSEWHERE


def loops(text: str, *, span: int = 40, times: int = 3) -> bool:
    """Whether the end of the text repeats itself at least `times` times.

    The pieces that repeat have up to `span` tokens.
    """
    tokens = text.split()
    for size in range(1, min(span, len(tokens) // times) + 1):
        tail = tokens[-size:]
        need = max(times, 12 // size + 1)
        if len(tokens) >= size * need and all(
            tokens[-size * (k + 1) : len(tokens) - size * k] == tail for k in range(need)
        ):
            return True
    return False
