"""Syntax trees of source texts, by the grammars that are installed.

The invariant: Python's grammar is always there. Those of the other languages come with the extra
`languages`; without them, as for every language that has none here, no tree is known, and nobody
takes that for an error in the text.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tree_sitter import Node, Parser

_GRAMMARS = {
    "python": ("tree_sitter_python", "language"),
    "javascript": ("tree_sitter_javascript", "language"),
    "typescript": ("tree_sitter_typescript", "language_typescript"),
    "tsx": ("tree_sitter_typescript", "language_tsx"),
    "go": ("tree_sitter_go", "language"),
    "rust": ("tree_sitter_rust", "language"),
    "java": ("tree_sitter_java", "language"),
    "c": ("tree_sitter_c", "language"),
    "cpp": ("tree_sitter_cpp", "language"),
}
"""The package and the function that give a language's grammar."""
_CALLED = {
    "python": "py pyi python3",
    "javascript": "js jsx mjs cjs node",
    "typescript": "ts mts cts",
    "tsx": "",
    "go": "golang",
    "rust": "rs",
    "java": "",
    "c": "",
    "cpp": "c++ cc cxx hpp hh hxx h",
}
"""What else a fence calls the language, and what its files end with. A `.h` may be of C or C++."""
_LANGUAGES = {
    name: language for language, names in _CALLED.items() for name in (language, *names.split())
}


def language_of(name: str | None, file: str | None = None) -> str | None:
    """The language that a fence names, or a file's name ends with; None if it is not known here."""
    suffix = PurePosixPath(file).suffix[1:] if file else ""
    return _LANGUAGES.get((name or suffix).lower())


def tree(text: str, language: str | None) -> Node | None:
    """The root of a text's syntax tree; None without a grammar."""
    parser = None if language is None else _parser(language)
    return None if parser is None else parser.parse(text.encode("utf-8", "replace")).root_node


def has_error(text: str, language: str | None) -> bool | None:
    """Whether a text does not parse; None without a grammar."""
    root = tree(text, language)
    return None if root is None else root.has_error


def without_grammar() -> list[str]:
    """The languages known here whose grammar is not installed."""
    return [name for name, (package, _) in _GRAMMARS.items() if find_spec(package) is None]


@cache
def _parser(language: str) -> Parser | None:
    from tree_sitter import Language, Parser

    package, grammar = _GRAMMARS[language]
    try:
        return Parser(Language(getattr(import_module(package), grammar)()))
    except ImportError:
        return None
