"""The numbers of a file are transformers' own on the same weights, token by token."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from torch.nn import functional as F

from qi_learn.bench.answers import greedy_answers
from qi_learn.bench.conditional import conditional_conventions
from qi_learn.bench.conventions import stage, stream
from qi_learn.bench.packed_file import CONTEXT, measure_tasks, score_texts
from qi_learn.bench.tasks import BenchTask, DecidingToken, conditional_task, convention_task
from qi_learn.outside.llama_cpp import Vocabulary, load_vocabulary
from qi_learn.outside.llama_cpp_nll import Scorer
from qi_learn.records import Example
from tests.support.tiny_models import write_tiny_model

TOLERANCE = 0.05
"""Of an NLL of 10 to 20 nats. llama.cpp remembers in 16 bits, and random weights make much of it.
"""


@pytest.fixture(scope="module")
def gguf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_model(tmp_path_factory.mktemp("tiny") / "tiny.gguf", tensor_type="F32")


@pytest.fixture(scope="module")
def vocabulary(gguf: Path) -> Iterator[Vocabulary]:
    with load_vocabulary(gguf) as loaded:
        yield loaded


@pytest.fixture(scope="module")
def task(vocabulary: Vocabulary) -> BenchTask:
    convention = conditional_conventions(0, 1)[0]
    return conditional_task(convention, stage(0, convention.usual), vocabulary).shortened(2, 3)


@cache
def whole_model(gguf: Path) -> Any:
    """The same weights, by transformers."""
    return transformers.AutoModelForCausalLM.from_pretrained(
        gguf.parent, gguf_file=gguf.name, dtype=torch.float32
    )


def reference(gguf: Path, example: Example) -> tuple[torch.Tensor, torch.Tensor]:
    """NLL of each target token, and what would have been written in its place."""
    model = whole_model(gguf)
    ids = torch.tensor([[*example.prompt_ids, *example.target_ids]])
    with torch.no_grad():
        logits = model(ids).logits[0, len(example.prompt_ids) - 1 : -1]
    target = torch.tensor(example.target_ids)
    return F.cross_entropy(logits, target, reduction="none"), logits.argmax(-1)


def test_every_token_has_the_nll_that_transformers_gives_it(gguf: Path, task: BenchTask) -> None:
    with Scorer(gguf, context=CONTEXT) as scorer:
        scored = score_texts(scorer, task.test)
    for example, one in zip(task.test, scored, strict=True):
        nll, written = reference(gguf, example)
        assert one.nll == pytest.approx(nll[:-1].tolist(), abs=TOLERANCE)
        assert one.sums.end_nll == pytest.approx(float(nll[-1]), abs=TOLERANCE)
        assert one.sums.nll == pytest.approx(sum(one.nll))
        right = [int(w) == t for w, t in zip(written, example.target_ids, strict=True)]
        assert list(one.right) == right[:-1]


def test_only_the_persons_tokens_are_judged(gguf: Path, task: BenchTask) -> None:
    """Of one test every third token is the person's: the figures are of those."""
    asked = task.test[0]
    own = tuple(n % 3 == 0 for n in range(len(asked.target_ids) - 1))
    alone = replace(task, test=(replace(asked, person_mask=(*own, False)),), deciding=())
    with Scorer(gguf, context=CONTEXT) as scorer:
        measured = measure_tasks(scorer, [alone])
    nll, written = reference(gguf, asked)
    chosen = [n for n, person in enumerate(own) if person]
    assert measured.served.nll[0] == pytest.approx(float(nll[chosen].mean()), abs=TOLERANCE)
    right = [int(written[n]) == asked.target_ids[n] for n in chosen]
    assert measured.served.accuracy[0] == pytest.approx(sum(right) / len(right))
    assert measured.served.end[0] == pytest.approx(float(nll[-1]), abs=TOLERANCE)
    assert math.isnan(measured.served.conditional[0])
    assert measured.fresh.person_tokens == (len(chosen),)
    assert measured.fresh.temperature != 1.0


def test_the_end_token_is_in_no_number_but_its_own(gguf: Path, task: BenchTask) -> None:
    """A target with another last token of the vocabulary's ends has the same figures."""
    with Scorer(gguf, context=CONTEXT) as scorer:
        whole = measure_tasks(scorer, [task])
        bare = [replace(e, target_ids=e.target_ids[:-1]) for e in task.test]
        without = [
            replace(e, code_mask=e.code_mask[:-1], person_mask=e.person_mask[:-1]) for e in bare
        ]
        endless = measure_tasks(scorer, [replace(task, test=tuple(without))])
    assert whole.served.nll == endless.served.nll
    assert whole.served.accuracy == endless.served.accuracy
    assert whole.fresh.nll == endless.fresh.nll
    assert endless.served.end == (0.0,)
    assert whole.served.end[0] > 0


def test_one_form_for_all_decides_half_of_the_rules_rightly(gguf: Path, task: BenchTask) -> None:
    """Rules that are read off tokens the model gets right on one side, and wrong on the other."""
    with Scorer(gguf, context=CONTEXT) as scorer:
        (scored,) = score_texts(scorer, task.test[:1])
        wrong = scored.right.index(False)
        written = replace(task.test[0], target_ids=_greedily(gguf, task.test[0], 4))
        written = replace(written, code_mask=(True,) * 4, person_mask=(True,) * 4)
        good = score_texts(scorer, [written])[0].right.index(True)
        rules = (DecidingToken(good, True), DecidingToken(good, True), DecidingToken(wrong, False))
        sides = [
            replace(task, test=(written,), deciding=(rules[:2],)),
            replace(task, test=task.test[:1], deciding=(rules[2:],)),
        ]
        assert measure_tasks(scorer, sides).served.conditional == (1.0, 0.0)
        both = replace(task, test=(written, task.test[0]), deciding=(rules[:2], rules[2:]))
        assert measure_tasks(scorer, [both]).served.conditional == (0.5,)


def _greedily(gguf: Path, example: Example, count: int) -> tuple[int, ...]:
    model = whole_model(gguf)
    ids = list(example.prompt_ids)
    with torch.no_grad():
        for _ in range(count):
            ids.append(int(model(torch.tensor([ids])).logits[0, -1].argmax()))
    return tuple(ids[-count:])


def test_greedy_answers_are_those_of_transformers(
    gguf: Path, vocabulary: Vocabulary, task: BenchTask
) -> None:
    prompts = [e.prompt_ids for e in task.test]
    answers = greedy_answers(gguf, prompts, limit=6)
    for example, answer in zip(task.test, answers, strict=True):
        ids = list(_greedily(gguf, example, 6))
        ends = [n for n, token in enumerate(ids) if vocabulary.ends_generation(token)]
        expected = b"".join(vocabulary.pieces(ids[: ends[0]] if ends else ids))
        assert answer == expected.decode("utf-8", "replace")
    at_once = greedy_answers(gguf, prompts, limit=6, finished=lambda _: True)
    assert at_once == greedy_answers(gguf, prompts, limit=1)
    assert greedy_answers(gguf, [], limit=6) == []


def test_a_convention_has_no_rules(vocabulary: Vocabulary) -> None:
    assert convention_task(stream(0, 1)[0], vocabulary).deciding == ()
