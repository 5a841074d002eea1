"""The network behind Unsloth's patches, with plain PEFT in its place."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from peft.utils import TaskType

from qi_learn.errors import ModelError, TrainingError
from qi_learn.records import Plan
from qi_learn.train.adapter import WeightChange
from qi_learn.train.checkpoint import LoopState
from qi_learn.train.loop import Data, train
from qi_learn.train.network import Network
from qi_learn.train.parts import check_agreement
from qi_learn.train.protection import Protection
from qi_learn.train.training_run import TrainingRun
from qi_learn.train.unsloth import FusedNetwork
from tests.support.tiny_training import one_thread, tiny_causal, tiny_plan, tiny_samples  # noqa: F401 - a fixture


class PlainFast:
    """The used part of Unsloth's class, done with PEFT alone: the same modules and names."""

    def from_pretrained(self, model_name: str, **options: Any) -> tuple[Any, Any]:
        return tiny_causal("qwen2", dtype=torch.float32), None

    def get_peft_model(self, model: Any, **options: Any) -> Any:
        keys = ("r", "lora_alpha", "lora_dropout", "bias", "target_modules")
        return get_peft_model(
            model, LoraConfig(task_type=TaskType.CAUSAL_LM, **{key: options[key] for key in keys})
        )

    def for_training(self, model: Any) -> Any:
        return model.train()


def _plan(**changes: Any) -> Plan:
    return tiny_plan(architecture="qwen2", dtype="float32", first_layer=0, layer_count=3, **changes)


def _pair() -> tuple[Network, FusedNetwork]:
    plain = Network(tiny_causal("qwen2", dtype=torch.float32), _plan())
    fast = PlainFast()
    return plain, FusedNetwork(fast.from_pretrained("")[0], _plan(backend="unsloth"), fast)


PEFTS_OWN = pytest.mark.filterwarnings(
    "ignore:.is_gradient_checkpointing. is deprecated:FutureWarning"
)  # get_peft_model asks transformers for it


@PEFTS_OWN
def test_its_modules_have_the_names_of_the_uncut_model() -> None:
    plain, fused = _pair()
    assert fused.names == plain.names
    for network in (plain, fused):
        torch.manual_seed(0)
        network.attach()
    assert fused.names == plain.names
    assert {n: [v.shape for v in pair] for n, pair in fused.factors().items()} == {
        n: [v.shape for v in pair] for n, pair in plain.factors().items()
    }
    assert fused.scale == plain.scale


@PEFTS_OWN
def test_what_is_served_is_merged_and_what_is_learned_comes_out() -> None:
    """Losses, gradients and the delta are the plain network's."""
    plain, fused = _pair()
    torch.manual_seed(5)
    served = {
        name: WeightChange(torch.randn(2, w.shape[1]) / 9, torch.randn(w.shape[0], 2) / 9)
        for name in plain.names
        if isinstance(w := plain.module(name).weight, torch.Tensor)
    }
    for network in (plain, fused):
        network.merge(served)
        network.lower_precision()
        torch.manual_seed(0)
        network.attach()
    delta = {
        name: WeightChange(torch.randn_like(A), torch.randn_like(B) / 9)
        for name, (A, B) in plain.factors().items()
    }
    passes = []
    for network in (plain, fused):
        network.load(delta)
        batch = network.batch(tiny_samples(6))
        loss = (network.nll(batch) * batch.weights).sum()
        loss.backward()  # type: ignore[no-untyped-call]
        passes.append(
            (loss.detach(), {name: (A.grad, B.grad) for name, (A, B) in network.factors().items()})
        )
    assert torch.allclose(passes[0][0], passes[1][0], rtol=1e-5)
    for name, pair in passes[0][1].items():
        assert all(
            a is not None and b is not None and torch.allclose(a, b, rtol=1e-3, atol=1e-5)
            for a, b in zip(pair, passes[1][1][name], strict=True)
        ), name
    again = fused.delta()
    assert all(
        torch.allclose(again[name].B, delta[name].B)
        and torch.allclose(again[name].A, delta[name].A)
        for name in delta
    )


@PEFTS_OWN
def test_it_goes_through_the_loop_as_the_plain_one_does(tmp_path: Path) -> None:
    states: list[LoopState] = []
    for network in _pair():
        torch.manual_seed(0)
        network.attach()
        run = tmp_path / str(len(states))
        run.mkdir()
        data = Data(new=tiny_samples(6), dev=tiny_samples(3, seed=1))
        states.append(
            train(network, _plan(max_steps=3), data, Protection(), TrainingRun(run)).state
        )
    assert states[0].best == pytest.approx(states[1].best, rel=1e-4)
    assert states[0].loss == pytest.approx(states[1].loss, rel=1e-4)


def test_it_trains_all_layers_or_none() -> None:
    with pytest.raises(ModelError, match="leaves some out"):
        FusedNetwork(tiny_causal(), tiny_plan(), PlainFast())


def test_what_it_says_of_dev_must_be_what_the_plain_model_says() -> None:
    plan = tiny_plan(backend="unsloth")
    check_agreement(plan, 1.20, 1.21)
    check_agreement(plan, None, None)
    for fused, plain in ((1.20, 1.30), (1.2, float("nan")), (float("nan"), 1.2)):
        with pytest.raises(TrainingError, match="disagree about the same weights"):
            check_agreement(plan, fused, plain)
