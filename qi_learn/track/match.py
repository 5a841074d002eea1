"""The lines of a saved file in which a suggestion stands, if it does.

They are looked for among those that were added or changed since its turn.

What is compared are code tokens (`code_text.code_tokens`), so white space, indentation, comments
and trailing commas do not matter. The suggestion's own lines are looked for first, as they are,
then the run of lines with the tokens most like it, however much else was added around it.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from rapidfuzz.distance import Indel

from qi_learn.code_text import code_tokens
from qi_learn.track.alike import Letters, most_alike
from qi_learn.track.sketch import Sketch, remembered

MOST_CELLS = 64_000_000
"""The most pairs of lines that are compared at once: 8 MB, and some 20 ms."""


@dataclass(frozen=True, slots=True)
class Match:
    """The suggestion as lines `start` up to `end` of a file, alike by `similarity` (0..1)."""

    start: int
    end: int
    similarity: float
    method: str


class NotCompared(Exception):
    """Two texts are too long and too unlike to be compared: what was added is unknown."""


def added_lines(before: Sequence[str], after: Sequence[str]) -> set[int]:
    """Numbers of the lines of `after` that have no counterpart in `before`, order kept.

    Comparing takes memory by the product of the two lengths. Past `MOST_CELLS` the texts are cut at
    the lines that both have once, and compared piece by piece. Raises NotCompared if a piece is
    still too long.
    """
    added: set[int] = set()
    for old_start, old_end, start, end in _pieces(before, after):
        for step in Indel.opcodes(before[old_start:old_end], after[start:end]):
            if step.tag != "equal":
                added.update(range(start + step.dest_start, start + step.dest_end))
    return added


def _pieces(before: Sequence[str], after: Sequence[str]) -> list[tuple[int, int, int, int]]:
    """What is to be compared: (start, end) in `before`, (start, end) in `after`."""
    head = _common(before, after)
    tail = _common(before[head:][::-1], after[head:][::-1])
    piece = (head, len(before) - tail, head, len(after) - tail)
    if _cells(piece) <= MOST_CELLS:
        return [piece]
    pieces = []
    old_start, start = piece[0], piece[2]
    for old, new in [*_anchors(before, after, piece), (piece[1], piece[3])]:
        pieces.append((old_start, old, start, new))
        old_start, start = old + 1, new + 1
    if any(_cells(p) > MOST_CELLS for p in pieces):
        raise NotCompared
    return pieces


def _cells(piece: tuple[int, int, int, int]) -> int:
    return (piece[1] - piece[0]) * (piece[3] - piece[2])


def _anchors(
    before: Sequence[str], after: Sequence[str], piece: tuple[int, int, int, int]
) -> list[tuple[int, int]]:
    """The lines (old, new) that both texts have once, as many as stand in one order in both.

    By patience sorting: `ends[n]` is the lowest new line at which a chain of n + 1 can end.
    """
    old = _once(before, piece[0], piece[1])
    new = _once(after, piece[2], piece[3])
    pairs = sorted((i, new[line]) for line, i in old.items() if line in new)
    ends: list[int] = []
    last: list[int] = []
    earlier: list[int] = []
    for n, (_, at) in enumerate(pairs):
        rank = bisect_left(ends, at)
        ends[rank : rank + 1], last[rank : rank + 1] = [at], [n]
        earlier.append(last[rank - 1] if rank else -1)
    chain = []
    n = last[-1] if last else -1
    while n >= 0:
        chain.append(pairs[n])
        n = earlier[n]
    return chain[::-1]


def _once(lines: Sequence[str], start: int, end: int) -> dict[str, int]:
    """The lines that are in a piece once, with their numbers."""
    counts = Counter(lines[start:end])
    return {lines[i]: i for i in range(start, end) if counts[lines[i]] == 1}


def _common(left: Sequence[str], right: Sequence[str]) -> int:
    """How many lines at their beginning two texts have in common."""
    count = 0
    for a, b in zip(left, right, strict=False):
        if a != b:
            break
        count += 1
    return count


class _Tokens:
    """The code tokens of each line, found when they are first asked for."""

    def __init__(self, lines: Sequence[str]) -> None:
        self._lines = lines
        self._found: dict[int, list[str]] = {}

    def __getitem__(self, i: int) -> list[str]:
        if i not in self._found:
            self._found[i] = code_tokens(self._lines[i])
        return self._found[i]


class Saved:
    """The text of a saved file, cut into lines and tokens once for all that is looked for in it.

    Only what was added is cut into tokens, unless a suggestion may be in it.
    """

    def __init__(self, text: str) -> None:
        self.lines = text.split("\n")
        self.tokens = _Tokens(self.lines)
        self.letters = Letters()
        self._spelt: dict[int, str] = {}
        self._added: dict[str, tuple[set[int], Counter[str]] | None] = {}
        self._totals: dict[str, tuple[Counter[str], int]] = {}

    @cached_property
    def coded(self) -> list[int]:
        """Numbers of the lines with code."""
        return [i for i in range(len(self.lines)) if self.tokens[i]]

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

    def letters_of(self, i: int) -> str:
        """The tokens of a line, each as its letter."""
        if i not in self._spelt:
            self._spelt[i] = self.letters.of(self.tokens[i])
        return self._spelt[i]

    def added_since(self, before: str) -> tuple[set[int], Counter[str]]:
        """Numbers of the lines that are not in the text `before`, and the tokens of those lines.

        Raises NotCompared if the two texts are too long for that.
        """
        if before not in self._added:
            self._added[before] = self._compare(before)
        if (known := self._added[before]) is None:
            raise NotCompared
        return known

    def new_since(self, before: str) -> tuple[Counter[str], int]:
        """The tokens of the lines that are not in the text `before`, and how many they are.

        Raises NotCompared.
        """
        if before not in self._totals:
            _, new = self.added_since(before)
            self._totals[before] = new, new.total()
        return self._totals[before]

    def _compare(self, before: str) -> tuple[set[int], Counter[str]] | None:
        try:
            added = added_lines(before.split("\n"), self.lines)
        except NotCompared:
            return None
        return added, Counter(t for i in added for t in self.tokens[i])


def find(
    suggestion: str, before: str, saved: Saved, *, min_tokens: int, min_similarity: float
) -> Match | None:
    """The lines of a saved file that are the suggestion, or None.

    At least `min_tokens` of its tokens are in lines that `before` did not have. Raises NotCompared
    if it is unknown which lines those are.
    """
    sketch = remembered(suggestion)
    if share_of(sketch, before, saved, min_tokens=min_tokens) == 0:
        return None
    added, _ = saved.added_since(before)
    wanted = Counter(sketch.counts)
    lines, tokens = saved.lines, saved.tokens
    verbatim = [Match(i, j, 1.0, "lines") for i, j in _runs_of(sketch.lines, saved)]
    matches = verbatim or _alike(suggestion, min_similarity, saved, added)
    fresh = {
        m: _tokens_in(wanted, tokens, added, m) for m in matches if m.similarity >= min_similarity
    }
    enough = [m for m, count in fresh.items() if count >= min_tokens]
    best = max(enough, key=lambda m: (m.similarity, fresh[m], m.start - m.end), default=None)
    return best and _with_comments(best, suggestion, lines)


def occurrences(run: Sequence[str], lines: Sequence[str]) -> list[int]:
    """Numbers of the lines at which a run of lines begins in a text, exactly as it is."""
    if not run:
        return []
    return [
        i
        for i, line in enumerate(lines)
        if line == run[0] and list(lines[i : i + len(run)]) == list(run)
    ]


def share_of(sketch: Sketch, before: str, saved: Saved, *, min_tokens: int) -> float:
    """How much of a suggestion's code is in lines that `before` did not have, up to 1.

    0 if that is less than `min_tokens`, so that `find` finds nothing, and 2 if it stands in the
    file word for word. Raises NotCompared.
    """
    new, total = saved.new_since(before)
    if total < min_tokens or sketch.size < min_tokens:
        return 0.0
    counts = sketch.counts
    common = sum([min(counts[token], new[token]) for token in counts.keys() & new.keys()])
    if common < min_tokens:
        return 0.0
    return 2.0 if _runs_of(sketch.lines, saved) else common / sketch.size


def _runs_of(own: tuple[str, ...], saved: Saved) -> list[tuple[int, int]]:
    """The runs of lines (start, end) that are a suggestion's, in its order and together.

    Blank lines and indentation do not count.
    """
    solid = saved.solid
    return [
        (solid[s][0], solid[s + len(own) - 1][0] + 1)
        for s in saved.solid_at.get(own[0] if own else "", ())
        if saved.solid_lines[s : s + len(own)] == own
    ]


def _alike(suggestion: str, enough: float, saved: Saved, added: set[int]) -> list[Match]:
    """The runs of lines most like the suggestion, without stretches where none can be enough so."""
    matches: list[Match] = []
    letters = saved.letters.of(code_tokens(suggestion))
    wanted = Counter(letters)
    for coded in _stretches(saved.coded, added, reach=2 * suggestion.count("\n") + 5):
        lines = [saved.letters_of(i) for i in coded]
        # what a run lacks is at least to be changed
        if (wanted & Counter("".join(lines))).total() < enough * len(letters):
            continue
        runs = most_alike(letters, lines)
        found = (Match(coded[i], coded[j - 1] + 1, alike, "tokens") for i, j, alike in runs)
        matches += [m for m in found if added.intersection(range(m.start, m.end))]
    return matches


def _stretches(coded: Sequence[int], added: set[int], *, reach: int) -> list[list[int]]:
    """The lines with code that are near a new one, stretch by stretch.

    Near: at most `reach` such lines away.
    """
    new = [n for n, i in enumerate(coded) if i in added]
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


def _tokens_in(wanted: Counter[str], tokens: _Tokens, added: set[int], match: Match) -> int:
    """How many of the suggestion's tokens are in the new lines of the match."""
    new = Counter(t for i in range(match.start, match.end) if i in added for t in tokens[i])
    return (wanted & new).total()


def _with_comments(match: Match, suggestion: str, lines: Sequence[str]) -> Match:
    """The match with the comments at its ends that the suggestion has too.

    Comments have no tokens, so they were not matched.
    """
    own = {line.strip() for line in suggestion.split("\n") if line.strip()}
    start, end = match.start, match.end
    while start > 0 and lines[start - 1].strip() in own and not code_tokens(lines[start - 1]):
        start -= 1
    while end < len(lines) and lines[end].strip() in own and not code_tokens(lines[end]):
        end += 1
    return Match(start, end, match.similarity, match.method)
