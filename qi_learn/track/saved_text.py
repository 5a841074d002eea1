"""The text of a saved file, cut into lines and tokens once for all that is looked for in it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import cached_property

from qi_learn.lexer import code_tokens, tokens_by_line
from qi_learn.track.alike import Letters
from qi_learn.track.boilerplate import is_boilerplate, listed
from qi_learn.track.line_changes import LineChanges, NotCompared, line_changes


class _Tokens:
    """The tokens of each line by itself, found when they are first asked for."""

    def __init__(self, lines: Sequence[str]) -> None:
        self._lines = lines
        self._found: dict[int, list[str]] = {}

    def __getitem__(self, i: int) -> list[str]:
        if i not in self._found:
            self._found[i] = code_tokens(self._lines[i])
        return self._found[i]


class Saved:
    """A text, for all that is looked for in it.

    Only what was added is cut into tokens, unless a suggestion may be in it.
    """

    def __init__(self, text: str, letters: Letters | None = None) -> None:
        self.lines = text.split("\n")
        self.tokens = _Tokens(self.lines)
        self.letters = letters or Letters()
        self._changes: dict[str, LineChanges | None] = {}
        self._new: dict[str, tuple[set[int], Counter[str], int]] = {}
        self._old: dict[str, Saved] = {}

    @cached_property
    def spelt(self) -> list[str]:
        """The tokens of each line as letters, the whole text read in one."""
        return [self.letters.of(tokens) for tokens in tokens_by_line(self.lines)]

    @cached_property
    def coded(self) -> list[int]:
        """Numbers of the lines with code."""
        return [i for i, letters in enumerate(self.spelt) if letters]

    @cached_property
    def _listed(self) -> set[int]:
        return listed(self.lines)

    def says(self, i: int) -> bool:
        """Whether a line says something of its own, and is no boilerplate."""
        return i not in self._listed and not is_boilerplate(self.lines[i])

    @cached_property
    def solid(self) -> list[tuple[int, str]]:
        """The lines that are not blank, with their numbers."""
        return [(i, line.strip()) for i, line in enumerate(self.lines) if line.strip()]

    @cached_property
    def solid_at(self) -> dict[str, list[int]]:
        """Where in `solid` each line stands."""
        found: dict[str, list[int]] = {}
        for n, (_, line) in enumerate(self.solid):
            found.setdefault(line, []).append(n)
        return found

    @cached_property
    def solid_lines(self) -> tuple[str, ...]:
        """The lines that are not blank."""
        return tuple(line for _, line in self.solid)

    def letters_of(self, start: int, end: int) -> str:
        """The tokens of some lines, each as its letter."""
        return "".join(self.spelt[start:end])

    def runs_of(self, own: tuple[str, ...]) -> list[tuple[int, int]]:
        """The runs of lines (start, end) that are these lines, in their order and together.

        Blank lines and indentation do not count.
        """
        return [
            (self.solid[s][0], self.solid[s + len(own) - 1][0] + 1)
            for s in self.solid_at.get(own[0] if own else "", ())
            if self.solid_lines[s : s + len(own)] == own
        ]

    def old(self, before: str) -> Saved:
        """The text before, with the same letters for the same tokens."""
        if before not in self._old:
            self._old[before] = Saved(before, self.letters)
        return self._old[before]

    def changes_since(self, before: str) -> LineChanges:
        """What differs from the text `before`.

        Raises NotCompared if the two texts are too long for that.
        """
        if before not in self._changes:
            try:
                self._changes[before] = line_changes(before.split("\n"), self.lines)
            except NotCompared:
                self._changes[before] = None
        if (known := self._changes[before]) is None:
            raise NotCompared
        return known

    def added_since(self, before: str) -> tuple[set[int], Counter[str]]:
        """Numbers of the lines that are not in the text `before`, and the tokens of those lines.

        Raises NotCompared.
        """
        added, tokens, _ = self._new_since(before)
        return added, tokens

    def new_since(self, before: str) -> tuple[Counter[str], int]:
        """The tokens of the lines that are not in the text `before`, and how many they are.

        Raises NotCompared.
        """
        _, tokens, total = self._new_since(before)
        return tokens, total

    def _new_since(self, before: str) -> tuple[set[int], Counter[str], int]:
        if before not in self._new:
            added = set(self.changes_since(before).added)
            tokens = Counter(t for i in added for t in self.tokens[i])
            self._new[before] = added, tokens, tokens.total()
        return self._new[before]
