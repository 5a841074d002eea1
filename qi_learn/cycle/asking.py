"""The served models of a comparison are asked, side by side where the machine has the room."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from qi_learn.cycle.context import Cycle
from qi_learn.gate.evaluate import (
    AnswerMeasurements,
    AskingPart,
    measure_answers,
    newcomers,
    same_moment_speeds,
)
from qi_learn.gate.limits import DOUBTED
from qi_learn.gate.measured_suites import Sizes, Suites
from qi_learn.gate.measurements import Measurements
from qi_learn.gate.purse import Purse
from qi_learn.gate.questions import Shares
from qi_learn.outside.llama_cpp import answers_at_once
from qi_learn.outside.ollama_build import served_build
from qi_learn.outside.ollama_parallel import Asking, Wait, side_by_side
from qi_learn.records import Release


@dataclass(frozen=True, slots=True)
class AskingTerms:
    """The terms on which models are asked, the same for every one."""

    suites: Suites
    sizes: Sizes
    inviting: tuple[str, ...]
    """Prompts that invite a secret; only the candidate gets them."""
    at_once: int
    """The number of models asked at the same time."""
    wait: Wait
    """The pause before a question or a text; one budget of seconds for all of them."""
    purse: Purse
    """What the models may still generate, all together."""
    shares: Shares


def ask_models(
    cycle: Cycle, files: Mapping[str, Path], live: Release, base: Release, terms: AskingTerms
) -> dict[str, AnswerMeasurements]:
    """The answers of each model; only the base gets the few-shot prompt. Raises ServerError."""
    served = served_build(cycle.server, cycle.candidate)
    terms = replace(terms, sizes=replace(terms.sizes, served=served))
    shares = terms.shares
    new = newcomers(cycle.server, list(files), terms.suites, terms.sizes)
    judged = cycle.candidate, live.model
    asking = [
        partial(
            measure_answers,
            model=model,
            suites=terms.suites,
            limits=terms.sizes,
            purse=terms.purse,
            part=AskingPart(
                shares.own if model in judged else shares.base,
                shares,
                newcomers=new,
                texts=model == cycle.candidate or cycle.settings.gate.project_tests,
                inviting=terms.inviting if model == cycle.candidate else (),
                few_shot=model == base.model,
            ),
        )
        for model in files
    ]
    answers = side_by_side(cycle.server, asking, at_once=terms.at_once, wait=terms.wait)
    return dict(zip(files, answers, strict=True))


def at_once(cycle: Cycle, files: Mapping[str, Path]) -> int:
    """The number of models to ask at the same time."""
    if cycle.request.engine:
        return answers_at_once(files.values())
    return 1  # a real Ollama may have to unload one model for another


def looks_slow(candidate: Measurements, base: Measurements, terms: AskingTerms) -> bool:
    """Whether the candidate looks too slow.

    Asked beside others it may have been held up by them, so then it does at any speed below the
    base's.
    """
    share = DOUBTED if terms.at_once == 1 else 1.0
    return candidate.behaviour.tokens_per_second < share * base.behaviour.tokens_per_second


def speeds_again(
    cycle: Cycle, base: Release, pair: tuple[Measurements, Measurements], terms: AskingTerms
) -> tuple[Measurements, Measurements]:
    """The candidate and the base with their speeds measured in turns. Raises ServerError."""
    models = cycle.candidate, base.model
    with (
        cycle.part("gate", "speeds measured again"),
        Asking(cycle.server.base_url, terms.wait) as server,
    ):
        again = same_moment_speeds(server, models, pair, terms.suites)
        cycle.server.add_used(server.used)
        return again
