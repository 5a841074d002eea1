"""The training worker as a process: what it is given, and how it ends."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from qi_learn.cycle.training import run_worker
from qi_learn.errors import Stopped, TrainingError
from qi_learn.rundir.directory import RunDirectory
from tests.support.gpus import UUIDS

WORKER = """#!{python}
import os, pathlib, signal, sys, time
run = pathlib.Path(sys.argv[4])
(run / "saw").write_text(os.environ["CUDA_VISIBLE_DEVICES"])
if (run / "wait").exists():
    signal.signal(signal.SIGTERM, lambda *_: ((run / "saved").touch(), sys.exit(75)))
    (run / "ready").touch()
    for _ in range(600):  # a signal just before one long sleep would be seen after it
        time.sleep(0.1)
(run / "result.json").write_text("{{}}")
"""


def test_the_worker_sees_the_gpu_it_was_given_and_saves_when_its_place_is_wanted(
    tmp_path: Path,
) -> None:
    python = tmp_path / "python"
    python.write_text(WORKER.format(python=sys.executable))
    python.chmod(0o755)
    run = RunDirectory(tmp_path / "R1")
    run.path.mkdir()
    lock = run.hold()
    assert lock is not None
    (run.path / "wait").touch()
    assert not run_worker(
        run, str(python), lock=lock, gpus=(UUIDS[1],), needed=lambda: (run.path / "ready").exists()
    )
    assert (run.path / "saw").read_text() == UUIDS[1]
    assert (run.path / "saved").exists()
    (run.path / "wait").unlink()
    assert run_worker(run, str(python), lock=lock)
    assert (run.path / "saw").read_text() == ""  # a training on the CPU has no business on a GPU
    os.close(lock)


@pytest.fixture
def slow_starts() -> Iterator[None]:
    """This process gets its turn a while after each wait: something else keeps the interpreter."""
    busy = True

    def work() -> None:
        while busy:
            pass

    before = sys.getswitchinterval()
    sys.setswitchinterval(0.1)
    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        busy = False
        sys.setswitchinterval(before)
        thread.join()


def test_a_stop_while_the_worker_is_made_leaves_none_behind(
    tmp_path: Path, slow_starts: None
) -> None:
    python, run = tmp_path / "python", RunDirectory(tmp_path / "R1")
    python.write_text('#!/bin/sh\necho $$ > "$4/pid"\nkill -TERM $PPID\nexec sleep 60\n')
    python.chmod(0o755)
    run.path.mkdir()
    lock = run.hold()
    assert lock is not None

    def stop(*_: object) -> None:
        raise Stopped("told to stop")

    before = signal.signal(signal.SIGTERM, stop)
    try:
        with pytest.raises(Stopped, match="told to stop"):
            run_worker(run, str(python), lock=lock)
        with pytest.raises(ProcessLookupError):
            os.kill(int((run.path / "pid").read_text()), 0)
    finally:
        signal.signal(signal.SIGTERM, before)
        os.close(lock)


def test_errors_of_a_worker_are_told_as_before(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path / "R1")
    run.path.mkdir()
    lock = run.hold()
    assert lock is not None
    with pytest.raises(TrainingError, match="could not be started"):
        run_worker(run, str(tmp_path / "none"), lock=lock)
    again = tmp_path / "again"
    again.write_text("#!/bin/sh\nexit 75\n")
    again.chmod(0o755)
    with pytest.raises(Stopped):
        run_worker(run, str(again), lock=lock)
    os.close(lock)
