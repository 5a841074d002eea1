"""What a run without memory gives up, one rung at a time."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from qi_learn import codec
from qi_learn.errors import StoreError
from qi_learn.plan.fallback import degrade, next_rung, read_plan, read_rungs
from qi_learn.records import Example, Plan
from tests.support.tiny_training import tiny_plan
from tests.support.training_runs import snapshot_of, write_run


def test_every_rung_is_taken_once_and_kept(tmp_path: Path) -> None:
    plan = tiny_plan(batch_size=4, accumulation=2, max_length=1000, may_be_four_bit=True)
    run = write_run(tmp_path / "run", plan, snapshot_of(40, 900))
    rungs = [degrade(run, "out of memory", now=float(n)) for n in range(7)]
    assert [rung.changes for rung in rungs] == [
        {"batch_size": 2, "accumulation": 4},
        {"batch_size": 1, "accumulation": 8},
        {"gradient_checkpointing": True},
        {"max_length": 500},
        {"max_length": 256},
        {"four_bit": True, "backend": "plain"},
        {},
    ]
    end = read_plan(run)
    assert (
        end.batches.batch_size,
        end.batches.accumulation,
        end.hardware.gradient_checkpointing,
        end.batches.max_length,
        end.hardware.four_bit,
    ) == (1, 8, True, 256, True)
    assert codec.loads(Plan, (run / "plan.json").read_text()) == plan
    assert read_rungs(run).deferred == 1
    assert [rung.at for rung in read_rungs(run).rungs] == [0, 1, 2, 3, 4, 5, 6]


def test_sequences_are_not_cut_where_too_few_examples_would_be_left(tmp_path: Path) -> None:
    """A prompt is never cut, so an example whose prompt does not fit is lost."""
    long = Example("x", "x", "", "", (1,) * 600, tuple(range(30)), (True,) * 30)
    plan = tiny_plan(batch_size=1, accumulation=8, max_length=1000, gradient_checkpointing=True)
    short = snapshot_of(40)
    two_long = replace(short, examples=(*short.examples, long, replace(long, id="y")))
    few = write_run(tmp_path / "few", plan, two_long)
    assert next_rung(plan, few) is None
    one_long = replace(short, examples=(*short.examples, long))
    half = write_run(tmp_path / "half", plan, one_long)
    assert next_rung(plan, half) == (
        "sequences of at most 500 tokens instead of 1000",
        {"max_length": 500},
    )


def test_a_damaged_list_of_rungs_is_said(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", tiny_plan(), snapshot_of(40))
    (run / "adapted.json").write_text("{")
    with pytest.raises(StoreError, match=r"adapted\.json cannot be read"):
        read_plan(run)
