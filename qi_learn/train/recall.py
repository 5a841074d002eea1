"""What the model knew before this cycle's first step, and what it knows after the last one.

Both are measured on the very network that is trained. *Before*: on what is served, with no LoRA on
it yet, once in a run and kept in `before.json`, so that a stopped run goes on with the same numbers
to the last bit. The two together are the run's `memory.json`, from which later cycles see what was
forgotten.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from qi_learn import codec
from qi_learn.paths import replace_file
from qi_learn.records import Plan, RecallLog
from qi_learn.train.likelihood import log_probabilities, per_token
from qi_learn.train.loop import Data, batches_of
from qi_learn.train.network import Network
from qi_learn.train.preference import Choice, reference_samples, share_preferred


@dataclass(frozen=True, slots=True)
class RecallBaseline:
    """What the served model knows."""

    known: Mapping[str, float]
    """Nats per target token of every sequence that will be replayed."""
    reference: Mapping[str, float]
    """Log-probability (nats, summed) of every sequence that a comparison needs."""
    sequences: str
    """Hash of all of these: with a plan that cuts them elsewhere, or holds the base in 4 bits now,
    they are measured anew.
    """


def measure_before(run: Path, network: Network, plan: Plan, data: Data) -> RecallBaseline:
    """The baseline as it was measured when the run began, or measured now.

    The network must have no LoRA yet.
    """
    replayed = _replayed(plan, data, plan.steps.max_steps)
    compared = reference_samples(data.comparisons)
    old = [s for s in data.replay if s.id in replayed]
    sequences = [[s.id, s.ids, s.start] for s in (*old, *compared)]
    sealed = json.dumps([plan.hardware.four_bit, *sequences])
    seal = hashlib.sha256(sealed.encode()).hexdigest()
    if (run / "before.json").exists() and (earlier := _read(run)).sequences == seal:
        return earlier
    size = plan.batches.batch_size
    values = log_probabilities(network, compared, size)
    reference = dict(zip((s.id for s in compared), values, strict=True))
    before = RecallBaseline(per_token(network, old, size), reference, seal)
    replace_file(run / "before.json", codec.dumps(before) + "\n")
    return before


def measure_after(run: Path, network: Network, plan: Plan, data: Data, steps: int) -> RecallLog:
    """The run's recall after `steps` steps, written to `memory.json`."""
    log = RecallLog(
        _read(run).known,
        per_token(network, data.new, plan.batches.batch_size),
        dict(_replayed(plan, data, steps)),
    )
    replace_file(run / "memory.json", codec.dumps(log) + "\n")
    return log


def preference_shares(
    run: Path, network: Network, plan: Plan, data: Data
) -> tuple[float | None, float | None]:
    """Share of the pairs whose kept text is the likelier: before the first step, and now.

    Both are None without pairs.
    """
    sequences = [s for c in data.comparisons if isinstance(c, Choice) for s in c.samples]
    values = log_probabilities(network, sequences, plan.batches.batch_size)
    now = dict(zip((s.id for s in sequences), values, strict=True))
    before = _read(run).reference
    return share_preferred(data.comparisons, before), share_preferred(data.comparisons, now)


def _read(run: Path) -> RecallBaseline:
    return codec.loads(RecallBaseline, (run / "before.json").read_text(encoding="utf-8"))


def _replayed(plan: Plan, data: Data, steps: int) -> Counter[str]:
    """How often each replayed sequence comes in the first `steps` steps."""
    old = {s.id for s in data.replay}
    return Counter(s.id for step in batches_of(plan, data)[:steps] for s in step if s.id in old)
