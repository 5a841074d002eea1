"""A run in this process: from plan to result, cycle after cycle, and the files that it leaves."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch

from qi_learn import codec
from qi_learn.errors import ModelError, TrainingError
from qi_learn.plan.schedule import samples
from qi_learn.records import Recall, RecallLog, TrainResult
from qi_learn.rundir.progress import read_progress
from qi_learn.train.adapter import load_adapter
from qi_learn.train.fisher import load_fisher
from qi_learn.train.load import load_trainable
from qi_learn.train.recall import measure_before
from qi_learn.train.run import learn, read_data
from qi_learn.train.run_fishers import general_fisher_path
from qi_learn.train.training_run import Interrupted
from tests.support.tiny_training import one_thread, tiny_examples  # noqa: F401 - a fixture
from tests.support.training_runs import (
    DIGEST,
    SNAPSHOT,
    plan_on,
    write_run,
)


def test_a_second_cycle_stands_on_the_first(base: Path, tmp_path: Path) -> None:
    """It starts from the served model, both penalties are at work, and the past's Fisher grows."""
    first = write_run(tmp_path / "first", plan_on(base))
    one = learn(first, plan_on(base), SNAPSHOT)
    plan = plan_on(
        base,
        previous_adapter=str(first / "adapter" / "delta.safetensors"),
        past_fisher=str(first / "adapter" / "past_fisher.safetensors"),
    )
    second = write_run(tmp_path / "second", plan)
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
    # from the base, not from what was served
    assert two.divergence_general.measured > one.divergence_general.measured / 2
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
    """Attention first, then the MLP on top of it.

    The delta and the penalties are of what is trained, what is remembered is of both.
    """
    attention, mlp = ("q_proj", "k_proj", "v_proj", "o_proj"), ("gate_proj", "up_proj", "down_proj")
    plan = plan_on(base, max_steps=3, target_modules=attention)
    plan = codec.changed(plan, general_fisher=str(tmp_path / "attention.safetensors"))
    first = write_run(tmp_path / "first", plan)
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
    second = write_run(tmp_path / "second", plan)
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
    plan = plan_on(base, max_steps=2, preference_weight=0.1)
    run = write_run(tmp_path / "run", plan)
    learn(run, plan, SNAPSHOT)
    before = json.loads((run / "before.json").read_text())
    # a pair, and a rejection with a kept answer and both put to the other's question
    assert len(before["reference"]) == 6
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
    in_four_bits = measure_before(run, network, codec.changed(plan, four_bit=True), data)
    assert in_four_bits.sequences != whole.sequences, "another model is compared with"


def test_the_memory_says_what_was_known_and_what_was_learned(base: Path, tmp_path: Path) -> None:
    """Against one sequence at a time through a network of its own.

    Of more examples than the steps can hold, the first are taken.
    """
    plan = plan_on(base, max_steps=2)
    recall = Recall("before", 0, 1, 0, None, None)
    first = write_run(tmp_path / "first", plan)
    learn(first, plan, SNAPSHOT)
    plan = codec.changed(plan, previous_adapter=str(first / "adapter" / "delta.safetensors"))
    snapshot = replace(
        SNAPSHOT, replay=tuple(replace(e, recall=recall) for e in tiny_examples(9, seed=2, tag="r"))
    )
    run = write_run(tmp_path / "second", plan, snapshot)
    learn(run, plan, snapshot)
    recalled = codec.loads(RecallLog, (run / "memory.json").read_text())
    assert recalled.replayed == {f"r{n}": 1 for n in range(4)}  # two in each of two steps
    assert set(recalled.known) == set(recalled.replayed)

    network = load_trainable(plan)
    network.merge(load_adapter(first / "adapter" / "delta.safetensors", DIGEST))
    served = {
        s.id: float(network.nll(network.batch([s])).mean())
        for s in samples(snapshot.replay[:4], 64)
    }
    assert recalled.known == pytest.approx(served, rel=1e-4)
    network.merge(load_adapter(run / "adapter" / "delta.safetensors", DIGEST))
    trained = {
        s.id: float(network.nll(network.batch([s])).mean())
        for s in samples(snapshot.split("train"), 64)
    }
    assert recalled.learned == pytest.approx(trained, rel=1e-4)


def test_a_past_that_protects_nothing_is_in_the_result(
    base: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The silent zero: a second cycle whose Fisher of past work is 0 trains on, and reports that it
    is unprotected.
    """
    first = write_run(tmp_path / "first", plan_on(base))
    learn(first, plan_on(base), SNAPSHOT)
    past = load_fisher(first / "adapter" / "past_fisher.safetensors", DIGEST)
    for both in past.modules.values():
        assert both.S.matrix is not None
        both.S.matrix.zero_()
    past.save(tmp_path / "zero.safetensors")
    plan = plan_on(
        base,
        previous_adapter=str(first / "adapter" / "delta.safetensors"),
        past_fisher=str(tmp_path / "zero.safetensors"),
    )
    second = learn(write_run(tmp_path / "second", plan), plan, SNAPSHOT)
    assert second.penalty_past == 0
    assert second.warnings == ("past work is not protected: its Fisher is 0 in every direction",)
    assert second.warnings[0] in caplog.text
    assert (
        codec.loads(TrainResult, (tmp_path / "second" / "result.json").read_text()).warnings
        == second.warnings
    )


def test_a_base_in_four_bits_has_a_fisher_of_its_own(base: Path, tmp_path: Path) -> None:
    """Else a run that had to fall back to 4 bits would take, or leave, that of another model."""
    plan = plan_on(base)
    in_four_bits = codec.changed(plan, four_bit=True)
    whole, small = (general_fisher_path(tmp_path, each) for each in (plan, in_four_bits))
    assert str(whole) == plan.penalties.general_fisher
    assert whole.parent == small.parent
    assert whole != small


def test_the_general_fisher_is_the_bases_also_when_it_is_made_late(
    base: Path, tmp_path: Path
) -> None:
    """With the cache gone, a later cycle makes the same one: of the base, not of what is served."""
    plan = plan_on(base)
    cache = Path(plan.penalties.general_fisher or "")
    first = write_run(tmp_path / "first", plan)
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
        run = write_run(tmp_path / damage, later)
        asked = iter([False] * 100)
        learn(run, later, SNAPSHOT, stopping=partial(next, asked))
        late = load_fisher(cache, DIGEST)
        for name, both in early.modules.items():
            first_made, made_late = both.S.matrix, late.modules[name].S.matrix
            assert first_made is not None
            assert made_late is not None
            assert torch.allclose(first_made, made_late, rtol=1e-4, atol=1e-4 * both.S.trace)


def test_stopped_in_the_fisher_nothing_is_kept_and_nothing_is_lost(
    base: Path, tmp_path: Path
) -> None:
    plan = codec.changed(plan_on(base), general_fisher=str(tmp_path / "general.safetensors"))
    run = write_run(tmp_path / "run", plan)
    with pytest.raises(Interrupted):
        learn(run, plan, SNAPSHOT, stopping=lambda: True)
    assert not (tmp_path / "general.safetensors").exists()
    progress = read_progress(run)
    assert progress is not None
    assert progress.phase == "general fisher"


def test_too_few_anchors_and_no_example_that_fits(base: Path, tmp_path: Path) -> None:
    plan = codec.changed(plan_on(base), general_fisher=str(tmp_path / "g.safetensors"))
    with pytest.raises(TrainingError, match="Only 5 of 5"):
        learn(
            write_run(tmp_path / "few", plan), plan, replace(SNAPSHOT, anchors=SNAPSHOT.anchors[:5])
        )
    with pytest.raises(TrainingError, match="None of the 10 training examples fits into 5 tokens"):
        learn(write_run(tmp_path / "long", plan), codec.changed(plan, max_length=5), SNAPSHOT)
    result = learn(
        write_run(tmp_path / "off", plan),
        codec.changed(plan, lambda_general=0.0),
        replace(SNAPSHOT, anchors=()),
    )
    assert result.penalty_general == 0


def test_past_work_in_another_form_is_refused(base: Path, tmp_path: Path) -> None:
    plan = plan_on(base)
    first = write_run(tmp_path / "first", plan)
    learn(first, plan, SNAPSHOT)
    other = codec.changed(
        plan,
        fisher="diagonal",
        general_fisher=str(tmp_path / "diagonal.safetensors"),
        past_fisher=str(first / "adapter" / "past_fisher.safetensors"),
    )
    with pytest.raises(ModelError, match="in the form 'kfac'"):
        learn(write_run(tmp_path / "second", other), other, SNAPSHOT)
    alone = codec.changed(other, past_fisher=None)
    assert learn(write_run(tmp_path / "third", alone), alone, SNAPSHOT).penalty_general > 0
