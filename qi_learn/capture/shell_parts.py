"""The commands of a line that was typed in bash, zsh or fish, and what stands between them.

Only what is certain is read: commands with `;`, `&&` and `|` between them, quotes, variables,
redirections. A line with anything else (substitutions, groups, `!`, `||`, `&`, loops, several
lines) is not read at all.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Shell = Literal["bash", "zsh", "fish"]
"""What a line was typed in."""


@dataclass(frozen=True, slots=True)
class Part:
    """One command of a line."""

    text: str
    """As it was typed."""
    bare: str
    """The same with each quoted character as Q, and what is written to /dev/null left out."""
    word: str
    """What the shell runs: the first word behind `time` and assignments."""


@dataclass(frozen=True, slots=True)
class Parts:
    """A line that was read: at least one command, and one operator fewer."""

    parts: tuple[Part, ...]
    ops: str
    """One of `;`, `|` and AND for each."""


AND = "\x01"
"""How `&&` stands in a bare line, as often as it has letters; once among the operators."""
_POSIX_QUOTED = re.compile(r"""'[^']*'|"(?:[^"\\`]|\\.)*"|\\.""")
_QUOTED = {
    "bash": _POSIX_QUOTED,
    "zsh": _POSIX_QUOTED,
    "fish": re.compile(r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|\\."""),
}
_POSIX_WITHIN = re.compile(r"\$[({]")
_WITHIN = {"bash": _POSIX_WITHIN, "zsh": _POSIX_WITHIN, "fish": re.compile(r"[(\[]")}
"""What is not read between double quotes with a `$`."""
_POSIX_UNREAD = re.compile(r"""[`(){}!'"\\\n\x01]|<<|\|\||\|&|;;|(?:^|[\s;|&])#""")
_UNREAD = {
    "bash": _POSIX_UNREAD,
    "zsh": _POSIX_UNREAD,
    "fish": re.compile(r"""[`(){}!'"\\\n\x01]|\$.*\[|\|\||&\||>\||;;|(?:^|[\s;|&])#"""),
}
"""What makes a line one that is not read, outside of quotes."""
_HARMLESS = re.compile(
    r"(?:(?<!\S)[0-9])?(?<!&)(?:>&[0-2]|>>?\s*/dev/null|<\s*/dev/null)(?=[\s;|&]|$)"
)
"""Redirections that cannot fail."""
_POSIX_BEFORE = re.compile(r"\s*(?:(?:time|-p|[A-Za-z_][A-Za-z0-9_]*=\S*)\s+)*")
_BEFORE = {
    "bash": _POSIX_BEFORE,
    "zsh": _POSIX_BEFORE,
    "fish": re.compile(r"\s*(?:(?:time|[A-Za-z_][A-Za-z0-9_]*=\S*)\s+)*"),
}
"""What may stand before the word that is run."""
_RESERVED = {
    "bash": frozenset(
        (
            *("if", "then", "else", "elif", "fi", "for", "while", "until", "do", "done"),
            *("case", "esac", "select", "function", "in", "coproc", "[[", "exec", "eval"),
            *("command", "builtin", "time"),
        )
    ),
    "zsh": frozenset(
        (
            *("if", "then", "else", "elif", "fi", "for", "foreach", "end", "while"),
            *("until", "repeat", "do", "done", "case", "esac", "select", "function"),
            *("coproc", "[[", "exec", "eval", "command", "builtin", "noglob", "nocorrect"),
            *("-", "time"),
        )
    ),
    "fish": frozenset(
        (
            *("if", "else", "end", "for", "while", "begin", "switch", "case", "function"),
            *("and", "or", "not", "return", "break", "continue", "exec", "builtin"),
            *("command", "eval", "time"),
        )
    ),
}
"""Words that mean more than a command, or do not come back."""
_NAME = re.compile(r"\s*([A-Za-z0-9_./:@%+,-]+)(.*)", re.DOTALL)


def parts_of(line: str, shell: Shell, aliases: Mapping[str, str]) -> Parts | None:
    """The commands of a line; None if it is not read.

    `aliases`: those of bash among its words; the other shells' lines come without them.
    """
    whole = _unaliased(line, aliases)
    bare = None if whole is None else bare_of(whole, shell)
    if whole is None or bare is None:
        return None
    parts: list[Part] = []
    ops, at = "", 0
    pieces = re.split(f"({AND}{AND}|[;|])", bare)
    for piece, op in zip(pieces[::2], [*pieces[1::2], ""], strict=True):
        text = whole[at : at + len(piece)].strip()
        at += len(piece) + len(op)
        if not text:
            return None if op or not ops.endswith(";") else Parts(tuple(parts), ops[:-1])
        word = _word(piece, shell)
        if word in _RESERVED[shell] or (parts and _changed(word, aliases)):
            return None
        parts.append(Part(text, piece, word))
        ops += op[:1]
    return Parts(tuple(parts), ops)


def bare_of(line: str, shell: Shell) -> str | None:
    """A line, as long as it is, with each quoted character as Q and `&&` as two AND.

    What is left of `| ; < >` and the rest has its meaning. None if it is not read.
    """
    bare = ""
    end = 0
    for quoted in _QUOTED[shell].finditer(line):
        text = quoted[0]
        blank = "Q" * len(text)
        if text.startswith('"') and "$" in text:
            if _WITHIN[shell].search(text):
                return None
            blank = "$" + blank[1:]
        bare += line[end : quoted.start()] + blank
        end = quoted.end()
    bare += line[end:]
    if _UNREAD[shell].search(bare):
        return None
    bare = _HARMLESS.sub(lambda match: " " * len(match[0]), bare)
    bare = bare.replace("&>", " >").replace(">|", "> ")
    bare = bare.replace(">&", ">$" if shell == "fish" else "> ").replace("&&", AND + AND)
    return None if "&" in bare else bare


def _word(piece: str, shell: Shell) -> str:
    before = _BEFORE[shell].match(piece)
    rest = piece[before.end() :] if before else piece
    return (rest.split(maxsplit=1) or [piece.strip()])[0]


def _unaliased(line: str, aliases: Mapping[str, str]) -> str | None:
    """The line with the alias at its beginning replaced.

    None if that makes an alias of the word behind it, too.
    """
    seen: set[str] = set()
    while match := _NAME.fullmatch(line):
        word, rest = match.groups()
        if not aliases.get(word) or word in seen:
            break
        following = _NAME.match(rest)
        if aliases[word][-1:].isspace() and following and following[1] in aliases:
            return None
        line = aliases[word] + rest
        seen.add(word)
    return line


def _changed(word: str, aliases: Mapping[str, str]) -> bool:
    """Whether an alias makes another command of a word that is not the first of the line."""
    text = aliases.get(word)
    return bool(text) and not re.fullmatch(rf"{re.escape(word)}[\w=./\s-]*", text or "", re.ASCII)
