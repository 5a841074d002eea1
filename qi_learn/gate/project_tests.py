"""A project's own tests judge the models (rule 6): each answer in the place of what was kept.

The invariant that makes pairing possible: of one task every model's answer is tried, or none. A
task counts only if it can tell something: its tests pass on the commit as it is (the control), and
do not pass without the text in question. What is left out is counted, with the reason. The tests
run in a sandbox (`project_sandbox`) on a checkout in a private directory: the person's working tree
is not touched, and nothing of the texts or of the output is stored.

A model passes if the command ends well and as many tests passed as in the control: code that leaves
early is no pass. Every model's run has the same limits; a text that two models share is run once.
"""

from __future__ import annotations

import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path

from qi_learn.errors import NotFound, ToolMissing
from qi_learn.gate.project_environment import ProjectEnvironment, TestCommand, environment_of
from qi_learn.gate.project_place import CodePlace, PlaceInFile, code_for, find_place
from qi_learn.gate.project_sandbox import (
    ProjectLimits,
    ProjectRun,
    ProjectSandbox,
)
from qi_learn.gate.project_sandbox_trial import open_project_sandbox
from qi_learn.outside.git_tree import write_tree
from qi_learn.records import Execution
from qi_learn.results.by_tool import printed_report

MOST_TASKS = 12
"""Tasks that judge: with fewer than four lost and none gained nothing is evident."""
SECONDS = 600.0
"""Time for all tasks and models together."""
NO_TASKS = "no held-out work has tests that could be run"
TIME = "the time ({:.0f} s) was up"


@dataclass(frozen=True, slots=True)
class ProjectTask:
    """Held-out work that a project's tests can judge."""

    id: str
    """The example's id."""
    top: Path
    """The top of the project's working tree, without links in its name."""
    commit: str
    file: str
    """The file with the place, relative to the top."""
    place: CodePlace
    command: TestCommand
    cwd: Path
    """The directory in which the command runs."""
    completion: bool = False
    """Whether an answer goes on from a text, so that all of it is code."""


@dataclass(frozen=True, slots=True)
class ProjectTerms:
    """What running the tests may cost."""

    limits: ProjectLimits = ProjectLimits()  # noqa: RUF009 -- frozen
    seconds: float = SECONDS
    most: int = MOST_TASKS
    wait: Callable[[], None] = lambda: None
    """Called before each checkout and each run: it returns once the machine may be used."""


@dataclass(frozen=True, slots=True)
class ProjectResults:
    """What the project's tests said."""

    by_model: Mapping[str, Execution]
    left_out: Mapping[str, int] = field(default_factory=dict)
    """Tasks that say nothing, by reason."""
    runs: int = 0
    seconds: float = 0.0


def run_project_tests(
    tasks: Sequence[ProjectTask],
    answers: Mapping[str, Mapping[str, str]],
    terms: ProjectTerms,
    clock: Callable[[], float] = time.monotonic,
) -> ProjectResults:
    """Which tasks each model's answers pass.

    `answers`: by model, its answers by the tasks' ids. A task without an answer of every model is
    left out. If there is no sandbox, nothing is run, and the reason says so.
    """
    if not tasks:
        return _nothing(answers, NO_TASKS)
    try:
        sandbox = open_project_sandbox()
    except ToolMissing as error:
        return _nothing(answers, f"{error.what} {error.hint}")
    began = clock()
    judges = _Judges(sandbox, terms, began + terms.seconds, clock)
    asked = [task for task in tasks if all(task.id in own for own in answers.values())]
    left_out = Counter({"a model was not asked it": len(tasks) - len(asked)})
    passed: dict[str, dict[str, bool]] = {}
    told = 0
    try:
        with closing(judges.judge(asked, answers)) as outcomes:
            for task, judged in outcomes:
                told += 1
                if isinstance(judged, str):
                    left_out[judged] += 1
                else:
                    passed[task.id] = judged
                if len(passed) == terms.most:
                    break
    except _TimeIsUp:
        left_out[TIME.format(terms.seconds)] += len(asked) - told
    left_out = +left_out
    problem = "" if passed else _told(left_out)
    by_model = {
        model: Execution(tuple(passed), tuple(each[model] for each in passed.values()), problem)
        for model in answers
    }
    return ProjectResults(by_model, left_out, judges.runs, clock() - began)


def _nothing(answers: Mapping[str, object], problem: str) -> ProjectResults:
    return ProjectResults({model: Execution((), (), problem) for model in answers})


def _told(left_out: Mapping[str, int]) -> str:
    """The reasons, the most frequent first."""
    reasons = sorted(left_out.items(), key=lambda each: -each[1])
    return "; ".join(f"{count} left out: {reason}" for reason, count in reasons)


class _Judges:
    """The tests of projects in the sandbox, as long as there is time."""

    def __init__(
        self,
        sandbox: ProjectSandbox,
        terms: ProjectTerms,
        deadline: float,
        clock: Callable[[], float],
    ) -> None:
        self.runs = 0
        self._sandbox = sandbox
        self._terms = terms
        self._deadline = deadline
        self._clock = clock

    def judge(
        self, tasks: Sequence[ProjectTask], answers: Mapping[str, Mapping[str, str]]
    ) -> Generator[tuple[ProjectTask, dict[str, bool] | str], None, None]:
        """Each task with whether each model's answer passes; if the task says nothing, with why.

        Tasks of one commit follow each other, on one checkout. Raises _TimeIsUp.
        """
        for (top, commit), group in _by_commit(tasks).items():
            ready: list[tuple[ProjectTask, ProjectEnvironment]] = []
            for task in group:
                environment = environment_of(task.command, top, task.cwd)
                if isinstance(environment, str):
                    yield task, environment
                else:
                    ready.append((task, environment))
            if not ready:
                continue
            self._go_on()
            with tempfile.TemporaryDirectory(prefix="qi-learn-tests-") as directory:
                checkout = Path(directory) / "checkout"
                files = _written(top, commit, checkout)
                for task, environment in ready:
                    if isinstance(files, str):
                        yield task, files
                    elif task.file not in files:
                        yield task, "its file is not in the commit"
                    else:
                        own = {model: texts[task.id] for model, texts in answers.items()}
                        yield task, self._in_place(task, own, environment, checkout)

    def _go_on(self) -> float:
        """Seconds that are left once the machine may be used. Raises _TimeIsUp if none are."""
        self._terms.wait()
        if (left := self._deadline - self._clock()) <= 0:
            raise _TimeIsUp
        return left

    def _in_place(
        self,
        task: ProjectTask,
        answers: Mapping[str, str],
        environment: ProjectEnvironment,
        checkout: Path,
    ) -> dict[str, bool] | str:
        """What one task says. The checkout is afterwards as it was."""
        committed = (checkout / task.file).read_bytes()
        place = find_place(committed, task.place)
        if isinstance(place, str):
            return place
        try:
            return self._judged(task, answers, environment, checkout, place)
        except ToolMissing as error:  # it worked a moment ago
            return error.what
        finally:
            (checkout / task.file).write_bytes(committed)

    def _judged(
        self,
        task: ProjectTask,
        answers: Mapping[str, str],
        environment: ProjectEnvironment,
        checkout: Path,
        place: PlaceInFile,
    ) -> dict[str, bool] | str:
        def tried(content: bytes, seconds: float) -> int | None:
            (checkout / task.file).write_bytes(content)
            left = self._go_on()
            self.runs += 1
            limits = replace(self._terms.limits, seconds=min(seconds, left))
            ran = self._sandbox.run(checkout, task.top, task.cwd, environment, limits)
            if ran.problem == "time" and left < seconds:
                raise _TimeIsUp
            return _passes(task.command.tool, ran)

        longest = self._terms.limits.seconds
        control = tried((checkout / task.file).read_bytes(), longest / 2)
        if control is None:
            return "its tests do not pass on the commit itself"
        if tried(place.holding(""), longest) == control:
            return "its tests pass without it too"
        texts = {
            model: code_for(task.place, answer, completion=task.completion)
            for model, answer in answers.items()
        }
        outcome = {
            text: bool(text.strip()) and tried(place.placed(text), longest) == control
            for text in dict.fromkeys(texts.values())
        }
        return {model: outcome[text] for model, text in texts.items()}


def _by_commit(
    tasks: Sequence[ProjectTask],
) -> Mapping[tuple[Path, str], Sequence[ProjectTask]]:
    """The tasks by project and commit, in the order in which these first occur."""
    groups: defaultdict[tuple[Path, str], list[ProjectTask]] = defaultdict(list)
    for task in tasks:
        groups[task.top, task.commit].append(task)
    return groups


def _written(top: Path, commit: str, checkout: Path) -> frozenset[str] | str:
    """The files of a commit, written into a new directory; if that cannot be, why."""
    try:
        checkout.mkdir(mode=0o755)
        return write_tree(top, commit, checkout)
    except (NotFound, ToolMissing):
        return "its commit is not to be had"
    except OSError as error:
        return f"its commit cannot be written ({error.strerror})"


class _TimeIsUp(Exception):
    """The time for all tasks is up."""


def _passes(tool: str, ran: ProjectRun) -> int | None:
    """How many tests passed in a run that ended well; None if it did not, or none ran."""
    if ran.exit_code != 0 or ran.problem:
        return None
    report = printed_report(tool, ran.tail)
    if report is None or report.failed or not report.passed:
        return None
    return report.passed
