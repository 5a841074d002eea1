"""What was learned before, to be seen again: examples from the snapshots behind the live chain.

The buffer is a balanced reservoir: every project and learning type gets its turn until the cap is reached, so a busy project does not push out a
quiet one. The invariant: nothing that any gate has judged with, or will, is ever replayed; else the old suite would measure memory.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence, Set
from dataclasses import replace

from qi_learn.records import Example, Snapshot

REPLAY_CAP = 200
"""A run replays about 96 sequences (a quarter of 48 steps of 8); a longer list would only make it draw from more."""


def replay(
    earlier: Sequence[Snapshot], fresh: Sequence[Example], *, base_digest: str, seed: int, forgotten: Set[str] = frozenset(), cap: int = REPLAY_CAP
) -> tuple[Example, ...]:
    """Training examples of earlier snapshots, at most `cap`, drawn by project and learning type.

    Left out: gate examples of any of them or of the fresh ones, what is fresh itself, turns that were forgotten, snapshots of another base (their token
    ids mean other words).
    """
    judged = [e for s in earlier for e in s.split("gate")]
    out = {e.hash for e in (*fresh, *judged)}
    out_ids = {e.id for e in (*fresh, *judged)} | forgotten
    pool: dict[str, Example] = {}
    for snapshot in earlier:
        if snapshot.base_digest == base_digest:
            for example in (*snapshot.split("train"), *snapshot.replay):
                if example.hash not in out and example.id not in out_ids:
                    pool.setdefault(example.hash, example)
    return tuple(replace(e, split="train", weight=1.0) for e in _reservoir(list(pool.values()), seed, cap))


def _reservoir(pool: Sequence[Example], seed: int, cap: int) -> list[Example]:
    """Round by round one example of each group, in an order drawn from the seed; the result in the pool's own order."""
    groups: dict[tuple[str, str], list[int]] = {}
    for index in sorted(range(len(pool)), key=lambda i: hashlib.sha256(f"{seed}:{pool[i].hash}".encode()).hexdigest()):
        groups.setdefault((pool[index].project, pool[index].learning_type), []).append(index)
    rounds = sorted((place, group[place]) for group in groups.values() for place in range(len(group)))
    return [pool[i] for i in sorted(index for _, index in rounds[:cap])]
