"""Which lines of a file are code, and whether two texts differ in form alone.

Comments, docstrings and blank lines are no code. Form is white space, wrapping, kinds of quotes,
semicolons and trailing commas. Python is parsed; of other languages the usual signs of comments are
known, and what is not known counts as code.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import PurePosixPath

from qi_learn.lexer import code_tokens

_PYTHON = (".py", ".pyi")
_HASH = frozenset(
    (".rb", ".sh", ".bash", ".pl", ".yaml", ".yml", ".toml", ".r", ".R", ".exs", ".ex")
)
_BLOCK = re.compile(r"/\*.*?\*/", re.DOTALL)
_SKIPPED = (
    *(tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT),
    *(tokenize.ENCODING, tokenize.ENDMARKER),
)
_CANNOT = (SyntaxError, ValueError, RecursionError, MemoryError, tokenize.TokenError)


def code_lines(text: str, file: str) -> frozenset[int]:
    """The numbers (from 0) of the lines that hold code."""
    if PurePosixPath(file).suffix in _PYTHON:
        try:
            return frozenset(_python_lines(text))
        except _CANNOT:
            pass
    bare = _BLOCK.sub(lambda match: "\n" * match[0].count("\n"), text)
    signs = ("#",) if PurePosixPath(file).suffix in (*_PYTHON, *_HASH) else ("//", "--", "%")
    return frozenset(
        number
        for number, line in enumerate(bare.split("\n"))
        if line.strip() and not line.strip().startswith(signs)
    )


def same_form(one: str, other: str, file: str) -> bool:
    """Whether two texts are the same code: they differ in form and comments alone."""
    if PurePosixPath(file).suffix in _PYTHON:
        try:
            return _meaning(one) == _meaning(other)
        except _CANNOT:
            pass
    return _bare_tokens(one, file) == _bare_tokens(other, file)


def _python_lines(text: str) -> Iterator[int]:
    docstrings = {
        line
        for node in _documented(ast.parse(text))
        for line in range(node.lineno - 1, node.end_lineno or node.lineno)
    }
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in _SKIPPED:
            yield from (
                line for line in range(token.start[0] - 1, token.end[0]) if line not in docstrings
            )


def _documented(tree: ast.AST) -> Iterator[ast.Expr]:
    """The docstrings of a module, its classes and functions."""
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            first = node.body[0] if node.body else None
            if (
                isinstance(first, ast.Expr)
                and isinstance(first.value, ast.Constant)
                and isinstance(first.value.value, str)
            ):
                yield first


def _meaning(text: str) -> str:
    """A Python text as its syntax tree, without docstrings."""
    tree = ast.parse(text)
    for documented in _documented(tree):
        documented.value = ast.Constant("")
    return ast.dump(tree)


def _bare_tokens(text: str, file: str) -> list[str]:
    code = code_lines(text, file)
    lines = enumerate(text.split("\n"))
    return code_tokens("\n".join(line for number, line in lines if number in code))
