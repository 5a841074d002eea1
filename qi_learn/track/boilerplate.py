"""Lines that anybody would write there: they tell nothing of where code came from.

What is covered: imports, ends of blocks, `pass`, `return x`, a field set to its own name, and what
is only brackets, in the languages whose definitions are known.
"""

from __future__ import annotations

import re

_LINE = re.compile(
    r"""
    (?:import|from|package|using|use|extern|include|require|namespace)\b(?![.:])(?!\s*[=(]).*
    | import\s*\(\s*
    | \#\s*(?:include|pragma|ifndef|define\s+\w+\s*$|endif|import)\b.* | ["']use\ strict["'];?
    | export\s+(?:\*|\{).*\bfrom\b.* | (?:const|let|var)\s.*=\s*require\(.*\);?
    | return(?:\s+(?:&?\w+(?:\.|->))?\w+)?;? | &?self\.\w+(?:\.clone\(\))?
    | pass | break;? | continue;? | \.\.\. | end;?
    | (?:\}\s*)?(?:else|try|finally|do|default)\s*[:{]? | except(?:\s+\w+)?: | [\[\](){}<>;,:.]*
    | (?:self|this)\.(\w+)\s*=\s*\1;? | @(?:\w+\.)?(?:property|override|staticmethod|classmethod)
    | (?:public|private|protected)\s*: | if\s+__name__\s*==\s*.* | @Override
    """,
    re.VERBOSE | re.IGNORECASE,
)


def is_boilerplate(line: str) -> bool:
    """Whether a line says nothing of its own."""
    return _LINE.fullmatch(line.strip()) is not None
