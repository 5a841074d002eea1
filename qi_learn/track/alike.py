"""The run of lines most like a suggestion, among lines near those that were added.

A run is chosen by which tokens it has, and compared by the order of them. Each token is one letter
here, the same for the suggestion and the file, so that comparing runs is comparing texts; and no
run is compared twice.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from rapidfuzz.distance import Levenshtein

CANDIDATES = 12
"""How many of the most promising runs of lines are looked at closely."""

Run = tuple[int, int, float]
"""The first line of a stretch, the one after the last, and how alike (0..1)."""


class Letters:
    """A letter for each token."""

    def __init__(self) -> None:
        self._letters: dict[str, str] = {}

    def of(self, tokens: Sequence[str]) -> str:
        """The letters of these tokens, in their order."""
        letters = self._letters
        return "".join([letters.setdefault(t, chr(len(letters))) for t in tokens])


def most_alike(suggested: str, lines: Sequence[str]) -> set[Run]:
    """The runs of these lines most like the suggestion; all of them in letters."""
    overlaps = sorted(_overlaps(suggested, lines), reverse=True)[:CANDIDATES]
    runs = _Runs(suggested, lines)
    return {
        runs.climbed(first, last)
        for common, first, last in overlaps
        if 2 * common >= len(suggested)
    }


def _overlaps(suggested: str, lines: Sequence[str]) -> list[tuple[int, int, int]]:
    """(tokens in common, first, last) of every run of lines as long as the suggestion.

    As long means with about as many tokens: the suggestion slides over the file.
    """
    need = Counter(suggested)
    have = dict.fromkeys(suggested, 0)
    size = common = last = 0
    overlaps = []
    for first, line in enumerate(lines):
        while last < len(lines) and size < len(suggested):
            for letter in lines[last]:
                if letter in have:
                    common += have[letter] < need[letter]
                    have[letter] += 1
            size += len(lines[last])
            last += 1
        overlaps.append((common, first, last))
        for letter in line:
            if letter in have:
                have[letter] -= 1
                common -= have[letter] < need[letter]
        size -= len(line)
    return overlaps


class _Runs:
    """The runs of some lines, each compared with the suggestion when it is first asked for."""

    def __init__(self, suggested: str, lines: Sequence[str]) -> None:
        self._suggested = suggested
        self._text = "".join(lines)
        self._starts = [0]
        for line in lines:
            self._starts.append(self._starts[-1] + len(line))
        self._known: dict[tuple[int, int], float] = {}

    def alike(self, i: int, j: int) -> float:
        """How alike the lines `i` up to `j` are."""
        if (known := self._known.get((i, j))) is None:
            run = self._text[self._starts[i] : self._starts[j]]
            known = float(Levenshtein.normalized_similarity(self._suggested, run))
            self._known[i, j] = known
        return known

    def climbed(self, first: int, last: int) -> Run:
        """The run after its ends were moved line by line for as long as it became more alike."""
        best, count = self.alike(first, last), len(self._starts) - 1
        while True:
            steps = [
                (i, j)
                for i in (first - 1, first, first + 1)
                for j in (last - 1, last, last + 1)
                if 0 <= i < j <= count
            ]
            score, i, j = max(((self.alike(i, j), i, j) for i, j in steps), default=(best, 0, 0))
            if score <= best:
                return first, last, best
            best, first, last = score, i, j
