"""What becomes of an answer: dealt by a seed, and true to the history."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from qi_learn.bench.day.answering import distance
from qi_learn.bench.day.forms import FormName, FormQuestion, ServedForms
from qi_learn.bench.day.play import MIXES, Draw, Planned, plan, play
from qi_learn.bench.day.reading import AskedCodes, example_to_measure, tokens_of_person
from qi_learn.bench.rendering import ByTemplate
from qi_learn.dataset.examples import RenderCache, Serving
from qi_learn.outside.llama_cpp import Vocabulary, load_vocabulary
from qi_learn.records import Example
from tests.support.histories import function, written
from tests.support.tiny_models import write_tiny_model

PLAIN, ALL = ServedForms(False, False), ServedForms(True, True)
NOTE = "    ledger.note('step_1')\n"


def planned(form: FormName, draw: Draw, *, before: bool, served: ServedForms = PLAIN) -> Planned:
    code = written(1, before=before)
    return Planned(1, code, draw, FormQuestion(form, code, served), code.when)


def never(_: Planned) -> str:
    raise AssertionError("the model was asked")


@pytest.fixture(scope="module")
def serving(tmp_path_factory: pytest.TempPathFactory) -> Serving:
    path = write_tiny_model(tmp_path_factory.mktemp("base") / "tiny.gguf")
    vocabulary: Vocabulary = load_vocabulary(path)
    return Serving(ByTemplate(vocabulary), "base", "base", vocabulary, RenderCache())


def persons(example: Example, serving: Serving) -> str:
    """The person's tokens of an example."""
    pieces = serving.vocabulary.pieces(example.target_ids)
    own = zip(pieces, example.person_mask, strict=True)
    return b"".join(piece for piece, is_own in own if is_own).decode()


@pytest.mark.parametrize("mix", MIXES)
def test_fates_come_in_the_shares_of_the_mix_and_forms_in_turn(mix: str) -> None:
    made = plan([written(n, before=n % 2 == 0) for n in range(100)], MIXES[mix], PLAIN, seed=3)
    assert dict(Counter(one.draw for one in made)) == dict(MIXES[mix])
    forms = Counter(one.question.form for one in made if one.draw != "by_hand")
    assert max(forms.values()) - min(forms.values()) <= 10
    assert all(one.question.form == "fim" for one in made if one.draw == "by_hand")
    assert [one.at for one in made] == sorted({one.at for one in made})


def test_what_the_history_changed_is_edited_as_far_as_there_is_enough_of_it() -> None:
    made = plan([written(n, before=n % 3 == 0) for n in range(60)], MIXES["usual"], PLAIN, seed=1)
    edited = [one for one in made if one.draw == "edited"]
    assert len(edited) == 15
    assert all(one.code.before is not None for one in edited)
    assert any(one.code.before is not None for one in made if one.draw != "edited")


def test_the_same_seed_plays_the_same_and_another_one_otherwise() -> None:
    codes = [written(n) for n in range(40)]
    draws = [[one.draw for one in plan(codes, MIXES["usual"], PLAIN, seed=s)] for s in (0, 0, 1)]
    assert draws[0] == draws[1] != draws[2]


@pytest.mark.parametrize("served", [PLAIN, ALL])
@pytest.mark.parametrize("form", ["chat", "fim", "agent"])
@pytest.mark.parametrize("before", [True, False])
def test_the_piece_of_an_answer_is_what_the_product_finds_in_it(
    form: FormName, before: bool, served: ServedForms
) -> None:
    one = planned(form, "accepted", before=before, served=served)
    played = play(one, "m", never)
    assert [s.text for s in played.suggestions] == [one.truth]
    assert [(s.fate or s.inferred, s.final_text) for s in played.suggestions] == [
        ("kept", one.truth)
    ]


@pytest.mark.parametrize("form", ["chat", "fim", "agent"])
def test_of_an_accepted_answer_nothing_is_the_persons(form: FormName, serving: Serving) -> None:
    played = play(planned(form, "accepted", before=True), "m", never)
    example = example_to_measure(played, serving)
    assert example is not None
    assert tokens_of_person(example) == 0


@pytest.mark.parametrize("form", ["chat", "fim", "agent"])
@pytest.mark.parametrize("draw", ["edited", "rejected"])
def test_of_an_edited_answer_what_the_history_changed_is_the_persons(
    form: FormName, draw: Draw, serving: Serving
) -> None:
    played = play(planned(form, draw, before=True), "m", never)
    example = example_to_measure(played, serving)
    assert example is not None
    assert persons(example, serving).strip() == NOTE.strip()


def test_what_was_written_by_hand_is_all_the_persons_and_nobody_answered(serving: Serving) -> None:
    played = play(planned("fim", "by_hand", before=False), "m", never)
    assert (played.turn.answer, played.suggestions) == ("", ())
    example = example_to_measure(played, serving)
    assert example is not None
    assert played.correction == played.planned.truth
    assert persons(example, serving).split() == played.planned.truth.split()


def test_of_a_new_function_the_live_models_own_answer_is_edited(serving: Serving) -> None:
    one = planned("chat", "edited", before=False)
    assert one.own_answer
    own = "```python\n" + function("step_1", 1, noted=False) + "```"
    played = play(one, "m", lambda _: own)
    assert [s.inferred for s in played.suggestions] == ["edited"]
    example = example_to_measure(played, serving)
    assert example is not None
    assert persons(example, serving).strip() == NOTE.strip()


def test_an_answer_without_code_is_rejected_whatever_was_meant(serving: Serving) -> None:
    played = play(planned("chat", "edited", before=False), "m", lambda _: "I cannot do that.")
    assert (played.draw, played.suggestions) == ("rejected", ())
    example = example_to_measure(played, serving)
    assert example is not None
    assert persons(example, serving).strip() == played.planned.truth.strip()


def test_a_rejected_answer_leaves_no_text_to_learn() -> None:
    (gone,) = play(planned("chat", "rejected", before=True), "m", never).suggestions
    assert (gone.inferred, gone.final_text) == ("rejected", None)


def test_few_shots_are_earlier_functions_that_could_be_learned(serving: Serving) -> None:
    codes = AskedCodes(serving)
    rejected = play(planned("chat", "rejected", before=True), "m", never)
    first = codes.of(rejected)
    accepted = codes.of(play(planned("chat", "accepted", before=True), "m", never))
    third = codes.of(rejected)
    assert first is not None
    assert accepted is not None
    assert third is not None
    assert first.with_shots == first.example
    assert accepted.with_shots == accepted.example, "a rejected one was shown"
    assert len(third.with_shots.prompt_ids) > len(third.example.prompt_ids)
    assert third.with_shots.target_ids == third.example.target_ids


@pytest.mark.parametrize("form", ["chat", "fim", "agent"])
def test_the_distance_of_an_answer_is_of_its_code_alone(form: FormName) -> None:
    one = planned(form, "accepted", before=True)
    right = one.question.answer(one.truth)
    text = right["response"] if form == "fim" else right["message"]["content"]
    assert distance(one, text + "\ndef more():\n    pass\n" if form == "fim" else text) == 0.0
    assert distance(one, "I cannot do that." if form != "fim" else "") == 1.0


def test_the_base_is_asked_only_for_what_it_knows(tmp_path: Path) -> None:
    with load_vocabulary(write_tiny_model(tmp_path / "fim.gguf", fim=True)) as vocabulary:
        assert ServedForms.of(vocabulary) == ServedForms(gaps=True, tools=False)
    body = planned("fim", "edited", before=True, served=ALL).question.body
    assert set(body) == {"prompt", "suffix"}
    assert "raw" in planned("fim", "edited", before=True).question.body
