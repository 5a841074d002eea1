"""A training gives way to requests between two steps: only time passes, and it always ends."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest

from qi_learn import codec
from qi_learn.records import Placement, TrainResult
from qi_learn.rundir.progress import Progress, read_progress, write_progress
from qi_learn.train.pause import Stopping
from tests.support.tiny_models import write_tiny_model
from tests.support.training_runs import plan_on, results, start_worker, wait, work, write_run

PLACEMENT = Placement(device="cpu", name="a CPU", free=1 << 30, bf16=False, reason="a test")
STEPS = 12


def sharing(activity: Path, *, quiet: float = 0.6, longest: float = 60.0) -> Placement:
    return codec.changed(
        PLACEMENT, gpus=(), unload=(), activity=str(activity), quiet=quiet, longest_pause=longest
    )


def touch(mark: Path) -> None:
    mark.touch()
    os.utime(mark)


def told(run: Path) -> tuple[str, int]:
    """How many seconds a run has paused, as it noted them, and which file that is."""
    file = run / "paused"
    return file.read_text(), file.stat().st_ino


def test_a_worker_that_paused_ends_with_the_same_numbers(tmp_path: Path) -> None:
    base = write_tiny_model(tmp_path / "sha256-abc", layers=3, tensor_type="Q4_0")
    plan = plan_on(base, max_steps=STEPS, eval_every=STEPS)
    whole, paused = write_run(tmp_path / "whole", plan), write_run(tmp_path / "paused", plan)
    assert work(whole)[0] == 0

    mark = tmp_path / "activity"
    (paused / "placement.json").write_text(codec.dumps(sharing(mark)))
    touch(mark)
    worker = start_worker(paused)
    seen: list[Progress] = []
    began = time.monotonic()

    def asked_for_two_seconds() -> bool:
        """Make requests all the time at first, and note what the progress says meanwhile."""
        progress = read_progress(paused)
        if progress is not None and progress.paused:
            seen.append(progress)
        if not seen or time.monotonic() - began < 4:
            touch(mark)
        return (paused / "result.json").exists()

    wait(worker, asked_for_two_seconds)
    _, err = worker.communicate()
    assert worker.returncode == 0, err
    assert {p.paused for p in seen} == {"answering"}
    assert len({(p.phase, p.step) for p in seen if p.at < seen[-1].at}) < 4  # it stood still
    last = read_progress(paused)
    assert last is not None
    assert last.paused == ""
    assert results(paused) == results(whole)
    one, two = (
        codec.loads(TrainResult, (run / "result.json").read_text()) for run in (whole, paused)
    )
    assert (one.steps, one.train_loss, one.dev_loss) == (two.steps, two.train_loss, two.dev_loss)


def test_a_pause_is_no_training_time_and_ends(tmp_path: Path) -> None:
    """Requests without end: after the longest pause it goes on all the same."""
    mark = tmp_path / "activity"
    write_progress(tmp_path, Progress("training", 3, 12, 0.0, loss=1.5))
    touch(mark)
    later = os.stat(mark).st_mtime + 0.1
    stopping = Stopping(
        tmp_path, sharing(mark, quiet=1000.0, longest=0.5), lambda: False, clock=lambda: later
    )
    assert not stopping()
    paused = told(tmp_path)
    assert float(paused[0]) >= 0.5
    assert not stopping()
    assert told(tmp_path) == paused, "it did not pause again"
    progress = read_progress(tmp_path)
    assert progress is not None
    assert (progress.step, progress.loss, progress.paused) == (3, 1.5, "")
    later_process = Stopping(
        tmp_path, sharing(mark, quiet=1000.0, longest=0.5), lambda: False, clock=lambda: later
    )
    assert not later_process()
    assert told(tmp_path) == paused


def test_a_stop_ends_a_pause(tmp_path: Path) -> None:
    mark = tmp_path / "activity"
    touch(mark)
    until = time.monotonic() + 0.4
    stopping = Stopping(tmp_path, sharing(mark, quiet=1000.0), lambda: time.monotonic() > until)
    assert stopping()
    assert float(told(tmp_path)[0]) < 60, "it was not the longest pause that ended it"


@pytest.mark.parametrize(
    "placement",
    [None, PLACEMENT, sharing(Path("/nowhere/activity"))],
    ids=["none", "disturbs nothing", "no mark"],
)
def test_without_traffic_nothing_is_waited_for(tmp_path: Path, placement: Placement | None) -> None:
    assert not Stopping(tmp_path, placement, lambda: False)()
    assert Stopping(tmp_path, placement, lambda: True)()
    assert list(tmp_path.iterdir()) == [], "a pause would be noted"


def test_a_run_from_before_there_were_placements_goes_on(tmp_path: Path) -> None:
    """Old progress files load, without pauses."""
    (tmp_path / "progress.json").write_text(
        json.dumps({"phase": "training", "step": 1, "of": 2, "at": 1.0})
    )
    progress = read_progress(tmp_path)
    assert progress is not None
    assert progress.paused == ""
