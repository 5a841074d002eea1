"""What of its layout and its signs means something in a language, and what a formatter may change.

The invariant: only what is known is claimed. In a language that is not known everything that some
formatter changes somewhere says nothing, as the tracker has it (`qi_learn/lexer.py`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import Literal


@dataclass(frozen=True, slots=True)
class Grammar:
    """The rules of a language, as far as they tell a change of meaning from one of form."""

    quotes: str | None = ""
    """The characters that the two kinds of quotation marks read differently; None: the kinds
    themselves mean different things, as a character and a text in C.
    """
    layout: Literal["", "statements", "columns", "items", "recipes"] = ""
    """What the white space before a line says: nothing, which block a statement is in (as in
    Python, or by columns alone), the same with items of a list, or that it is a recipe.
    """
    ends: Literal["free", "all", "rust", "script", "rules", "between", "commands"] = "free"
    """Which semicolons say something: none, all; all but those behind a `return`; those without
    which lines would be read together; all but the last of a block; of a text; or they separate
    commands, as line ends do.
    """
    newlines: Literal["", "statements", "commands", "return"] = ""
    """Which line ends say something: none, those outside brackets, those that separate commands,
    those behind a `return`.
    """
    spaces: str | None = None
    """The signs around which white space says nothing, if it does elsewhere; None: nowhere."""
    wraps: Literal["all", "optional", "expressions", "none"] = "all"
    """Which parentheses a formatter puts there or takes away: as the lexer has it; the same, if
    the meaning stays; not those of conditions, which the language asks for; none.
    """
    trailing: Literal["all", "tuples", "none"] = "all"
    """Which trailing commas say nothing: all, all but those that make a tuple, none."""
    lifetimes: bool = False
    """Whether a quotation mark may stand before a name."""


_C = Grammar(quotes=None, ends="all", wraps="expressions")
_SCRIPT = Grammar(ends="script", newlines="return", wraps="expressions")
_COMMANDS = Grammar(
    quotes="$`\\!", ends="commands", newlines="commands", spaces="|&;<>()", wraps="none"
)
_COMMANDS = replace(_COMMANDS, trailing="none")
_COLUMNS = Grammar(layout="columns", wraps="optional")
_ENTRIES = Grammar(quotes="\\", ends="all", newlines="statements", wraps="none")
_GRAMMARS: dict[str, Grammar] = {
    "python py pyi python3 gd gdscript starlark bzl": Grammar(
        layout="statements", newlines="statements", wraps="optional", trailing="tuples"
    ),
    "javascript js jsx mjs cjs node typescript ts tsx mts cts vue svelte": _SCRIPT,
    "go golang": Grammar(quotes=None, newlines="return", wraps="optional"),
    "rust rs": Grammar(
        quotes=None, ends="rust", wraps="optional", trailing="tuples", lifetimes=True
    ),
    "c h cpp c++ cc cxx hpp hh hxx java csharp c# cs objective-c m zig": _C,
    "kotlin kt kts scala swift": Grammar(quotes=None, wraps="optional"),
    "php": replace(_C, quotes="$\\"),
    "dart": replace(_C, quotes=""),
    "ruby rb crystal cr": Grammar(quotes="#\\", wraps="none"),
    "perl pl pm": Grammar(quotes="$@\\", ends="rules", wraps="none"),
    "shell sh bash zsh ksh dockerfile env": _COMMANDS,
    "makefile make mk": replace(
        _COMMANDS, layout="recipes", ends="all", newlines="statements", spaces="|&;<>()=:+?,"
    ),
    "yaml yml": replace(_ENTRIES, layout="items", newlines="", spaces="{}[],"),
    "toml ini cfg conf properties": _ENTRIES,
    "json": Grammar(quotes=None, ends="all", wraps="none", trailing="none"),
    "sql mysql postgresql sqlite psql": Grammar(
        quotes=None, ends="between", wraps="none", trailing="none"
    ),
    "css scss less": Grammar(ends="rules", spaces="{}(),;>+~:!=/*", wraps="none"),
    "nim fsharp fs fsx haskell hs elm purescript": replace(_COLUMNS, quotes=None),
    "coffeescript coffee": replace(_COLUMNS, quotes="#\\"),
    "sass stylus styl pug haml slim": replace(_COLUMNS, wraps="none"),
    "lisp clojure clj scheme scm racket elisp el": replace(_ENTRIES, quotes=None, newlines=""),
}
_BY_NAME = {name: grammar for names, grammar in _GRAMMARS.items() for name in names.split()}
_ANY = Grammar()


def grammar_of(language: str | None) -> Grammar:
    """The rules of a language, as a fence or the end of a file's name calls it.

    Some fences name a file, alone or behind the language.
    """
    called, _, file = (language or "").partition(":")
    name = called.lower() if called.lower() in _BY_NAME else named_by(file or called)
    return _BY_NAME.get(name or "", _ANY)


def named_by(file: str | None) -> str | None:
    """What the name of a file says of its language; None if nothing."""
    if not file:
        return None
    path = PurePosixPath(file.replace("\\", "/"))
    name = (path.suffix[1:] or path.name.lstrip(".")).lower()
    return name if name in _BY_NAME else None
