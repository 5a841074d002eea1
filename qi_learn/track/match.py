"""The lines of a saved file in which a suggestion stands, if it does.

The invariant: what is compared is what the answer changes. Code that is new has to be in lines that
were added since its turn; a block that repeats code of the file with some of it changed has to have
brought that change; and one that says nothing new, or nothing but boilerplate, is never found.

Compared are code tokens after what a formatter does was set aside (`lexer.py`). The suggestion's
own lines are looked for first, as they are, then the run of lines with the tokens most like it,
then the parts of it that were taken.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise, takewhile

from rapidfuzz.distance import Levenshtein

from qi_learn.track.alike import LEAST_OVERLAP, alike, is_part, most_alike, renaming, resembles
from qi_learn.track.boilerplate import is_boilerplate
from qi_learn.track.elisions import pieces_of
from qi_learn.track.ends import with_comments, with_ends
from qi_learn.track.lexer import tokens_by_line
from qi_learn.track.line_changes import NotCompared as NotCompared
from qi_learn.track.line_changes import added_lines as added_lines
from qi_learn.track.saved_text import Saved as Saved
from qi_learn.track.sketch import Sketch, remembered

REPEATED = 0.5
"""A suggestion so much like code that was there changes that code; one less like it is new."""
PART = 0.9
"""How alike a part of a suggestion has to be by itself."""


@dataclass(frozen=True, slots=True)
class Match:
    """The suggestion as lines `start` up to `end` of a file, alike by `similarity` (0..1)."""

    start: int
    end: int
    similarity: float
    method: str


class _Look:
    """One code that is looked for in a saved file, which had the text `before` at its turn."""

    def __init__(self, code: str, before: str, saved: Saved) -> None:
        self.code, self.saved = code, saved
        self.lines = code.split("\n")
        self.spelt = [saved.letters.of(tokens) for tokens in tokens_by_line(self.lines)]
        self.letters = "".join(self.spelt)
        self.changes = saved.changes_since(before)
        self._old = saved.old(before)
        self._repeats: str | None = None

    def runs(self) -> list[Match]:
        """The runs of lines most like the code, near a line that was added."""
        saved, added = self.saved, self.changes.added
        near = added or frozenset(self._beside_removed())
        found = _most_alike(self.letters, saved, near, 2 * len(self.lines) + 5)
        return [m for m in found if not added or added.intersection(range(m.start, m.end))]

    def _beside_removed(self) -> set[int]:
        """Where in the saved file lines went, if none came: about there."""
        last = len(self.saved.lines) - 1
        return {min(i, last) for i in self.changes.near}

    def trimmed(self, start: int, end: int) -> tuple[int, int]:
        """A run without lines at its ends that are neither new nor lines of the code.

        They only have some of the same tokens. Nor does it end with an old `}` of other code.
        """
        own, saved, added = set(self.spelt), self.saved, self.changes.added
        coded = [i for i in range(start, end) if saved.spelt[i]]
        telling = [
            i
            for i in coded
            if i in added or (saved.spelt[i] in own and not is_boilerplate(saved.lines[i]))
        ]
        if not telling:
            return start, start
        last = telling[-1]
        tail = list(takewhile(lambda i: saved.spelt[i] in own, (i for i in coded if i > last)))
        whole = bool(tail) and tail[-1] == coded[-1]
        return telling[0], (tail if whole else telling)[-1] + 1

    def brought(self, match: Match, min_tokens: int) -> bool:
        """Whether the lines of a match brought what the code changes."""
        repeats = self._what_it_repeats()
        if alike(self.letters, "".join(repeats)) < REPEATED:
            return self.new_tokens(match) >= min_tokens
        return self._changes_as(match, repeats)

    def stands_newly(self, match: Match) -> bool:
        """Whether lines that stand there word for word did not before, not even all but a comment."""
        lines, added = self.saved.lines, self.changes.added
        if self._old.runs_of(remembered(self.code).lines):
            return False
        new = (lines[i] for i in range(match.start, match.end) if i in added)
        return any(len(line.split()) > 1 and not is_boilerplate(line) for line in new)

    def new_tokens(self, match: Match) -> int:
        """How many of its tokens are in new lines of the match, but boilerplate."""
        saved, added = self.saved, self.changes.added
        new = Counter(
            token
            for i in range(match.start, match.end)
            if i in added and not is_boilerplate(saved.lines[i])
            for token in saved.tokens[i]
        )
        return (Counter(remembered(self.code).counts) & new).total()

    def _what_it_repeats(self) -> list[str]:
        """The lines of the text before that are most like the code, in letters."""
        if self._repeats is None:
            near = self.changes.near
            found = _most_alike(self.letters, self._old, near, 2 * len(self.lines) + 5)
            best = max(found, key=lambda m: m.similarity, default=None)
            self._repeated = self._old.spelt[best.start : best.end] if best else []
            self._repeated_lines = self._old.lines[best.start : best.end] if best else []
            self._repeats = ""
        return self._repeated

    def _changes_as(self, match: Match, repeats: Sequence[str]) -> bool:
        """Whether a line that the code changes came, or the file came half of the way to it."""
        were = "".join(repeats)
        asked = Levenshtein.distance(self.letters, were)
        fresh = _telling(self.spelt, self.lines, set(repeats))
        if asked == 0 or not (fresh or _telling(repeats, self._repeated_lines, set(self.spelt))):
            return False
        saved = self.saved
        came = {saved.spelt[i] for i in range(match.start, match.end) if i in self.changes.added}
        run = saved.letters_of(match.start, match.end)
        for names in ({}, renaming(self.letters, run, saved.letters, were)):
            left = Levenshtein.distance(self.letters.translate(names), run)
            if 2 * left <= asked or any(line.translate(names) in came for line in fresh):
                return True
        return False


def _telling(spelt: Sequence[str], lines: Sequence[str], known: set[str]) -> set[str]:
    """The lines, in letters, that are not known and are no boilerplate."""
    return {
        letters
        for letters, line in zip(spelt, lines, strict=True)
        if letters and letters not in known and not is_boilerplate(line)
    }


def find(
    suggestion: str, before: str, saved: Saved, *, min_tokens: int, min_similarity: float
) -> Match | None:
    """The lines of a saved file that are the suggestion or a part of it, or None.

    At least `min_tokens` of its tokens are in lines that `before` did not have, or it changes code
    that `before` had and a line of that change is there. Raises NotCompared if it is unknown which
    lines are new.
    """
    if share_of(remembered(suggestion), before, saved, min_tokens=min_tokens) == 0:
        return None
    pieces = pieces_of(suggestion)
    if len(pieces) > 1:
        return _around(pieces, before, saved, min_similarity)
    look = _Look(suggestion, before, saved)
    match = _whole(look, min_tokens, min_similarity) or _parts(look, before, min_tokens)
    if match is None:
        return None
    start, end = with_comments(suggestion, saved.lines, match.start, match.end)
    return replace(match, start=start, end=end)


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
    """How much of a suggestion may be in a save, up to 1.

    That is the share of its code in lines that `before` did not have, or of its lines that stand in
    the file if the save changes as little as it does. 0 if `find` finds nothing, and 2 if it stands
    in the file word for word. Raises NotCompared.
    """
    if sketch.size < min_tokens:
        return 0.0
    new, total = saved.new_since(before)
    counts = sketch.counts
    common = sum([min(counts[token], new[token]) for token in counts.keys() & new.keys()])
    share = common / sketch.size if total >= min_tokens and common >= min_tokens else 0.0
    if not share:
        standing = sum(line in saved.solid_at for line in sketch.lines) / len(sketch.lines)
        if standing < REPEATED or not (common or saved.changes_since(before).removed):
            return 0.0
        share = standing
    return 2.0 if saved.runs_of(sketch.lines) else share


def _whole(look: _Look, min_tokens: int, min_similarity: float) -> Match | None:
    """The run of lines that is all of the code, or one piece of it."""
    saved = look.saved
    own = remembered(look.code).lines
    verbatim = [Match(i, j, 1.0, "lines") for i, j in saved.runs_of(own)]
    found = verbatim or [
        replace(m, start=start, end=end)
        for m in look.runs()
        for start, end in [with_ends(look.spelt, saved, *look.trimmed(m.start, m.end))]
    ]
    enough = [m for m in found if _is_it(look, m, min_tokens, min_similarity) and m.start < m.end]
    return max(
        enough, key=lambda m: (m.similarity, look.new_tokens(m), m.start - m.end), default=None
    )


def _is_it(look: _Look, match: Match, min_tokens: int, min_similarity: float) -> bool:
    if match.method == "lines":
        return look.stands_newly(match) or look.brought(match, min_tokens)
    run = look.saved.letters_of(match.start, match.end)
    if resembles(look.letters, run, look.saved.letters, min_similarity):
        return look.brought(match, min_tokens)
    least = 2 * min_tokens
    return is_part(look.letters, run, least, share=0.95) and look.new_tokens(match) >= least


def _parts(look: _Look, before: str, min_tokens: int) -> Match | None:
    """The paragraphs of the code that were taken, as far as they stand together."""
    paragraphs = _paragraphs(look.lines)
    if len(paragraphs) < 2:
        return None
    found: list[tuple[Match, int]] = []
    for paragraph in paragraphs:
        if remembered(paragraph).size < min_tokens:
            continue
        part = _Look(paragraph, before, look.saved)
        if (match := _whole(part, min_tokens, PART)) is None:
            continue
        new = part.new_tokens(match)
        if found and not any(look.saved.spelt[found[-1][0].end : match.start]):
            last, before_it = found.pop()
            match, new = replace(last, end=max(last.end, match.end)), new + before_it
        found.append((match, new))
    match, new = max(found, key=lambda f: f[1], default=(None, 0))
    if match is None or new < 2 * min_tokens:
        return None
    return _grown(look, match)


def _grown(look: _Look, match: Match) -> Match:
    """The match with the lines around it that stand in the same order in all of the code."""
    spelt, coded = look.saved.spelt, look.saved.coded
    own = [letters for letters in look.spelt if letters]
    follows = set(pairwise(own))
    first, last = bisect_left(coded, match.start), bisect_left(coded, match.end) - 1
    while last + 1 < len(coded) and (spelt[coded[last]], spelt[coded[last + 1]]) in follows:
        last += 1
    while first > 0 and (spelt[coded[first - 1]], spelt[coded[first]]) in follows:
        first -= 1
    start, end = coded[first], coded[last] + 1
    return Match(start, end, alike(look.letters, look.saved.letters_of(start, end)), "tokens")


def _paragraphs(lines: Sequence[str]) -> list[str]:
    """The runs of lines between blank ones."""
    paragraphs: list[list[str]] = [[]]
    for line in lines:
        if line.strip():
            paragraphs[-1].append(line)
        elif paragraphs[-1]:
            paragraphs.append([])
    return ["\n".join(p) for p in paragraphs if p]


def _around(
    pieces: Sequence[str], before: str, saved: Saved, min_similarity: float
) -> Match | None:
    """The lines from the first to the last piece of a suggestion that leaves out the rest.

    One of them brought something new, and together they are alike enough.
    """
    added, old = saved.changes_since(before).added, set(saved.old(before).spelt)
    start, end, at = len(saved.lines), 0, 0
    common = size = 0.0
    fresh = False
    for piece in pieces:
        lines = piece.split("\n")
        spelt = [saved.letters.of(tokens) for tokens in tokens_by_line(lines)]
        letters = "".join(spelt)
        coded = [i for i in saved.coded if i >= at]
        runs = most_alike(letters, [saved.spelt[i] for i in coded])
        size += len(letters)
        best = max(runs, key=lambda r: (r[2], -r[0]), default=(0, 0, 0.0))
        if best[2] < min_similarity:
            continue
        common += best[2] * len(letters)
        first, at = coded[best[0]], coded[best[1] - 1] + 1
        start, end = min(start, first), max(end, at)
        came = {saved.spelt[i] for i in range(first, at) if i in added}
        fresh = fresh or bool(_telling(spelt, lines, old) & came)
    if not fresh or common < min_similarity * size:
        return None
    return Match(start, end, common / size, "tokens")


def _most_alike(letters: str, saved: Saved, near: frozenset[int], reach: int) -> list[Match]:
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
