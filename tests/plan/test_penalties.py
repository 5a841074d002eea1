"""How strongly a plan holds the weights back, and which Fishers it uses."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from safetensors.numpy import save_file

from qi_learn.errors import SettingsError
from qi_learn.plan.reasons import reasons
from qi_learn.plan.strength import EXPECTED
from qi_learn.records import Divergence
from qi_learn.settings import TrainSettings
from qi_learn.train.fisher import Fisher
from tests.support.planning import GPU, RESULT, make_plan, make_snapshot


def test_the_budget_is_the_dial_and_numbers_by_hand_win() -> None:
    bold = make_plan(train=TrainSettings(kl_budget=0.08))
    assert bold.penalties.kl_budget == 0.08
    assert bold.penalties.lambda_general == pytest.approx(50)
    assert bold.penalties.lambda_past == pytest.approx(150)
    assert bold.penalties.general_strength is not None
    assert bold.penalties.general_strength.value == bold.penalties.lambda_general
    hand = make_plan(train=TrainSettings(kl_budget=0.08, lambda_past=7.0), served=True)
    assert hand.penalties.lambda_general == pytest.approx(50)
    assert (hand.penalties.lambda_past, hand.penalties.past_strength) == (7.0, None)
    assert "Strength for past work: set by hand." in reasons(hand)


def test_what_the_last_run_measured_decides_how_strongly_the_next_is_held() -> None:
    first = make_plan()
    measured = replace(
        RESULT,
        divergence_general=Divergence(0.08, 0.08 / EXPECTED["kfac", "general"], 16, 1520),
        divergence_past=Divergence(0.001, None, 16, 900),
    )
    second = make_plan(served=True, last=(first, measured))
    assert second.penalties.lambda_general == pytest.approx(200)
    assert second.penalties.lambda_past == pytest.approx(300)
    assert second.penalties.general_strength is not None
    assert second.penalties.general_strength.tightened == 2
    text = "\n".join(reasons(second))
    assert "the last run moved 0.08 of a budget of 0.02" in text
    assert "x 2 for runs that went over" in text


def test_without_replay_the_penalty_on_past_work_is_dearer() -> None:
    usual, alone = make_plan(), make_plan(train=TrainSettings(replay=0))
    assert (usual.batches.replay_share, usual.batches.generic_share) == (0.375, 0.125)
    assert (alone.batches.replay_share, alone.batches.generic_share) == (0.0, 0.25)
    assert alone.penalties.lambda_past == pytest.approx(150 * usual.penalties.lambda_past)
    assert alone.penalties.lambda_general == pytest.approx(usual.penalties.lambda_general)
    assert alone.steps.learning_rate == usual.steps.learning_rate
    assert any("train.replay = 0" in reason for reason in reasons(alone))
    assert not any("train.replay = 0" in reason for reason in reasons(usual))
    by_hand = make_plan(train=TrainSettings(replay=0, lambda_past=7.0))
    assert by_hand.penalties.lambda_past == 7.0


def test_the_general_fishers_cache_is_named_by_all_it_depends_on(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "llama"}))
    save_file({}, tmp_path / "model.safetensors")
    plans = (
        make_plan(),
        make_plan(train=TrainSettings(fisher="diagonal")),
        make_plan(snapshot=replace(make_snapshot(), base_digest="cd" * 32)),
        make_plan(snapshot=replace(make_snapshot(), anchors=make_snapshot().anchors[:2])),
        make_plan(devices=(GPU,)),
        make_plan(train=TrainSettings(base_weights=str(tmp_path))),
    )
    names = {plan.penalties.general_fisher for plan in plans}
    assert len(names) == 6
    assert make_plan(snapshot=make_snapshot(41), served=True).penalties.general_fisher in names


def test_a_fisher_in_another_form_is_refused_before_anything_is_computed(tmp_path: Path) -> None:
    past = tmp_path / "past_fisher.safetensors"
    Fisher("kfac", {}, 1, 1, 0, 0.0, "ab" * 32).save(past)
    assert make_plan(served=True, past=past).penalties.fisher == "kfac"
    with pytest.raises(SettingsError, match="remembers past work in the form `kfac`"):
        make_plan(served=True, past=past, train=TrainSettings(fisher="diagonal"))
    past.write_bytes(b"damaged")  # the worker reports it
    plan = make_plan(served=True, past=past, train=TrainSettings(fisher="diagonal"))
    assert plan.penalties.fisher == "diagonal"
