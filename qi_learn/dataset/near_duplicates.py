"""A split in which nothing judges that is learned almost word for word.

Two functions that differ in a name are no two pieces of evidence: a training that has the one by
heart knows the other. So an example judges only if it is in none that trains, chooses, or was
trained on before. It is in one if most of the telling characters of its code are in lines of that
one example, and so is most of the lines that the person wrote or changed: a known function in which
they changed another line is work of its own, and so is their habit in another function. The same
text, or the same code in another answer, is always known again, however short, white space aside. A
call has its code in one line of JSON: its lines are those of the code.

What is left out of the gate set for it, while its session judges, is not in the data set at all: it
is new to the next cycle. A session of which all is left out trains. An example of dev that is in
one that trains, or was trained on before, trains as well, unless nothing that counts would choose.

The invariants: those of `dataset/split.py`, whose rules hold for what is not left out; the same
examples give the same split. Not covered: copies in which most lines were changed a little; where
more than 64 examples share a line, copies, other than exact, of one in the middle of them.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence, Set
from dataclasses import dataclass, replace
from itertools import accumulate

from qi_learn.dataset.split import assign
from qi_learn.dataset.telling_lines import (
    MOST,
    TELLING,
    mostly_in,
    plain_lines,
    telling_lines,
)
from qi_learn.dataset.tool_calls import argument_places
from qi_learn.errors import Refused
from qi_learn.records import Example, Snapshot, Split

LEFT_OUT = "says mostly what another says that trains, so that it cannot judge"
"""The reason, as a data set counts it."""
HOLDERS = 32
"""So many of the oldest and as many of the newest examples with a line are looked at."""
Pieces = Callable[[Sequence[int]], Sequence[bytes]]
"""The bytes that each token stands for."""


@dataclass(frozen=True, slots=True)
class DistinctSplit:
    """Examples with their splits, oldest first."""

    examples: tuple[Example, ...]
    left_out: int
    """How many do not judge because they are in one that trains; they are not among `examples`."""


def split_distinct(
    examples: Sequence[Example],
    *,
    min_gate: int,
    pieces: Pieces,
    earlier: Sequence[Snapshot] = (),
) -> DistinctSplit:
    """The examples, given oldest first, each with its split.

    `earlier`: the data sets that were trained on before. Raises Refused as `split.assign` does.
    """
    known = _Known(examples, pieces, [e for s in earlier for e in _trained(s)])
    alike: set[int] = set()
    while True:
        splits = _assign(examples, alike, min_gate)
        judging = {n for n, name in enumerate(splits) if name == "gate"} - alike
        learned = {n for n, name in enumerate(splits) if name != "gate"}
        found = known.those_in(learned, judging)
        if not found:
            break
        alike |= found
    kept = [n for n, name in enumerate(splits) if name != "gate" or n not in alike]
    _choose_distinct(splits, examples, known)
    return DistinctSplit(
        tuple(replace(examples[n], split=splits[n]) for n in kept), len(examples) - len(kept)
    )


def _assign(examples: Sequence[Example], alike: Set[int], min_gate: int) -> list[Split]:
    """The split of each: of those that are `alike` that of their session."""
    rest = [n for n in range(len(examples)) if n not in alike]
    sessions = [examples[n].session for n in rest]
    own = [examples[n].person_wrote for n in rest]
    try:
        of_rest = assign(sessions, own, min_gate=min_gate)
    except Refused as refused:
        if not alike:
            raise
        more = f"{len(alike)} more say mostly what others say, and cannot judge beside them."
        raise Refused(f"{refused.what} {more}", refused.hint) from None
    splits: list[Split] = ["train"] * len(examples)
    judging = {session for session, name in zip(sessions, of_rest, strict=True) if name == "gate"}
    for n, name in zip(rest, of_rest, strict=True):
        splits[n] = name
    for n in alike:
        splits[n] = "gate" if examples[n].session in judging else "train"
    return splits


def _choose_distinct(splits: list[Split], examples: Sequence[Example], known: _Known) -> None:
    """Let those of dev train that are in one that trains, if others are left to choose by."""
    train = {n for n, name in enumerate(splits) if name == "train"}
    dev = [n for n, name in enumerate(splits) if name == "dev"]
    alike = known.those_in(train, dev)
    if any(examples[n].person_wrote for n in dev if n not in alike):
        for n in alike:
            splits[n] = "train"


@dataclass(frozen=True, slots=True)
class _Telling:
    """By what an example is known again, without white space."""

    code: Sequence[str]
    """The telling lines of its code; of all of it, if it has none."""
    own: Sequence[str]
    """The lines in which the person wrote or changed something; none if that is not known."""
    same: Set[bytes]
    """Digests: one that has any of these is the same. Its code's is not among them if most of what
    the person wrote stands around it.
    """


class _Known:
    """Which examples are mostly in which; those of earlier data sets have numbers of their own."""

    def __init__(
        self, examples: Sequence[Example], pieces: Pieces, trained: Sequence[Example]
    ) -> None:
        self._fresh = len(examples)
        self._texts = [_telling(example, pieces) for example in examples]
        everything = (*examples, *trained)
        self._lines = [_lines_of(e.target) | _lines_of(e.kept_code) for e in everything]
        self._digests = [_digests(e.target, e.kept_code) for e in everything]
        self._before = frozenset[bytes]().union(*self._digests[self._fresh :])
        self._holders: dict[str, list[int]] = {}
        for number, lines in enumerate(self._lines):
            for line in lines:
                if len(line) >= TELLING:
                    self._holders.setdefault(line, []).append(number)
        self._alike: dict[int, Sequence[int]] = {}

    def those_in(self, learned: Set[int], numbers: Iterable[int]) -> set[int]:
        """Those that are mostly in one of `learned`, or in one that was trained on before."""
        digests = self._before.union(*(self._digests[n] for n in learned))
        return {
            n
            for n in numbers
            if not digests.isdisjoint(self._texts[n].same) or self._is_in_one_of(learned, n)
        }

    def _is_in_one_of(self, learned: Set[int], number: int) -> bool:
        if number not in self._alike:
            self._alike[number] = self._holding(number)
        return any(n in learned or n >= self._fresh for n in self._alike[number])

    def _holding(self, number: int) -> list[int]:
        """The others that it is mostly in."""
        text = self._texts[number]
        shared: Counter[int] = Counter()
        for line in text.code:
            for holder in _some(self._holders.get(line, ())):
                shared[holder] += len(line)
        need = MOST * sum(map(len, text.code))
        return [
            holder
            for holder, size in shared.items()
            if holder != number and size >= need and mostly_in(text.own, self._lines[holder])
        ]


def _some(holders: Sequence[int]) -> Sequence[int]:
    """The oldest and the newest: what is copied more often is found by them."""
    return holders if len(holders) <= 2 * HOLDERS else (*holders[:HOLDERS], *holders[-HOLDERS:])


def _telling(example: Example, pieces: Pieces) -> _Telling:
    target, code = example.target, example.kept_code
    own = tuple(plain_lines(_own_lines(example, pieces)) if example.person_wrote else ())
    around = bool(code) and not mostly_in(own, _lines_of(code))
    return _Telling(
        tuple(telling_lines(code or target)), own, _digests(target, "" if around else code)
    )


def _digests(*texts: str) -> frozenset[bytes]:
    """One of each text that is not empty, white space aside."""
    plain = ("".join(text.split()) for text in texts)
    return frozenset(hashlib.sha256(text.encode()).digest() for text in plain if text)


def _lines_of(text: str) -> frozenset[str]:
    return frozenset(plain_lines(text.split("\n")))


def _own_lines(example: Example, pieces: Pieces) -> Iterator[str]:
    """The lines in which the person wrote or changed something."""
    parts = pieces(example.target_ids)
    if _lines_of(example.kept_code) <= _lines_of(example.target):
        return _own_in_text(example, parts)
    # what stands in a call: all of it, if it is not found in one piece
    return iter(tuple(_own_in_call(example, parts)) or example.kept_code.split("\n"))


def _own_in_text(example: Example, pieces: Sequence[bytes]) -> Iterator[str]:
    text = example.target.encode()
    touched: set[int] = set()
    at = line = 0
    for piece, own in zip(pieces, example.person_mask, strict=True):
        lead = len(piece) - len(piece.lstrip())
        first = line + text.count(b"\n", at, at + lead)
        line += text.count(b"\n", at, at + len(piece))
        if own:
            touched |= set(range(first, line + 1)) if piece.strip() else {line}
        at += len(piece)
    return (each for n, each in enumerate(example.target.split("\n")) if n in touched)


def _own_in_call(example: Example, pieces: Sequence[bytes]) -> Iterator[str]:
    """Of code that a call has in one piece; a line begins with what ends the one before it."""
    (place,) = argument_places(example.target, (example.kept_code,))
    if place is None:
        return
    ends = list(accumulate(map(len, pieces)))
    spans = zip((0, *ends), ends, example.person_mask, strict=False)
    own = [(end, start) for start, end, theirs in spans if theirs]
    at = len(example.target[: place.start].encode())
    for n, line in enumerate(example.kept_code.split("\n")):
        end = at + len(place.form("\n" + line if n else line).encode())
        first = bisect_left(own, (at + 1, 0))
        if first < len(own) and own[first][1] < end:
            yield line
        at = end


def _trained(snapshot: Snapshot) -> Iterator[Example]:
    yield from snapshot.split("train")
    yield from snapshot.split("dev")
    yield from snapshot.replay


def note_of(snapshot: Snapshot) -> tuple[str, ...]:
    """What a verdict should say of it, a sentence."""
    count = snapshot.dropped.get(LEFT_OUT, 0)
    if not count:
        return ()
    was, is_in = ("was", "it says") if count == 1 else ("were", "they say")
    return (
        f"{count} of the new examples {was} left out of those that judge: {is_in} mostly what "
        "another says that trains, or trained before",
    )
