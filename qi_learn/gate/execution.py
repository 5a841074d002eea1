"""Whether a served model still writes code that works (rule 6).

It is asked to complete the tasks of the suite, and its code runs in the sandbox or not at all.

A task is passed if every hidden check comes to the expected value, at the first answer (greedy).
The invariant that makes pairing possible: every model is asked the same questions in the same
order, each with the same limit. When the time is up, the rest is left out and the result says so.
"""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from qi_learn import __version__
from qi_learn.code_text import code_blocks, parses
from qi_learn.errors import ServerError, ToolMissing
from qi_learn.gate.answer_cache import served_cache
from qi_learn.gate.cache import append_cache, cache_key, read_cache
from qi_learn.gate.purse import Allowance, unlimited
from qi_learn.gate.sandbox import Sandbox, SandboxLimits, open_sandbox
from qi_learn.gate.tasks import CodingTask, choose, load_tasks
from qi_learn.outside.ollama import Ollama
from qi_learn.outside.ollama_answer import Answer
from qi_learn.records import Execution

QUESTION = (
    "Complete this Python code. Answer with the complete code only, in one code block.\n\n"
    "```python\n{prompt}\n```"
)
END_OF_CODE = "\n```\n"
"""Answers are cut behind their first block of code: what small models add about it takes as long
again.
"""
ANSWER_TOKENS = 128
"""The least limit of an answer: with fewer tokens hardly a task can be solved."""
SECONDS = 600.0
"""Time for all tasks of one model."""


@dataclass(frozen=True, slots=True)
class Exercise:
    """The tasks that are put to every model, and the sandbox that their answers run in.

    If there is no sandbox, the reason why.
    """

    tasks: tuple[CodingTask, ...]
    sandbox: Sandbox | None
    problem: str = ""


NO_EXERCISE = Exercise((), None, "it was not asked for")


def make_exercise(limit: int) -> Exercise:
    """At most `limit` tasks of the suite, and the sandbox, tried out.

    If `limit` is 0, no generated code is run.
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
    cache: Path | None = None,
    served: str = "",
    clock: Callable[[], float] = time.monotonic,
    allowance: Allowance | None = None,
) -> Execution:
    """Which of the tasks a served model's answers pass.

    With a `cache` directory each task is put to a model's digest once, as long as the server's
    build and device (`served`) are the same. When the time or the
    `allowance` is used up, the other tasks are left out. Raises ServerError.
    """
    allowance = allowance or unlimited()
    if exercise.sandbox is None:
        return Execution((), (), exercise.problem)
    answer_tokens = max(answer_tokens, ANSWER_TOKENS)
    results = _TaskCache(served_cache(server, model, cache, "executed"), answer_tokens, served)
    deadline = clock() + seconds
    solved: dict[str, bool] = {}
    problem = ""
    for task in exercise.tasks:
        if (passed := results.get(task)) is None:
            if clock() > deadline:
                problem = (
                    f"the time ({seconds:.0f} s) was up after {len(solved)} of "
                    f"{len(exercise.tasks)} tasks"
                )
                break
            if not allowance.reserve(answer_tokens):
                problem = (
                    f"the tokens were used up after {len(solved)} of {len(exercise.tasks)} tasks"
                )
                break
            try:
                answer = _ask(server, model, task, answer_tokens)
                allowance.settle(answer_tokens, answer.answer_tokens)
                passed, sure = attempt(task, answer.text, exercise.sandbox)
            except ToolMissing as error:  # it worked a moment ago
                problem = f"{error.what} {error.hint}"
                break
            except ServerError as error:
                if error.status != 400:
                    raise
                # it does not fit into the context: so for every model
                allowance.settle(answer_tokens, 0)
                problem = f"not every task was taken: {error.what}"
                continue
            if sure:
                results.put(task, passed)
        solved[task.name] = passed
    return Execution(tuple(solved), tuple(solved.values()), problem)


def attempt(
    task: CodingTask, answer: str, sandbox: Sandbox, limits: SandboxLimits | None = None
) -> tuple[bool, bool]:
    """Whether the answer's code passes, and whether it surely does the same again.

    The second is False if the wall time was up, for which a busy machine may be the cause.
    """
    code = code_of(task, answer)
    if not code:
        return False, True
    ran = sandbox.run(code, task.checks, limits or SandboxLimits())
    return ran.values == task.expected and not ran.truncated, not ran.timed_out


def code_of(task: CodingTask, answer: str) -> str:
    """The code that an answer offers.

    It is the block with the name that was asked for, else the answer as what follows the stub. If
    it was cut, or chatter follows without a fence, as many of its lines as parse; "" if that leaves
    nothing.
    """
    defines = re.compile(rf"^(?:async +)?(?:def|class) +{task.name}\b", re.MULTILINE)
    texts = [*(b.text for b in code_blocks(answer)), answer]
    code = next((text for text in texts if defines.search(text)), f"{task.prompt}\n{texts[0]}")
    lines = code.splitlines()
    while lines and not parses("\n".join(lines), "python"):
        lines.pop()
    return "\n".join(lines)


def _ask(server: Ollama, model: str, task: CodingTask, answer_tokens: int) -> Answer:
    messages = [{"role": "user", "content": QUESTION.format(prompt=task.prompt)}]
    options = {"temperature": 0, "seed": 0, "num_predict": answer_tokens, "stop": [END_OF_CODE]}
    body = {"messages": messages, "options": options}
    return server.ask({"endpoint": "/api/chat", "body": body}, model)


class _TaskCache:
    """What this very model solved before, under the same conditions.

    Without a file nothing is cached.
    """

    def __init__(self, file: Path | None, answer_tokens: int, served: str) -> None:
        self._file = file
        self._conditions = (
            *(QUESTION, END_OF_CODE, answer_tokens, served, sys.version_info[:3]),
            __version__,
        )
        self._cached = read_cache(file) if file else {}

    def get(self, task: CodingTask) -> bool | None:
        """Whether the task was passed before; None if it is not known."""
        passed = next(iter(self._cached.get(self._key(task), [])), None)
        return passed if isinstance(passed, bool) else None

    def put(self, task: CodingTask, passed: bool) -> None:
        """Keep a result for good."""
        if self._file:
            append_cache(self._file, {self._key(task): [passed]})

    def _key(self, task: CodingTask) -> str:
        return cache_key(task.prompt, task.checks, task.expected, self._conditions)
