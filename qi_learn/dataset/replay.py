"""What was learned before, to be seen again: the most due examples behind the live chain.

They come from the snapshots of the runs behind the live version.

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
    recall_logs: Mapping[str, RecallLog] | None = None,
    gone: Set[str] = frozenset(),
    capacity: int = CAPACITY,
    secret: Callable[[Example], bool] = lambda example: False,
) -> tuple[Example, ...]:
    """Training examples of `earlier` snapshots, the most due first, each with its `recall`.

    The snapshots come oldest first, the examples are at most `capacity`. `recall_logs` holds what
    the trainings of those snapshots found out, by snapshot; without it an example counts as
    replayed by each snapshot that has it for replay, and its interval stays.

    Left out are:

    * gate examples of the earlier snapshots and of the `fresh` examples, what comes from the
      sessions of the fresh gate, and what is fresh itself;
    * turns that are `gone` from the store (their ids), and examples with a `secret`;
    * snapshots of another base, whose token ids mean other words.
    """
    judged = [e for s in earlier for e in s.split("gate")]
    hashes = {e.hash for e in (*fresh, *judged)}
    ids = {e.id for e in (*fresh, *judged)} | gone
    sessions = {e.session for e in fresh if e.split == "gate" and e.session}
    same = [s for s in earlier if s.base_digest == base_digest]
    pool = [
        h
        for h in _histories(same, recall_logs or {})
        if h.example.hash not in hashes
        and h.example.id not in ids
        and h.example.session not in sessions
    ]
    due = (h for h in _in_turns(pool, len(same), seed) if not secret(h.example))
    return tuple(
        replace(h.example, split="train", weight=1.0, recall=h.recall(len(same)))
        for h in islice(due, capacity)
    )


@dataclass(slots=True)
class _History:
    """An example's life so far; cycles are counted along the chain."""

    example: Example
    run: str
    level: float | None
    """Nats per token when it had just been learned; if that was not written down, when it was first
    measured.
    """
    last: int
    """The cycle that saw it last."""
    nll: float | None = None
    """Nats per token when it was measured last."""
    interval: int = 1
    """Cycles between two replays."""
    replayed: int = 0
    """The number of cycles that replayed it."""
    forgotten: bool | None = None
    """Whether it had been forgotten when it was measured last; None if that is not known."""

    def meet(self, cycle: int, log: RecallLog | None) -> None:
        """Record that it was in a cycle's replay."""
        now = log.known.get(self.example.id) if log else None
        self.forgotten = None if now is None or self.level is None else now > self.level + FORGOTTEN
        self.nll = now if now is not None else self.nll
        self.level = now if self.level is None else self.level
        if self.forgotten:
            self.interval = 1
        if log is not None and self.example.id not in log.replayed:
            return  # no step had room for it: it stays due
        if self.forgotten is False:
            self.interval = min(LONGEST, 2 * self.interval)
        self.replayed += 1
        self.last = cycle

    def overdue(self, cycle: int) -> int:
        """Cycles since it was due; negative before."""
        return cycle - self.last - self.interval

    def recall(self, cycle: int) -> Recall:
        """The reason for its replay in a cycle."""
        return Recall(
            self.run, self.replayed, self.interval, self.overdue(cycle), self.forgotten, self.nll
        )


def _histories(chain: Sequence[Snapshot], logs: Mapping[str, RecallLog]) -> list[_History]:
    """The life of every example that trained in the chain, by the text learned."""
    histories: dict[str, _History] = {}
    for cycle, snapshot in enumerate(chain):
        log = logs.get(snapshot.id)
        for example in snapshot.split("train"):
            level = log.learned.get(example.id) if log else None
            new = _History(example, snapshot.id, level, cycle, level)
            histories.setdefault(example.hash, new)
        for example in snapshot.replay:
            new = _History(example, "", None, cycle)
            histories.setdefault(example.hash, new).meet(cycle, log)
    return list(histories.values())


def _in_turns(pool: Sequence[_History], cycle: int, seed: int) -> Iterator[_History]:
    """Round by round one example of each group, each group's most due first.

    A group is a project and a learning type.
    """
    groups: dict[tuple[str, str], list[_History]] = {}
    for history in pool:
        group = (history.example.project, history.example.learning_type)
        groups.setdefault(group, []).append(history)
    queues = [_most_due_first(group, cycle, seed) for group in groups.values()]
    for turn in range(max(map(len, queues), default=0)):
        yield from (queue[turn] for queue in queues if turn < len(queue))


def _most_due_first(group: Sequence[_History], cycle: int, seed: int) -> list[_History]:
    def draw(history: _History) -> str:
        return hashlib.sha256(f"{seed}:{history.example.hash}".encode()).hexdigest()

    drawn = sorted(group, key=lambda h: (-h.overdue(cycle), draw(h)))
    return [
        h
        for _, tied in groupby(drawn, key=lambda h: h.overdue(cycle))
        for h in _surprising_first(list(tied))
    ]


def _surprising_first(tied: Sequence[_History]) -> list[_History]:
    """Of every two neighbours the more surprising, then the others.

    None is taken more than twice as often as by chance; what is unknown is no surprise.
    """
    pairs = [
        sorted(tied[at : at + 2], key=lambda h: -h.nll if h.nll is not None else float("inf"))
        for at in range(0, len(tied), 2)
    ]
    return [pair[0] for pair in pairs] + [pair[1] for pair in pairs if len(pair) > 1]


def why(recall: Recall) -> str:
    """The reason for a replay in words, for `explain` and the snapshot's manifest."""
    if recall.replayed:
        times = f"replayed in {_cycles(recall.replayed)} since, {_HELD[recall.forgotten]}"
    else:
        times = "not replayed yet"
    level = "" if recall.nll is None else f" ({recall.nll:.2f} nat a token when last seen)"
    if recall.overdue > 0:
        due = f"{recall.overdue} overdue"
    elif recall.overdue == 0:
        due = "due"
    else:
        due = f"due in {-recall.overdue}, taken because there was room"
    learned = f"learned by run {recall.learned or 'unknown'}, {times}{level}"
    return f"{learned}; {due} (every {_cycles(recall.interval)})"


_HELD = {
    None: "not known whether it was forgotten",
    True: "forgotten since",
    False: "still known",
}


def _cycles(count: int) -> str:
    return f"{count} cycle{'s' if count != 1 else ''}"
