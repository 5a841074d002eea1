"""One code that is looked for in a saved file: where it may stand, and what its place brought."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from rapidfuzz.distance import Levenshtein

from qi_learn.lexer import tokens_by_line
from qi_learn.track.alike import LEAST_OVERLAP, alike, most_alike, renaming
from qi_learn.track.boilerplate import is_boilerplate
from qi_learn.track.saved_text import Saved
from qi_learn.track.sketch import remembered
from qi_learn.track.trimming import Trimming

REPEATED = 0.5
"""A suggestion so much like code that was there changes that code; one less like it is new."""
NEW_NAMES = 2
"""So many names that a file did not have are no chance."""


@dataclass(frozen=True, slots=True)
class Match:
    """The suggestion as lines `start` up to `end` of a file, alike by `similarity` (0..1)."""

    start: int
    end: int
    similarity: float
    method: str


class Wanted:
    """One code that is looked for in a saved file, which had the text `before` at its turn."""

    def __init__(self, code: str, before: str, saved: Saved) -> None:
        self.code, self.saved = code, saved
        self.lines = code.split("\n")
        self.spelt = [saved.letters.of(tokens) for tokens in tokens_by_line(self.lines)]
        self.letters = "".join(self.spelt)
        self.changes = saved.changes_since(before)
        self._old = saved.old(before)
        self._trimming = Trimming(self.spelt, saved)

    def runs(self) -> list[Match]:
        """The runs of lines most like the code, near a line that was added."""
        saved, added = self.saved, self.changes.added
        near = added or frozenset(self._beside_removed())
        found = runs_alike(self.letters, saved, near, 2 * len(self.lines) + 5)
        return [m for m in found if not added or added.intersection(range(m.start, m.end))]

    def _beside_removed(self) -> set[int]:
        """Where in the saved file lines went, if none came: about there."""
        last = len(self.saved.lines) - 1
        return {min(i, last) for i in self.changes.near}

    def trimmed(self, match: Match, *, own_alone: bool) -> tuple[int, int]:
        """The lines of a match without those at its ends that are neither new nor its own.

        `own_alone`: new lines that are none of the code are no part of it either.
        """
        added = () if own_alone else self.changes.added
        return self._trimming.trimmed(match.start, match.end, added)

    def brought(self, match: Match, min_tokens: int) -> bool:
        """Whether the lines of a match brought what the code changes."""
        if self.is_new:
            return self.new_tokens(match) >= min_tokens
        return self._changes_as(match)

    @cached_property
    def is_new(self) -> bool:
        """Whether nothing like the code was in the text before, near what was changed since."""
        return alike(self.letters, "".join(self._old.spelt[self._repeats])) < REPEATED

    def stands_newly(self, match: Match) -> bool:
        """Whether lines that stand there word for word did not before; comments count too."""
        lines, added = self.saved.lines, self.changes.added
        if self._old.runs_of(remembered(self.code).lines):
            return False
        new = (i for i in range(match.start, match.end) if i in added)
        return any(len(lines[i].split()) > 1 and self.saved.says(i) for i in new)

    def new_tokens(self, match: Match) -> int:
        """How many of its tokens are in new lines of the match, but boilerplate."""
        saved, added = self.saved, self.changes.added
        new = Counter(
            token
            for i in range(match.start, match.end)
            if i in added and saved.says(i)
            for token in saved.tokens[i]
        )
        return (Counter(remembered(self.code).counts) & new).total()

    @cached_property
    def _repeats(self) -> slice:
        """The lines of the text before that are most like the code."""
        near = self.changes.near
        found = runs_alike(self.letters, self._old, near, 2 * len(self.lines) + 5)
        best = max(found, key=lambda m: m.similarity, default=None)
        return slice(best.start, best.end) if best else slice(0, 0)

    def _changes_as(self, match: Match) -> bool:
        """Whether a line that the code changes came, or the file came half of the way to it."""
        repeats = self._old.spelt[self._repeats]
        were = "".join(repeats)
        asked = Levenshtein.distance(self.letters, were)
        fresh = telling(self.spelt, self.lines, set(repeats))
        gone = telling(repeats, self._old.lines[self._repeats], set(self.spelt))
        if asked == 0 or not (fresh or gone):
            return False
        saved = self.saved
        came = {saved.spelt[i] for i in range(match.start, match.end) if i in self.changes.added}
        run = saved.letters_of(match.start, match.end)
        no_names: dict[int, str] = {}
        for names in (no_names, renaming(self.letters, run, saved.letters, were)):
            left = Levenshtein.distance(self.letters.translate(names), run)
            if 2 * left <= asked or any(line.translate(names) in came for line in fresh):
                return True
        return self._came_under_old_names(fresh, came, run, repeats) or self._brought_names(came)

    def _came_under_old_names(
        self, fresh: set[str], came: set[str], run: str, repeats: Sequence[str]
    ) -> bool:
        """Whether a line came with the names that its code had before.

        It has more that is new than another name.
        """
        letters = self.saved.letters
        names = renaming(self.letters, run, letters)
        kept = {*"".join(repeats), *map(chr, names)}
        shapes = {letters.shape(line) for line in repeats}
        return any(
            line.translate(names) in came
            and (set(line) - kept or letters.shape(line) not in shapes)
            for line in fresh
        )

    def _brought_names(self, came: set[str]) -> bool:
        """Whether most of the names came that the file did not have, and that the code has."""
        old, letters = {*"".join(self._old.spelt)}, self.saved.letters
        asked = {c for c in self.letters if c not in old and letters.is_name(c)}
        new = {c for c in "".join(came) if c not in old and letters.is_name(c)}
        return len(asked & new) >= NEW_NAMES and 2 * len(asked & new) >= len(asked | new)


def telling(spelt: Sequence[str], lines: Sequence[str], known: set[str]) -> set[str]:
    """The lines, in letters, that are not known and are no boilerplate."""
    return {
        letters
        for letters, line in zip(spelt, lines, strict=True)
        if letters and letters not in known and not is_boilerplate(line)
    }


def runs_alike(letters: str, saved: Saved, near: frozenset[int], reach: int) -> list[Match]:
    """The runs of lines most like some code, without stretches where none can be like it."""
    matches: list[Match] = []
    wanted = Counter(letters)
    for coded in _stretches(saved.coded, near, reach=reach):
        lines = [saved.spelt[i] for i in coded]
        # what a run lacks is at least to be changed
        if (wanted & Counter("".join(lines))).total() < LEAST_OVERLAP * len(letters):
            continue
        runs = most_alike(letters, lines)
        matches += [Match(coded[i], coded[j - 1] + 1, alike, "tokens") for i, j, alike in runs]
    return matches


def _stretches(coded: Sequence[int], near: frozenset[int], *, reach: int) -> list[list[int]]:
    """The lines with code that are near some lines, stretch by stretch.

    Near: at most `reach` such lines away.
    """
    # a line without code counts for the next one that has some
    new = [n for n, i in enumerate(coded) if i in near]
    stretches: list[list[int]] = []
    end = -1
    for n in new:
        first, last = max(0, n - reach), min(len(coded), n + reach + 1)
        if first > end or not stretches:
            stretches.append(list(coded[first:last]))
        else:
            stretches[-1] += coded[end:last]
        end = last
    return stretches
