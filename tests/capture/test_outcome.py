"""Commands are run as they are; what their results say of suggestions."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from qi_learn.capture.command_kind import kind_of
from qi_learn.capture.joined_outcome import CommandRuns, join_new_commands
from qi_learn.capture.outcome import run_command
from qi_learn.errors import NotFound
from qi_learn.records import CommandResult, Message, Outcome, Suggestion, Turn
from qi_learn.step_guard import StepGuard
from qi_learn.store import command_results, feedback, turns
from qi_learn.store.database import Store, open_store
from tests.support.redacted import as_redacted
from tests.support.repository import Repository

PROJECT = "/home/me/work"
NOW = 1_790_000_000.0


# --- running --------------------------------------------------------------------------------------


def test_exit_code_output_and_commit(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    repo = Repository(tmp_path / "work")
    commit = repo.commit()
    argv = [
        sys.executable,
        "-c",
        "import sys; print('out'); print('err', file=sys.stderr); sys.exit(3)",
    ]
    result, value = run_command(argv, project=str(repo.root), cwd=repo.root)
    assert (result.exit_code, result.kind, result.project, result.commit, value) == (
        3,
        "other",
        str(repo.root),
        commit,
        None,
    )
    assert result.seconds > 0
    assert (result.failed, result.passed, result.tests) == (None, None, None)
    assert capfd.readouterr() == ("out\n", "err\n")


def test_a_command_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="no-such-command"):
        run_command(["no-such-command"], project=PROJECT, cwd=tmp_path)


def test_a_bench_is_measured_in_processor_seconds(tmp_path: Path) -> None:
    argv = [
        sys.executable,
        "-c",
        "import time; t = time.process_time()\nwhile time.process_time() < t + 0.2: pass",
    ]
    result, value = run_command(argv, project=PROJECT, kind="bench", cwd=tmp_path)
    assert value is not None
    assert 0.2 <= value == result.value
    assert run_command(["false"], project=PROJECT, kind="bench", cwd=tmp_path)[1] is None


RUN = """
import sys
from pathlib import Path
from qi_learn.capture.outcome import run_command
result, _ = run_command(sys.argv[1:], project="/p", cwd=Path.cwd())
Path("result").write_text(f"{result.exit_code} {result.kind}")
sys.exit(result.exit_code)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_signals_go_to_the_command(tmp_path: Path, number: signal.Signals) -> None:
    command = (
        "import pathlib, signal, sys, time\n"
        f"signal.signal({int(number)}, lambda *_: sys.exit(77))\n"
        "pathlib.Path('ready').touch()\ntime.sleep(60)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", RUN, sys.executable, "-c", command],
        cwd=tmp_path,
        stdin=subprocess.DEVNULL,
    )
    _until((tmp_path / "ready").exists)
    process.send_signal(number)
    assert process.wait(30) == 77
    assert (tmp_path / "result").read_text() == "77 other"


def test_killed_by_a_signal_is_told_as_a_shell_tells_it(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", RUN, "sh", "-c", "kill -9 $$"], cwd=tmp_path, check=False
    )
    assert done.returncode == 137


def test_the_terminal_stays_a_terminal_and_ctrl_c_reaches_the_command_once(tmp_path: Path) -> None:
    command = (
        "import pathlib, signal, sys, time\nseen = []\nsignal.signal(signal.SIGINT, lambda *_: "
        "seen.append(1))\n"
        "print('tty', sys.stdin.isatty(), sys.stdout.isatty(), "
        "flush=True)\npathlib.Path('ready').touch()\n"
        "end = time.time() + 60\nwhile not seen and time.time() < end: "
        "time.sleep(0.01)\ntime.sleep(0.3)\nsys.exit(len(seen))\n"
    )
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(tmp_path)
        os.execv(sys.executable, [sys.executable, "-c", RUN, sys.executable, "-c", command])
    _until((tmp_path / "ready").exists)
    os.write(terminal, b"\x03")
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 1
    assert b"tty True True" in os.read(terminal, 1000)
    os.close(terminal)


def _until(ready: object) -> None:
    assert callable(ready)
    deadline = time.monotonic() + 30
    while not ready():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        ("pytest -q tests", "test"),
        ("/usr/bin/python3.12 -m pytest", "test"),
        ("uv run pytest", "test"),
        ("env A=1 B=2 nice -n 5 cargo test", "test"),
        ("coverage run -m pytest", "test"),
        ("go test ./...", "test"),
        ("go test -bench=. ./...", "bench"),
        ("npm test", "test"),
        ("npm run build", "compile"),
        ("make test", "test"),
        ("make", "compile"),
        ("make -j4 all", "compile"),
        ("gcc-12 -c a.c", "compile"),
        ("python -m compileall src", "compile"),
        ("python -W error -m py_compile a.py", "other"),
        ("tsc --noEmit", "compile"),
        ("mypy src", "compile"),
        ("cargo clippy", "compile"),
        ("ruff check .", "other"),
        ("hyperfine ./a", "bench"),
        ("kubectl apply -f x.yaml", "deploy"),
        ("make deploy", "deploy"),
        ("make clean", "other"),
        ("make help", "other"),
        ("make -n", "other"),
        ("make -kn all", "other"),
        ("make -j8 test", "test"),
        ("make -C build check", "test"),
        ("make CC=clang", "compile"),
        ("make lint", "other"),
        ("ninja -t clean", "other"),
        ("ninja -C build", "compile"),
        ("cmake --version", "other"),
        ("cmake -S . -B build", "other"),
        ("cmake --build build", "compile"),
        ("cmake --build build --target check", "test"),
        ("cargo +nightly test", "test"),
        ("npm --prefix web test", "test"),
        ("npm run test:unit", "test"),
        ("yarn --cwd web build", "compile"),
        ("npm run lint", "other"),
        ("uv run --with x pytest", "test"),
        ("python manage.py test", "test"),
        ("python app.py", "other"),
        ("makefile-lint x", "other"),
        ("echo pytest", "other"),
        ("env", "other"),
        ("ls", "other"),
    ],
)
def test_the_kind_is_told_by_the_words(line: str, kind: str) -> None:
    assert kind_of(line.split()) == kind


# --- what the results say -------------------------------------------------------------------------


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(tmp_path / "qi.db") as store:
        turn = Turn(
            "t", "/api/chat", "m", "m", (Message("user", "q"),), "a", NOW - 2, NOW, project=PROJECT
        )
        turns.save_turn(store, as_redacted(turn))
        placed = Suggestion(
            "t",
            0,
            "code",
            0,
            4,
            state="placed",
            file="a.py",
            region="code",
            similarity=1.0,
            placed_at=NOW + 10,
            touched_at=NOW + 20,
        )
        feedback.save_suggestions(store, as_redacted([placed]))
        yield store


def outcome_of(store: Store, *runs: tuple[float, str, int]) -> Outcome:
    """The outcome after runs (seconds after the answer, command, exit code) of one second each."""
    for n, (after, command, exit_code) in enumerate(runs):
        command_results.save_command(store, as_redacted(_ran(f"c{n}", after, command, exit_code)))
    list(join_new_commands(store, CommandRuns(), StepGuard(), 1))
    return feedback.load_outcome(store, "t")


def _ran(
    id: str,
    after: float,
    command: str,
    exit_code: int,
    *,
    seconds: float = 1.0,
    value: float | None = None,
) -> CommandResult:
    return CommandResult(
        id,
        NOW + after,
        PROJECT,
        kind_of(command.split()),
        command,
        exit_code,
        seconds,
        value=value,
        cwd=PROJECT,
    )


def test_nothing_run_nothing_known(store: Store) -> None:
    assert outcome_of(store) == Outcome()


def test_results_after_the_last_change_count(store: Store) -> None:
    assert outcome_of(store, (30, "pytest", 0), (31, "mypy .", 0)) == Outcome(
        compiles=True, tests_pass=True
    )


@pytest.mark.parametrize(
    ("runs", "known"),
    [
        ([(15, "pytest", 0)], None),  # the text changed after it
        ([(20.5, "pytest", 0)], None),  # and while it ran
        ([(30, "pytest", 1)], None),  # whether it ever passed is unknown
        ([(-50, "pytest", 1), (30, "pytest", 1)], None),  # it failed before
        ([(-50, "pytest", 0), (30, "pytest", 1)], False),
        ([(-90, "pytest", 0), (-50, "pytest", 1), (30, "pytest", 1)], None),
        ([(15, "pytest", 0), (30, "pytest", 1)], False),  # it passed with the text as it was first
        ([(-50, "pytest", 0), (30, "pytest", 1), (40, "pytest", 0)], True),  # only the last counts
        ([(-50, "pytest", 0), (30, "pytest", 0), (40, "pytest", 1)], True),  # a pass is remembered
        ([(-50, "pytest", 0), (15, "pytest", 1), (30, "pytest", 1)], False),  # it came in between
        ([(-50, "pytest", 0), (30, "pytest", 2)], None),  # Ctrl-C, or a module does not import
        ([(30, "pytest --collect-only", 0)], None),
        ([(30, "go test -run NoSuch ./...", 0)], None),  # nothing says that a test ran
        ([(30, "cargo test no_such_name", 0)], None),
        (
            [(-50, "pytest a.py", 0), (30, "pytest a.py", 1), (40, "pytest test_a.py", 0)],
            False,
        ),  # of each command
        ([(-50, "pytest", 1), (30, "pytest", 0)], True),
        ([(-50, "pytest", 0), (30, "pytest", 130)], None),  # ended by Ctrl-C
        ([(-50, "pytest", 0), (30, "pytest", 5)], None),  # no tests
        ([(-50, "make test", 0), (30, "make test", 5)], False),
        ([(8 * 86400.0, "pytest", 0)], None),  # too late to say anything
    ],
)
def test_which_results_count(
    store: Store, runs: Sequence[tuple[float, str, int]], known: bool | None
) -> None:
    assert outcome_of(store, *runs).tests_pass is known


def test_deployed_and_faster(store: Store) -> None:
    for bench in (
        _ran("1", -50, "hyperfine x", 0, value=2.0),
        _ran("2", 30, "hyperfine x", 0, value=1.5),
    ):
        command_results.save_command(store, as_redacted(bench))
    known = outcome_of(store, (40, "make deploy", 0))
    assert known.deployed is True
    assert known.performance_change == pytest.approx(0.25)
    assert known.tests_pass is None


def test_a_bug_once_blamed_stays_and_gone_code_learns_nothing(store: Store) -> None:
    feedback.save_outcome(store, "t", Outcome(bug_introduced=True))
    assert outcome_of(store, (30, "pytest", 0)) == Outcome(tests_pass=True, bug_introduced=True)
    (placed,) = feedback.suggestions_of(store, "t")
    feedback.update_suggestion(store, as_redacted(replace(placed, region=None)))
    command_results.save_command(store, as_redacted(_ran("late", 60, "pytest", 1)))
    list(join_new_commands(store, CommandRuns(), StepGuard(), 1))
    assert feedback.load_outcome(store, "t").tests_pass is True


def test_results_of_another_project_are_not_evidence(store: Store) -> None:
    command_results.save_command(
        store, as_redacted(replace(_ran("x", 30, "pytest", 0), project="/elsewhere"))
    )
    assert outcome_of(store) == Outcome()
