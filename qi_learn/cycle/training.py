"""Starts the training worker, the one process that needs torch, and waits for it; itself free of
torch.

A worker that had too little memory is started again with a plan that needs less (`ladder.py`), from
its newest checkpoint: a new process has nothing of the old one's memory. Where nothing is left to
give up, the cycle is tried again later, and fails when that has not helped often enough.
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
"""How long a stopped worker may take to save its state."""
MOST_DEFERRED = 12
"""A run that found too little memory so often, with nothing left to give up, will not find it:
about an hour of tries.
"""
LOOK_SECONDS = 0.5


def run_worker(
    run: RunDirectory,
    python: str,
    *,
    lock: int,
    gpus: Sequence[str] = (),
    wanted: Callable[[], bool] = lambda: False,
) -> bool:
    """Trains what `run` asks for, with the interpreter `python` (empty: this one), or goes on with
    it; with less memory where there is too little. The worker sees only `gpus` (UUIDs).

    False where it was stopped before it was done, its state saved, because its place was `wanted`.
    The worker inherits `lock`, the file descriptor that holds the run, and leaves when this process
    is gone: so no two ever work on one run. Raises TrainingError with the worker's own words where
    it failed, Stopped where it was told to stop and saved its state, or must be tried again.
    """
    while (code := _run_once(run, python or sys.executable, lock, gpus, wanted)) in (
        EXIT_NO_MEMORY,
        -signal.SIGKILL,
    ):
        _step_down(run, code)
    if code is None:
        return False
    if code == EXIT_TRY_AGAIN:
        raise Stopped(
            f"The training stopped and goes on from its last checkpoint. {read_failure(run.path).what}".strip()
        )
    if code != EXIT_DONE or not run.result.exists():
        raise _worker_error(run, code)
    return True


def _run_once(
    run: RunDirectory, python: str, lock: int, gpus: Sequence[str], wanted: Callable[[], bool]
) -> int | None:
    """One worker from its start to its end; its exit code, negative where a signal ended it.

    None where it was stopped because its place was wanted.
    """
    package = (
        Path(__file__).resolve().parent.parent.parent
    )  # another interpreter has its own packages, and borrows ours
    env = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(
            p for p in (str(package), os.environ.get("PYTHONPATH", "")) if p
        ),
    }
    env["CUDA_VISIBLE_DEVICES"] = ",".join(gpus)
    command = [python, "-P", "-m", "qi_learn.train", str(run.path), "--parent", str(os.getpid())]
    try:
        worker = subprocess.Popen(command, stdin=subprocess.DEVNULL, env=env, pass_fds=(lock,))
    except OSError as error:
        raise TrainingError(
            f"The training worker could not be started with {python}: {error}",
            "Check train.python.",
        ) from error
    try:
        while (code := _ended(worker)) is None:
            if wanted():
                _let_it_save(worker)
                return None
        return code
    except Stopped:
        _let_it_save(worker)
        raise


def _ended(worker: subprocess.Popen[bytes]) -> int | None:
    try:
        return worker.wait(LOOK_SECONDS)
    except subprocess.TimeoutExpired:
        return None


def _step_down(run: RunDirectory, code: int) -> None:
    """Adapts the plan to the memory there is.

    Raises Stopped where it cannot, TrainingError where it could not for long.
    """
    killed = "the worker was killed by signal 9, which is what the system does when memory is full"
    reason = killed if code == -signal.SIGKILL else read_failure(run.path).what or "out of memory"
    rung = degrade(run.path, reason, now=time.time())
    run.journal(rung.at, "train", "adapted", reason=reason, now=rung.what)
    if rung.changes:
        return
    hint = "Close what else uses memory (for a GPU: models loaded in Ollama), or take a smaller base with `serve.base`."
    if read_rungs(run.path).deferred >= MOST_DEFERRED:
        raise TrainingError(
            f"The training found too little memory {MOST_DEFERRED} times, with nothing left to "
            f"give up: {reason}",
            hint,
        )
    raise Stopped(f"There is too little memory to train now: {reason}", hint)


def _let_it_save(worker: subprocess.Popen[bytes]) -> None:
    worker.terminate()
    try:
        worker.wait(SAVE_SECONDS)
    except subprocess.TimeoutExpired:
        worker.kill()
        worker.wait()


def _worker_error(run: RunDirectory, code: int) -> TrainingError:
    failure = read_failure(run.path)
    if failure.what:
        return TrainingError(failure.what, failure.hint)
    died = (
        f"was killed by signal {-code} (out of memory?)"
        if code < 0
        else f"ended with exit code {code}"
    )
    return TrainingError(f"The training worker {died}.", f"Its log is {run.log}.")
