"""The worker as its parent sees it: a process, a run directory, an exit code.

Stopped and killed at any time, it ends with the same numbers.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from qi_learn import codec
from qi_learn.errors import ModelError, TrainingError
from qi_learn.plan.schedule import samples
from qi_learn.records import Pair, Plan, Recall, RecallLog, Snapshot, TrainResult
from qi_learn.rundir.progress import read_progress
from qi_learn.rundir.snapshot import save_snapshot
from qi_learn.train.adapter import load_adapter, load_tensors
from qi_learn.train.fisher import Interrupted, load_fisher
from qi_learn.train.load import load_trainable
from qi_learn.train.recall import measure_before
from qi_learn.train.run import fisher_cache, learn, read_data
from tests.support.tiny_models import write_tiny_model
from tests.support.tiny_training import one_thread, tiny_examples, tiny_plan  # noqa: F401 - a fixture

DIGEST = "d" * 64
STEPS = 40
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


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_model(
        tmp_path_factory.mktemp("base") / "sha256-abc", layers=3, tensor_type="Q4_0"
    )


def _plan(base: Path, *, max_steps: int = 8, **changes: object) -> Plan:
    return tiny_plan(
        base_gguf=str(base),
        dtype="float32",
        max_steps=max_steps,
        general_fisher=str(base.parent / "fisher" / "general.safetensors"),
        **changes,
    )


def _run(place: Path, plan: Plan, snapshot: Snapshot = SNAPSHOT) -> Path:
    place.mkdir()
    (place / "plan.json").write_text(codec.dumps(plan))
    save_snapshot(place / "snapshot", snapshot)
    return place


def _start(run: Path) -> subprocess.Popen[str]:
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "-m", "qi_learn.train", str(run)],
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def _work(run: Path) -> tuple[int, str, str]:
    worker = _start(run)
    out, err = worker.communicate(timeout=120)
    return worker.returncode, out, err


def _wait(worker: subprocess.Popen[str], until: Callable[[], bool]) -> None:
    limit = time.monotonic() + 120
    while worker.poll() is None and not until():
        assert time.monotonic() < limit
        time.sleep(0.005)


def _results(run: Path) -> dict[str, bytes]:
    """Every number in the two files that the next cycle and the packer read (the files' own bytes
    differ: safetensors orders its metadata at random).
    """
    tensors = (
        load_tensors(run / "adapter" / "delta.safetensors")[0]
        | load_tensors(run / "adapter" / "past_fisher.safetensors")[0]
    )
    return {name: value.numpy().tobytes() for name, value in tensors.items()}


@pytest.fixture(scope="module")
def finished(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a run that one worker did from beginning to end."""
    run = _run(
        tmp_path_factory.mktemp("finished") / "run",
        _plan(base, max_steps=STEPS, preference_weight=0.1),
    )
    code, out, err = _work(run)
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
    memory = codec.loads(RecallLog, (run / "memory.json").read_text())
    assert set(memory.known) == set(memory.replayed) == {"r0", "r1", "r2", "r3"}
    assert sum(memory.replayed.values()) == STEPS * 2  # a quarter of 8
    assert set(memory.learned) == {f"t{n}" for n in range(10)}
    assert max(memory.learned.values()) < min(
        memory.known.values()
    )  # the old counts up as the new does, but nobody had learned it when it was measured
    general = load_fisher(Path(_plan(base).penalties.general_fisher or ""), DIGEST)
    past = load_fisher(run / "adapter" / "past_fisher.safetensors", DIGEST)
    assert (general.sequences, past.sequences) == (33, 10)
    assert read_progress(run) is not None

    before = (run / "result.json").stat().st_mtime_ns
    plan = (run / "plan.json").read_text()
    (run / "plan.json").unlink()  # a second call does not even look at it
    assert _work(run)[0] == 0
    assert (run / "result.json").stat().st_mtime_ns == before
    (run / "plan.json").write_text(plan)


def test_killed_and_stopped_it_ends_with_the_same_numbers(
    base: Path, tmp_path: Path, finished: Path
) -> None:
    run = _run(tmp_path / "run", _plan(base, max_steps=STEPS, preference_weight=0.1))

    worker = _start(run)
    _wait(worker, lambda: any((run / "checkpoints").glob("*/state.json")))
    time.sleep(random.Random().uniform(0, 0.3))
    worker.kill()
    assert worker.wait() == -signal.SIGKILL
    assert not (run / "result.json").exists()
    worker.communicate()

    worker = _start(run)
    steps = {p.name for p in (run / "checkpoints").iterdir()}
    _wait(worker, lambda: {p.name for p in (run / "checkpoints").iterdir()} != steps)
    worker.send_signal(signal.SIGTERM)
    _, err = worker.communicate(timeout=120)
    assert worker.returncode in (75, 0), err  # 0: it was done before the signal came
    assert "going on from step" in err
    assert not (run / "error.json").exists()

    code, _, err = _work(run)
    assert code == 0, err
    assert _results(run) == _results(finished)
    assert (run / "memory.json").read_text() == (finished / "memory.json").read_text()


def test_a_second_cycle_stands_on_the_first(base: Path, tmp_path: Path) -> None:
    """It starts from the served model, both penalties are at work, and the past's Fisher grows."""
    first = _run(tmp_path / "first", _plan(base))
    one = learn(first, _plan(base), SNAPSHOT)
    plan = _plan(
        base,
        previous_adapter=str(first / "adapter" / "delta.safetensors"),
        past_fisher=str(first / "adapter" / "past_fisher.safetensors"),
    )
    second = _run(tmp_path / "second", plan)
    two = learn(second, plan, SNAPSHOT)
    assert one.dev_loss is not None
    assert two.dev_loss_before == pytest.approx(one.dev_loss, rel=1e-4)
    assert two.penalty_past > 0
    assert two.penalty_general > two.penalty_past / 10
    assert two.warnings == ()
    assert two.divergence_past is not None
    assert (two.divergence_past.kappa or 0) > 0
    assert one.divergence_general is not None
    assert two.divergence_general is not None
    assert (
        two.divergence_general.measured > one.divergence_general.measured / 2
    )  # from the base, not from what was served
    old, new = (
        load_fisher(r / "adapter" / "past_fisher.safetensors", DIGEST) for r in (first, second)
    )
    for name, both in new.modules.items():
        assert both.cycles == 2
        assert both.S.trace > old.modules[name].S.trace
    assert new.sequences == 20


def test_every_part_of_training_keeps_to_the_modules_chosen(
    base: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Attention first, then the MLP on top of it: the delta and the penalties are of what is
    trained, what is remembered is of both.
    """
    attention, mlp = ("q_proj", "k_proj", "v_proj", "o_proj"), ("gate_proj", "up_proj", "down_proj")
    plan = _plan(base, max_steps=3, target_modules=attention)
    plan = codec.changed(plan, general_fisher=str(tmp_path / "attention.safetensors"))
    first = _run(tmp_path / "first", plan)
    assert learn(first, plan, SNAPSHOT).penalty_general > 0
    delta = load_adapter(first / "adapter" / "delta.safetensors", DIGEST)
    assert {name.rpartition(".")[2] for name in delta} == set(attention)
    assert {
        name.rpartition(".")[2]
        for name in load_fisher(Path(plan.penalties.general_fisher or ""), DIGEST).modules
    } == set(attention)

    served = {
        "previous_adapter": str(first / "adapter" / "delta.safetensors"),
        "past_fisher": str(first / "adapter" / "past_fisher.safetensors"),
    }
    plan = codec.changed(
        plan, target_modules=mlp, general_fisher=str(tmp_path / "mlp.safetensors"), **served
    )
    second = _run(tmp_path / "second", plan)
    result = learn(second, plan, SNAPSHOT)
    assert (result.penalty_general > 0, result.penalty_past) == (True, 0.0)
    assert result.warnings == (
        "past work is not protected: none of the 6 modules that change now changed before",
    )
    assert result.warnings[0] in caplog.text
    assert {
        name.rpartition(".")[2]
        for name in load_adapter(second / "adapter" / "delta.safetensors", DIGEST)
    } == set(mlp)
    remembered = load_fisher(second / "adapter" / "past_fisher.safetensors", DIGEST).modules
    assert {
        name.rpartition(".")[2]: both.cycles for name, both in remembered.items()
    } == dict.fromkeys((*attention, *mlp), 1)


def test_with_another_plan_what_was_known_before_is_measured_anew(
    base: Path, tmp_path: Path
) -> None:
    """Sequences that are cut elsewhere (after a device had no memory) are others."""
    plan = _plan(base, max_steps=2, preference_weight=0.1)
    run = _run(tmp_path / "run", plan)
    learn(run, plan, SNAPSHOT)
    before = json.loads((run / "before.json").read_text())
    assert (
        len(before["reference"]) == 6
    )  # a pair, and a rejection with a kept answer and both put to the other's question
    (run / "result.json").unlink()
    shutil.rmtree(run / "checkpoints")
    learn(run, plan, SNAPSHOT)
    assert json.loads((run / "before.json").read_text()) == before
    shutil.rmtree(run / "checkpoints")
    learn(run, codec.changed(plan, max_length=12), SNAPSHOT)
    shorter = json.loads((run / "before.json").read_text())
    assert shorter["sequences"] != before["sequences"]
    assert shorter["reference"] != before["reference"]
    data, network = read_data(plan, SNAPSHOT), load_trainable(plan)
    whole = measure_before(run, network, plan, data)
    assert (
        measure_before(run, network, codec.changed(plan, four_bit=True), data).sequences
        != whole.sequences
    ), "another model is compared with"


def test_the_memory_says_what_was_known_and_what_was_learned(base: Path, tmp_path: Path) -> None:
    """Against one sequence at a time through a network of its own; and of more than there are
    places for, the first are taken.
    """
    plan = _plan(base, max_steps=2)
    recall = Recall("before", 0, 1, 0, None, None)
    first = _run(tmp_path / "first", plan)
    learn(first, plan, SNAPSHOT)
    plan = codec.changed(plan, previous_adapter=str(first / "adapter" / "delta.safetensors"))
    snapshot = replace(
        SNAPSHOT, replay=tuple(replace(e, recall=recall) for e in tiny_examples(9, seed=2, tag="r"))
    )
    run = _run(tmp_path / "second", plan, snapshot)
    learn(run, plan, snapshot)
    memory = codec.loads(RecallLog, (run / "memory.json").read_text())
    assert memory.replayed == {f"r{n}": 1 for n in range(4)}  # two places in each of two steps
    assert set(memory.known) == set(memory.replayed)

    network = load_trainable(plan)
    network.merge(load_adapter(first / "adapter" / "delta.safetensors", DIGEST))
    served = {
        s.id: float(network.nll(network.batch([s])).mean())
        for s in samples(snapshot.replay[:4], 64)
    }
    assert memory.known == pytest.approx(served, rel=1e-4)
    network.merge(load_adapter(run / "adapter" / "delta.safetensors", DIGEST))
    trained = {
        s.id: float(network.nll(network.batch([s])).mean())
        for s in samples(snapshot.split("train"), 64)
    }
    assert memory.learned == pytest.approx(trained, rel=1e-4)


def test_a_past_that_protects_nothing_is_in_the_result(
    base: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The silent zero: a second cycle whose Fisher of past work has come to nothing trains on, and
    says that it is unprotected.
    """
    first = _run(tmp_path / "first", _plan(base))
    learn(first, _plan(base), SNAPSHOT)
    past = load_fisher(first / "adapter" / "past_fisher.safetensors", DIGEST)
    for both in past.modules.values():
        assert both.S.matrix is not None
        both.S.matrix.zero_()
    past.save(tmp_path / "zero.safetensors")
    plan = _plan(
        base,
        previous_adapter=str(first / "adapter" / "delta.safetensors"),
        past_fisher=str(tmp_path / "zero.safetensors"),
    )
    second = learn(_run(tmp_path / "second", plan), plan, SNAPSHOT)
    assert second.penalty_past == 0
    assert second.warnings == ("past work is not protected: its Fisher is 0 in every direction",)
    assert second.warnings[0] in caplog.text
    assert (
        codec.loads(TrainResult, (tmp_path / "second" / "result.json").read_text()).warnings
        == second.warnings
    )


def test_a_base_in_four_bits_has_a_fisher_of_its_own(base: Path, tmp_path: Path) -> None:
    """Else a run that had to go down to 4 bits would take, or leave, that of another model."""
    plan = _plan(base)
    whole, small = (
        fisher_cache(tmp_path, plan),
        fisher_cache(tmp_path, codec.changed(plan, four_bit=True)),
    )
    assert str(whole) == plan.penalties.general_fisher
    assert whole.parent == small.parent
    assert whole != small


def test_the_general_fisher_is_the_bases_also_when_it_is_made_late(
    base: Path, tmp_path: Path
) -> None:
    """With the cache gone, a later cycle makes the same one: of the base, not of what is served by
    then.
    """
    plan = _plan(base)
    cache = Path(plan.penalties.general_fisher or "")
    first = _run(tmp_path / "first", plan)
    learn(first, plan, SNAPSHOT)
    early = load_fisher(cache, DIGEST)
    for damage in ("gone", "torn", "other modules"):
        if damage == "gone":
            cache.unlink()
        elif damage == "torn":
            cache.write_bytes(cache.read_bytes()[:1000])
        else:
            replace(early, modules=dict(list(early.modules.items())[1:])).save(cache)
        later = codec.changed(plan, previous_adapter=str(first / "adapter" / "delta.safetensors"))
        run = _run(tmp_path / damage, later)
        asked = iter([False] * 100)
        learn(run, later, SNAPSHOT, stopping=lambda asked=asked: next(asked))  # type: ignore[misc]
        late = load_fisher(cache, DIGEST)
        for name, both in early.modules.items():
            assert both.S.matrix is not None
            assert late.modules[name].S.matrix is not None
            assert torch.allclose(
                both.S.matrix, late.modules[name].S.matrix, rtol=1e-4, atol=1e-4 * both.S.trace
            )


def test_stopped_in_the_fisher_nothing_is_kept_and_nothing_is_lost(
    base: Path, tmp_path: Path
) -> None:
    plan = replace(_plan(base), general_fisher=str(tmp_path / "general.safetensors"))
    run = _run(tmp_path / "run", plan)
    with pytest.raises(Interrupted):
        learn(run, plan, SNAPSHOT, stopping=lambda: True)
    assert not (tmp_path / "general.safetensors").exists()
    progress = read_progress(run)
    assert progress is not None
    assert progress.phase == "general fisher"


def test_too_few_anchors_and_no_example_that_fits(base: Path, tmp_path: Path) -> None:
    plan = replace(_plan(base), general_fisher=str(tmp_path / "g.safetensors"))
    with pytest.raises(TrainingError, match="Only 5 of 5"):
        learn(_run(tmp_path / "few", plan), plan, replace(SNAPSHOT, anchors=SNAPSHOT.anchors[:5]))
    with pytest.raises(TrainingError, match="None of the 10 training examples fits into 5 tokens"):
        learn(_run(tmp_path / "long", plan), codec.changed(plan, max_length=5), SNAPSHOT)
    result = learn(
        _run(tmp_path / "off", plan),
        codec.changed(plan, lambda_general=0.0),
        replace(SNAPSHOT, anchors=()),
    )
    assert result.penalty_general == 0


def test_past_work_in_another_form_is_refused(base: Path, tmp_path: Path) -> None:
    plan = _plan(base)
    first = _run(tmp_path / "first", plan)
    learn(first, plan, SNAPSHOT)
    other = replace(
        plan,
        fisher="diagonal",
        general_fisher=str(tmp_path / "diagonal.safetensors"),
        past_fisher=str(first / "adapter" / "past_fisher.safetensors"),
    )
    with pytest.raises(ModelError, match="in the form 'kfac'"):
        learn(_run(tmp_path / "second", other), other, SNAPSHOT)
    alone = replace(other, past_fisher=None)
    assert learn(_run(tmp_path / "third", alone), alone, SNAPSHOT).penalty_general > 0


def test_what_went_wrong_is_in_a_file(base: Path, tmp_path: Path) -> None:
    run = _run(tmp_path / "run", replace(_plan(base), base_gguf=str(tmp_path / "absent.gguf")))
    code, _, err = _work(run)
    assert code == 1
    said = json.loads((run / "error.json").read_text())
    assert set(said) == {"what", "todo"}
    assert "absent.gguf" in said["what"]
    assert "Traceback" not in err
    assert not (run / "result.json").exists()

    empty = tmp_path / "empty"
    empty.mkdir()
    (empty / "plan.json").write_text('{"run_id": "x"}')
    assert _work(empty)[0] == 1
    assert "plan.json" in json.loads((empty / "error.json").read_text())["what"]
    assert (
        subprocess.run(
            [sys.executable, "-m", "qi_learn.train"], capture_output=True, check=False
        ).returncode
        == 2
    )
