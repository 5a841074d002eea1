"""Write the patterns of the shells' hooks from the one table of command kinds.

The table is in qi_learn/capture/command_kind.py: run this after changing it.

With `--check` it changes nothing, and fails if a hook is not what the table says.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

from qi_learn.capture.command_kind import FORMS, PYTHON, WRAPPERS

HOOKS = Path(__file__).parent.parent / "hooks"
SHELLS = ("bash", "zsh", "fish")
WIDTH = 100
BLOCK = re.compile(r"(?<=by scripts/hook_patterns ---\n).*?(?=# --- end ---\n)", re.DOTALL)


def patterns(shell: str) -> str:
    """The generated lines, which bash and zsh read alike, and fish in its own words.

    A pattern of several lines is one word: quoted pieces, joined by a backslash at the line's end.
    """
    if shell == "fish":
        return "".join(f"{line}\n" for line in _fish_patterns())
    gap, option = "[[:space:]]+", "[[:space:]]+-[^[:space:]]+"
    forms = [f"^({'|'.join(forms)})([[:space:]]|$)" for forms in FORMS.values()]
    lines = [
        *_assigned("_qi_learn_wrapper", f"^({'|'.join(WRAPPERS)}){gap}(.*)$"),
        *_assigned("_qi_learn_python", f"^{PYTHON}({option})*{gap}-m{gap}(.*)$"),
        f"typeset -ga _qi_learn_kinds=({' '.join(FORMS)})",
        "typeset -ga _qi_learn_forms=(",
        *(line for form in forms for line in _quoted("    ", form)),
        ")",
    ]
    return "".join(f"{line}\n" for line in lines)


def _fish_patterns() -> Iterator[str]:
    yield from _joined("set -g _qi_learn_wrapper", rf"^({'|'.join(WRAPPERS)})\s+(.*)$")
    yield from _joined("set -g _qi_learn_python", rf"^{PYTHON}(\s+-\S+)*\s+-m\s+(.*)$")
    yield f"set -g _qi_learn_kinds {' '.join(FORMS)}"
    yield "set -g _qi_learn_forms"
    for forms in FORMS.values():
        yield from _joined("set -a _qi_learn_forms", rf"^({'|'.join(forms)})(\s|$)")


def _joined(head: str, pattern: str) -> Iterator[str]:
    """The pattern as fish puts it together: no backslash joins two of its quoted pieces."""
    lines = _quoted(f"{head} (string join '' ", pattern.replace("\\", "\\\\"))
    *full, last = lines
    yield from (f"{line[:-1]} \\" for line in full)
    yield f"{last})"


def _assigned(name: str, pattern: str) -> Iterator[str]:
    return _quoted(f"typeset -g {name}=", pattern)


def _quoted(head: str, pattern: str) -> Iterator[str]:
    """The pattern in single quotes after `head`, cut between alternatives if a line is full."""
    line = f"{head}'"
    for piece in re.split(r"(?<=\|)", pattern):
        if len(line) + len(piece) + 2 > WIDTH - 1 and not line.endswith("'"):
            yield f"{line}'\\"
            line = "'"
        line += piece
    yield f"{line}'"


def hook(shell: str) -> str:
    """A hook as it has to be."""
    return BLOCK.sub(lambda _: patterns(shell), path_of(shell).read_text(encoding="utf-8"), count=1)


def path_of(shell: str) -> Path:
    return HOOKS / f"qi-learn.{shell}"


def main(words: list[str]) -> int:
    stale = [s for s in SHELLS if hook(s) != path_of(s).read_text(encoding="utf-8")]
    if "--check" in words:
        for shell in stale:
            print(f"hooks/qi-learn.{shell} is not what the table says: run scripts/hook_patterns")
        return 1 if stale else 0
    for shell in stale:
        path_of(shell).write_text(hook(shell), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
