"""The worker as its parent sees it: a process, a run directory, an exit code.

Stopped and killed at any time, it ends with the same numbers.
"""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from qi_learn import codec
from qi_learn.records import RecallLog, TrainResult
from qi_learn.rundir.progress import read_progress
from qi_learn.train.adapter import load_adapter
from qi_learn.train.fisher import load_fisher
from tests.support.tiny_training import one_thread, tiny_examples  # noqa: F401 - a fixture
from tests.support.training_runs import (
    DIGEST,
    plan_on,
    results,
    start_worker,
    wait,
    work,
    work_anew,
    write_run,
)

STEPS = 40


@pytest.fixture(scope="module")
def finished(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a run that one worker did from beginning to end."""
    run = write_run(
        tmp_path_factory.mktemp("finished") / "run",
        plan_on(base, max_steps=STEPS, preference_weight=0.1),
    )
    code, out, err = work_anew(run)
    assert (code, out) == (0, ""), err
    return run


def test_a_run_from_plan_to_result(base: Path, finished: Path) -> None:
    run = finished
    result = codec.loads(TrainResult, (run / "result.json").read_text())
    assert (result.steps, result.stopped, result.adapter) == (STEPS, "steps", "adapter")
    assert result.dev_loss is not None
    assert result.dev_loss_before is not None
    assert result.dev_loss < result.dev_loss_before
    assert result.penalty_general > 0
    assert result.penalty_past == 0
    assert result.peak_memory_mb > 10
    assert result.warnings == ()
    assert result.divergence_general is not None
    assert (
        result.divergence_general.sequences,
        result.divergence_general.measured > 0,
        (result.divergence_general.kappa or 0) > 0,
    ) == (5, True, True)
    assert result.divergence_past is not None
    assert (
        result.divergence_past.sequences,
        result.divergence_past.measured > 0,
        result.divergence_past.kappa,
    ) == (4, True, None)
    delta = load_adapter(run / "adapter" / "delta.safetensors", DIGEST)
    assert set(delta) == {
        f"model.layers.{n}.{part}"
        for n in (1, 2)
        for part in (
            *(f"self_attn.{x}_proj" for x in "qkvo"),
            *(f"mlp.{x}_proj" for x in ("gate", "up", "down")),
        )
    }
    assert all(float(change.B.abs().sum()) > 0 for change in delta.values())
    assert (result.preferred_before, result.preferred) == (0.0, 1.0)
    recall = codec.loads(RecallLog, (run / "memory.json").read_text())
    assert set(recall.known) == set(recall.replayed) == {"r0", "r1", "r2", "r3"}
    assert sum(recall.replayed.values()) == STEPS * 2  # a quarter of 8
    assert set(recall.learned) == {f"t{n}" for n in range(10)}
    # the old counts up as the new does, but it was not learned yet when it was measured
    assert max(recall.learned.values()) < min(recall.known.values())
    general = load_fisher(Path(plan_on(base).penalties.general_fisher or ""), DIGEST)
    past = load_fisher(run / "adapter" / "past_fisher.safetensors", DIGEST)
    assert (general.sequences, past.sequences) == (33, 10)
    assert read_progress(run) is not None

    before = (run / "result.json").stat().st_mtime_ns
    plan = (run / "plan.json").read_text()
    (run / "plan.json").unlink()  # a second call does not even look at it
    assert work(run)[0] == 0
    assert (run / "result.json").stat().st_mtime_ns == before
    (run / "plan.json").write_text(plan)


def test_killed_and_stopped_it_ends_with_the_same_numbers(
    base: Path, tmp_path: Path, finished: Path
) -> None:
    run = write_run(tmp_path / "run", plan_on(base, max_steps=STEPS, preference_weight=0.1))

    worker = start_worker(run)
    wait(worker, lambda: any((run / "checkpoints").glob("*/state.json")))
    time.sleep(random.Random().uniform(0, 0.3))
    worker.kill()
    worker.communicate()
    assert worker.returncode == -signal.SIGKILL
    assert not (run / "result.json").exists()

    worker = start_worker(run)
    steps = {p.name for p in (run / "checkpoints").iterdir()}
    wait(worker, lambda: {p.name for p in (run / "checkpoints").iterdir()} != steps)
    worker.send_signal(signal.SIGTERM)
    _, err = worker.communicate()
    assert worker.returncode in (75, 0), err  # 0: it was done before the signal came
    assert "going on from step" in err
    assert not (run / "error.json").exists()

    code, _, err = work(run)
    assert code == 0, err
    assert results(run) == results(finished)
    assert (run / "memory.json").read_text() == (finished / "memory.json").read_text()


def test_what_went_wrong_is_in_a_file(base: Path, tmp_path: Path) -> None:
    run = write_run(
        tmp_path / "run", codec.changed(plan_on(base), base_gguf=str(tmp_path / "absent.gguf"))
    )
    code, _, err = work(run)
    assert code == 1
    failure = json.loads((run / "error.json").read_text())
    assert set(failure) == {"what", "todo"}
    assert "absent.gguf" in failure["what"]
    assert "Traceback" not in err
    assert not (run / "result.json").exists()

    empty = tmp_path / "empty"
    empty.mkdir()
    (empty / "plan.json").write_text('{"run_id": "x"}')
    assert work(empty)[0] == 1
    assert "plan.json" in json.loads((empty / "error.json").read_text())["what"]
    bare = [sys.executable, "-m", "qi_learn.train"]
    assert subprocess.run(bare, capture_output=True, check=False).returncode == 2
