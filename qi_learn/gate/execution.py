"""Does a served model still write code that works? It is asked to complete the tasks of the suite,
and its code runs in the sandbox or not at all.

A task is passed where every hidden check comes to the expected value, at the first answer (greedy).
The invariant that makes pairing possible: every model is asked the same questions in the same
order, each with the same limit; where the time is up the rest is left out and said.
"""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from qi_learn.code_text import code_blocks, parses
from qi_learn.errors import ServerError, ToolMissing
from qi_learn.gate.cache import add_known, known_key, read_known
from qi_learn.gate.sandbox import Sandbox, SandboxLimits, open_sandbox
from qi_learn.gate.tasks import CodingTask, choose, load_tasks
from qi_learn.outside.ollama import Ollama
from qi_learn.records import Execution

QUESTION = "Complete this Python code. Answer with the complete code only, in one code block.\n\n```python\n{prompt}\n```"
END_OF_CODE = "\n```\n"
"""Answers are cut behind their first block of code: what small models say about it takes as long
again.
"""
ANSWER_TOKENS = 128
"""At least so long may an answer be: with less than that hardly a task can be solved."""
SECONDS = 600.0
"""For all tasks of one model."""


@dataclass(frozen=True, slots=True)
class Exercise:
    """The tasks that are put to every model, and where the answers run; with no sandbox the reason
    why not.
    """

    tasks: tuple[CodingTask, ...]
    sandbox: Sandbox | None
    problem: str = ""


NO_EXERCISE = Exercise((), None, "nobody asked for it")


def make_exercise(limit: int) -> Exercise:
    """At most `limit` tasks of the suite and the sandbox, tried out; 0 tasks: no generated code is
    run.
    """
    if limit == 0:
        return Exercise((), None, "it is switched off (gate.execute = 0)")
    try:
        return Exercise(choose(load_tasks(), limit), open_sandbox())
    except ToolMissing as error:
        return Exercise((), None, f"{error.what} {error.hint}")


def measure_execution(
    server: Ollama,
    model: str,
    exercise: Exercise,
    *,
    answer_tokens: int,
    seconds: float = SECONDS,
    known: Path | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> Execution:
    """Which of the tasks a served model's answers pass; a model's digest in `known` is asked each
    of them once. Raises ServerError.
    """
    if exercise.sandbox is None:
        return Execution((), (), exercise.problem)
    answer_tokens = max(answer_tokens, ANSWER_TOKENS)
    earlier = _Earlier(_file(server, model, known), answer_tokens, server.version())
    deadline = clock() + seconds
    solved: dict[str, bool] = {}
    problem = ""
    for task in exercise.tasks:
        if (found := earlier.get(task)) is None:
            if clock() > deadline:
                problem = f"the time ({seconds:.0f} s) was up after {len(solved)} of {len(exercise.tasks)} tasks"
                break
            try:
                found, sure = attempt(
                    task, _ask(server, model, task, answer_tokens), exercise.sandbox
                )
            except ToolMissing as error:  # it worked a moment ago
                problem = f"{error.what} {error.hint}"
                break
            except ServerError as error:
                if error.status != 400:
                    raise
                problem = f"not every task was taken: {error.what}"  # it does not fit into the context: so for every model
                continue
            if sure:
                earlier.put(task, found)
        solved[task.name] = found
    return Execution(tuple(solved), tuple(solved.values()), problem)


def attempt(
    task: CodingTask, answer: str, sandbox: Sandbox, limits: SandboxLimits | None = None
) -> tuple[bool, bool]:
    """Whether the answer's code passes, and whether it would do the same again: not where the wall
    time was up, which a busy machine may do.
    """
    code = code_of(task, answer)
    if not code:
        return False, True
    ran = sandbox.run(code, task.checks, limits or SandboxLimits())
    return ran.values == task.expected and not ran.truncated, not ran.timed_out


def code_of(task: CodingTask, answer: str) -> str:
    """The code that an answer offers: the block with the name that was asked for, else the answer
    as what follows the stub.

    Where it was cut, or chatter follows without a fence, as many of its lines as parse; "" where
    that leaves nothing.
    """
    defines = re.compile(rf"^(?:async +)?(?:def|class) +{task.name}\b", re.MULTILINE)
    texts = [*(b.text for b in code_blocks(answer)), answer]
    code = next((text for text in texts if defines.search(text)), f"{task.prompt}\n{texts[0]}")
    lines = code.splitlines()
    while lines and not parses("\n".join(lines), "python"):
        lines.pop()
    return "\n".join(lines)


def _ask(server: Ollama, model: str, task: CodingTask, answer_tokens: int) -> str:
    messages = [{"role": "user", "content": QUESTION.format(prompt=task.prompt)}]
    options = {"temperature": 0, "seed": 0, "num_predict": answer_tokens, "stop": [END_OF_CODE]}
    return server.ask(
        {"endpoint": "/api/chat", "body": {"messages": messages, "options": options}}, model
    ).text


class _Earlier:
    """What this very model solved before, under the same conditions; with no file nothing is known
    and nothing kept.
    """

    def __init__(self, file: Path | None, answer_tokens: int, version: str) -> None:
        self._file = file
        self._conditions = (QUESTION, END_OF_CODE, answer_tokens, version, sys.version_info[:3])
        self._known = read_known(file) if file else {}

    def get(self, task: CodingTask) -> bool | None:
        found = next(iter(self._known.get(self._key(task), [])), None)
        return found if isinstance(found, bool) else None

    def put(self, task: CodingTask, solved: bool) -> None:
        if self._file:
            add_known(self._file, {self._key(task): [solved]})

    def _key(self, task: CodingTask) -> str:
        return known_key(task.prompt, task.checks, task.expected, self._conditions)


def _file(server: Ollama, model: str, known: Path | None) -> Path | None:
    """Named by the digest of the manifest, which covers the template and parameters besides the
    weights.
    """
    found = server.find(model)
    digest = found.digest.removeprefix("sha256:") if found else ""
    return (
        known / f"{digest}.executed.jsonl"
        if known and re.fullmatch(r"[0-9a-f]{8,64}", digest)
        else None
    )
