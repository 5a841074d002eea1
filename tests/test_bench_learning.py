"""The learning benchmark: what it asks was never taught, its numbers are the definitions', and it runs on the product's own code."""

from __future__ import annotations

import ast
import math
from pathlib import Path

import pytest

from qi_learn.bench import metrics
from qi_learn.bench.conventions import DEV, TEST, TRAIN, changed, conventions, stage, stream
from qi_learn.bench.tasks import convention_task, disjoint, probes
from qi_learn.errors import QiError
from qi_learn.outside.llama_cpp import load_vocabulary
from qi_learn.serve import backend
from tests.command_line import Terminal

SEEDS = (0, 1, 99)


@pytest.mark.parametrize("seed", SEEDS)
def test_there_are_more_than_twenty_conventions_and_each_is_its_own(seed: int) -> None:
    made = conventions(seed, 26)
    task = stage(seed, made[0]).train[0]
    assert len({c.code(task) for c in made}) == len({c.prompt(task) for c in made}) == 26
    for words in ("project", "context", "store", "note", "good", "fault"):
        assert len({getattr(c, words) for c in made}) == 26
    assert conventions(seed, 4) == made[:4]
    with pytest.raises(ValueError, match="26 conventions"):
        conventions(seed, 27)


@pytest.mark.parametrize("seed", SEEDS)
def test_every_function_is_python_and_asked_for_once(seed: int) -> None:
    for found in stream(seed, 26):
        tasks = (*found.train, *found.dev, *found.test)
        assert (len(found.train), len(found.dev), len(found.test)) == (TRAIN, DEV, TEST)
        assert len({found.convention.prompt(t) for t in tasks}) == len(tasks)
        for task in tasks:
            ast.parse(found.convention.code(task))


def test_the_same_seed_makes_the_same_stream_and_another_one_another() -> None:
    assert stream(3, 5) == stream(3, 5)
    assert stream(3, 5) != stream(4, 5)


def test_a_changed_convention_keeps_its_prompts_and_writes_otherwise() -> None:
    made = conventions(0, 5)
    after = changed(made[0], made[4])
    task = stage(0, made[0]).test[0]
    assert after.prompt(task) == made[0].prompt(task)
    assert after.code(task) != made[0].code(task)


def test_what_is_measured_with_was_never_trained_on() -> None:
    with load_vocabulary(backend.embedded_file()) as vocabulary:
        first, second = (convention_task(s, vocabulary) for s in stream(0, 2))
        general = probes(vocabulary)
    disjoint([first, second], general, ())
    with pytest.raises(QiError, match="24 texts are both trained on and measured with"):
        disjoint([first, type(first)("leaky", first.test, (), ())], general, ())
    with pytest.raises(QiError, match="64 texts"):
        disjoint([first], general, general)


def test_the_metrics_are_their_definitions() -> None:
    R = [[0.9, 0.1, 0.2], [0.7, 0.8, 0.2], [0.6, 0.9, 0.7]]
    assert metrics.accuracy(R) == pytest.approx((0.6 + 0.9 + 0.7) / 3)
    assert metrics.learned(R) == pytest.approx((0.9 + 0.8 + 0.7) / 3)
    assert metrics.backward_transfer(R) == pytest.approx(((0.6 - 0.9) + (0.9 - 0.8)) / 2)
    assert metrics.forgetting(R) == pytest.approx(((0.9 - 0.6) + (0.8 - 0.9)) / 2)
    assert metrics.retention(R, [0.1, 0.1, 0.1]) == pytest.approx(1 - 0.1 / 0.7)
    assert metrics.retention([[0.5, 0.1], [0.6, 0.5]], [0.1, 0.1]) == 1.0, "what became better is nothing forgotten"
    assert math.isnan(metrics.retention(R, [0.9, 0.9, 0.9])), "nothing was learned, so nothing could be kept"
    diagonal = [[0.9, math.nan, math.nan], [math.nan, 0.8, math.nan], [0.6, 0.9, 0.7]]
    assert metrics.forgetting(diagonal) == metrics.forgetting(R)
    assert metrics.retention([[0.9]], [0.1]) == 1.0


def test_a_short_run_learns_and_reports_every_figure(tmp_path: Path) -> None:
    """Two conventions, few steps, the real model through train, pack and llama.cpp."""
    done = Terminal(tmp_path).process("bench", "learning", "--quick", "--seeds", "1", "--method", "naive", "--json")
    assert done.code == 0, done.err
    figures = done.json
    (naive,) = figures["table"]
    assert naive["method"] == "naive"
    assert [len(row) for row in naive["matrix"]] == [2, 2]
    assert naive["matrix"][0][0] > naive["base"][0] + 0.05, "six steps already learn something"
    assert naive["unpacked"] == pytest.approx(naive["matrix"][-1], abs=0.05), "packing keeps what was learned"
    assert naive["general_rise"] != 0, "the probes saw the change"
    (reference,) = figures["references"]
    assert sum(reference["in_context"]["nll"]) < sum(reference["base"]["nll"])
    assert figures["retention_min"] is None, "the default recipe was not run"
    assert figures["seconds"] > 0


def test_a_method_that_there_is_not_is_named(tmp_path: Path) -> None:
    done = Terminal(tmp_path).process("bench", "learning", "--method", "magic")
    assert done.code == 1
    assert "There is no method `magic`" in done.err
    assert "nothing_stored" in done.err
