"""The training worker, the one process that needs torch: started, and waited for.

The process that starts it needs none.

A worker that had too little memory is started again with a plan that needs less
(`plan/fallback.py`), from its newest checkpoint: a new process has nothing of the old one's memory.
If nothing is left to give up, the cycle is tried again later, and fails when that has not helped
often enough.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from qi_learn.errors import EXIT_DONE, EXIT_TRY_AGAIN, Stopped, TrainingError
from qi_learn.plan.fallback import EXIT_NO_MEMORY, degrade, read_rungs
from qi_learn.rundir.directory import RunDirectory
from qi_learn.rundir.failure import read_failure

SAVE_SECONDS = 25.0
"""Time that a stopped worker has to save its state."""
MOST_DEFERRED = 12
"""A run that found too little memory this many times, with nothing left to give up, will not find
it: about an hour of tries.
"""
LOOK_SECONDS = 0.5
"""Between two looks at a worker under way."""


OUT_OF_MEMORY = (EXIT_NO_MEMORY, -signal.SIGKILL)
"""Exit codes of a worker that had too little; the system kills by signal 9 when memory is full."""


def run_worker(
    run: RunDirectory,
    python: str,
    *,
    lock: int,
    gpus: Sequence[str] = (),
    needed: Callable[[], bool] = lambda: False,
) -> bool:
    """Train what `run` asks for, or go on with it, with less memory if there is too little.

    The worker runs under the interpreter `python` (empty: this one) and sees only `gpus` (UUIDs).
    False if it was stopped before it was done, its state saved, because its device is `needed`
    elsewhere. The worker inherits `lock`, the file descriptor that holds the run, and leaves when
    this process is gone, so two never work on one run. Raises TrainingError with the worker's own
    words if it failed; Stopped if it was told to stop and saved its state, or must be tried again.
    """
    python = python or sys.executable
    while (code := _run_once(run, python, lock, gpus, needed)) in OUT_OF_MEMORY:
        _degrade(run, code)
    if code is None:
        return False
    if code == EXIT_TRY_AGAIN:
        reason = read_failure(run.path).what
        raise Stopped(
            f"The training stopped and goes on from its last checkpoint. {reason}".strip()
        )
    if code != EXIT_DONE or not run.result.exists():
        raise _worker_error(run, code)
    return True


def _run_once(
    run: RunDirectory, python: str, lock: int, gpus: Sequence[str], needed: Callable[[], bool]
) -> int | None:
    """One worker from its start to its end; its exit code, negative if a signal ended it.

    None if it was stopped because its device is needed elsewhere.
    """
    command = [python, "-P", "-m", "qi_learn.train", str(run.path), "--parent", str(os.getpid())]
    # A stop that came while the worker is being made would leave it behind, unknown and at work:
    # it is noted until the worker has a name. (A blocked signal would be, for the worker, too.)
    stops: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, _: stops.append(number))
    try:
        worker = _start(command, gpus, lock)
    except TrainingError:
        signal.signal(signal.SIGTERM, before)
        raise
    try:
        signal.signal(signal.SIGTERM, before)
        for number in stops:
            signal.raise_signal(number)
        while (code := _exit_code(worker)) is None:
            if needed():
                _let_it_save(worker)
                return None
        return code
    except Stopped:
        _let_it_save(worker)
        raise


def _start(command: Sequence[str], gpus: Sequence[str], lock: int) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(
            command, stdin=subprocess.DEVNULL, env=_environment(gpus), pass_fds=(lock,)
        )
    except OSError as error:
        raise TrainingError(
            f"The training worker could not be started with {command[0]}: {error}",
            "Check train.python.",
        ) from error


def _environment(gpus: Sequence[str]) -> dict[str, str]:
    """This process's environment, with `gpus` as the only ones, and this package importable.

    Another interpreter has its own packages, and borrows ours.
    """
    package = str(Path(__file__).resolve().parent.parent.parent)
    path = os.pathsep.join(p for p in (package, os.environ.get("PYTHONPATH", "")) if p)
    return {**os.environ, "PYTHONPATH": path, "CUDA_VISIBLE_DEVICES": ",".join(gpus)}


def _exit_code(worker: subprocess.Popen[bytes]) -> int | None:
    """The worker's exit code; None if it still runs after a short wait."""
    try:
        return worker.wait(LOOK_SECONDS)
    except subprocess.TimeoutExpired:
        return None


def _degrade(run: RunDirectory, code: int) -> None:
    """Adapt the plan to the memory there is.

    Raises Stopped if it cannot be, TrainingError if that has been so too many times.
    """
    killed = "the worker was killed by signal 9, which is what the system does when memory is full"
    reason = killed if code == -signal.SIGKILL else read_failure(run.path).what or "out of memory"
    rung = degrade(run.path, reason, now=time.time())
    run.journal(rung.at, "train", "adapted", reason=reason, now=rung.what)
    if rung.changes:
        return
    hint = (
        "Close what else uses memory (for a GPU: models loaded in Ollama), or take a smaller base "
        "with `serve.base`."
    )
    if read_rungs(run.path).deferred >= MOST_DEFERRED:
        raise TrainingError(
            f"The training found too little memory {MOST_DEFERRED} times, with nothing left to "
            f"give up: {reason}",
            hint,
        )
    raise Stopped(f"There is too little memory to train now: {reason}", hint)


def _let_it_save(worker: subprocess.Popen[bytes]) -> None:
    """Stop a worker, by force if it does not save its state in time."""
    worker.terminate()
    try:
        worker.wait(SAVE_SECONDS)
    except subprocess.TimeoutExpired:
        worker.kill()
        worker.wait()


def _worker_error(run: RunDirectory, code: int) -> TrainingError:
    """The error of a worker that failed, in its own words if it left any."""
    failure = read_failure(run.path)
    if failure.what:
        return TrainingError(failure.what, failure.hint)
    died = (
        f"was killed by signal {-code} (out of memory?)"
        if code < 0
        else f"ended with exit code {code}"
    )
    return TrainingError(f"The training worker {died}.", f"Its log is {run.log}.")
