"""Where a run of lines that is like some code begins and ends.

The invariant: at its ends stand lines that are new or lines of the code. A line of the code is one
also if a formatter wrapped it in another way or its names are others: then most of it is in the
code, at the place where it has to be.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Collection, Sequence
from itertools import takewhile

from rapidfuzz.distance import Levenshtein

from qi_learn.track.line_changes import MOST_CELLS
from qi_learn.track.saved_text import Saved

MOSTLY = 0.7
"""So much of a line is in the code if it is one of its lines in another form."""
WORDS = 3
"""A line with fewer tokens is found in any code."""
PLACES = 50
"""A line that the code has more often, as a table has its zeros, tells nothing of where it is."""


class Trimming:
    """Some code, its lines in letters, whose ends are looked for in a saved file."""

    def __init__(self, spelt: Sequence[str], saved: Saved) -> None:
        self._saved = saved
        self._lines = set(spelt)
        self._letters = "".join(spelt)
        self._head = next((line for line in spelt if line), "")

    def trimmed(self, start: int, end: int, added: Collection[int]) -> tuple[int, int]:
        """A run without lines at its ends that are neither in `added` nor lines of the code.

        They only have some of the same tokens. Nor does it end with an old `}` of other code.
        """
        coded = [i for i in range(start, end) if self._saved.spelt[i]]
        if self._saved.letters_of(start, end) == self._letters:
            return coded[0], coded[-1] + 1
        own = self._own(coded)
        telling = [i for i in coded if i in added or (i in own and self._says(i))]
        if not telling:
            return start, start
        last = telling[-1]
        tail = list(takewhile(own.__contains__, (i for i in coded if i > last)))
        whole = bool(tail) and tail[-1] == coded[-1]
        last = self._before_next((tail if whole else telling)[-1], coded)
        return self._above(self._after_other(telling)), self._below(last) + 1

    def _own(self, coded: Sequence[int]) -> set[int]:
        """The lines that are lines of the code."""
        spelt = self._saved.spelt
        run = "".join(spelt[i] for i in coded)
        if run in self._letters or len(run) * len(self._letters) > MOST_CELLS:
            return {i for i in coded if spelt[i] in self._lines}
        same = [False] * len(run)
        for step in Levenshtein.opcodes(self._letters, run):
            if step.tag == "equal":
                same[step.dest_start : step.dest_end] = [True] * (step.dest_end - step.dest_start)
        own, at = set[int](), 0
        for i in coded:
            size = len(spelt[i])
            if sum(same[at : at + size]) >= MOSTLY * size:
                own.add(i)
            at += size
        return own

    def _after_other(self, telling: Sequence[int]) -> int:
        """The first line that tells, but for brackets that close other code: the upper of two ends.

        Of two such lines either may seem new.
        """
        spelt, letters = self._saved.spelt, self._letters
        its = (i for i in telling if self._has_word(i) or letters.startswith(spelt[i]))
        return next(its, telling[0])

    def _before_next(self, last: int, coded: Sequence[int]) -> int:
        """The last line moved up if it is the code's first one again: `#[test]` of the next test.

        Of two such lines the lower one seems new.
        """
        at = bisect_left(coded, last)
        again = self._saved.spelt[last] == self._head and not self._letters.endswith(self._head)
        return coded[at - 1] if again and at > 0 else last

    def _says(self, i: int) -> bool:
        """Whether a line is more than a word, a bracket or boilerplate."""
        letters = self._saved.spelt[i]
        enough = len(letters) >= WORDS or letters in self._lines
        return enough and self._saved.says(i)

    def _above(self, first: int) -> int:
        """The first line moved up over lines that stand above it in the code as well.

        They are old, and anybody's: `@Override`. Brackets may be other code's. A line that the code
        has at several places is at the one where most lines above it are the same.
        """
        spelt, coded = self._saved.spelt, self._saved.coded
        above = coded[: bisect_left(coded, first)]
        highest = first
        for at in self._places(spelt[first]):
            for i in reversed(above):
                if not self._letters.endswith(spelt[i], 0, at) or not self._has_word(i):
                    break
                highest, at = min(i, highest), at - len(spelt[i])
        return highest

    def _below(self, last: int) -> int:
        """The last line moved down in the same way."""
        spelt, coded = self._saved.spelt, self._saved.coded
        below = coded[bisect_left(coded, last) + 1 :]
        lowest = last
        for place in self._places(spelt[last]):
            end = place + len(spelt[last])
            for i in below:
                if not self._letters.startswith(spelt[i], end) or not self._has_word(i):
                    break
                lowest, end = max(i, lowest), end + len(spelt[i])
        return lowest

    def _places(self, line: str) -> list[int]:
        """Where a line stands in the code; nowhere if it is in too many places."""
        places = [found.start() for found in re.finditer(re.escape(line), self._letters)]
        return places if len(places) <= PLACES else []

    def _has_word(self, i: int) -> bool:
        return any(map(str.isalnum, self._saved.lines[i]))
