"""The numbers of the packed file, by llama.cpp.

They count: they are measured on the very bytes that would be served.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

from qi_learn.bench.tasks import BenchTask
from qi_learn.dataset.examples import Tokenizer
from qi_learn.gate.measurements import Likelihoods
from qi_learn.gate.reading import suite_of
from qi_learn.gate.suite import SHOTS, with_shots
from qi_learn.outside.llama_cpp_nll import SequenceNll, score_sequences
from qi_learn.pack.splice import pack
from qi_learn.records import Example
from qi_learn.rundir.adapter_file import Adapter

CONTEXT = 2048


@dataclass(frozen=True, slots=True)
class FileFigures:
    """One file's numbers, per task and on general code."""

    accuracy: tuple[float, ...]
    """Per task the share of test tokens that it would have written itself."""
    nll: tuple[float, ...]
    """Per task the NLL of the test tokens, nats per token."""
    general: float
    """NLL of general code, nats per token."""
    texts: tuple[tuple[float, ...], ...]
    """Per task the NLL of each test's whole text, nats."""


@dataclass(frozen=True, slots=True)
class Measurement:
    """A file's numbers, and the same as the gate compares them.

    All tests are fresh work, a project is a session, and the probes are code in general.
    """

    served: FileFigures
    likelihoods: Likelihoods


def measure(gguf: Path, tasks: Sequence[BenchTask], probes: Sequence[Example]) -> Measurement:
    """The numbers of a file on every task's test and on the probes."""
    asked = [e for task in tasks for e in task.test]
    scored = _score(gguf, [*asked, *probes])
    each = iter(scored)
    tests = [tuple(islice(each, len(task.test))) for task in tasks]
    sums, general = [_sum(test) for test in tests], suite_of("general", probes, tuple(each))
    served = FileFigures(
        accuracy=tuple(s.hits / s.tokens for s in sums),
        nll=tuple(s.nll / s.tokens for s in sums),
        general=general.per_token,
        texts=tuple(tuple(s.nll for s in test) for test in tests),
    )
    fresh, old = suite_of("gate", asked, scored[: len(asked)]), suite_of("old", (), ())
    return Measurement(served, Likelihoods(fresh, old, {"python_stdlib": general}))


def measure_adapter(
    base: Path,
    adapter: Adapter | None,
    tasks: Sequence[BenchTask],
    probes: Sequence[Example],
    work: Path,
) -> tuple[Measurement, float]:
    """The numbers of base + adapter as they would be served, and its smallest gain.

    A gain is that of a touched tensor (1.0: all of its change survived quantising).
    """
    if adapter is None:
        return measure(base, tasks, probes), 1.0
    packed = pack(base, adapter, work / "packed.gguf")
    try:
        return measure(Path(packed.path), tasks, probes), min(g.gain for g in packed.gains)
    finally:
        Path(packed.path).unlink()


def measure_in_context(
    base: Path, tasks: Sequence[BenchTask], vocabulary: Tokenizer
) -> FileFigures:
    """The base with two examples of the task in its prompt: what needs no training.

    Its general NLL is the base's own, so it is not measured (NaN).
    """
    with_examples = [
        replace(task, test=tuple(_with_shots(e, task.train[:SHOTS], vocabulary) for e in task.test))
        for task in tasks
    ]
    return measure(base, with_examples, ()).served


def _with_shots(example: Example, shots: Sequence[Example], vocabulary: Tokenizer) -> Example:
    prompt = str(with_shots(example.ask, shots)["body"]["prompt"])
    return replace(example, prompt=prompt, prompt_ids=tuple(vocabulary.prompt_ids(prompt)))


def _score(gguf: Path, examples: Sequence[Example]) -> list[SequenceNll]:
    return score_sequences(
        gguf, [(e.prompt_ids, e.target_ids, e.code_mask) for e in examples], context=CONTEXT
    )


def _sum(scored: Sequence[SequenceNll]) -> SequenceNll:
    return SequenceNll(
        sum(s.nll for s in scored),
        sum(s.tokens for s in scored),
        0.0,
        0,
        sum(s.hits for s in scored),
    )
