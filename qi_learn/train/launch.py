"""Starts the training worker, the one process that needs torch, and waits for it; itself free of torch."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from qi_learn.errors import EXIT_DONE, EXIT_TRY_AGAIN, Stopped, TrainingError
from qi_learn.store.rundir import RunDirectory

SAVE_SECONDS = 25.0
"""How long a stopped worker may take to save its state."""
LOOK_SECONDS = 0.5


def run_worker(run: RunDirectory, python: str, *, lock: int, gpus: Sequence[str] = (), wanted: Callable[[], bool] = lambda: False) -> bool:
    """Trains what `run` asks for, with the interpreter `python` (empty: this one), or goes on with it. The worker sees only `gpus` (UUIDs).

    False where it was stopped before it was done, its state saved, because its place was `wanted`. The worker inherits `lock`, the file descriptor that
    holds the run, and leaves when this process is gone: so no two ever work on one run. Raises TrainingError with the worker's own words where it failed,
    Stopped where it was told to stop and saved its state, or must be tried again.
    """
    python = python or sys.executable
    package = Path(__file__).resolve().parent.parent.parent  # another interpreter has its own packages, and borrows ours
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in (str(package), os.environ.get("PYTHONPATH", "")) if p)}
    env["CUDA_VISIBLE_DEVICES"] = ",".join(gpus)
    command = [python, "-P", "-m", "qi_learn.train.worker", str(run.path), "--parent", str(os.getpid())]
    try:
        worker = subprocess.Popen(command, stdin=subprocess.DEVNULL, env=env, pass_fds=(lock,))
    except OSError as error:
        raise TrainingError(f"The training worker could not be started with {python}: {error}", "Check train.python.") from error
    try:
        while (code := _ended(worker)) is None:
            if wanted():
                _let_it_save(worker)
                return False
    except Stopped:
        _let_it_save(worker)
        raise
    if code == EXIT_TRY_AGAIN:
        raise Stopped(f"The training stopped and goes on from its last checkpoint. {_said(run)[0]}".strip())
    if code != EXIT_DONE or not run.result.exists():
        raise _worker_error(run, code)
    return True


def _ended(worker: subprocess.Popen[bytes]) -> int | None:
    try:
        return worker.wait(LOOK_SECONDS)
    except subprocess.TimeoutExpired:
        return None


def _let_it_save(worker: subprocess.Popen[bytes]) -> None:
    worker.terminate()
    try:
        worker.wait(SAVE_SECONDS)
    except subprocess.TimeoutExpired:
        worker.kill()
        worker.wait()


def _worker_error(run: RunDirectory, code: int) -> TrainingError:
    what, todo = _said(run)
    if what:
        return TrainingError(what, todo)
    died = f"was killed by signal {-code} (out of memory?)" if code < 0 else f"ended with exit code {code}"
    return TrainingError(f"The training worker {died}.", f"Its log is {run.log}.")


def _said(run: RunDirectory) -> tuple[str, str]:
    """What the worker said went wrong and what to do; empty where it said nothing."""
    try:
        said = json.loads((run.path / "error.json").read_text(encoding="utf-8"))
        return str(said["what"]), str(said["todo"])
    except (OSError, ValueError, TypeError, KeyError):
        return "", ""
