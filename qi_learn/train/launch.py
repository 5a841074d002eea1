"""Starts the training worker, the one process that needs torch, and waits for it; itself free of torch."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from qi_learn.errors import EXIT_DONE, EXIT_TRY_AGAIN, Stopped, TrainingError
from qi_learn.store.rundir import RunDirectory

SAVE_SECONDS = 25.0
"""How long a stopped worker may take to save its state."""


def run_worker(run: RunDirectory, python: str) -> None:
    """Trains what `run` asks for, with the interpreter `python` (empty: this one), or goes on with it.

    Raises TrainingError with the worker's own words where it failed, Stopped where it was told to stop and saved its state.
    """
    python = python or sys.executable
    package = Path(__file__).resolve().parent.parent.parent  # another interpreter has its own packages, and borrows ours
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in (str(package), os.environ.get("PYTHONPATH", "")) if p)}
    try:
        worker = subprocess.Popen([python, "-m", "qi_learn.train.worker", str(run.path)], stdin=subprocess.DEVNULL, env=env)
    except OSError as error:
        raise TrainingError(f"The training worker could not be started with {python}: {error}", "Check train.python.") from error
    try:
        code = worker.wait()
    except Stopped:
        _let_it_save(worker)
        raise
    if code == EXIT_TRY_AGAIN:
        raise Stopped("The training was stopped and its state is saved.")
    if code != EXIT_DONE or not run.result.exists():
        raise _worker_error(run, code)


def _let_it_save(worker: subprocess.Popen[bytes]) -> None:
    worker.terminate()
    try:
        worker.wait(SAVE_SECONDS)
    except subprocess.TimeoutExpired:
        worker.kill()
        worker.wait()


def _worker_error(run: RunDirectory, code: int) -> TrainingError:
    try:
        said = json.loads((run.path / "error.json").read_text())
        return TrainingError(str(said["what"]), str(said["todo"]))
    except (OSError, ValueError, KeyError):
        died = f"was killed by signal {-code} (out of memory?)" if code < 0 else f"ended with exit code {code}"
        return TrainingError(f"The training worker {died}.", f"Its log is {run.log}.")
