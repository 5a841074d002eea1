"""What an answer's code is, which tasks a served model solves (through a small real server and the
real sandbox), and the gate's rule on them.
"""

from __future__ import annotations

import ast
import hashlib
import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from qi_learn.errors import ServerError
from qi_learn.gate.execution import (
    QUESTION,
    Exercise,
    attempt,
    code_of,
    make_exercise,
    measure_execution,
)
from qi_learn.gate.execution_rule import mcnemar_rule
from qi_learn.gate.sandbox import Sandbox, SandboxLimits
from qi_learn.gate.tasks import CodingTask, choose, load_tasks
from qi_learn.outside.ollama import Ollama
from qi_learn.paths import Paths
from qi_learn.records import Execution
from qi_learn.report import doctor
from tests.support import fake_models_server as fake
from tests.support.sandboxes import soon

PACKAGE = Path(__file__).parent.parent.parent / "qi_learn"
TASKS = load_tasks()
DOUBLE = next(t for t in TASKS if t.name == "double")


# --- the code of an answer ------------------------------------------------------------------------

CODE = "def double(number):\n    return 2 * number"


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (f"Here:\n```python\n{CODE}\n```\nIt doubles.", CODE),
        (CODE, CODE),
        (f"```python\nprint(1)\n```\nand\n```python\n{CODE}\n```", CODE),
        (f"```python\n{CODE}\n\nassert double(2", CODE),
        (f"{CODE}\n\nThis doubles it.", CODE),
        (f"```\n{CODE}\n\ndef other(:\n```", CODE),
        ("    return 2 * number", f"{DOUBLE.prompt}\n    return 2 * number"),
        ("```python\n    return 2 * number\n```", f"{DOUBLE.prompt}\n    return 2 * number"),
        (
            "```python\nasync def double(number):\n    return 1\n```",
            "async def double(number):\n    return 1",
        ),
    ],
)
def test_the_code_of_an_answer(answer: str, code: str) -> None:
    assert code_of(DOUBLE, answer).strip() == code


@pytest.mark.parametrize("answer", ["", "I cannot do that.", "```python\ndouble = \n```"])
def test_an_answer_without_code_leaves_the_stub_or_nothing(answer: str) -> None:
    assert code_of(DOUBLE, answer).strip() in ("", DOUBLE.prompt)


# --- measuring a model ----------------------------------------------------------------------------


@pytest.fixture
def models(tmp_path: Path) -> Iterator[fake.FakeModels]:
    with fake.FakeModels(tmp_path / "store") as models:
        yield models


@pytest.fixture
def server(models: fake.FakeModels) -> Iterator[Ollama]:
    with Ollama(models.url) as client:
        yield client


def serve(server: Ollama, directory: Path, name: str, say: Any) -> None:
    content = fake.gguf(say=say)
    (directory / "m.gguf").write_bytes(content)
    digest = hashlib.sha256(content).hexdigest()
    server.upload_blob(directory / "m.gguf", digest)
    server.create(name, files={"m.gguf": digest})


def answers(solved: int, tasks: tuple[CodingTask, ...] = TASKS) -> dict[str, str]:
    """A model that knows the first tasks and answers the others with the stub."""
    return {
        QUESTION.format(
            prompt=t.prompt
        ): f"Sure!\n```python\n{t.solution if n < solved else t.prompt + chr(10) + '    pass'}\n```"
        for n, t in enumerate(tasks)
    }


def asked(models: fake.FakeModels) -> int:
    return models.calls.count("POST /api/chat")


def test_a_model_that_knows_half_solves_half(
    server: Ollama, models: fake.FakeModels, sandbox: Sandbox, tmp_path: Path
) -> None:
    tasks = choose(TASKS, 12)
    serve(server, tmp_path, "half:1", answers(6, tasks))
    execution = measure_execution(server, "half:1", Exercise(tasks, sandbox), answer_tokens=1000)
    assert execution == Execution(tuple(t.name for t in tasks), (True,) * 6 + (False,) * 6)
    assert asked(models) == 12


def test_a_model_is_asked_once_for_good(
    server: Ollama, models: fake.FakeModels, sandbox: Sandbox, tmp_path: Path
) -> None:
    serve(server, tmp_path, "m:1", answers(2))
    exercise = Exercise(TASKS[:4], sandbox)
    first = measure_execution(server, "m:1", exercise, answer_tokens=1000, cache=tmp_path / "known")
    server.copy("m:1", "m:2")  # as a candidate becomes a version
    assert (
        measure_execution(server, "m:2", exercise, answer_tokens=1000, cache=tmp_path / "known")
        == first
    )
    assert asked(models) == 4
    longer = measure_execution(
        server, "m:2", Exercise(TASKS[:5], sandbox), answer_tokens=1000, cache=tmp_path / "known"
    )
    assert (longer.passed, asked(models)) == ((True, True, False, False, False), 5)
    other = replace(TASKS[0], checks=("double(1)",) * 4, expected=("3",) * 4)
    changed = measure_execution(
        server, "m:2", Exercise((other,), sandbox), answer_tokens=1000, cache=tmp_path / "known"
    )
    assert (changed.passed, asked(models)) == ((False,), 6), (
        "a task that was changed is another task"
    )
    serve(server, tmp_path, "m:3", answers(4))
    assert (
        measure_execution(
            server, "m:3", exercise, answer_tokens=1000, cache=tmp_path / "known"
        ).passed
        == (True,) * 4
    )


def test_another_build_of_the_server_is_asked_anew(
    server: Ollama, models: fake.FakeModels, sandbox: Sandbox, tmp_path: Path
) -> None:
    serve(server, tmp_path, "m:1", answers(2))
    counts = []
    for served in ("0.33.0 cpu", "0.33.0 cpu", "0.34.0 cpu", "0.34.0 gpu"):
        measure_execution(
            server,
            "m:1",
            Exercise(TASKS[:2], sandbox),
            answer_tokens=1000,
            cache=tmp_path / "known",
            served=served,
        )
        counts.append(asked(models))
    assert counts == [2, 2, 4, 6]


def test_when_the_time_is_up_the_rest_is_left_out_and_said(
    server: Ollama, sandbox: Sandbox, tmp_path: Path
) -> None:
    serve(server, tmp_path, "m:1", answers(48))
    ticks = iter(range(0, 1000, 10))
    execution = measure_execution(
        server,
        "m:1",
        Exercise(TASKS, sandbox),
        answer_tokens=1000,
        seconds=25,
        clock=lambda: next(ticks),
    )
    assert execution.ids == tuple(t.name for t in TASKS[:2])
    assert execution.problem == "the time (25 s) was up after 2 of 48 tasks"


def test_what_only_ran_out_of_wall_time_is_not_remembered(sandbox: Sandbox) -> None:
    hasty, patient = SandboxLimits(seconds=soon(sandbox)), SandboxLimits(processor=1, seconds=120.0)
    assert attempt(DOUBLE, "import time\ntime.sleep(600)\n" + CODE, sandbox, hasty) == (
        False,
        False,
    )
    assert attempt(DOUBLE, "while True: pass\n" + CODE, sandbox, patient) == (False, True)
    assert attempt(DOUBLE, CODE, sandbox, patient) == (True, True)
    assert attempt(DOUBLE, "", sandbox, patient) == (False, True)


def test_a_server_that_fails_is_no_wrong_answer(
    server: Ollama, models: fake.FakeModels, sandbox: Sandbox, tmp_path: Path
) -> None:
    serve(server, tmp_path, "m:1", answers(4))
    models.broken["/api/chat"] = "out of memory"
    with pytest.raises(ServerError, match="out of memory"):
        measure_execution(server, "m:1", Exercise(TASKS[:4], sandbox), answer_tokens=1000)


def test_a_question_that_does_not_fit_is_left_out_and_said(
    server: Ollama, models: fake.FakeModels, sandbox: Sandbox, tmp_path: Path
) -> None:
    serve(server, tmp_path, "m:1", answers(4))
    short, long = (
        sorted(TASKS[:4], key=lambda t: len(t.prompt))[:3],
        max(TASKS[:4], key=lambda t: len(t.prompt)),
    )
    models.longest = len(QUESTION.format(prompt=long.prompt))  # ChatML comes on top
    execution = measure_execution(server, "m:1", Exercise(TASKS[:4], sandbox), answer_tokens=1000)
    assert set(execution.ids) == {t.name for t in short}
    assert "does not fit into the context" in execution.problem


def test_a_sandbox_that_breaks_meanwhile_is_no_wrong_answer_either(
    server: Ollama, sandbox: Sandbox, tmp_path: Path
) -> None:
    serve(server, tmp_path, "m:1", answers(4))
    broken = Sandbox((sandbox.command[0], "--no-such-option"), sandbox.seccomp)
    execution = measure_execution(
        server, "m:1", Exercise(TASKS[:4], broken), answer_tokens=1000, cache=tmp_path / "known"
    )
    assert execution.ids == ()
    assert "The sandbox does not start" in execution.problem
    assert not (tmp_path / "known").exists()


# --- generated code runs only in a sandbox --------------------------------------------------------


def test_without_a_sandbox_nothing_is_run_and_it_is_said(
    server: Ollama, models: fake.FakeModels, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trace = tmp_path / "it-ran"
    serve(
        server,
        tmp_path,
        "m:1",
        f"```python\nopen({str(trace)!r}, 'w').close()\ndef double(number):\n    return 2 * "
        "number\n```",
    )
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    exercise = make_exercise(48)
    execution = measure_execution(server, "m:1", exercise, answer_tokens=1000)
    assert (execution.ids, asked(models), trace.exists()) == ((), 0, False)
    check = mcnemar_rule(execution, execution, execution)
    assert (check.passed, check.value) == (True, None)
    assert check.reason.startswith("not run: ")
    assert "Everything else works without it" in check.reason
    remark = {finding.name: finding for finding in doctor.examine(Paths.under(tmp_path / "home"))}[
        "sandbox"
    ]
    assert (remark.ok, remark.what) == (True, exercise.problem)


def test_with_one_the_code_runs_in_it_and_leaves_no_trace(sandbox: Sandbox, tmp_path: Path) -> None:
    trace = tmp_path / "it-ran"
    assert attempt(
        DOUBLE,
        f"try:\n    open({str(trace)!r}, 'w').close()\nexcept OSError:\n    pass\n{CODE}",
        sandbox,
    ) == (True, True)
    assert not trace.exists()


def test_it_can_be_switched_off(tmp_path: Path) -> None:
    assert make_exercise(0).problem == "it is switched off (gate.execute = 0)"
    home = Paths.under(tmp_path)
    home.ensure()
    home.settings_file.write_text("[gate]\nexecute = 0\n")
    assert (
        "gate.execute = 0"
        in {finding.name: finding for finding in doctor.examine(home)}["sandbox"].what
    )


def test_no_other_part_of_the_package_runs_texts_as_code() -> None:
    """`exec`, `eval` and their like are called in one file, the program in the sandbox."""
    callers = set()
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Name)
                and node.func.id in ("exec", "eval", "compile", "__import__")
            ):
                callers.add(path.name)
            assert not (
                isinstance(node, ast.Attribute)
                and node.attr in ("run_path", "run_module", "InteractiveInterpreter", "exec_module")
            ), path
    assert callers == {"sandbox_main.py"}


# --- the gate's rule ------------------------------------------------------------------------------


def ran(passed: int, *, lost: int = 0, n: int = 48) -> Execution:
    """The first `passed` of n tasks are solved, but for the first `lost`."""
    return Execution(tuple(f"t{i}" for i in range(n)), tuple(lost <= i < passed for i in range(n)))


@pytest.mark.parametrize(
    ("lost", "gained", "passes"),
    [
        (0, 0, True),
        (3, 0, True),
        (4, 0, False),
        (5, 1, True),
        (6, 1, False),
        (7, 2, True),
        (8, 2, False),
        (0, 9, True),
        (6, 6, True),
        (13, 6, True),
        (14, 6, False),
    ],
)
def test_an_evident_loss_is_refused(lost: int, gained: int, passes: bool) -> None:
    """By hand: P(X > 3) + P(X = 3) / 2 = 1/16 for three lost and none gained, 1/32 for four."""
    live = ran(24)
    check = mcnemar_rule(ran(24 + gained, lost=lost), live, ran(0))
    assert check.passed is passes
    assert check.value == pytest.approx((gained - lost) / 48)
    assert f"{24 + gained - lost} of 48 tasks" in check.reason
    assert f"{lost} lost, {gained} gained" in check.reason
    assert passes or "evident loss" in check.reason


def test_small_losses_may_not_add_up() -> None:
    """Two lost a cycle is nothing; six since the base, with none gained, is."""
    base = ran(30)
    assert mcnemar_rule(ran(30, lost=4), ran(30, lost=2), base).passed
    check = mcnemar_rule(ran(30, lost=6), ran(30, lost=4), base)
    assert not check.passed
    assert "since the base: 6 lost and 0 gained" in check.reason


def test_a_model_near_the_floor_is_not_refused_for_noise() -> None:
    assert mcnemar_rule(ran(3, lost=3), ran(3), ran(3)).passed


def test_only_what_all_have_tried_is_compared() -> None:
    short = replace(ran(24, n=30), problem="the time (600 s) was up after 30 of 48 tasks")
    check = mcnemar_rule(short, ran(40), ran(40))
    assert "24 of 30 tasks" in check.reason
    assert "30 of 48 tasks" in check.reason
    assert not check.passed
    assert mcnemar_rule(short, ran(24), ran(24)).passed


def binomial(n: int, p: float) -> list[float]:
    return [math.comb(n, k) * p**k * (1 - p) ** (n - k) for k in range(n + 1)]


def refused(solved: int, lose: float, gain: float, n: int = 48) -> float:
    """The probability that the rule refuses, over all outcomes: each solved task is lost with
    `lose`, each other gained with `gain`.
    """
    live = ran(solved, n=n)
    total = 0.0
    for lost, p in enumerate(binomial(solved, lose)):
        for gained, q in enumerate(binomial(n - solved, gain)):
            if (
                p * q > 1e-9
                and not mcnemar_rule(ran(solved + gained, lost=lost, n=n), live, ran(0, n=n)).passed
            ):
                total += p * q
    return total


@pytest.mark.parametrize("solved", [3, 12, 24, 36, 43])
@pytest.mark.parametrize("flips", [1, 2, 3])
def test_harmless_updates_are_seldom_refused(solved: int, flips: int) -> None:
    """As many gained as lost, on average: at most 3 in 100 are refused (decision 0011)."""
    assert refused(solved, flips / solved, flips / (48 - solved)) <= 0.03


@pytest.mark.parametrize(
    ("solved", "lose", "power"),
    [(24, 0.3, 0.7), (24, 0.5, 0.95), (36, 0.2, 0.7), (36, 0.3, 0.9), (43, 0.2, 0.8)],
)
def test_a_model_that_lost_much_is_mostly_refused(solved: int, lose: float, power: float) -> None:
    assert refused(solved, lose, 1 / (48 - solved)) >= power
