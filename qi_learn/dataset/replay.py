"""What was learned before, to be seen again: examples from the snapshots behind the live chain, the
most due first.

*Spaced*: an example is due a cycle after it was learned; each time it is replayed and still known,
the time until the next is doubled, and once it was forgotten it is due in every cycle again. What
training found out is in the chain's own runs, so a version that was rolled back leaves no trace
here. *Balanced*: every project and learning type gets its turn until the capacity is reached, so a
busy project does not push out a quiet one. *Surprise* breaks ties and no more: of two that are due
alike and were drawn together, the one the model knew less well comes first; on its own it would
select noise.

The invariant: nothing that any gate has judged with, or will, is ever replayed, nor a turn that is
gone from the store, nor a text in which a secret is known today; else the old suite would measure
memory, and forgetting would not hold.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from itertools import groupby, islice

from qi_learn.records import Example, Recall, RecallLog, Snapshot

CAPACITY = 200
"""A run replays 144 sequences (three of the eight of each of 48 steps)."""
FORGOTTEN = 0.1
"""Nats per token above what it was when it had just been learned."""
LONGEST = 16
"""Cycles between two replays at most."""


def replay(
    earlier: Sequence[Snapshot],
    fresh: Sequence[Example],
    *,
    base_digest: str,
    seed: int,
    memories: Mapping[str, RecallLog] | None = None,
    forgotten: Set[str] = frozenset(),
    capacity: int = CAPACITY,
    secret: Callable[[Example], bool] = lambda example: False,
) -> tuple[Example, ...]:
    """Training examples of earlier snapshots (oldest first), at most `capacity`, the most due
    first, each with its `recall`.

    `memories`: what the trainings of those snapshots found out, by snapshot; without it an example
    counts as replayed where it was, and its time stays as it is. Left out: gate examples of any of
    them or of the fresh ones and what comes from the sessions of the fresh gate, what is fresh
    itself, turns that were `forgotten` (their ids), examples with a `secret`, snapshots of another
    base (their token ids mean other words).
    """
    judged = [e for s in earlier for e in s.split("gate")]
    out = {e.hash for e in (*fresh, *judged)}
    out_ids = {e.id for e in (*fresh, *judged)} | forgotten
    sessions = {e.session for e in fresh if e.split == "gate" and e.session}
    same = [s for s in earlier if s.base_digest == base_digest]
    pool = [
        h
        for h in _histories(same, memories or {})
        if h.example.hash not in out
        and h.example.id not in out_ids
        and h.example.session not in sessions
    ]
    found = (h for h in _in_turns(pool, len(same), seed) if not secret(h.example))
    return tuple(
        replace(h.example, split="train", weight=1.0, recall=h.recall(len(same)))
        for h in islice(found, capacity)
    )


@dataclass(slots=True)
class _History:
    """An example's life so far. Cycles are counted along the chain."""

    example: Example
    run: str
    level: float | None
    """Nats per token when it had just been learned; where that was not written down yet, when it
    was first measured.
    """
    last: int
    """The cycle that saw it last."""
    nll: float | None = None
    interval: int = 1
    replayed: int = 0
    forgotten: bool | None = None

    def meet(self, cycle: int, memory: RecallLog | None) -> None:
        """It was in a cycle's replay."""
        now = memory.known.get(self.example.id) if memory else None
        self.forgotten = None if now is None or self.level is None else now > self.level + FORGOTTEN
        self.nll = now if now is not None else self.nll
        self.level = now if self.level is None else self.level
        if self.forgotten:
            self.interval = 1
        if memory is not None and self.example.id not in memory.replayed:
            return  # no step had a place for it: it stays due
        if self.forgotten is False:
            self.interval = min(LONGEST, 2 * self.interval)
        self.replayed += 1
        self.last = cycle

    def overdue(self, cycle: int) -> int:
        return cycle - self.last - self.interval

    def recall(self, cycle: int) -> Recall:
        return Recall(
            self.run, self.replayed, self.interval, self.overdue(cycle), self.forgotten, self.nll
        )


def _histories(chain: Sequence[Snapshot], memories: Mapping[str, RecallLog]) -> list[_History]:
    found: dict[str, _History] = {}
    for cycle, snapshot in enumerate(chain):
        memory = memories.get(snapshot.id)
        for example in snapshot.split("train"):
            level = memory.learned.get(example.id) if memory else None
            found.setdefault(example.hash, _History(example, snapshot.id, level, cycle, level))
        for example in snapshot.replay:
            found.setdefault(example.hash, _History(example, "", None, cycle)).meet(cycle, memory)
    return list(found.values())


def _in_turns(pool: Sequence[_History], cycle: int, seed: int) -> Iterator[_History]:
    """Round by round one example of each group, as due as the group has them."""
    groups: dict[tuple[str, str], list[_History]] = {}
    for history in pool:
        groups.setdefault((history.example.project, history.example.learning_type), []).append(
            history
        )
    queues = [_most_due_first(group, cycle, seed) for group in groups.values()]
    for place in range(max(map(len, queues), default=0)):
        yield from (queue[place] for queue in queues if place < len(queue))


def _most_due_first(group: Sequence[_History], cycle: int, seed: int) -> list[_History]:
    drawn = sorted(
        group,
        key=lambda h: (
            -h.overdue(cycle),
            hashlib.sha256(f"{seed}:{h.example.hash}".encode()).hexdigest(),
        ),
    )
    return [
        h
        for _, tied in groupby(drawn, key=lambda h: h.overdue(cycle))
        for h in _surprising_first(list(tied))
    ]


def _surprising_first(tied: Sequence[_History]) -> list[_History]:
    """Of every two neighbours the more surprising, then the others: none is taken more than twice
    as often as by chance; what is unknown is no surprise.
    """
    pairs = [
        sorted(tied[at : at + 2], key=lambda h: -h.nll if h.nll is not None else float("inf"))
        for at in range(0, len(tied), 2)
    ]
    return [pair[0] for pair in pairs] + [pair[1] for pair in pairs if len(pair) > 1]


def why(recall: Recall) -> str:
    """The reason in words, for `explain` and the snapshot's manifest."""
    known = "" if recall.nll is None else f" ({recall.nll:.2f} nat a token when last seen)"
    held = {
        None: "not known whether it was forgotten",
        True: "forgotten since",
        False: "still known",
    }[recall.forgotten]
    times = (
        f"replayed in {recall.replayed} cycle{'s' if recall.replayed != 1 else ''} since, {held}"
        if recall.replayed
        else "not replayed yet"
    )
    due = (
        "due"
        if recall.overdue == 0
        else f"{recall.overdue} overdue"
        if recall.overdue > 0
        else f"due in {-recall.overdue}, taken because there was room"
    )
    return f"learned by run {recall.learned or 'unknown'}, {times}{known}; {due} (every {recall.interval} cycle{'s' if recall.interval != 1 else ''})"
