"""A file whose logits are all multiplied is not learned from: it writes the same answers.

The embedded model's own answers, of which a person changed a few tokens, under real copies of its
file with a larger last norm.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest

from qi_learn.dataset import reference_code
from qi_learn.dataset.examples import generic_examples
from qi_learn.gate.ledger import NextLook
from qi_learn.gate.measurements import CandidateFindings, Comparison, Measurements
from qi_learn.gate.reading import FileReader
from qi_learn.gate.superiority import measure_superiority, superiority_check
from qi_learn.gate.verdict import give_verdict
from qi_learn.outside.llama_cpp import load_vocabulary
from qi_learn.records import Behaviour, Example, SuiteNll
from tests.support.gate_models import GAINS, SOUND, spread, suite
from tests.support.sharpened import embedded_base, greedy, sharpened

LESS, ONE, SIX = 0.8, 1.05, 1.05**6
ANSWERS, GIVEN, WRITTEN = 4, 16, 16
CONTEXT = 128


@dataclass(frozen=True)
class Surer:
    """The base, a less sure copy and two surer ones, on its answers as a person edited them."""

    answers: dict[float, list[list[int]]]
    gate: dict[float, SuiteNll]


@pytest.fixture(scope="module")
def surer(tmp_path_factory: pytest.TempPathFactory) -> Surer:
    base, directory = embedded_base(), tmp_path_factory.mktemp("surer")
    files = {1.0: base} | {
        factor: sharpened(base, directory / f"{factor:.3f}.gguf", factor)
        for factor in (LESS, ONE, SIX)
    }
    with load_vocabulary(base) as vocabulary:
        texts = generic_examples(reference_code.probes(), vocabulary)
    asked = texts[:ANSWERS]
    prompts = [[*e.prompt_ids, *e.target_ids][:GIVEN] for e in asked]
    answers = {factor: greedy(path, prompts, WRITTEN) for factor, path in files.items()}
    edited = [
        _edited(e, n, prompt, answer)
        for n, (e, prompt, answer) in enumerate(zip(asked, prompts, answers[1.0], strict=True))
    ]
    gate = {}
    for factor, path in files.items():
        with FileReader(path, context=CONTEXT) as reader:
            beside = texts[ANSWERS : ANSWERS + 1]
            gate[factor] = reader.nll_of_other_sessions("gate", edited, beside)
    return Surer(answers, gate)


def _edited(text: Example, number: int, prompt: list[int], answer: list[int]) -> Example:
    """The model's answer whose last four tokens a person wrote as the module's author did."""
    person = tuple(n >= WRITTEN - 4 for n in range(WRITTEN))
    wrote = [*text.prompt_ids, *text.target_ids][GIVEN : GIVEN + WRITTEN]
    target = [
        own if theirs else said for own, said, theirs in zip(wrote, answer, person, strict=True)
    ]
    return replace(
        text,
        prompt_ids=tuple(prompt),
        target_ids=tuple(target),
        code_mask=tuple(not theirs for theirs in person),
        person_mask=person,
        session=f"s{number % 3}",
    )


@pytest.mark.parametrize("factor", [LESS, ONE, SIX])
def test_surer_copies_write_the_same_answers(surer: Surer, factor: float) -> None:
    assert surer.answers[factor] == surer.answers[1.0]


@pytest.mark.parametrize("factor", [LESS, ONE, SIX])
def test_their_temperature_is_as_much_larger(surer: Surer, factor: float) -> None:
    ratio = surer.gate[factor].temperature / surer.gate[1.0].temperature
    assert ratio == pytest.approx(factor, rel=2e-4)


@pytest.mark.parametrize("factor", [LESS, ONE, SIX])
def test_the_persons_tokens_are_as_likely_as_before(surer: Surer, factor: float) -> None:
    before, after = surer.gate[1.0], surer.gate[factor]
    assert after.person_tokens == before.person_tokens == (4,) * ANSWERS
    for new, old in zip(after.person_nll, before.person_nll, strict=True):
        assert new / 4 == pytest.approx(old / 4, abs=1e-2)
    mean = (sum(after.person_nll) - sum(before.person_nll)) / sum(before.person_tokens)
    assert abs(mean) < 1e-3
    # the code mask is on the model's own tokens: of those it is surer, or less sure
    assert (sum(after.code_nll) / sum(before.code_nll) < 0.99) == (factor > 1)


@pytest.mark.parametrize("factor", [LESS, ONE, SIX])
def test_they_do_not_ship(surer: Surer, factor: float) -> None:
    said = Behaviour(
        surer.gate[1.0].ids, (0.9,) * ANSWERS, (True,) * ANSWERS, ("x",) * ANSWERS, 50.0
    )
    ordinary = suite("python_stdlib", spread(1.0))
    live, candidate = (
        Measurements(surer.gate[f], suite("old", []), {"python_stdlib": ordinary}, said)
        for f in (1.0, factor)
    )
    verdict = give_verdict(
        Comparison(candidate, live, live),
        CandidateFindings(SOUND, GAINS, (), 1.0),
        compared_with="1.0.0",
        rollback_to="1.0.0",
    )
    assert [check.name for check in verdict.checks if not check.passed] == ["domain_relevance"]


def test_one_after_the_other_they_do_not_ship_either(surer: Surer) -> None:
    """The sixth copy against the fifth: each step is as large as the first."""
    later, before = surer.gate[SIX], surer.gate[ONE]
    found = measure_superiority(later, before, NextLook())
    assert found is not None
    assert abs(found.fall.mean) < 1e-3
    assert not superiority_check(found).passed
