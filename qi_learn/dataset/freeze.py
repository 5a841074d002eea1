"""From the store to a frozen data set: one page that reads in the order in which it happens.

The invariant: the same store, server, vocabulary and seed give the same snapshot; from here on the
cycle reads the snapshot and never the store, so what is learned can be shown, repeated and
withdrawn.
"""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Sequence, Set
from dataclasses import replace
from pathlib import Path

from qi_learn.dataset import reference_code
from qi_learn.dataset.balance import capped, refuse_one_sided
from qi_learn.dataset.examples import (
    RenderCache,
    Renderer,
    Serving,
    Tokenizer,
    example_of,
    generic_examples,
)
from qi_learn.dataset.pairs import preferences
from qi_learn.dataset.replay import replay
from qi_learn.dataset.select import candidates
from qi_learn.dataset.split import split
from qi_learn.dataset.target import Skipped
from qi_learn.dataset.weighting import weighted
from qi_learn.errors import StoreError
from qi_learn.records import Example, Packed, RecallLog, Snapshot
from qi_learn.redact import holds_secret
from qi_learn.rundir.directory import RunDirectory
from qi_learn.rundir.snapshot import load_snapshot
from qi_learn.settings import Settings
from qi_learn.store.database import Store

logger = logging.getLogger(__name__)


def freeze(
    store: Store,
    *,
    run_id: str,
    server: Renderer,
    model: str,
    vocabulary: Tokenizer,
    settings: Settings,
    earlier: Sequence[RunDirectory],
    learned: Set[str],
    base_digest: str,
    seed: int,
    now: float,
    cache: Path | None = None,
) -> Snapshot:
    """The data set of a run.

    `model` is the name under which the server renders (a version, or the alias); `earlier` are the
    runs behind the live chain, oldest first, and `learned` the turn ids in their snapshots; `cache`
    is a file that keeps rendered prompts for a run that is taken up again. Raises Refused where the
    data is too thin or one-sided, ServerError where the server does not render. An earlier snapshot
    that cannot be read is not replayed, and counted.
    """
    selection = candidates(store, settings, learned=learned)
    within = capped(selection.candidates, seed=seed)
    dropped = Counter(selection.dropped)
    dropped["above the cap of its session or kind"] += within.left_out
    serving = Serving(server, model, base_digest, vocabulary, RenderCache(cache))
    examples: list[Example] = []

    def secret(*texts: str) -> bool:
        found = holds_secret(*texts)
        dropped["a secret of a kind that is known only now"] += found
        return found

    for candidate in within.kept:
        example = example_of(candidate, serving)
        if isinstance(example, Skipped):
            dropped[example.reason] += 1
        elif example.hash in {e.hash for e in examples}:
            dropped["says the same as another"] += 1
        elif not secret(example.prompt, example.target):
            examples.append(example)
    snapshots = [s for run in earlier if (s := _earlier(run, dropped))]
    logger.info(
        "run %s: %d examples, left out: %s",
        run_id,
        len(examples),
        {k: n for k, n in dropped.items() if n} or "none",
    )
    refuse_one_sided([e.session for e in examples])
    by_id = {c.id: c for c in within.kept}
    fresh = weighted(split(examples, min_gate=settings.gate.min_examples), settings.train.weights)
    pairs = (
        preferences(store, by_id, fresh, snapshots, serving, learned=learned, secret=secret)
        if settings.train.preference
        else ()
    )
    return Snapshot(
        id=run_id,
        created=now,
        base_digest=base_digest,
        examples=fresh,
        replay=replay(
            snapshots,
            fresh,
            base_digest=base_digest,
            seed=seed,
            memories={run.run_id: memory for run in earlier if (memory := _memory(run))},
            forgotten=_forgotten(store, snapshots),
            capacity=settings.train.replay,
            secret=lambda e: secret(e.prompt, e.target),
        ),
        anchors=generic_examples(reference_code.anchors(), vocabulary),
        dropped={reason: count for reason, count in dropped.items() if count},
        pairs=pairs,
        yardsticks=generic_examples(reference_code.yardsticks(), vocabulary),
    )


def _earlier(run: RunDirectory, dropped: Counter[str]) -> Snapshot | None:
    try:
        return load_snapshot(run.snapshot)
    except StoreError as error:
        logger.warning("not replayed: %s", error.what)
        dropped["an earlier data set that cannot be read"] += 1
        return None


def _memory(run: RunDirectory) -> RecallLog | None:
    """What the run's training found out; None where it is from before that was written down, or
    damaged: then it is not known.

    Where only a part of the change went live, what the whole of it knew of the new examples says
    nothing about the version.
    """
    try:
        if not run.memory.exists():
            return None
        memory = run.read(run.memory, RecallLog)
        whole = not run.packed.exists() or run.read(run.packed, Packed).scale == 1
        return memory if whole else replace(memory, learned={})
    except StoreError as error:
        logger.warning("%s", error.what)
        return None


def _forgotten(store: Store, snapshots: Sequence[Snapshot]) -> set[str]:
    """Turns of earlier data sets that are no longer in the store: somebody wanted them gone."""
    ids = sorted({e.id for s in snapshots for e in (*s.examples, *s.replay)})
    rows = store.rows(
        "SELECT value FROM json_each(?) WHERE value NOT IN (SELECT id FROM turns)",
        (json.dumps(ids),),
    )
    return {row["value"] for row in rows}
