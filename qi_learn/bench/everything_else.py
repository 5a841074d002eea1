"""What a training was not about: text of other languages and forms, and questions of others.

Each suite of the gate is read in part, and the questions that look like learned ones, or have no
header, are put to the file, to see whether the learned style turns up where it does not belong.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from qi_learn.bench.answers import greedy_answers
from qi_learn.bench.packed_file import text_of
from qi_learn.bench.rendering import ByTemplate
from qi_learn.dataset.examples import RenderCache, Serving
from qi_learn.dataset.general_suites import SuiteExamples, general_suites, spill_questions
from qi_learn.gate.reading import suite_of
from qi_learn.gate.spill_over import SpillOver, spill_over_of
from qi_learn.outside.llama_cpp import Vocabulary
from qi_learn.outside.llama_cpp_nll import Scorer, SequenceNll
from qi_learn.records import Example, SuiteNll
from qi_learn.stats import evenly, mean

STDLIB = "python_stdlib"
TEXTS, STDLIB_TEXTS = 8, 24
"""Texts of each suite, and of the standard library's code, of which the demanded figure is."""
ANSWER_TOKENS = 64
"""Of an answer to a question of others: enough for its fence and its first indented lines."""


@dataclass(frozen=True, slots=True)
class EverythingElse:
    """What is measured with."""

    suites: SuiteExamples
    questions: tuple[Example, ...]


@dataclass(frozen=True, slots=True)
class ElseFigures:
    """One file's numbers on everything else."""

    suites: Mapping[str, SuiteNll]
    """Without the token that ends an answer."""
    ends: Mapping[str, float]
    """NLL of that token, nats; of the suites whose texts have one."""
    spill_over: SpillOver
    """How it answered questions of other projects."""

    @property
    def fences(self) -> float:
        """Share of the answers whose code is in a fence, as it should be."""
        return mean(self.spill_over.fenced)

    @property
    def indentation(self) -> float:
        """Share of the indented answers that are indented as is usual in their language."""
        return mean([kept for kept in self.spill_over.indented if kept is not None])


def everything_else(vocabulary: Vocabulary, *, quick: bool) -> EverythingElse:
    """All suites that the base's template can be asked in; a small part of each if `quick`."""
    serving = Serving(ByTemplate(vocabulary), "base", "base", vocabulary, RenderCache())
    suites = general_suites(serving)
    stdlib, others, asked = (6, 2, 2) if quick else (STDLIB_TEXTS, TEXTS, None)
    chosen = {
        name: evenly(examples, stdlib if name == STDLIB else others)
        for name, examples in suites.items()
    }
    return EverythingElse(chosen, spill_questions(suites)[:asked])


def measure_everything_else(
    gguf: Path, scorer: Scorer, measured_with: EverythingElse
) -> ElseFigures:
    """The numbers of a file, which `scorer` has open."""
    scored = {
        name: scorer.score([text_of(e) for e in examples])
        for name, examples in measured_with.suites.items()
    }
    questions = measured_with.questions
    answers = greedy_answers(gguf, [e.prompt_ids for e in questions], limit=ANSWER_TOKENS)
    return ElseFigures(
        {name: suite_of(name, measured_with.suites[name], nlls) for name, nlls in scored.items()},
        {name: end for name, nlls in scored.items() if (end := _end(nlls)) > 0},
        spill_over_of(questions, answers),
    )


def drift(now: ElseFigures, base: ElseFigures) -> dict[str, float]:
    """How much worse each suite became, nats per token."""
    return {
        name: suite.per_token - base.suites[name].per_token for name, suite in now.suites.items()
    }


def end_drift(now: ElseFigures, base: ElseFigures) -> dict[str, float]:
    """How much less likely the token that ends an answer became, nats."""
    return {name: end - base.ends[name] for name, end in now.ends.items() if name in base.ends}


def _end(scored: Sequence[SequenceNll]) -> float:
    value = mean([one.end_nll for one in scored])
    return 0.0 if math.isnan(value) else value
