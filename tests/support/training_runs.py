"""Run directories for the training's tests, and the worker as its parent sees it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from functools import cache
from multiprocessing import get_context
from multiprocessing.context import ForkServerContext
from multiprocessing.forkserver import ensure_running
from pathlib import Path

import pytest

from qi_learn import codec
from qi_learn.records import Example, Pair, Plan, Snapshot
from qi_learn.rundir.snapshot import save_snapshot
from qi_learn.train.__main__ import ENVIRONMENT, main
from qi_learn.train.adapter import load_tensors
from tests.support.tiny_training import tiny_examples, tiny_plan

DIGEST = "d" * 64
ONE_THREAD = {"OMP_NUM_THREADS": "1"}
SNAPSHOT = Snapshot(
    "s",
    0.0,
    DIGEST,
    (
        *tiny_examples(10),
        *tiny_examples(3, seed=1, tag="d", split="dev"),
        *tiny_examples(3, seed=4, tag="g", split="gate"),
    ),
    replay=tiny_examples(4, seed=2, tag="r"),
    anchors=tiny_examples(33, seed=3, tag="a"),
    pairs=(
        Pair("t1", "edit", "edit", "", "", "", (5, 6, 7), (0, 1, 2, 3, 4, 5), (0, 1, 20, 3, 4, 5)),
        Pair("x", "reject", "reject", "", "", "", (5, 6, 7), (), (9, 9, 9, 9)),
    ),
    yardsticks=tiny_examples(5, seed=5, tag="y"),
)


def plan_on(base: Path, *, max_steps: int = 8, **changes: object) -> Plan:
    """A plan for that base, with the general Fisher beside it."""
    return tiny_plan(
        base_gguf=str(base),
        dtype="float32",
        max_steps=max_steps,
        general_fisher=str(base.parent / "fisher" / "general.safetensors"),
        **changes,
    )


def snapshot_of(*lengths: int) -> Snapshot:
    """Training examples of the given lengths in tokens, with prompts of 8."""
    examples = (
        Example(
            f"t{n}",
            f"t{n}",
            "",
            "",
            (1,) * 8,
            tuple(at % 30 for at in range(length - 8)),
            (True,) * (length - 8),
        )
        for n, length in enumerate(lengths)
    )
    return Snapshot("s", 0.0, DIGEST, tuple(examples))


def write_run(directory: Path, plan: Plan, snapshot: Snapshot = SNAPSHOT) -> Path:
    """A run directory with its plan and snapshot."""
    directory.mkdir()
    (directory / "plan.json").write_text(codec.dumps(plan))
    save_snapshot(directory / "snapshot", snapshot)
    return directory


class Worker:
    """A training worker that is a process as any other, except that it loads nothing: it is forked
    from one that has loaded what it needs, which takes five seconds of processor time each time.
    """

    def __init__(self, run: Path) -> None:
        self._told = [run.with_name(f"{run.name}.{name}") for name in ("out", "err")]
        self._process = loaded().Process(target=_work_here, args=(run, *self._told))
        self._process.start()

    @property
    def pid(self) -> int:
        assert self._process.pid is not None
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        return self._process.exitcode

    def poll(self) -> int | None:
        return self._process.exitcode

    def send_signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def kill(self) -> None:
        self._process.kill()

    def communicate(self, timeout: float = 600) -> tuple[str, str]:
        """What it wrote, once it has ended."""
        self._process.join(timeout)
        assert self.returncode is not None, "it took too long"
        out, err = (path.read_text() for path in self._told)
        return out, err


@cache
def loaded() -> ForkServerContext:
    """Processes forked from one that has loaded what a worker loads, and has done nothing yet."""
    context = get_context("forkserver")
    context.set_forkserver_preload(
        [
            *("torch", "qi_learn.train.parts", "qi_learn.train.run", "tests.support.training_runs"),
            *(f"transformers.models.{name}.modeling_{name}" for name in ("llama", "qwen2")),
        ]
    )
    before = dict(os.environ)
    os.environ.update(ENVIRONMENT, **ONE_THREAD)  # read by torch when it is loaded
    try:
        ensure_running()
    finally:
        os.environ.clear()
        os.environ.update(before)
    return context


def _work_here(run: Path, out: Path, err: Path) -> None:
    """This process as `python -m qi_learn.train RUN`."""
    for number, path in enumerate((out, err), 1):
        with path.open("w") as file:
            os.dup2(file.fileno(), number)
    sys.exit(main([str(run)]))


def start_worker(run: Path) -> Worker:
    return Worker(run)


def work(run: Path) -> tuple[int | None, str, str]:
    """Exit code, output and errors of a worker that works to its end."""
    worker = start_worker(run)
    out, err = worker.communicate()
    return worker.returncode, out, err


def work_anew(run: Path) -> tuple[int, str, str]:
    """The same of one that is started as the cycle starts it, and loads everything itself."""
    done = subprocess.run(
        [sys.executable, "-m", "qi_learn.train", str(run)],
        env={**os.environ, **ONE_THREAD},
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    return done.returncode, done.stdout, done.stderr


def wait(worker: Worker | None, until: Callable[[], object]) -> None:
    """Wait until something holds, or the worker has ended."""
    limit = time.monotonic() + 600
    while not until() and (worker is None or worker.poll() is None):
        if time.monotonic() > limit:
            if worker:
                worker.kill()
                worker.communicate()
            pytest.fail("it took too long")
        time.sleep(0.005)


def results(run: Path) -> dict[str, bytes]:
    """Every number in the two files that the next cycle and the packer read.

    The files' own bytes differ: safetensors orders its metadata at random.
    """
    tensors = (
        load_tensors(run / "adapter" / "delta.safetensors")[0]
        | load_tensors(run / "adapter" / "past_fisher.safetensors")[0]
    )
    return {name: value.numpy().tobytes() for name, value in tensors.items()}
