"""The imports at the beginning of a suggestion that were put at the head of the file.

The invariant: a region is one run of lines, and what the suggestion became is its imports, as they
stand in the file, with the region below them, divided as they were in the suggestion.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from qi_learn.track.lexer import code_tokens, is_comment
from qi_learn.track.region import Region

_IMPORT = re.compile(
    r"(?:import|from|use|using|include)\b.*|#\s*include\b.*|export\s.*\bfrom\b.*"
    r"|(?:const|let|var)\s.*\brequire\(.*"
)


def moved_imports(code: str, lines: Sequence[str], region: Region) -> tuple[str, ...]:
    """The imports that code begins with and that stand in the file above its region.

    None if one of them does not: then they are another matter than the code.
    """
    imports, _ = _parts(code)
    if not imports:
        return ()
    there = {tuple(code_tokens(line)): line for line in lines[: region.start]}
    inside = {tuple(code_tokens(line)) for line in lines[region.start : region.end]}
    moved = [there.get(own) for line in imports if (own := tuple(code_tokens(line))) not in inside]
    return () if None in moved else tuple(line for line in moved if line is not None)


def with_imports(imports: Sequence[str], code: str, body: str) -> str:
    """The text of a region below the imports that were put elsewhere."""
    if not imports:
        return body
    return "\n".join([*imports, *[""] * _parts(code)[1], body])


def _parts(code: str) -> tuple[list[str], int]:
    """The imports that code begins with, and how many blank lines are behind them.

    Only imports of one line each are taken, and only if something follows.
    """
    lines = code.split("\n")
    imports: list[str] = []
    last = 0
    for i, line in enumerate(lines):
        if _IMPORT.fullmatch(line):
            imports.append(line)
            last = i + 1
        elif line.strip() and not is_comment(line):
            return imports, i - last if not any(map(str.strip, lines[last:i])) else 1
    return [], 0
