"""The executable suite itself: every task can be solved, cannot be solved by something obviously
wrong, and is ours alone.
"""

from __future__ import annotations

import ast
import json
import re
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest

from qi_learn.dataset import reference_code
from qi_learn.gate.sandbox_main import evaluate
from qi_learn.gate.tasks import CodingTask, _check, choose, load_tasks
from tests.support.sandboxes import sandbox_or_skip

TASKS = load_tasks()
BY_NAME = pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)


def passes(task: CodingTask, code: str) -> bool:
    """Whether code passes as in the gate, but run in this process: the code is ours."""
    return tuple(evaluate(code, list(task.checks))) == task.expected


def test_there_are_enough() -> None:
    assert len(TASKS) == 48
    assert len({task.name for task in TASKS}) == len(TASKS)
    assert all(len(task.checks) == len(task.expected) >= 4 for task in TASKS)


@BY_NAME
def test_its_solution_passes(task: CodingTask) -> None:
    assert passes(task, task.solution)


def test_every_solution_passes_in_the_sandbox() -> None:
    """Within its limits."""
    sandbox = sandbox_or_skip()
    assert [
        task.name
        for task in TASKS
        if sandbox.run(task.solution, task.checks).values != task.expected
    ] == []


@BY_NAME
def test_the_stub_is_python_and_names_the_task(task: CodingTask) -> None:
    (stub,) = ast.parse(task.prompt).body
    assert isinstance(stub, (ast.FunctionDef, ast.ClassDef))
    assert stub.name == task.name
    assert ast.get_docstring(stub)


@BY_NAME
def test_an_obviously_wrong_answer_fails(task: CodingTask) -> None:
    for body in (
        "pass",
        "return 0",
        "return 1",
        "return ''",
        "return []",
        "return True",
        "return False",
        "return {}",
        "raise ValueError",
        "raise IndexError",
    ):
        assert not passes(task, f"{task.prompt}\n    {body}"), body
        assert not passes(task, f"def {task.name}(*values):\n    {body}"), body


@BY_NAME
def test_giving_back_what_was_given_fails(task: CodingTask) -> None:
    assert not passes(task, f"def {task.name}(*values):\n    return values[0] if values else None")


def test_code_that_is_nearly_right_fails() -> None:
    """One operator, comparison or number of a solution changed: the checks see them all but for a
    few that change nothing that matters.
    """
    seen = missed = 0
    for task in TASKS:
        for code in mutants(task.solution):
            noticed = True
            with soon_over():
                noticed = not passes(task, code)
            seen, missed = seen + noticed, missed + (not noticed)
    assert seen + missed > 200
    assert seen / (seen + missed) >= 0.98


SWAPS: dict[type, type] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Add, ast.FloorDiv: ast.Mult, ast.Mod: ast.Add,
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq, ast.In: ast.NotIn, ast.NotIn: ast.In, ast.And: ast.Or, ast.Or: ast.And,
}  # fmt: skip


def mutants(code: str) -> Iterator[str]:
    """The code with one thing changed, in every way."""
    count = sum(1 for _ in ast.walk(ast.parse(code)))
    for at in range(count):
        tree = ast.parse(code)
        node = list(ast.walk(tree))[at]
        if isinstance(node, (ast.BinOp, ast.BoolOp)) and type(node.op) in SWAPS:
            node.op = SWAPS[type(node.op)]()
        elif isinstance(node, ast.Compare) and type(node.ops[0]) in SWAPS:
            node.ops[0] = SWAPS[type(node.ops[0])]()
        elif isinstance(node, ast.Constant) and type(node.value) is int:
            node.value += 1
        else:
            continue
        yield ast.unparse(tree)


@contextmanager
def soon_over() -> Iterator[None]:
    """Interrupt an endless loop again and again, by processor time, so that a busy machine changes
    nothing.
    """

    def interrupt(*_: object) -> None:
        raise TimeoutError

    before = signal.signal(signal.SIGVTALRM, interrupt)
    signal.setitimer(signal.ITIMER_VIRTUAL, 0.2, 0.05)
    try:
        with suppress(TimeoutError):
            yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


def test_what_is_expected_stays_outside() -> None:
    """What a check sends into the sandbox holds a question and no answer."""
    for task in TASKS:
        assert not any(" == " in check or " raises " in check for check in task.checks)
        assert task.solution not in json.dumps([task.prompt, *task.checks])


@pytest.mark.parametrize(
    ("line", "code", "expected"),
    [
        ("f(1) == 2.0", "f(1)", "2"),
        ("a = f(); a == {'b': [1]}", "a = f(); a", "{'b': [1]}"),
        ("f(' == ') == ' raises '", "f(' == ')", "' raises '"),
        ("f() raises KeyError", "f()", "raises KeyError"),
    ],
)
def test_a_check_is_taken_apart(line: str, code: str, expected: str) -> None:
    assert _check(line) == (code, expected)


@pytest.mark.parametrize("line", ["f()", "f() == g()", "f() raises Nothing"])
def test_a_check_that_says_nothing_is_refused(line: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        _check(line)


def test_some_of_them_are_of_every_kind() -> None:
    first = choose(TASKS, 4)
    assert (
        [t.name for t in choose(TASKS, 48)]
        == [t.name for t in choose(TASKS, 1000)]
        == [t.name for t in TASKS]
    )
    assert [TASKS.index(t) for t in first] == [0, 12, 24, 36]
    assert choose(TASKS, 0) == ()


def test_they_are_not_among_the_texts_that_train_or_measure() -> None:
    """No task defines a name that an anchor or a probe defines, with the same lines below it."""
    texts = [text.text for text in (*reference_code.anchors(), *reference_code.probes())]
    for task in TASKS:
        lines = [line.strip() for line in task.solution.splitlines() if line.strip()]
        for n in range(len(lines) - 1):
            pair = re.compile(r"\s+".join(re.escape(line) for line in lines[n : n + 2]))
            assert not any(pair.search(text) for text in texts), f"{task.name}: {lines[n : n + 2]}"
        assert not any(re.search(rf"\b(def|class) {task.name}\b", text) for text in texts), (
            task.name
        )
