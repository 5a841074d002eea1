"""The imports at the beginning of a suggestion that were put at the head of the file.

The invariant: a region is one run of lines, and what the suggestion became is its imports, as they
stand in the file, with the region below them, divided as they were in the suggestion.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

from qi_learn.lexer import code_tokens, is_comment
from qi_learn.records import Suggestion
from qi_learn.track.region import Region

_IMPORT = re.compile(
    r"(?:import|from|use|using|include)\b.*|#\s*include\b.*|export\s.*\bfrom\b.*"
    r"|(?:const|let|var)\s.*\brequire\(.*"
)


def moved_imports(
    suggestion: Suggestion, lines: Sequence[str], region: Region, added: Collection[int] | None
) -> tuple[str, ...]:
    """The imports that a suggestion begins with and that stand in the file above its region.

    None of them if one is lacking, then they are another matter than the code, or if all were there
    before. `added`: the lines that are younger than the suggestion; None if unknown.
    """
    imports, _ = _parts(suggestion.text)
    if not imports:
        return ()
    there = {tuple(code_tokens(lines[i])): i for i in range(region.start)}
    inside = {tuple(code_tokens(line)) for line in lines[region.start : region.end]}
    wanted = [own for line in imports if (own := tuple(code_tokens(line))) not in inside]
    moved = [there[own] for own in wanted if own in there]
    new = suggestion.head if added is None else [i for i in moved if i in added]
    return tuple(lines[i] for i in moved) if new and len(moved) == len(wanted) else ()


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
