"""Records in files: their keys are what they were, whatever the fields are called today."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from qi_learn import codec
from qi_learn.codec import keys_of
from qi_learn.records import Placement, Plan, TrainResult
from qi_learn.report.finding import Finding
from qi_learn.train.loop import Trained

PLAN = (
    "run_id seed base_gguf base_digest base_weights architecture device dtype first_layer "
    "layer_count target_modules rank alpha dropout learning_rate weight_decay warmup_steps "
    "max_steps batch_size accumulation max_length replay_share generic_share lambda_general "
    "lambda_past eval_every patience max_seconds previous_adapter past_fisher general_fisher "
    "fisher touched_type bytes_per_token_ratio preference_weight kl_budget general_strength "
    "past_strength gradient_checkpointing four_bit may_be_four_bit backend backend_reason devices"
)


def test_keys_in_files_stay() -> None:
    """Runs that an earlier version began are resumed by this one."""
    assert set(keys_of(Plan)) == set(PLAN.split())
    assert {"drift_general", "drift_past"} <= set(keys_of(TrainResult))
    assert set(keys_of(Trained)) == {"state", "stopped", "drift_general", "drift_past", "warnings"}
    assert {"hold", "quiet"} <= set(keys_of(Placement))
    assert {"todo"} <= set(keys_of(Finding))


@dataclass(frozen=True, slots=True)
class Part:
    size: int = field(metadata={"key": "part_size"})
    note: str | None = None


@dataclass(frozen=True, slots=True)
class Whole:
    name: str
    part: Part = field(metadata={"flat": True})


def test_a_flat_part_lies_beside_the_rest_and_comes_back() -> None:
    whole = Whole("a", Part(3))
    assert codec.plain(whole) == {"name": "a", "part_size": 3, "note": None}
    assert codec.loads(Whole, codec.dumps(whole)) == whole
    assert codec.changed(whole, part_size=4) == Whole("a", Part(4))
    with pytest.raises(ValueError, match="no field size"):
        codec.changed(whole, size=4)
    with pytest.raises(ValueError, match="size"):
        codec.build(Whole, {"name": "a"})
