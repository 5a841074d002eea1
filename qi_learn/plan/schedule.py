"""Which sequences a step sees.

The seed fixes the whole schedule before the first step, so a resumed run goes on with the data that
was next.

Every step mixes new work, replay of old work and generic code in the plan's shares; a pool that is
empty gives its places to new work.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from qi_learn.records import Example

SHORTEST_TARGET = 8
"""A target cut to fewer tokens than this teaches nothing worth its prompt."""
PADDED = 1.25
"""How many times as large a micro-batch may be with its padding as without. On a CPU one pass over
8 sequences of like length takes 0.7 of the time of four passes over 2 (measured); beyond that
padding costs more than it saves.
"""
PASS = 40
"""What a pass costs however short it is, in tokens: 96 tokens at a time make 0.7 of the tokens per
second that 384 make (measured, one thread, SmolLM2).
"""


@dataclass(frozen=True, slots=True)
class Sample:
    """One sequence: a prompt that is read and a target that is learned."""

    id: str
    ids: tuple[int, ...]
    start: int
    """Index in `ids` of the first target token; at least 1, since something must come before it."""
    weight: float = 1.0

    @property
    def targets(self) -> int:
        """How many tokens are learned."""
        return len(self.ids) - self.start


def samples(examples: Sequence[Example], max_length: int) -> tuple[Sample, ...]:
    """Examples as sequences of at most `max_length` tokens.

    A long target loses its end (what is left is still what was served). An example whose prompt
    leaves no room for a target is left out, since a prompt with its head cut off is not what was
    served.
    """
    sequences = []
    for example in examples:
        ids = (*example.prompt_ids, *example.target_ids)[:max_length]
        start = max(1, len(example.prompt_ids))
        if len(ids) - start >= min(SHORTEST_TARGET, len(example.target_ids)) and len(ids) > start:
            sequences.append(Sample(example.id, ids, start, example.weight))
    return tuple(sequences)


def alike(samples: Sequence[Sample], size: int) -> Iterator[Sequence[Sample]]:
    """Micro-batches of at most `size` samples, cut earlier if too much would be padding.

    The samples are sorted by length, longest first.
    """
    start = real = 0
    for end, sample in enumerate(samples):
        padded = (end + 1 - start) * len(samples[start].ids) if end > start else 0
        if end - start == size or padded > PADDED * (real + len(sample.ids)):
            yield samples[start:end]
            start, real = end, 0
        real += len(sample.ids)
    if start < len(samples):
        yield samples[start:]


def balanced(samples: Sequence[Sample], size: int, lanes: int) -> list[Sequence[Sample]]:
    """Micro-batches for lanes that work side by side, each taking the next when it is free.

    Of the sizes that fit (at most `size` sequences in all lanes together) the one with which all
    lanes are done first. `samples` are sorted by length, longest first.
    """
    sizes = [max(1, size // (lanes * share)) for share in (1, 2, 4)] if lanes > 1 else [size]
    return min(
        (list(alike(samples, each)) for each in sizes), key=lambda groups: _time(groups, lanes)
    )


def _time(groups: Sequence[Sequence[Sample]], lanes: int) -> int:
    """Work of the lane that is busy longest, in tokens with their padding."""
    busy = [0] * lanes
    for group in groups:
        busy[busy.index(min(busy))] += PASS + len(group) * len(group[0].ids)
    return max(busy)


def schedule(
    new: Sequence[Sample],
    replay: Sequence[Sample],
    generic: Sequence[Sample],
    *,
    steps: int,
    size: int,
    replay_share: float,
    generic_share: float,
    seed: int,
) -> list[tuple[Sample, ...]]:
    """The sequences of every optimiser step, longest first, so that micro-batches pad little.

    Each pool is gone through in a fresh random order again and again: nothing comes twice before
    everything came once.
    """
    rng = random.Random(seed)
    old = share_count(size, replay_share) if replay else 0
    common = share_count(size, generic_share) if generic else 0
    pools = (
        (_endless(new, rng), size - old - common),
        (_endless(replay, rng), old),
        (_endless(generic, rng), common),
    )
    return [
        tuple(
            sorted(
                (next(pool) for pool, count in pools for _ in range(count)),
                key=lambda s: -len(s.ids),
            )
        )
        for _ in range(steps)
    ]


def share_count(size: int, share: float) -> int:
    """Sequences of a step for a share: at least one if the share is above 0."""
    return max(1, round(size * share)) if share > 0 else 0


def _endless(pool: Sequence[Sample], rng: random.Random) -> Iterator[Sample]:
    while True:
        order = list(pool)
        rng.shuffle(order)
        yield from order
