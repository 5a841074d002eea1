"""Write the patterns of the shells' hooks from the one table of command kinds.

The table is in qi_learn/capture/command_kind.py: run this after changing it.

With `--check` it changes nothing, and fails if a hook is not what the table says.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from qi_learn.capture.command_kind import FORMS, WRAPPERS

HOOKS = Path(__file__).parent.parent / "hooks"
SHELLS = ("bash", "zsh", "fish")
WIDTH = 100
BLOCK = re.compile(r"(?<=by scripts/hook_patterns ---\n).*?(?=# --- end ---\n)", re.DOTALL)


def patterns(shell: str) -> str:
    """The generated lines: wrappers, and the forms by the word that they begin with.

    So a hook tries only the few that can fit. bash and zsh read the same lines, with the forms as
    globs, because they compile a regular expression each time; fish has no tables, so there the two
    lists go side by side.
    """
    numbers = _numbers_by_word()
    forms = [(kind, form) for kind, forms in FORMS.items() for form in forms]
    kinds = " ".join(kind for kind, _ in forms)
    if shell == "fish":
        at = (f"'{places}'" for places in numbers.values())
        lines = [
            *_filled("set -g _qi_learn_wrappers", WRAPPERS, " \\", ""),
            *_filled("set -g _qi_learn_heads", numbers, " \\", ""),
            *_filled("set -g _qi_learn_at", at, " \\", ""),
            *_filled("set -g _qi_learn_kinds", kinds.split(), " \\", ""),
            *_filled("set -g _qi_learn_forms", map(_fish_quoted, _texts(forms)), " \\", ""),
        ]
    else:
        entries = (f"{word} '{places}'" for word, places in numbers.items())
        lines = [
            *_filled("typeset -g _qi_learn_wrappers='", WRAPPERS, "'\\", "'", join="' "),
            *_filled("typeset -gA _qi_learn_heads=(", entries, "", ")"),
            *_filled("typeset -ga _qi_learn_kinds=(", kinds.split(), "", ")"),
            *_filled("typeset -ga _qi_learn_forms=(", map(_quoted_glob, _texts(forms)), "", ")"),
            *(_usual(numbers, forms) if shell == "bash" else ()),
        ]
    return "".join(f"{line}\n" for line in lines)


def _usual(numbers: dict[str, str], forms: Sequence[tuple[str, str]]) -> Iterator[str]:
    """The kind of each word that is one by itself, and a glob of what may make it another.

    So bash, where each glob costs much, tries none for most lines. A word is left out if the form
    of it alone is not its last.
    """
    kinds, others = [], []
    for word, places in numbers.items():
        *before, last = (forms[int(place) - 1] for place in places.split())
        if last[1].replace("\\", "") == word:
            kinds.append(f"{word} {last[0]}")
            tails = [f"* {glob_of(form[_head_ends(form) + 1 :])}*" for _, form in before]
            joined = f"@({'|'.join(tails)})" if len(tails) > 1 else "".join(tails)
            others += [f"{word} {_quoted(joined)}"] if before else []
    yield from _filled("typeset -gA _qi_learn_usual=(", kinds, "", ")")
    yield from _filled("typeset -gA _qi_learn_rare=(", others, "", ")")


def _texts(forms: Iterable[tuple[str, str]]) -> Iterator[str]:
    return (form for _, form in forms)


def _numbers_by_word() -> dict[str, str]:
    """By first word, the numbers of the forms that begin with it, counted from 1."""
    numbers: dict[str, list[str]] = {}
    every = [form for forms in FORMS.values() for form in forms]
    for number, form in enumerate(every, 1):
        for word in _first_words(form):
            numbers.setdefault(word, []).append(str(number))
    return {word: " ".join(places) for word, places in numbers.items()}


def _first_words(form: str) -> list[str]:
    """The words that a form may begin with; a version behind a compiler's name is left out."""
    return _spelled(form[: _head_ends(form)].replace("(-[0-9.]+)?", ""))


def _head_ends(form: str) -> int:
    depth = 0
    for at, letter in enumerate(form):
        depth += (letter == "(") - (letter == ")")
        if letter == " " and depth == 0:
            return at
    return len(form)


def _spelled(pattern: str) -> list[str]:
    if group := re.search(r"\(([^()]*)\)(\??)", pattern):
        choices = [*group[1].split("|"), *([""] if group[2] else [])]
        head, tail = pattern[: group.start()], pattern[group.end() :]
        return [word for choice in choices for word in _spelled(head + choice + tail)]
    if maybe := re.search(r"(\\?.)\?", pattern):
        head, tail = pattern[: maybe.start()], pattern[maybe.end() :]
        return [*_spelled(head + tail), *_spelled(head + maybe[1] + tail)]
    return [pattern.replace("\\", "")]


def _quoted(text: str) -> str:
    return f"'{text}'"


def _quoted_glob(form: str) -> str:
    return _quoted(glob_of(form))


def glob_of(form: str) -> str:
    """A form as an extended glob of bash, which is one of zsh's with `ksh_glob` too."""
    atoms = re.finditer(r"(\((?:[^()]|\([^()]*\))*\)|\[[^]]*\]|\\.|.)([+?*]?)", form)
    return "".join(_glob_atom(*atom.groups()) for atom in atoms)


def _glob_atom(atom: str, count: str) -> str:
    if atom == ".":
        return "*" if count == "*" else "?"
    if atom.startswith("("):
        return f"{count or '@'}({glob_of(atom[1:-1])})"
    plain = atom.removeprefix("\\")
    return f"{count}({plain})" if count else plain


def _fish_quoted(text: str) -> str:
    return _quoted(text.replace("\\", "\\\\"))


def _filled(head: str, words: Iterable[str], more: str, end: str, join: str = " ") -> Iterator[str]:
    """`head` and the words in full lines; `more` ends each line but the last, `end` that one."""
    line, begun = head, False
    for word in words:
        gap = "" if line.endswith(("(", "'")) and not begun else " "
        if len(line) + len(word) + len(more) + 2 > WIDTH:
            yield f"{line}{' ' if join != ' ' else ''}{more}"
            line, gap = ("    " if join == " " else "'"), ""
        line, begun = f"{line}{gap}{word}", True
    yield f"{line}{end}"


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
