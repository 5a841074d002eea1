"""What the general suites cost and see: tokens, NLL of the base, power of each.

The last line is one JSON object. The embedded base and copies of it with a small random low-rank
change are measured on every suite. How unequally such a change does on the texts of a suite says
how surely a rise of so many nats a token on that suite alone is found: Student's t over its texts,
at 5 % after Holm's correction (the smallest of all p-values is multiplied by their number).
`--file` compares a packed version with the base as well. A model takes about two minutes of one
core.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

from qi_learn.bench.rendering import ByTemplate
from qi_learn.dataset.examples import RenderCache, Serving
from qi_learn.dataset.general_suites import GeneralSuites, SuiteExamples, render_general
from qi_learn.outside.gguf import sha256_of
from qi_learn.outside.llama_cpp import load_vocabulary
from qi_learn.outside.llama_cpp_nll import score_sequences
from qi_learn.pack.splice import pack
from qi_learn.records import Example
from qi_learn.stats import Interval, holm, p_above, paired_interval, t_cdf, t_quantile
from scripts.benchmarks.differences import embedded_base, random_change, say

RISE, SURE, CONTEXT = 0.045, 0.05, 1024
"""Nats a token that are to be found, and the chance that a claim of one verdict is wrong."""


@dataclass(frozen=True, slots=True)
class SuiteFigures:
    """One suite's figures; `power` by random change."""

    texts: int
    target_tokens: int
    read_tokens: int
    """Prompts included, what the prompts of a suite begin with in common counted once."""
    nll: float
    """Of the base, nats a target token without the one that ends an answer."""
    error: list[float]
    """Standard error of the mean difference, nats a token, for each random change."""
    power: list[float]


def main() -> None:
    parser = argparse.ArgumentParser(description="Measures the general suites.")
    parser.add_argument("--changes", type=int, default=3, help="random changes; one model each")
    parser.add_argument("--size", type=float, default=0.25, help="of a change, as `differences`")
    parser.add_argument("--file", type=Path, help="a packed version, to compare with the base")
    parser.add_argument("--threads", type=int, help="of llama.cpp")
    given = parser.parse_args()
    base = embedded_base()
    with load_vocabulary(base) as vocabulary:
        serving = Serving(ByTemplate(vocabulary), "base", "base", vocabulary, RenderCache())
        general = render_general(serving)
        ends = set(vocabulary.ends())
    before = nlls(base, general.suites, ends, given.threads)
    after = [changed(base, seed, given, general, ends) for seed in range(1, given.changes + 1)]
    figures = {
        name: figures_of(examples, before[name], [model[name] for model in after], len(before))
        for name, examples in general.suites.items()
    }
    report = {
        "made": time.strftime("%Y-%m-%d"),
        "base": sha256_of(base)[:12],
        "read_tokens": sum(one.read_tokens for one in figures.values()),
        "left_out": dict(general.left_out),
        "suites": {name: _plain(one) for name, one in figures.items()},
    }
    if given.file:
        report["rises"] = rises(
            general.suites, before, nlls(given.file, general.suites, ends, given.threads)
        )
    print(json.dumps(report))


def changed(
    base: Path, seed: int, given: argparse.Namespace, general: GeneralSuites, ends: set[int]
) -> dict[str, list[float]]:
    """NLL of every suite under the base with one random change."""
    with tempfile.TemporaryDirectory(prefix="qi-suites-") as directory:
        file = Path(directory) / "model.gguf"
        pack(base, random_change(base, seed, given.size), file)
        return nlls(file, general.suites, ends, given.threads)


def nlls(
    file: Path, suites: SuiteExamples, ends: set[int], threads: int | None
) -> dict[str, list[float]]:
    """NLL of each example under a file, without the token that ends an answer."""
    measured = {}
    for name, examples in suites.items():
        texts = [
            (e.prompt_ids, _target(e, ends), (True,) * len(_target(e, ends))) for e in examples
        ]
        scored = score_sequences(file, texts, context=CONTEXT, threads=threads)
        measured[name] = [one.nll / one.tokens for one in scored]
        say(f"{file.name} {name}: {math.fsum(measured[name]) / len(texts):.3f}")
    return measured


def figures_of(
    examples: Sequence[Example],
    before: Sequence[float],
    after: Sequence[Sequence[float]],
    suites: int,
) -> SuiteFigures:
    """The figures of one suite of so many."""
    changes = [change_of(examples, before, model) for model in after]
    return SuiteFigures(
        len(examples),
        sum(len(e.target_ids) for e in examples),
        read_tokens(examples),
        math.fsum(before) / len(before),
        [change.error for change in changes],
        [power(change, suites) for change in changes],
    )


def change_of(
    examples: Sequence[Example], before: Sequence[float], after: Sequence[float]
) -> Interval:
    """The interval of one suite's change."""
    differences = [b - a for a, b in zip(before, after, strict=True)]
    return paired_interval(differences, [1.0] * len(examples), [e.session for e in examples])


def rises(
    suites: SuiteExamples,
    before: Mapping[str, Sequence[float]],
    after: Mapping[str, Sequence[float]],
) -> dict[str, dict[str, float]]:
    """How much each suite rose, between which bounds, and p adjusted for all suites."""
    changes = {name: change_of(found, before[name], after[name]) for name, found in suites.items()}
    adjusted = holm({name: p_above(change, 0.0) for name, change in changes.items()})
    return {
        name: {
            "rise": round(change.mean, 4),
            "low": round(change.low, 4),
            "high": round(change.high, 4),
            "p": round(adjusted[name], 4),
        }
        for name, change in changes.items()
    }


def power(change: Interval, suites: int) -> float:
    """How often a rise of RISE would be found with such a standard error."""
    freedom = change.units - 1
    return t_cdf(RISE / change.error - t_quantile(1 - SURE / suites, freedom), freedom)


def read_tokens(examples: Sequence[Example]) -> int:
    """Tokens to evaluate, those that all prompts begin with once."""
    prompts = [e.prompt_ids for e in examples]
    common = 0
    while all(len(p) > common for p in prompts) and len({p[common] for p in prompts}) == 1:
        common += 1
    return common + sum(len(e.prompt_ids) - common + len(e.target_ids) for e in examples)


def _target(example: Example, ends: set[int]) -> tuple[int, ...]:
    ids = example.target_ids
    return ids[:-1] if ids[-1] in ends else ids


def _plain(figures: SuiteFigures) -> dict[str, Any]:
    return {
        "texts": figures.texts,
        "target_tokens": figures.target_tokens,
        "read_tokens": figures.read_tokens,
        "nll": round(figures.nll, 3),
        "error": [round(value, 4) for value in figures.error],
        "power": [round(value, 3) for value in figures.power],
    }


if __name__ == "__main__":
    main()
