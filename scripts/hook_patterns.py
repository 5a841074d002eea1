"""Write the words of the shells' hooks from the one table of command kinds.

The table is in qi_learn/capture/command_kind.py: run this after changing it.

With `--check` it changes nothing, and fails if a hook is not what the table says.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from qi_learn.capture.command_kind import FORMS
from qi_learn.capture.command_words import WRAPPERS

HOOKS = Path(__file__).parent.parent / "hooks"
SHELLS = ("bash", "zsh", "fish")
WIDTH = 100
BLOCK = re.compile(r"(?<=by scripts/hook_patterns ---\n).*?(?=# --- end ---\n)", re.DOTALL)


def patterns(shell: str) -> str:
    """The generated lines: the words that commands of ours begin with.

    For bash and fish also those that may stand before them: there words are looked at one by one.
    """
    words = list(dict.fromkeys(_words()))
    if shell == "fish":
        lines = [
            *_filled("set -g _qi_learn_heads", words, " \\", ""),
            *_filled("set -g _qi_learn_wrappers", WRAPPERS, " \\", ""),
        ]
    else:
        lines = [
            *_filled("typeset -gA _qi_learn_heads=(", (f"{word} 1" for word in words), "", ")")
        ]
    if shell == "bash":
        before = (f"{word} 2" for word in WRAPPERS)
        lines += _filled("typeset -gA _qi_learn_before=(", before, "", ")")
    return "".join(f"{line}\n" for line in lines)


def _words() -> Iterator[str]:
    for forms in FORMS.values():
        for form in forms:
            yield from _first_words(form)


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


def _filled(head: str, words: Iterable[str], more: str, end: str) -> Iterator[str]:
    """`head` and the words in full lines; `more` ends each line but the last, `end` that one."""
    line = head
    for word in words:
        if len(line) + len(word) + len(more) + 2 > WIDTH:
            yield f"{line}{more}"
            line = "   "
        line = f"{line}{'' if line.endswith('(') else ' '}{word}"
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
