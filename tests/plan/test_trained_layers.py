"""Which modules of which layers change, and what that costs in speed."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from qi_learn.plan.reasons import reasons
from qi_learn.settings import TrainSettings
from tests.support.planning import BITS, GPU, SEVEN, base_of_shape, make_plan


def test_the_modules_that_change_are_chosen() -> None:
    attention, mlp, both = (
        make_plan(train=TrainSettings(targets=name)) for name in ("attention", "mlp", "all-linear")
    )
    assert attention.lora.target_modules == ("q_proj", "k_proj", "v_proj", "o_proj")
    assert mlp.lora.target_modules == ("gate_proj", "up_proj", "down_proj")
    assert both == make_plan()
    grown = [p.lora.bytes_per_token_ratio - 1 for p in (attention, mlp, both)]
    assert grown[0] + grown[1] == pytest.approx(grown[2])
    assert 0 < grown[0] < grown[1]
    assert len({p.penalties.general_fisher for p in (attention, mlp, both)}) == 3
    for plan, words in (
        (attention, "the four of attention"),
        (mlp, "the three of the MLP"),
        (both, "all seven linear modules"),
    ):
        assert words in "\n".join(reasons(plan))


def test_with_fewer_modules_more_layers_change_for_the_same_speed() -> None:
    """A layer's attention has 2 x 3584^2 + 2 x 512 x 3584 weights, all seven modules eight times as
    many: if raised types cost speed, that buys layers.
    """
    attention, mlp, both = (
        make_plan(SEVEN, devices=(GPU,), train=TrainSettings(targets=name))
        for name in ("attention", "mlp", "all-linear")
    )
    assert attention.lora.first_layer == 0 < mlp.lora.first_layer < both.lora.first_layer
    assert max(p.lora.bytes_per_token_ratio for p in (attention, mlp, both)) <= 1.4


def test_what_an_earlier_cycle_touched_still_counts(tmp_path: Path) -> None:
    """Tensors of the served adapter stay raised, whatever this cycle trains.

    They cost their speed, and leave less room.
    """
    path = tmp_path / "adapter.safetensors"
    names = [
        f"model.layers.{layer}.mlp.{part}"
        for layer in range(15, 28)
        for part in ("gate_proj", "up_proj", "down_proj")
    ]
    save_file(
        {f"{name}.{side}": np.zeros((2, 2), np.float32) for name in names for side in "AB"}, path
    )
    after = make_plan(
        SEVEN, devices=(GPU,), train=TrainSettings(targets="attention"), served=True, adapter=path
    )
    before = make_plan(SEVEN, devices=(GPU,), train=TrainSettings(targets="attention"))
    mlp = 13 * _raised_bytes("blk.27.ffn")
    attention = after.lora.layer_count * _raised_bytes("blk.27.attn")
    assert before.lora.first_layer == 0 < after.lora.first_layer
    assert after.lora.bytes_per_token_ratio == pytest.approx(
        1 + (mlp + attention) / SEVEN.bytes_per_token, rel=1e-3
    )


def _raised_bytes(prefix: str) -> float:
    """Bytes that the 7B's tensors of that name grow by when they are raised to Q8_0."""
    elements = sum(t.elements for t in SEVEN.tensors if t.name.startswith(prefix))
    return elements * (BITS["Q8_0"] - BITS["Q4_K"]) / 8


def test_no_rank_beyond_what_the_smallest_matrix_has() -> None:
    rows_of_k_and_v = 192
    assert make_plan(train=TrainSettings(rank=256)).lora.rank == rows_of_k_and_v
    assert make_plan(train=TrainSettings(rank=256, targets="mlp")).lora.rank == 256
    assert make_plan(base_of_shape(4, 32, 64, 100, kv=4)).lora.rank == 4


def test_with_full_precision_weights_all_layers_of_a_card_change_in_the_bases_own_types(
    tmp_path: Path,
) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "llama"}))
    (tmp_path / "model.safetensors").write_bytes(b"")
    plan = make_plan(SEVEN, devices=(GPU,), train=TrainSettings(base_weights=str(tmp_path)))
    assert (
        plan.lora.first_layer,
        plan.lora.layer_count,
        plan.lora.touched_type,
        plan.lora.bytes_per_token_ratio,
        plan.base.weights,
    ) == (0, 28, "base", 1.0, str(tmp_path))
    assert any("full precision" in line for line in reasons(plan))
