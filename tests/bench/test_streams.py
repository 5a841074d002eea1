"""What the streams teach: rules with a condition, and own answers of which a few spans change."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from qi_learn.bench.conditional import MOST, conditional_conventions
from qi_learn.bench.conventions import conventions, stage, stream
from qi_learn.bench.edits import edit_prompt, edited, is_finished, usable_part
from qi_learn.bench.streams import CONDITIONAL, EDITS, OwnAnswers, Streams, StreamSizes
from qi_learn.bench.tasks import conditional_task, convention_task
from qi_learn.deploy import model_server
from qi_learn.errors import NotFound
from qi_learn.outside.llama_cpp import load_vocabulary
from tests.support.tiny_models import write_tiny_model

ANSWERS = (
    " create_ticket(slug):\n    ticket = Ticket(slug)\n    return ticket\n",
    ' load_zeta():\n    """Load it."""\n    return {\n        "owner": "zeta",\n    }\n',
    " refund_zeta(x, y):\n    def refund_zeta(x):\n        return x\n    return refund_zeta(x)\n",
    " save(profile):\n    with open('é.json') as f:\n        json.dump('ü', f); return f.name\n",
)


@pytest.mark.parametrize("seed", [0, 1, 99])
def test_a_conditional_convention_writes_otherwise_where_its_condition_holds(seed: int) -> None:
    for convention in conditional_conventions(seed, MOST):
        one = stage(seed, convention.usual)
        sides = set()
        for task in (*one.train, *one.dev, *one.test):
            code = convention.code(task)
            ast.parse(code)
            plain = task.verb not in convention.verbs and task.noun not in convention.nouns
            assert (code == convention.usual.code(task)) is plain
            guard, fetch = convention.decisions(task)
            assert guard.applies is (task.verb in convention.verbs)
            assert fetch.applies is (task.noun in convention.nouns)
            assert guard.at < fetch.at < len(code)
            sides.add((guard.applies, fetch.applies))
        assert len(sides) >= 3, "both sides of both rules are taught"


def test_there_are_words_for_thirteen_conditional_conventions() -> None:
    made = conditional_conventions(0, MOST)
    words = [word for c in made for word in (c.usual.fault, c.other.fault)]
    assert len(set(words)) == 2 * MOST
    with pytest.raises(ValueError, match="13 conditional"):
        conditional_conventions(0, MOST + 1)


def test_a_decision_is_the_token_at_which_the_two_forms_part() -> None:
    convention = conditional_conventions(0, 1)[0]
    one = stage(0, convention.usual)
    with load_vocabulary(model_server.embedded_file()) as vocabulary:
        task = conditional_task(convention, one, vocabulary)
        for asked, example, deciding in zip(one.test, task.test, task.deciding, strict=True):
            pieces = vocabulary.pieces(example.target_ids[:-1])
            for decision, token in zip(convention.decisions(asked), deciding, strict=True):
                before = len(b"".join(pieces[: token.token]))
                assert before <= decision.at < before + len(pieces[token.token])
                assert token.applies == decision.applies


@pytest.mark.parametrize("shots", [4, 8, 16, 48])
def test_fewer_examples_are_the_first_ones_and_the_tests_stay(shots: int) -> None:
    with load_vocabulary(model_server.embedded_file()) as vocabulary:
        whole = convention_task(stream(0, 1)[0], vocabulary)
    few = whole.few(shots)
    assert few.shots == shots
    assert len(few.dev) == {4: 1, 8: 1, 16: 2, 48: 5}[shots]
    assert few.train == whole.train[: len(few.train)]
    assert few.test == whole.test
    assert whole.few(100) == whole


@pytest.mark.parametrize("answer", ANSWERS)
@pytest.mark.parametrize("number", range(6))
def test_an_edited_answer_is_the_own_answer_outside_its_spans(answer: str, number: int) -> None:
    convention = conventions(0, 6)[number]
    task = stage(0, convention).train[0]
    edit = edited(convention, task, answer)
    ast.parse("def" + edit.text)
    assert edit.text.startswith(" ")
    assert convention.good in edit.text
    assert convention.fault.lower() in edit.text.lower()
    ends = [0, *(end for _, end in edit.spans)]
    starts = [*(start for start, _ in edit.spans), len(edit.text)]
    kept = "".join(edit.text[a:b] for a, b in zip(ends, starts, strict=True))
    name = answer[1 : answer.index("(")]
    assert kept in (answer, answer.replace(name, "")), "what is not a span the model wrote"


def test_of_an_own_answer_only_the_part_that_is_a_function_is_used() -> None:
    whole = " load(x):\n    return x\n\n#"
    assert usable_part(whole) == " load(x):\n    return x\n"
    assert usable_part(" load(x):\n    y = x\n    z = {\n        1,") == " load(x):\n    y = x\n"
    assert usable_part(" load(x): return x\n") is None
    assert usable_part(" load(x):\n    # nothing\n") is None
    assert usable_part("") is None
    assert is_finished(" f(x):\n    return x\n\n#")
    assert not is_finished(" f(x):\n    return x\n")


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_only_the_edited_spans_are_the_persons(tmp_path: Path) -> None:
    """On the embedded base's own answers; asked again, they come from the file."""
    base, file = model_server.embedded_file(), tmp_path / "answers.jsonl"
    with load_vocabulary(base) as vocabulary:
        made = [
            Streams(vocabulary, StreamSizes(1, 8, 2), OwnAnswers(base, file)).tasks(EDITS, 0)
            for _ in range(2)
        ]
        assert made[0] == made[1]
        (task,) = made[0]
        for example in (*task.train, *task.dev, *task.test):
            pieces = vocabulary.pieces(example.target_ids[:-1])
            assert b"".join(pieces).decode() == example.target
            assert example.prompt.endswith("\ndef")
            assert 0 < sum(example.person_mask) < len(example.person_mask) * 0.8
            assert example.person_mask[-1] is False
    assert len(file.read_text().splitlines()) == 12


def test_a_base_whose_answers_are_no_functions_has_no_stream_of_edits(tmp_path: Path) -> None:
    base = write_tiny_model(tmp_path / "tiny.gguf", layers=3, tensor_type="Q8_0")
    with load_vocabulary(base) as vocabulary:
        streams = Streams(vocabulary, StreamSizes(2, 3, 1), OwnAnswers(base, None))
        with pytest.raises(NotFound, match="seldom functions"):
            streams.tasks(EDITS, 0)
        with pytest.raises(NotFound, match="no stream `odes`"):
            streams.tasks("odes", 0)
        assert [len(task.deciding) for task in streams.tasks(CONDITIONAL, 0)] == [1, 1]


def test_an_edit_asks_for_the_rest_of_a_definition() -> None:
    one = stream(0, 1)[0]
    assert edit_prompt(one.convention, one.train[0]).endswith(".\ndef")
