"""Every number of contracts 9, derived."""

from __future__ import annotations

from dataclasses import replace

import pytest

from qi_learn import codec
from qi_learn.errors import Refused
from qi_learn.outside.architectures import GGUF_NAMES
from qi_learn.plan.reasons import reasons
from qi_learn.records import Pair, Plan, Snapshot
from qi_learn.settings import TrainSettings
from tests.support.planning import (
    BITS,
    CPU,
    GB,
    GPU,
    SEVEN,
    SMOLLM2,
    base_of_shape,
    make_plan,
    make_snapshot,
)


def test_the_embedded_default_on_a_laptop() -> None:
    plan = make_plan()
    assert (plan.lora.first_layer, plan.lora.layer_count, set(plan.lora.target_modules)) == (
        20,
        10,
        set(GGUF_NAMES),
    )
    assert plan.batches.batch_size * plan.batches.accumulation == 8
    assert (plan.steps.max_steps, plan.lora.rank, plan.lora.alpha, plan.batches.max_length) == (
        48,
        8,
        16.0,
        100,
    )
    assert plan.steps.learning_rate == pytest.approx(1.6e-3, rel=0.01)
    assert plan.steps.warmup_steps <= plan.steps.max_steps / 10
    assert (plan.batches.replay_share, plan.batches.generic_share) == (0.375, 0.125)
    assert plan.penalties.lambda_general == pytest.approx(100)
    assert plan.penalties.lambda_past == pytest.approx(300)
    assert (
        plan.hardware.device,
        plan.hardware.dtype,
        plan.lora.touched_type,
        plan.steps.max_seconds,
    ) == ("cpu", "bfloat16", "Q8_0", 4 * 3600)
    assert 1.1 < plan.lora.bytes_per_token_ratio < 1.2
    assert codec.loads(Plan, codec.dumps(plan)) == plan


def test_a_seven_billion_model_on_a_card() -> None:
    plan = make_plan(SEVEN, devices=(GPU, CPU))
    assert plan.hardware.device == "cuda:0"
    assert plan.steps.learning_rate == pytest.approx(2e-4, rel=0.1)
    assert 0 < plan.lora.first_layer < 28
    assert plan.lora.bytes_per_token_ratio <= 1.4
    lower = codec.changed(plan, first_layer=plan.lora.first_layer - 1)
    grown = sum(
        t.elements * (BITS["Q8_0"] - BITS["Q4_K"]) / 8
        for t in SEVEN.tensors
        if t.name.startswith("blk.27.")
    )
    read = sum(t.bytes for t in SEVEN.tensors if t.name != "token_embd.weight")
    assert plan.lora.bytes_per_token_ratio == pytest.approx(
        1 + grown * (28 - plan.lora.first_layer) / read, rel=1e-3
    )
    assert (
        1 + grown * (28 - lower.lora.first_layer) / read > 1.4
    )  # one layer more would have been too many


def test_the_rate_falls_with_size() -> None:
    middle = base_of_shape(28, 1536, 8960, 151936, tied=True, kv=256)
    small, between, large = (
        make_plan(base, devices=(replace(GPU, free=80 * GB),)).steps.learning_rate
        for base in (SMOLLM2, middle, SEVEN)
    )
    assert 1.6e-3 > between > large >= 2e-4
    assert small > between


@pytest.mark.parametrize(
    ("examples", "rank", "steps"), [(40, 8, 48), (300, 16, 150), (2000, 32, 1000)]
)
def test_more_data_gets_more_rank_and_more_steps(examples: int, rank: int, steps: int) -> None:
    plan = make_plan(snapshot=make_snapshot(examples))
    assert (plan.lora.rank, plan.lora.alpha, plan.steps.max_steps) == (rank, 2 * rank, steps)
    assert (
        plan.steps.max_steps * 4 >= 2 * examples
    )  # 4 of 8 sequences are new: every example at least twice


def test_settings_win_over_what_is_derived() -> None:
    plan = make_plan(
        train=TrainSettings(
            max_steps=10, rank=12, lambda_general=0.0, seed=5, max_hours=0.5, fisher="diagonal"
        )
    )
    assert (
        plan.steps.max_steps,
        plan.lora.rank,
        plan.lora.alpha,
        plan.penalties.lambda_general,
        plan.seed,
        plan.steps.max_seconds,
        plan.penalties.fisher,
    ) == (10, 12, 24.0, 0.0, 5, 1800.0, "diagonal")


def test_preferences_weigh_something_where_there_are_some() -> None:
    pair = Pair("t1", "h", "edit", "", "", "", (1,), (2,), (3,))
    some = replace(make_snapshot(), pairs=(pair,))
    assert (
        make_plan().batches.preference_weight,
        make_plan(snapshot=some).batches.preference_weight,
    ) == (
        0.0,
        0.1,
    )
    assert (
        make_plan(snapshot=some, train=TrainSettings(preference=0.3)).batches.preference_weight
        == 0.3
    )
    assert "weigh 0.1 beside that" in "\n".join(reasons(make_plan(snapshot=some)))
    assert "Preferences" not in "\n".join(reasons(make_plan()))


def test_sequences_are_cut_to_what_the_device_and_base_can_hold() -> None:
    assert make_plan(snapshot=make_snapshot(tokens=3000)).batches.max_length == 1024
    assert make_plan(snapshot=make_snapshot(tokens=3000), devices=(GPU,)).batches.max_length == 3000
    assert (
        make_plan(
            replace(SMOLLM2, context=512), snapshot=make_snapshot(tokens=3000)
        ).batches.max_length
        == 512
    )


def test_nothing_to_train_on_is_refused() -> None:
    with pytest.raises(Refused, match="no training example"):
        make_plan(snapshot=Snapshot("s", 0.0, "ab", ()))


def test_the_reasons_say_the_numbers() -> None:
    text = "\n".join(reasons(make_plan(served=True)))
    for words in (
        "cpu in bfloat16",
        "Layers 20 to 29",
        "rank 8",
        "48 steps of 8",
        "0.001",
        "37.5%",
        "12.5%",
        "100 x",
        "300 x",
        "3 looks",
        "4 hours",
        "Q8_0",
        "1.16 x",
    ):
        assert words in text, words
    assert "none yet" not in text
    assert "none yet" in "\n".join(reasons(make_plan()))
