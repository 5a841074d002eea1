"""An agent's next request tells how the commands of its model ended."""

from __future__ import annotations

import json
from typing import Any

import pytest

from qi_learn.capture.told_in_requests import outcomes_told
from qi_learn.records import Message, Turn

PROJECT = "/home/me/work"
ENV = f"<env>\nWorking directory: {PROJECT}\nIs directory a git repo: Yes\n</env>"
PASSED = "..... [100%]\n5 passed in 0.12s\n"
FAILED = (
    "..F [100%]\n=== short test summary info ===\n"
    "FAILED tests/test_a.py::test_b - assert 0\n1 failed, 2 passed in 0.20s\n"
)


def call(name: str, id: str | None = "c1", **arguments: Any) -> dict[str, Any]:
    return {"id": id, "function": {"name": name, "arguments": arguments}}


def turn(
    calls: list[dict[str, Any]], results: list[str], *, system: str = ENV, after: str = ""
) -> Turn:
    told = [
        Message("tool", text, {"tool_call_id": made["id"]} if made["id"] else {})
        for made, text in zip(calls, results, strict=False)
    ]
    messages = [
        Message("system", system),
        Message("user", "Make the tests pass."),
        Message("assistant", "", {"tool_calls": calls}),
        *told,
        *([Message("assistant", after), Message("user", "Go on.")] if after else []),
    ]
    return Turn(
        "T1", "/v1/chat/completions", "m", "m", tuple(messages), "a", 5.0, 6.0, project=PROJECT
    )


def told(command: str, output: str, **more: Any) -> tuple[str, int, str | None] | None:
    results = outcomes_told(turn([call("Bash", command=command)], [output], **more))
    assert len(results) <= 1
    return next(((r.kind, r.exit_code, r.cwd) for r in results), None)


@pytest.mark.parametrize(
    ("command", "output", "known"),
    [
        ("pytest -q", PASSED, ("test", 0, PROJECT)),
        ("pytest -q", f"Exit code 1\n{FAILED}", ("test", 1, PROJECT)),
        ("pytest -q", FAILED, ("test", 1, PROJECT)),
        ("pytest -q 2>&1 | tail -20", FAILED, ("test", 1, PROJECT)),
        ("cd web && npm test", "Exit code 1\nnpm error", ("test", 1, f"{PROJECT}/web")),
        (
            f"cd {PROJECT}/web && npx tsc",
            "Exit code: 0\nOutput:\n",
            ("compile", 0, f"{PROJECT}/web"),
        ),
        ("make test", "ok\n[The command completed with exit code 2.]", ("test", 2, PROJECT)),
        ("cargo build", "Output: x\nExit Code: 101\n", ("compile", 101, PROJECT)),
        (
            "go vet ./...",
            json.dumps({"output": "", "metadata": {"exit_code": 0, "duration_seconds": 1.0}}),
            ("compile", 0, PROJECT),
        ),
        # the exit code is another command's
        ("make test | tail -3", "Exit code 0\nall good", None),
        ("make test && echo done", "Exit code: 0\ndone", ("test", 0, PROJECT)),
        ("make test; echo done", "Exit code: 0\ndone", None),
        ("cd wbe && npm test", "Exit code 1\nbash: line 1: cd: wbe: No such file", None),
        ("make test | grep -c ok", "Exit code 1\n0", None),
        ("npm test && git push", "Exit code 1\nrejected", None),
        # nothing says how it ended
        ("make test", "all good", None),
        ("npx tsc", "", None),
        # nothing of ours, several, or a script that is not read
        ("ls", "Exit code 1\n", None),
        ("pytest a.py; pytest b.py", PASSED, None),
        ("for f in *; do pytest $f; done", PASSED, None),
        ("pip install -e . && pytest", PASSED, None),
    ],
)
def test_what_is_known_of_a_command(
    command: str, output: str, known: tuple[str, int, str] | None
) -> None:
    assert told(command, output) == known


def test_counts_and_names_are_those_of_the_output() -> None:
    (result,) = outcomes_told(turn([call("bash", command="pytest -q")], [FAILED]))
    assert (result.failed, result.passed) == (1, 2)
    assert result.failing == ("tests/test_a.py::test_b",)
    assert (result.id, result.ts, result.project) == ("T1.0", 5.0, PROJECT)


@pytest.mark.parametrize(
    "system",
    [
        f"Primary working directory: {PROJECT}",
        f"<environment_context>\n  <cwd>{PROJECT}</cwd>\n</environment_context>",
        f"My operating system is: linux\nI'm currently working in the directory: {PROJECT}\n",
        f"# Current Working Directory ({PROJECT}) Files\na.py",
    ],
)
def test_the_directory_is_the_one_that_the_client_says(system: str) -> None:
    assert told("pytest", PASSED, system=system) == ("test", 0, PROJECT)


def test_without_a_directory_nothing_is_known() -> None:
    assert told("pytest", PASSED, system="You are helpful.") is None
    assert told("cd web && pytest", PASSED, system="You are helpful.") is None
    given = call("shell", command=["bash", "-lc", "pytest"], workdir=f"{PROJECT}/a")
    (result,) = outcomes_told(turn([given], [PASSED], system="You are helpful."))
    assert result.cwd == f"{PROJECT}/a"


def test_only_what_is_new_in_a_request_is_told() -> None:
    assert told("pytest", PASSED, after="The tests pass.") is None


def test_a_command_before_an_edit_of_the_same_answer_says_nothing() -> None:
    edit = call("Edit", "c2", file_path="a.py", old_string="a", new_string="b")
    test = call("Bash", "c1", command="pytest")
    assert outcomes_told(turn([test, edit], [PASSED, "updated"])) == ()
    assert len(outcomes_told(turn([edit, test], ["updated", PASSED]))) == 1


def test_results_without_ids_are_in_the_order_of_the_calls() -> None:
    calls = [call("bash", None, command="pytest a"), call("bash", None, command="mypy src")]
    found = outcomes_told(turn(calls, [PASSED, "Exit code 1\n"]))
    assert [(r.kind, r.exit_code) for r in found] == [("test", 0), ("compile", 1)]


def test_odd_calls_say_nothing() -> None:
    odd: list[Any] = [
        {},
        {"function": None},
        {"id": "c1", "function": {"name": "bash", "arguments": "no JSON"}},
        {"id": "c1", "function": {"name": "bash", "arguments": {"command": 5}}},
        {"id": "c1", "function": {"name": "editor", "arguments": {"command": "view", "path": "a"}}},
    ]
    for each in odd:
        messages = (
            Message("system", ENV),
            Message("assistant", "", {"tool_calls": [each]}),
            Message("tool", PASSED, {"tool_call_id": "c1"}),
        )
        made = Turn("T", "/api/chat", "m", "m", messages, "a", 1.0, 2.0, project=PROJECT)
        assert outcomes_told(made) == ()
