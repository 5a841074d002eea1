"""The learning benchmark: its tests were never taught, its numbers are the definitions', and it
runs on the product's own code.
"""

from __future__ import annotations

import ast
import json
import math
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from qi_learn.bench import methods, metrics
from qi_learn.bench.conventions import DEV, TEST, TRAIN, changed, conventions, stage, stream
from qi_learn.bench.everything_else import everything_else
from qi_learn.bench.figures import Report
from qi_learn.bench.tables import table
from qi_learn.bench.tasks import convention_task, disjoint
from qi_learn.deploy import model_server
from qi_learn.errors import QiError
from qi_learn.outside.llama_cpp import load_vocabulary
from tests.support.bench_figures import figures_of
from tests.support.command_line import Terminal
from tests.support.tiny_models import write_tiny_model

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
    for each in stream(seed, 26):
        tasks = (*each.train, *each.dev, *each.test)
        assert (len(each.train), len(each.dev), len(each.test)) == (TRAIN, DEV, TEST)
        assert len({each.convention.prompt(t) for t in tasks}) == len(tasks)
        for task in tasks:
            ast.parse(each.convention.code(task))


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
    with load_vocabulary(model_server.embedded_file()) as vocabulary:
        first, second = (convention_task(s, vocabulary) for s in stream(0, 2))
        suites = everything_else(vocabulary, quick=False).suites
        general = suites["python_stdlib"]
    assert suites.keys() > {"python", "go", "sql", "shell", "prose", "chat", "completion"}
    disjoint([first, second], general, ())
    with pytest.raises(QiError, match="24 texts are both trained on and measured with"):
        disjoint([first, type(first)("leaky", first.test, (), ())], general, ())
    with pytest.raises(QiError, match=f"{len(general)} texts are both"):
        disjoint([first], general, general)


def test_the_metrics_are_their_definitions() -> None:
    R = [[0.9, 0.1, 0.2], [0.7, 0.8, 0.2], [0.6, 0.9, 0.7]]
    assert metrics.accuracy(R) == pytest.approx((0.6 + 0.9 + 0.7) / 3)
    assert metrics.learned(R) == pytest.approx((0.9 + 0.8 + 0.7) / 3)
    assert metrics.backward_transfer(R) == pytest.approx(((0.6 - 0.9) + (0.9 - 0.8)) / 2)
    assert metrics.forgetting(R) == pytest.approx(((0.9 - 0.6) + (0.8 - 0.9)) / 2)
    assert metrics.retention(R, [0.1, 0.1, 0.1]) == pytest.approx(1 - 0.1 / 0.7)
    assert metrics.retention([[0.5, 0.1], [0.6, 0.5]], [0.1, 0.1]) == 1.0, (
        "what became better is nothing forgotten"
    )
    assert math.isnan(metrics.retention(R, [0.9, 0.9, 0.9])), (
        "nothing was learned, so nothing could be kept"
    )
    diagonal = [[0.9, math.nan, math.nan], [math.nan, 0.8, math.nan], [0.6, 0.9, 0.7]]
    assert metrics.forgetting(diagonal) == metrics.forgetting(R)
    assert metrics.retention([[0.9]], [0.1]) == 1.0


def test_a_short_run_of_a_tiny_model_reports_every_figure(tmp_path: Path) -> None:
    """Train, join, pack and llama.cpp as in a run of the real model, which is one of the proofs."""
    base = write_tiny_model(tmp_path / "tiny.gguf", layers=3, tensor_type="Q8_0")
    file = tmp_path / "cells.jsonl"
    options = ("--quick", "--json", "--base", str(base), "--resume", str(file))
    methods_ = ("--method", "naive", "--method", "default")
    done = Terminal(tmp_path).process("bench", "learning", *options, *methods_, seconds=900)
    assert done.code == 0, done.err
    assert done.json["cells"] == 6
    assert "1 of 6: conventions, seed 0, 8 examples, naive" in done.err
    assert done.json["left_out"].keys() == {"edits"}, "its own answers are no functions"
    cells = {(one["stream"], one["method"]): one for one in done.json["table"]}
    assert len(cells) == 4
    for one in cells.values():
        _passed_through(one)
        assert one["nll"] > 0
    default, naive = cells["conventions", "default"], cells["conventions", "naive"]
    _held_back(default)
    assert naive["strengths"] == [[0.0, 0.0], [0.0, 0.0]]
    assert done.json["learned_ratio_min"] == pytest.approx(
        default["learned"] / naive["learned"], abs=1e-3
    )
    assert default["conditional"] is None
    assert 0 <= cells["conditional", "default"]["conditional"] <= 1
    reference = done.json["references"][0]
    assert reference["base"]["nll"] != reference["in_context"]["nll"]
    assert default["unlearning"] is not None
    assert None not in (done.json["retention_min"], done.json["general_rise_max"])
    assert {row["stream"] for row in done.json["by_shots"]} == {"conventions", "conditional"}

    again = Terminal(tmp_path).process(
        "bench", "learning", *options, *methods_, "--stream", "conventions", "--slice", "2/2"
    )
    assert again.code == 0, again.err
    assert again.json["table"] == [naive, default], "what was finished is only told, of all slices"
    assert "1 of" not in again.err


def _held_back(one: dict[str, Any]) -> None:
    first, second = one["strengths"]
    assert first == [pytest.approx(100), pytest.approx(300)]
    assert second[0] != first[0], (
        "the second stage is held back as strongly as the first one's measurement asks"
    )
    assert one["drifts"][0][0] > 0
    assert one["drifts"][0][1] is None, "there was no past yet"
    assert one["drifts"][1][1] > 0


@pytest.mark.slow
@pytest.mark.timeout(3000)  # five minutes on two quiet cores
def test_a_short_run_learns_and_reports_every_figure(tmp_path: Path) -> None:
    """Two conventions, few steps, the real model through train, join, pack and llama.cpp."""
    options = ("--quick", "--stream", "conventions", "--method", "default", "--json")
    done = Terminal(tmp_path).process("bench", "learning", *options, seconds=2900)
    assert done.code == 0, done.err
    figures = done.json
    (one,) = figures["table"]
    _learned(one)
    _held_back(one)
    (reference,) = figures["references"]
    assert sum(reference["in_context"]["nll"]) < sum(reference["base"]["nll"])
    unlearning = one["unlearning"]
    assert unlearning["new_after"] > unlearning["new_before"]
    assert 0 <= unlearning["chooses_new_before"] <= unlearning["chooses_new_after"] <= 1
    assert None not in (
        figures["retention_min"],
        figures["general_rise_max"],
        figures["in_context_gap_min"],
    )
    assert figures["learned_ratio_min"] is None, "naive was not run"
    assert figures["nothing_stored_retention_min"] is None, "it was not run"
    assert figures["seconds"] > 0


def _learned(one: dict[str, Any]) -> None:
    """The figures of a method say that it learned, and that the packed file is what it learned."""
    _passed_through(one)
    assert one["matrix"][0][0] > one["base"][0] + 0.05, "a few steps already learn something"
    assert one["gate"][0]["value"] > 0, "it is better on what it was taught"


def _passed_through(one: dict[str, Any]) -> None:
    """The figures say that what was trained was packed and looked at by the gate."""
    assert [len(row) for row in one["matrix"]] == [2, 2]
    assert one["unpacked"] == pytest.approx(one["matrix"][-1], abs=0.05), (
        "packing keeps what was learned"
    )
    assert all(one["drift"].values()), "every suite saw the change"
    checks = {check["name"]: check for check in one["gate"]}
    assert checks["old_work"]["passed"], "there is no earlier version, whose work that could be"
    general = {"few_texts", "spill_over_header", "spill_over_plain"}  # few of each in a short run
    assert checks.keys() == {"domain_relevance", "old_work", *(f"general_{n}" for n in general)}
    assert one["end"] > 0
    assert 0 <= one["fences"] <= 1


@pytest.mark.slow
@pytest.mark.timeout(3000)
def test_without_protection_more_of_the_general_ability_goes(tmp_path: Path) -> None:
    options = ("--stream", "conventions", "--method", "naive", "--method", "default")
    done = Terminal(tmp_path).process(
        "bench", "learning", "--quick", *options, "--json", seconds=2900
    )
    assert done.code == 0, done.err
    naive, default = done.json["table"]
    assert [one["method"] for one in done.json["table"]] == ["naive", "default"]
    for one in (naive, default):
        _learned(one)
    assert naive["strengths"] == [[0.0, 0.0], [0.0, 0.0]]
    assert default["drift"]["python_stdlib"] < naive["drift"]["python_stdlib"]
    assert done.json["learned_ratio_min"] == pytest.approx(default["learned"] / naive["learned"])


def test_the_naive_method_has_no_protection() -> None:
    train = methods.NAIVE.settings.train
    assert (train.lambda_general, train.lambda_past) == (0.0, 0.0)
    assert methods.NAIVE.changes == {"replay_share": 0.0, "generic_share": 0.0}


@pytest.mark.slow
def test_half_a_delta_and_all_tasks_at_once(tmp_path: Path) -> None:
    options = ("--stream", "conventions", "--method", "averaging", "--method", "joint")
    done = Terminal(tmp_path).process("bench", "learning", "--quick", *options, "--json")
    assert done.code == 0, done.err
    averaging, joint = done.json["table"]
    for one in (averaging, joint):
        assert one["unpacked"] == pytest.approx(one["matrix"][-1], abs=0.05), (
            "what was scored is what was packed"
        )
    assert averaging["steps"] == [4, 4]
    assert joint["steps"] == [8], "as many as one after another"


def test_a_seed_of_which_nothing_can_be_said_leaves_no_figure() -> None:
    one = figures_of("default")
    report = Report([one, figures_of("default", seed=1, retention=0.98)])
    assert report.figures()["retention_min"] == 0.98
    report.outcomes.append(figures_of("default", seed=2, retention=math.nan))
    assert report.figures()["retention_min"] is None


def test_what_is_learned_is_compared_with_the_naive_method_of_the_same_seed() -> None:
    report = Report([figures_of("default"), figures_of("default", seed=1)])
    assert report.figures()["learned_ratio_min"] is None
    report.outcomes.append(figures_of("naive", learned=1.0))
    assert report.figures()["learned_ratio_min"] == pytest.approx(0.9)
    report.outcomes.append(figures_of("naive", seed=1, learned=1.2))
    assert report.figures()["learned_ratio_min"] == pytest.approx(0.75)


def test_the_worst_seed_is_of_the_first_stream_with_the_most_examples() -> None:
    few = figures_of("default", shots=4, retention=0.5)
    other = figures_of("default", stream="edits", retention=0.1)
    report = Report([few, figures_of("default"), other])
    assert report.figures()["retention_min"] == 0.99


def test_by_number_of_examples_there_is_the_mean_of_the_seeds() -> None:
    report = Report(
        [
            figures_of("default", conditional=0.5, learned=0.8),
            figures_of("default", shots=4),
            figures_of("default", seed=1, conditional=0.7, learned=1.0),
        ]
    )
    many, few = report.by_shots()
    assert (many.shots, many.seeds, few.shots, few.seeds) == (48, 2, 4, 1)
    assert many.learned == pytest.approx(0.9)
    assert many.conditional == pytest.approx(0.6)
    assert many.drift["spill_over_plain"] == pytest.approx(0.03)
    (line,) = [one for one in table(report).splitlines() if " 48     2 " in one]
    assert line.split()[:5] == ["conventions", "default", "48", "2", "0.900"]
    assert line.split()[-2:] == ["+0.020", "+0.030"], "look-alike and header-less questions"


def test_changed_functions_are_none_that_were_asked_for_before() -> None:
    first = stage(0, conventions(0, 1)[0])
    asked = (*first.train, *first.dev, *first.test)
    later = stage(500, first.convention, without=asked)
    assert not {*later.train, *later.dev, *later.test} & {*asked}
    assert (len(later.train), len(later.dev), len(later.test)) == (TRAIN, DEV, TEST)


def test_nothing_to_run_and_a_long_run_of_repositories_are_refused(tmp_path: Path) -> None:
    assert "nothing to run" in Terminal(tmp_path).process("bench", "learning", "--seeds", "0").err
    done = Terminal(tmp_path).process("bench", "learning", "--long", "--repo", str(tmp_path))
    assert done.code == 2
    assert "`--long` is 20 conventions" in done.err


def test_without_its_parts_it_says_what_to_install(tmp_path: Path) -> None:
    script = (
        "import sys; sys.modules.update(dict.fromkeys(('torch', 'threadpoolctl')))\n"
        "from qi_learn.__main__ import main; sys.argv = ['qi-learn', 'bench', 'learning']; main()"
    )
    env = Terminal(tmp_path).environment()
    done = subprocess.run(
        [sys.executable, "-c", script], env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "needs torch, threadpoolctl" in done.stderr
    assert "Traceback" not in done.stderr


def test_it_says_what_it_does_before_anything_takes_long(tmp_path: Path) -> None:
    """Its first line, also into a pipe, comes before torch is loaded or anything measured."""
    base = write_tiny_model(tmp_path / "tiny.gguf", layers=3, tensor_type="Q8_0")
    script = (
        "import os, sys\n"
        "class First:\n"
        "    def write(self, text):\n"
        "        os.write(1, f'{\"torch\" in sys.modules} {text}'.encode())\n"
        "        os._exit(0)\n"
        "sys.stderr = First()\n"
        "from qi_learn.__main__ import main\n"
        "sys.argv = ['qi-learn', 'bench', 'learning', '--quick', '--base', sys.argv[1]]\n"
        "main()\n"
    )
    env = Terminal(tmp_path).environment()
    run = [sys.executable, "-c", script, str(base)]
    done = subprocess.run(run, env=env, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("False 1 of 3: conventions, seed 0, 8 examples, default")


def test_a_run_that_is_stopped_prints_what_it_has_measured(tmp_path: Path) -> None:
    base = write_tiny_model(tmp_path / "tiny.gguf", layers=3, tensor_type="Q8_0")
    arguments = ["bench", "learning", "--quick", "--json", "--base", str(base)]
    command = [sys.executable, "-m", "qi_learn", *arguments]
    with subprocess.Popen(
        command,
        env=Terminal(tmp_path).environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as running:
        assert running.stderr is not None
        assert any("in context" in line for line in running.stderr), "the base was measured"
        running.send_signal(signal.SIGINT)
        printed, _ = running.communicate(timeout=600)
    assert running.returncode == 130
    figures = json.loads(printed)
    assert len(figures["references"]) == 1
    assert figures["table"] == []
    assert figures["seconds"] > 0


def test_a_method_that_there_is_not_is_named(tmp_path: Path) -> None:
    done = Terminal(tmp_path).process("bench", "learning", "--method", "magic")
    assert done.code == 1
    assert "There is no method `magic`" in done.err
    assert "nothing_stored" in done.err


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--stream", "odes"), "There is no stream `odes`"),
        (("--shots", "4,x"), "`--shots 4,x` is not a list"),
        (("--shots", "3"), "numbers from 4 on"),
        (("--slice", "6/5"), "`--slice 6/5` is no part"),
    ],
)
def test_what_there_is_not_is_said(tmp_path: Path, options: tuple[str, ...], said: str) -> None:
    done = Terminal(tmp_path).process("bench", "learning", *options)
    assert done.code in (1, 2)
    assert said in done.err
    assert "Traceback" not in done.err
