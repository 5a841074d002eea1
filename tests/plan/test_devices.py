"""Which device a plan trains on, in which precision, and what it gives up for want of memory."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from qi_learn.errors import Refused
from qi_learn.outside.python_env import Packages
from qi_learn.plan.reasons import reasons
from qi_learn.settings import TrainSettings
from tests.support.planning import CPU, GB, GPU, SEVEN, make_plan, make_snapshot


def test_less_memory_means_smaller_batches_of_the_same_step_then_less_kept() -> None:
    snapshot = make_snapshot(tokens=1000)
    plans = [
        make_plan(snapshot=snapshot, devices=(replace(GPU, free=int(free * GB)),))
        for free in (64, 4, 2.5, 1.2, 0.37)
    ]
    assert [(p.batches.batch_size, p.hardware.gradient_checkpointing) for p in plans] == [
        (8, False),
        (2, False),
        (1, False),
        (8, True),
        (1, True),
    ]
    assert {p.batches.batch_size * p.batches.accumulation for p in (*plans, make_plan())} == {8}
    usual = make_plan()
    assert (usual.batches.batch_size, usual.hardware.gradient_checkpointing) == (8, False)
    assert not any("computed twice" in line for line in reasons(plans[2]))
    assert any("computed twice" in line for line in reasons(plans[3]))


def test_a_base_that_does_not_fit_in_sixteen_bits_is_held_in_four_where_that_can_be() -> None:
    card, memory = replace(GPU, free=11 * GB), replace(CPU, free=60 * GB)
    bnb = Packages({"bitsandbytes": "0.50.2"})
    assert make_plan(SEVEN, devices=(card, memory)).hardware.device == "cpu"  # no quantiser
    plan = make_plan(SEVEN, devices=(card, memory), packages=bnb)
    assert (plan.hardware.device, plan.hardware.four_bit) == ("cuda:0", True)
    assert any("4 bits" in line and "toy model" in line for line in reasons(plan))
    fits = make_plan(SEVEN, devices=(GPU, memory), packages=bnb)
    assert not fits.hardware.four_bit
    assert fits.hardware.may_be_four_bit
    with pytest.raises(Refused):  # the computer cannot even read it
        make_plan(SEVEN, devices=(card, replace(CPU, free=16 * GB)), packages=bnb)
    with pytest.raises(Refused):  # no bfloat16, nothing to compute with
        make_plan(
            SEVEN, devices=(replace(card, bf16=False), replace(CPU, free=20 * GB)), packages=bnb
        )


def test_a_step_is_split_over_gpus_that_are_alike_and_have_room() -> None:
    second, third = replace(GPU, index=1), replace(GPU, index=2, free=2 * GB)
    plan = make_plan(
        SEVEN, devices=(GPU, second, third, replace(GPU, name="another", index=3), CPU)
    )
    assert (plan.hardware.device, plan.hardware.devices) == ("cuda:0", ("cuda:0", "cuda:1"))
    assert any("split over cuda:0, cuda:1" in line for line in reasons(plan))
    assert make_plan(SEVEN, devices=(GPU, third, CPU)).hardware.devices == ()
    assert make_plan().hardware.devices == ()


def test_unsloth_trains_where_it_can_and_on_one_gpu(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "llama"}))
    for name in ("model.safetensors", "tokenizer.json"):
        (tmp_path / name).write_bytes(b"")
    there = Packages({"unsloth": "2026.10.9", "unsloth_zoo": "2026.10.9"})
    train = TrainSettings(base_weights=str(tmp_path), python="/env/bin/python")
    two = (GPU, replace(GPU, index=1))
    plan = make_plan(SEVEN, devices=(GPU, CPU), train=train, packages=there)
    assert (plan.hardware.backend, plan.lora.first_layer) == ("unsloth", 0)
    assert any("On an H200" in line for line in reasons(plan))
    split = make_plan(SEVEN, devices=two, train=train, packages=there)
    assert split.hardware.backend == "plain"
    forced = make_plan(SEVEN, devices=two, train=replace(train, backend="unsloth"), packages=there)
    assert (forced.hardware.backend, forced.hardware.devices) == ("unsloth", ())
    plain = make_plan(SEVEN, devices=(GPU,), train=replace(train, backend="plain"), packages=there)
    assert plain.hardware.backend == "plain"
    with pytest.raises(Refused, match=r"full-precision weights"):
        make_plan(SEVEN, devices=(GPU,), train=TrainSettings(backend="unsloth"), packages=there)
    assert make_plan(SEVEN, devices=(GPU,), packages=there).hardware.backend == "plain"


def test_a_full_card_leaves_the_work_to_the_cpu() -> None:
    full = replace(GPU, free=1 * GB)
    assert make_plan(SEVEN, devices=(full, replace(CPU, free=64 * GB))).hardware.device == "cpu"
    with pytest.raises(Refused, match=r"cuda:0 has 1\.0 GiB free and needs .*cpu has 8\.0 GiB"):
        make_plan(SEVEN, devices=(full, CPU))
    with pytest.raises(Refused, match="this machine has none"):
        make_plan(train=TrainSettings(device="cuda"))
    assert make_plan(devices=(GPU, CPU), train=TrainSettings(device="cpu")).hardware.device == "cpu"
    assert make_plan(devices=(replace(CPU, bf16=False),)).hardware.dtype == "float32"
