"""A split in which nothing judges that is learned almost word for word.

Two functions that differ in a name are no two pieces of evidence: a training that has the one by
heart knows the other. So an example judges only if it is in none that trains, chooses, or was
trained on before. It is in one if most of the telling characters of its code are in lines of that
one example, and so is most of the lines that the person wrote or changed: a known function in which
they changed another line is work of its own, and so is their habit in another function.

What is left out of the gate set for it, while its session judges, is not in the data set at all: it
is new to the next cycle. A session of which all is left out trains. An example of dev that is in
one that trains, or was trained on before, trains as well, unless nothing that counts would choose.

The invariants: those of `dataset/split.py`, whose rules hold for what is not left out; the same
examples give the same split. Not covered: copies in which most lines were changed a little.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence, Set
from dataclasses import dataclass, replace

from qi_learn.dataset.split import assign
from qi_learn.dataset.telling_lines import MOST, TELLING, plain_lines, telling_lines
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
        found = {n for n in judging if known.is_in_one_of(learned, n)}
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
    alike = {n for n in dev if known.is_in_one_of(train, n)}
    if any(examples[n].person_wrote for n in dev if n not in alike):
        for n in alike:
            splits[n] = "train"


@dataclass(frozen=True, slots=True)
class _Telling:
    """The lines of an example, without their white space."""

    code: Sequence[str]
    """The telling ones of its code; of all of it, if it has none."""
    own: Sequence[str]
    """Those in which the person wrote or changed something; none if that is not known."""


class _Known:
    """Which examples are mostly in which; those of earlier data sets have numbers of their own."""

    def __init__(
        self, examples: Sequence[Example], pieces: Pieces, trained: Sequence[Example]
    ) -> None:
        self._fresh = len(examples)
        self._texts = [_telling(example, pieces) for example in examples]
        self._lines = [frozenset(plain_lines(e.target.split("\n"))) for e in (*examples, *trained)]
        self._holders: dict[str, list[int]] = {}
        for number, lines in enumerate(self._lines):
            for line in lines:
                if len(line) >= TELLING:
                    self._holders.setdefault(line, []).append(number)
        self._alike: dict[int, Sequence[int]] = {}

    def is_in_one_of(self, learned: Set[int], number: int) -> bool:
        """Whether an example is mostly in one of these, or in one that was trained on before."""
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
            if holder != number and size >= need and _mostly(text.own, self._lines[holder])
        ]


def _some(holders: Sequence[int]) -> Sequence[int]:
    """The oldest and the newest: what is copied more often is found by them."""
    return holders if len(holders) <= 2 * HOLDERS else (*holders[:HOLDERS], *holders[-HOLDERS:])


def _mostly(lines: Sequence[str], known: Set[str]) -> bool:
    size = sum(len(line) for line in lines if line in known)
    return size >= MOST * sum(map(len, lines))


def _telling(example: Example, pieces: Pieces) -> _Telling:
    code = tuple(telling_lines(example.kept_code or example.target))
    own = plain_lines(_own_lines(example, pieces)) if example.person_wrote else ()
    return _Telling(code, tuple(own))


def _own_lines(example: Example, pieces: Pieces) -> Iterator[str]:
    """The lines in which the person wrote or changed something."""
    text = example.target.encode()
    touched: set[int] = set()
    at = line = 0
    for piece, own in zip(pieces(example.target_ids), example.person_mask, strict=True):
        lead = len(piece) - len(piece.lstrip())
        first = line + text.count(b"\n", at, at + lead)
        line += text.count(b"\n", at, at + len(piece))
        if own:
            touched |= set(range(first, line + 1)) if piece.strip() else {line}
        at += len(piece)
    return (each for n, each in enumerate(example.target.split("\n")) if n in touched)


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
