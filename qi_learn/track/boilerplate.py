"""Lines that anybody would write there: they tell nothing of where code came from.

What is covered: imports and exports over several lines too, licences, ends of blocks, `pass`,
`return x`, a field set to its own name, empty tests, the call of a program's main function, what
hands an error on, and what is only brackets, in the languages whose definitions are known.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

_LINE = re.compile(
    r"""
    (?:import|from|package|using|use|extern|include|require|namespace)\b(?![.:])(?!\s*[=(]).*
    | import\s*\(\s*
    | \#\s*(?:include|pragma|ifndef|define\s+\w+\s*$|endif|import)\b.* | ["']use\ strict["'];?
    | export\s+(?:\*|\{).*\bfrom\b.* | (?:const|let|var)\s.*=\s*require\(.*\);?
    | export\s+default\s+\w+;? | (?:module\.)?exports\s*=\s*(?:\w+|\{[\w\s,]*\});?
    | return(?:\s+(?:&?\w+(?:\.|->))?\w+)?;? | &?self\.\w+(?:\.clone\(\))?
    | return\s+(?:(?:nil|0|""|false),\s*)+err
    | if\s+err\s*!=\s*nil\s*\{
    | pass | break;? | continue;? | \.\.\. | end;?
    | (?:\}\s*)?(?:else|try|finally|do|default)\s*[:{]? | except(?:\s+\w+)?: | [\[\](){}<>;,:.]*
    | (?:self|this)\.(\w+)\s*=\s*\1;? | @(?:\w+\.)?(?:property|override|staticmethod|classmethod)
    | (?:public|private|protected)\s*: | if\s+__name__\s*==\s*.* | @Override
    | if\s*\(?require\.main\s*===?\s*module\)?\s*\{
    | (?:await\s+|asyncio\.run\(|sys\.exit\(|raise\s+SystemExit\()?main\(\)\)?;?
    | main\(\)\.catch\(.*
    | console\.(?:log|error)\(\w+\);? | (?:process|sys|os)\.exit\(\w*\);?
    | (?:it|test)\(\s*(["'`]).*\2,\s*(?:async\s*)?\(\)\s*=>\s*\{\s*\}?\s*(?:\);?)?
    | \#!?\[(?:derive|cfg|allow|test)\b.*\]
    | \w+\s*=\s*logging\.getLogger\(__name__\)
    """,
    re.VERBOSE | re.IGNORECASE,
)
_NAMED = ("from", "import", "use", "export", "module.exports")
_OPENS_NAMES = re.compile(
    r"(?:from\s.*\bimport|import|use\s.*::|import\s.*|export|(?:module\.)?exports\s*=)\s*[({]\s*"
)
"""A list of names in brackets begins: imports or exports, one to a line."""
_NAMES = re.compile(r"""[\w*./\\"'`@:$-]*(?:\s+as\s+\w+|\s+"[^"]*"|\s*:\s*\w+)?,?""")
_CLOSES_NAMES = re.compile(r"""[)}](?:\s*from\s*["'].*["'])?;?(?:\s*(?:\#|//).*)?""")
_LICENCE = re.compile(r"\bcopyright\b|\blicen[sc]ed?\b|SPDX-|all rights reserved", re.IGNORECASE)
_TEXT = re.compile(r'[rRuUbB]?("""|\'\'\')')
_NO_DEFINITION = re.compile(
    r"(?:\}\s*)?(?:if|elif|else|for|foreach|while|switch|match|with|try|catch|except|finally|case"
    r"|do|loop|select|unsafe|return|await|yield|throw|synchronized|using)\b"
)


def is_boilerplate(line: str) -> bool:
    """Whether a line says nothing of its own."""
    return _LINE.fullmatch(line.strip()) is not None


def listed(lines: Sequence[str]) -> set[int]:
    """The numbers of the lines that say nothing where they stand.

    Names that are imported or exported, each on a line of its own, and a licence.
    """
    return _names(lines) | _licence(lines)


def _names(lines: Sequence[str]) -> set[int]:
    found: set[int] = set()
    opened: list[int] = []
    for n, line in enumerate(map(str.strip, lines)):
        if opened and _CLOSES_NAMES.fullmatch(line):
            found.update((*opened, n))
            opened = []
        elif opened and (_NAMES.fullmatch(line) or line.startswith(("#", "//"))):
            opened.append(n)
        else:
            opened = [n] if line.startswith(_NAMED) and _OPENS_NAMES.fullmatch(line) else []
    return found


def _licence(lines: Sequence[str]) -> set[int]:
    """The lines of a text at the head that says whose the file is."""
    solid = [n for n, line in enumerate(lines) if line.strip()]
    opening = _TEXT.match(lines[solid[0]].strip()) if solid else None
    if opening is None:
        return set()
    mark = opening.group(1)
    own: list[int] = []
    for n in range(solid[0], len(lines)):
        own.append(n)
        rest = lines[n].strip()[opening.end() :] if n == solid[0] else lines[n]
        if mark in rest:
            break
    said = [lines[n] for n in own]
    return set(own) if any(_LICENCE.search(line) for line in said) else set()


def is_head(line: str) -> bool:
    """Whether a line is the first one of a definition, by its form."""
    own = line.strip()
    return own.endswith(("{", ":")) and _NO_DEFINITION.match(own) is None
