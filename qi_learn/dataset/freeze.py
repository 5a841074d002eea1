"""From the store to a frozen data set: one page that reads in the order in which it happens.

The invariant: the same store, server, vocabulary and seed give the same snapshot. The store is read
once, at the beginning (`store/learnables.py`). From here on the cycle reads the snapshot, and takes
nothing that is learned or measured from the store. So what is learned can be shown, repeated and
withdrawn.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from functools import partial

from qi_learn.dataset import reference_code
from qi_learn.dataset.balance import capped
from qi_learn.dataset.examples import Serving, example_of, generic_examples
from qi_learn.dataset.near_duplicates import LEFT_OUT, split_distinct
from qi_learn.dataset.pairs import preferences
from qi_learn.dataset.replay import replay
from qi_learn.dataset.select import Learnable, select_learnables
from qi_learn.dataset.split import refuse_thin
from qi_learn.dataset.target import Skipped
from qi_learn.dataset.weighting import weighted
from qi_learn.errors import Refused, StoreError
from qi_learn.records import Example, Packed, Pair, RecallLog, Snapshot
from qi_learn.redact import SeenSecrets, holds_secret, load_seen
from qi_learn.rundir.directory import RunDirectory
from qi_learn.rundir.snapshot import load_snapshot
from qi_learn.settings import Settings
from qi_learn.store.database import Store
from qi_learn.store.learnables import LearnableTurns, load_evidence

logger = logging.getLogger(__name__)
Dropped = Counter[str]
"""The number of texts left out, by reason."""


@dataclass(frozen=True, slots=True)
class DataSetRequest:
    """Which data set is wanted: for which run, and after which others."""

    run_id: str
    created: float
    seed: int
    """Decides between equals when caps and replay have to choose."""
    earlier: Sequence[RunDirectory]
    """The runs behind the live chain, oldest first."""
    learned: Set[str]
    """Ids of the turns in their data sets."""


def freeze(store: Store, request: DataSetRequest, serving: Serving, settings: Settings) -> Snapshot:
    """The data set of a run.

    An earlier data set that cannot be read is not replayed, and counted. Raises Refused if the data
    is too thin or one-sided, ServerError if the server does not render.
    """
    dropped: Dropped = Counter()
    secret = partial(_secret, dropped, load_seen(store.path.with_name("redaction.key")))
    earlier = _earlier_snapshots(request.earlier, dropped)
    evidence = load_evidence(
        store,
        threshold=settings.train.quality_threshold,
        learned=request.learned,
        earlier={e.id for s in earlier for e in (*s.examples, *s.replay)},
    )
    learnables = _within_caps(evidence.learnable, request.seed, dropped)
    examples = _rendered(learnables, serving, dropped, secret)
    refuse_thin(
        [e.session for e in examples],
        [e.person_wrote for e in examples],
        min_gate=settings.gate.min_examples,
    )
    apart = split_distinct(
        examples,
        min_gate=settings.gate.min_examples,
        pieces=serving.vocabulary.pieces,
        earlier=earlier,
    )
    dropped[LEFT_OUT] += apart.left_out
    _log(request.run_id, apart.examples, dropped)
    fresh = weighted(apart.examples, settings.train.weights)
    pairs = (
        preferences(fresh, learnables, evidence, earlier, serving, secret=secret)
        if settings.train.preference
        else ()
    )
    replayed = replay(
        earlier,
        fresh,
        base_digest=serving.digest,
        seed=request.seed,
        recall_logs=_recall_logs(request.earlier),
        gone=evidence.gone,
        capacity=settings.train.replay,
        secret=lambda e: secret(*_texts(e)),
    )
    return Snapshot(
        id=request.run_id,
        created=request.created,
        base_digest=serving.digest,
        examples=fresh,
        replay=replayed,
        anchors=generic_examples(reference_code.anchors(), serving.vocabulary),
        dropped={reason: count for reason, count in dropped.items() if count},
        pairs=pairs,
        yardsticks=generic_examples(reference_code.yardsticks(), serving.vocabulary),
    )


def refuse_secrets(snapshot: Snapshot, seen: SeenSecrets) -> None:
    """Look through a whole data set once more, before anything is trained on it.

    It may have been frozen by a version that knew fewer secrets. Raises Refused if one is in it.
    """
    texts = (
        *(text for e in (*snapshot.examples, *snapshot.replay) for text in _texts(e)),
        *(text for p in snapshot.pairs for text in _texts(p)),
    )
    if holds_secret(*texts) or seen.holds(*texts):
        raise Refused(
            f"The data set of run {snapshot.id} holds a secret that was not known when it was "
            "frozen: nothing is trained on it.",
            "The next cycle leaves that text out.",
        )


def _secret(dropped: Dropped, seen: SeenSecrets, *texts: str) -> bool:
    """Whether a text holds a secret; if so, it is counted.

    It is of a kind that is known today, or one that was taken out elsewhere and stands here without
    the word that gave it away.
    """
    if known := holds_secret(*texts):
        dropped["a secret of a kind that is known only now"] += 1
    elif known := seen.holds(*texts):
        dropped["a secret that was taken out elsewhere"] += 1
    return known


def _texts(of: Example | Pair) -> Iterator[str]:
    """Every text of it: what is read and written, and what of the request the model is not shown.

    A template may leave out a part of a request, which is sent all the same when the gate asks.
    """
    yield of.prompt
    if isinstance(of, Pair):
        yield from (of.chosen, of.rejected)
        return
    yield of.target
    yield from (text for text in _strings(of.ask) if text not in of.prompt)


def _strings(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        yield from (text for key in value for text in _strings(value[key]))
    elif isinstance(value, (list, tuple)):
        yield from (text for item in value for text in _strings(item))


def _within_caps(turns: LearnableTurns, seed: int, dropped: Dropped) -> tuple[Learnable, ...]:
    selection = select_learnables(turns)
    within = capped(selection.learnables, seed=seed)
    dropped.update(selection.dropped)
    dropped["above the cap of its session or kind"] += within.left_out
    return within.kept


def _rendered(
    learnables: Sequence[Learnable],
    serving: Serving,
    dropped: Dropped,
    secret: Callable[..., bool],
) -> list[Example]:
    """The distinct examples that the server renders and that hold no secret, oldest first."""
    examples: dict[str, Example] = {}
    for learnable in learnables:
        example = example_of(learnable, serving)
        if isinstance(example, Skipped):
            dropped[example.reason] += 1
        elif example.hash in examples:
            dropped["says the same as another"] += 1
        elif not secret(*_texts(example)):
            examples[example.hash] = example
    return list(examples.values())


def _log(run_id: str, examples: Sequence[Example], dropped: Dropped) -> None:
    left_out = {reason: count for reason, count in dropped.items() if count}
    own = sum(e.person_wrote for e in examples)
    logger.info(
        "run %s: %d examples, %d with text of the person's own, left out: %s",
        run_id,
        len(examples),
        own,
        left_out or "none",
    )


def _earlier_snapshots(runs: Sequence[RunDirectory], dropped: Dropped) -> list[Snapshot]:
    """The data sets of earlier runs that can be read, oldest first."""
    snapshots = []
    for run in runs:
        try:
            snapshots.append(load_snapshot(run.snapshot))
        except StoreError as error:
            logger.warning("not replayed: %s", error.what)
            dropped["an earlier data set that cannot be read"] += 1
    return snapshots


def _recall_logs(runs: Sequence[RunDirectory]) -> dict[str, RecallLog]:
    """What the trainings of earlier runs found out, by run."""
    return {run.run_id: log for run in runs if (log := _recall_log(run))}


def _recall_log(run: RunDirectory) -> RecallLog | None:
    """What the run's training found out; None if it is not known.

    It is not known if the file is damaged, or if the run is from before it was written down. If
    only a part of the change went live, what the whole of it knew of the new examples says nothing
    about the version.
    """
    try:
        if not run.recall_log.exists():
            return None
        log = run.read(run.recall_log, RecallLog)
        whole = not run.packed.exists() or run.read(run.packed, Packed).scale == 1
        return log if whole else replace(log, learned={})
    except StoreError as error:
        logger.warning("%s", error.what)
        return None
