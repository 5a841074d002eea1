"""The runs of lines most like a suggestion, and how two runs are alike.

A run is chosen by which tokens it has, and compared by the order of them. Each token is one letter
here, the same for the suggestion and the file, so that comparing runs is comparing texts; and no
run is compared twice.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from rapidfuzz.distance import LCSseq, Levenshtein

from qi_learn.code_text import is_keyword

CANDIDATES = 12
"""How many of the most promising runs of lines are looked at closely."""
LEAST_OVERLAP = 0.3
"""The least of a suggestion that a run has if it is looked at."""
TELLING = 20
"""So many tokens code has at least that is known again though more than a little is changed."""

Run = tuple[int, int, float]
"""The first line of a stretch, the one after the last, and how alike (0..1)."""


class Letters:
    """A letter for each token; the first letter of all stands for every name."""

    def __init__(self) -> None:
        self._letters: dict[str, str] = {}
        self._names: dict[int, str] = {}
        self._tokens: list[str] = ["\0"]

    def of(self, tokens: Sequence[str]) -> str:
        """The letters of these tokens, in their order."""
        return "".join([self._letters.get(t) or self._new(t) for t in tokens])

    def _new(self, token: str) -> str:
        letter = self._letters[token] = chr(len(self._letters) + 1)
        self._tokens.append(token)
        if (token[0].isalpha() or token[0] == "_") and not is_keyword(token):
            self._names[ord(letter)] = "\0"
        return letter

    def token(self, letter: str) -> str:
        return self._tokens[ord(letter)]

    def is_name(self, letter: str) -> bool:
        return ord(letter) in self._names

    def shape(self, letters: str) -> str:
        """The same code with one name for all names."""
        return letters.translate(self._names)


def alike(left: str, right: str) -> float:
    """How alike two texts in letters are: 1 - Levenshtein / longer length."""
    return float(Levenshtein.normalized_similarity(left, right))


def resembles(suggested: str, run: str, letters: Letters, enough: float) -> bool:
    """Whether a run is the suggestion, as it is or with what a person does to it before a save.

    That is: other names for up to half of its names, or more put between its tokens (type hints,
    checks), as long as most of the run is of the suggestion.
    """
    score = alike(suggested, run)
    if score >= enough:
        return True
    if score < 0.5 or len(suggested) < TELLING:
        return False
    common = LCSseq.similarity(suggested, run)
    if common >= 0.9 * len(suggested):
        return True
    return alike(suggested.translate(renaming(suggested, run, letters)), run) >= enough


def is_part(suggested: str, run: str, least: int, *, share: float) -> bool:
    """Whether at least a share of a run, and `least` tokens of it, are of the suggestion."""
    common = LCSseq.similarity(suggested, run)
    return common >= least and common >= share * len(run)


def renaming(suggested: str, run: str, letters: Letters, known: str = "") -> dict[int, str]:
    """The names that the run has for the same things, as `str.translate` takes them.

    None of them if that would be more than half of the suggestion's names. A name that was there
    before, in `known`, is not a new one for anything.
    """
    votes: Counter[tuple[str, str]] = Counter()
    for step in Levenshtein.opcodes(letters.shape(suggested), letters.shape(run)):
        if step.tag == "equal":
            pairs = zip(
                suggested[step.src_start : step.src_end],
                run[step.dest_start : step.dest_end],
                strict=True,
            )
            votes.update((a, b) for a, b in pairs if letters.is_name(a))
    names = {c for c in suggested if letters.is_name(c)}
    given: dict[int, str] = {}
    taken = {c for c in (*suggested, *known) if letters.is_name(c)}
    for (name, other), count in votes.most_common():
        if ord(name) not in given and other not in taken and 2 * count >= suggested.count(name):
            given[ord(name)] = other
            taken.add(other)
    return given if 2 * len(given) <= len(names) else {}


def most_alike(suggested: str, lines: Sequence[str]) -> set[Run]:
    """The runs of these lines most like the suggestion; all of them in letters."""
    overlaps = sorted(_overlaps(suggested, lines), reverse=True)[:CANDIDATES]
    runs = _Runs(suggested, lines)
    return {
        runs.climbed(first, last)
        for common, first, last in overlaps
        if common >= LEAST_OVERLAP * len(suggested)
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
            known = self._known[i, j] = alike(self._suggested, run)
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
