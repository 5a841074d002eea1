"""The choice of who runs the passes: each missing thing in words; and the network behind Unsloth's
patches, on plain PEFT in its place.
"""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from peft.utils import TaskType

from qi_learn import codec
from qi_learn.errors import ModelError, Refused, ToolMissing, TrainingError
from qi_learn.outside.gpu import Device
from qi_learn.outside.python_env import Packages
from qi_learn.plan.backend import SEEN, choose_backend, import_unsloth, told_backend
from qi_learn.plan.fallback import fall_back, read_plan, read_rungs
from qi_learn.records import Plan
from qi_learn.train.adapter import WeightChange
from qi_learn.train.loop import Data, train
from qi_learn.train.network import Network
from qi_learn.train.parts import check_agreement
from qi_learn.train.unsloth import FusedNetwork
from tests.outside.test_python_env import write_package
from tests.support.tiny_training import one_thread, tiny_causal, tiny_plan, tiny_samples  # noqa: F401 - a fixture

GPU = Device("cuda", "RTX 4090", 24 << 30, 22 << 30, bf16=True)
THERE = Packages(
    {"unsloth": "2026.10.9", "unsloth_zoo": "2026.10.9"}, {"unsloth": (), "unsloth_zoo": ()}
)


# --- the choice -----------------------------------------------------------------------------------


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    (tmp_path / "tokenizer.json").write_text("{}")
    return tmp_path


def _choose(weights: Path | None, wish: str = "auto", **changes: Any) -> tuple[str, str]:
    asked: dict[str, Any] = {
        "architecture": "qwen2",
        "device": GPU,
        "packages": THERE,
        "four_bit": False,
        **changes,
    }
    return choose_backend(wish, weights=weights, **asked)


def test_unsloth_is_chosen_where_everything_is_there_with_what_was_seen_of_it(
    weights: Path,
) -> None:
    for wish in ("auto", "unsloth"):
        name, why = _choose(weights, wish)
        assert name == "unsloth"
        assert why.endswith(SEEN)
    assert _choose(weights, "plain") == ("plain", "as `train.backend` says")
    assert "Unsloth" in told_backend(
        tiny_plan(backend="unsloth", backend_reason=_choose(weights)[1])
    )
    assert told_backend(tiny_plan()) == "Passes are run by transformers and PEFT."


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"device": Device("cpu", "a laptop", 1, 1, bf16=True)}, "needs an NVIDIA GPU"),
        ({"device": replace(GPU, bf16=False)}, "does not compute in bfloat16"),
        ({"packages": Packages()}, "unsloth is not installed"),
        ({"packages": Packages({"unsloth": "2026.10.9"})}, "unsloth_zoo is not installed"),
        (
            {
                "packages": replace(
                    THERE, unmet={"unsloth": ("transformers 5.23.0 is there, <=5.17.0 is wanted",)}
                )
            },
            "unsloth 2026.10.9 does not fit.*5.17",
        ),
        ({"architecture": "gemma3"}, "no fused kernels for `gemma3`"),
        ({"four_bit": True}, "in 4 bits"),
        ({"gpus": 2}, "split over 2 GPUs"),
    ],
)
def test_each_missing_thing_is_said(weights: Path, changes: dict[str, Any], words: str) -> None:
    with pytest.raises(Refused, match=words):
        _choose(weights, "unsloth", **changes)
    name, why = _choose(weights, **changes)
    assert name == "plain"
    assert why.startswith("Unsloth cannot work here: ")


def test_it_needs_weights_with_their_tokenizer(weights: Path) -> None:
    with pytest.raises(Refused, match=r"full-precision weights \(`train.base_weights`\)"):
        _choose(None, "unsloth")
    (weights / "tokenizer.json").unlink()
    with pytest.raises(Refused, match="has none"):
        _choose(weights, "unsloth")


def test_it_is_not_imported_where_it_cannot_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ToolMissing, match="sees none"):
        import_unsloth(tmp_path, cuda=False)
    write_package(tmp_path / "site", "unsloth", "1")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    monkeypatch.setenv("UNSLOTH_COMPILE_LOCATION", "")
    with pytest.raises(ToolMissing, match="cannot be imported: imported"):
        import_unsloth(tmp_path, cuda=True)
    assert "unsloth" not in sys.modules


def test_a_backend_that_failed_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "plan.json").write_text(codec.dumps(tiny_plan(backend="unsloth")))
    (tmp_path / "checkpoints" / "step-000008").mkdir(parents=True)
    (tmp_path / "trained.json").write_text("{}")
    (tmp_path / "before.json").write_text("{}")
    fall_back(tmp_path, "no kernel image", now=1.0)
    assert read_plan(tmp_path).backend == "plain"
    assert (
        json.loads((tmp_path / "adapted.json").read_text())["rungs"][0]["reason"]
        == "no kernel image"
    )
    assert read_rungs(tmp_path).deferred == 0
    assert not (tmp_path / "checkpoints").exists()
    assert not (tmp_path / "trained.json").exists()
    assert not (tmp_path / "before.json").exists()


def test_what_it_says_of_dev_must_be_what_the_plain_model_says() -> None:
    plan = tiny_plan(backend="unsloth")
    check_agreement(plan, 1.20, 1.21)
    check_agreement(plan, None, None)
    for said, found in ((1.20, 1.30), (1.2, float("nan")), (float("nan"), 1.2)):
        with pytest.raises(TrainingError, match="disagree about the same weights"):
            check_agreement(plan, said, found)


# --- the network behind its patches ---------------------------------------------------------------


class PlainFast:
    """What is used of Unsloth's class, done with PEFT alone: modules of the same names in the same
    places.
    """

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
        if (w := plain.module(name).weight) is not None
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
    found = []
    for network in (plain, fused):
        network.load(delta)
        batch = network.batch(tiny_samples(6))
        loss = (network.nll(batch) * batch.weights).sum()
        loss.backward()  # type: ignore[no-untyped-call]
        found.append(
            (loss.detach(), {name: (A.grad, B.grad) for name, (A, B) in network.factors().items()})
        )
    assert torch.allclose(found[0][0], found[1][0], rtol=1e-5)
    for name, pair in found[0][1].items():
        assert all(
            a is not None and b is not None and torch.allclose(a, b, rtol=1e-3, atol=1e-5)
            for a, b in zip(pair, found[1][1][name], strict=True)
        ), name
    again = fused.delta()
    assert all(
        torch.allclose(again[name].B, delta[name].B)
        and torch.allclose(again[name].A, delta[name].A)
        for name in delta
    )


@PEFTS_OWN
def test_it_goes_through_the_loop_as_the_plain_one_does(tmp_path: Path) -> None:
    found = []
    for network in _pair():
        torch.manual_seed(0)
        network.attach()
        run = tmp_path / str(len(found))
        run.mkdir()
        data = Data(new=tiny_samples(6), dev=tiny_samples(3, seed=1))
        found.append(
            train(network, _plan(max_steps=3), data, general=None, past=None, run=run).state
        )
    assert found[0].best == pytest.approx(found[1].best, rel=1e-4)
    assert found[0].loss == pytest.approx(found[1].loss, rel=1e-4)


def test_it_trains_all_layers_or_none() -> None:
    with pytest.raises(ModelError, match="leaves some out"):
        FusedNetwork(tiny_causal(), tiny_plan(), PlainFast())
