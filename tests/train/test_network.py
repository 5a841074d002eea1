"""The cut model is the model: frozen prefix, padding, head, merge and LoRA change nothing else."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from qi_learn.errors import ModelError, NotFound, TrainingError, UnsupportedArchitecture
from qi_learn.train.adapter import WeightChange, load_adapter, save_adapter
from qi_learn.train.head import head_pass
from qi_learn.train.load import load_trainable
from qi_learn.train.network import Network, States
from tests.support.tiny_training import (
    MODULES,
    VOCABULARY,
    one_thread,  # noqa: F401 - a fixture
    randomised,
    tiny_causal,
    tiny_network,
    tiny_plan,
    tiny_samples,
)

ARCHITECTURES = ("llama", "qwen2", "qwen3")


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("first", [0, 1, 2])
def test_the_cut_model_is_the_whole_model(architecture: str, first: int) -> None:
    whole = tiny_causal(architecture)
    network = Network(
        tiny_causal(architecture),
        tiny_plan(architecture=architecture, first_layer=first, layer_count=3 - first),
    )
    samples = tiny_samples(5)
    batch = network.batch(samples)
    losses = network.nll(batch)
    expected = []
    for sample in samples:  # alone, uncut, unpadded, with transformers' own logits
        logits = whole(input_ids=torch.tensor([sample.ids])).logits[0, sample.start - 1 : -1]
        expected.append(
            F.cross_entropy(logits, torch.tensor(sample.ids[sample.start :]), reduction="none")
        )
    assert torch.allclose(losses, torch.cat(expected), rtol=1e-12, atol=1e-12)
    assert network.names[0] == f"model.layers.{first}.self_attn.q_proj"
    assert len(network.names) == (3 - first) * len(MODULES)


def test_a_fresh_lora_changes_nothing_and_a_trained_one_is_its_delta() -> None:
    samples = tiny_samples(4)
    plain = tiny_network()
    before = plain.nll(plain.batch(samples))
    fresh = tiny_network()
    fresh.attach()
    assert torch.equal(fresh.nll(fresh.batch(samples)), before)
    trained = randomised(tiny_network())
    merged = tiny_network()
    merged.merge(trained.delta())
    assert not torch.allclose(merged.nll(merged.batch(samples)), before, rtol=1e-3)
    assert torch.allclose(
        merged.nll(merged.batch(samples)), trained.nll(trained.batch(samples)), rtol=1e-10
    )


def test_merging_below_the_cut_forgets_the_kept_states() -> None:
    """An adapter of an earlier plan may change layers that are frozen now."""
    samples = tiny_samples(3)
    change = {
        "model.layers.0.mlp.up_proj": WeightChange(
            torch.randn(2, 16, dtype=torch.float64), torch.randn(24, 2, dtype=torch.float64)
        )
    }
    network, whole = tiny_network(), tiny_network(first_layer=0, layer_count=3)
    network.batch(samples)
    network.merge(change)
    whole.merge(change)
    assert torch.allclose(
        network.nll(network.batch(samples)), whole.nll(whole.batch(samples)), rtol=1e-12
    )


def test_an_adapter_of_another_shape_is_refused() -> None:
    with pytest.raises(ModelError, match="another shape"):
        tiny_network().merge(
            {"model.layers.1.mlp.up_proj": WeightChange(torch.zeros(2, 8), torch.zeros(24, 2))}
        )
    with pytest.raises(ModelError, match="not the name of a module"):
        tiny_network().merge({"lm_head": WeightChange(torch.zeros(2, 8), torch.zeros(24, 2))})


def test_the_head_matches_cross_entropy_and_its_gradient() -> None:
    torch.manual_seed(0)
    rows = torch.randn(9, 16, dtype=torch.float64, requires_grad=True)
    head = torch.randn(VOCABULARY, 16, dtype=torch.float64)
    labels = torch.randint(VOCABULARY, (9,))
    _, losses, gradients = head_pass(rows.detach(), head, labels)
    expected = F.cross_entropy(rows @ head.T, labels, reduction="none")
    assert torch.allclose(losses, expected, rtol=1e-12)
    assert torch.allclose(gradients, torch.autograd.grad(expected.sum(), rows)[0], rtol=1e-10)
    huge = head_pass(rows.detach() * 1e4, head, labels)[1]
    assert torch.allclose(huge, F.cross_entropy(rows * 1e4 @ head.T, labels, reduction="none"))


@pytest.mark.parametrize("vocabulary", [37, 48, 1024])
def test_labels_are_drawn_by_inversion(vocabulary: int) -> None:
    """The same label as a plain running sum over the whole vocabulary gives, and so the model's
    distribution.
    """
    torch.manual_seed(1)
    rows, head = (torch.randn(n, 8, dtype=torch.float64) for n in (2000, vocabulary))
    uniform = torch.rand(2000, dtype=torch.float64)
    labels, losses, _ = head_pass(rows, head, uniform=uniform, gradient=False)
    probabilities = torch.softmax(rows @ head.T, -1)
    assert torch.equal(labels, (probabilities.cumsum(-1) <= uniform[:, None]).sum(-1))
    assert torch.allclose(losses, -probabilities.gather(1, labels[:, None])[:, 0].log())


def test_lower_precision_touches_only_frozen_linear_weights() -> None:
    network = Network(tiny_causal(dtype=torch.float32), tiny_plan(dtype="bfloat16"))
    network.lower_precision()
    network.attach()
    assert network.head.dtype == torch.bfloat16
    assert network.causal.model.norm.weight.dtype == torch.float32
    assert network.lower.embed_tokens.weight.dtype == torch.float32
    assert {part.dtype for pair in network.factors().values() for part in pair} == {torch.float32}
    samples = tiny_samples(4)
    exact = tiny_network(dtype="float32")
    difference = network.nll(network.batch(samples)) - exact.nll(exact.batch(samples))
    assert 0 < difference.abs().mean() < 0.1


def test_adapter_files_keep_everything(tmp_path: Path) -> None:
    delta = randomised(tiny_network(dtype="float32")).delta()
    save_adapter(tmp_path / "adapter.safetensors", delta, "base")
    loaded = load_adapter(tmp_path / "adapter.safetensors", "base")
    assert loaded.keys() == delta.keys()
    assert all(
        torch.equal(loaded[n].A, delta[n].A) and torch.equal(loaded[n].B, delta[n].B) for n in delta
    )
    with pytest.raises(ModelError, match="another base"):
        load_adapter(tmp_path / "adapter.safetensors", "other")
    (tmp_path / "torn.safetensors").write_bytes(
        (tmp_path / "adapter.safetensors").read_bytes()[:200]
    )
    with pytest.raises(ModelError, match="cannot be read"):
        load_adapter(tmp_path / "torn.safetensors", "base")
    with pytest.raises(NotFound, match="no adapter"):
        load_adapter(tmp_path / "absent.safetensors", "base")


def test_full_precision_weights_load_from_their_directory(tmp_path: Path) -> None:
    causal = tiny_causal(dtype=torch.float32)
    causal.save_pretrained(tmp_path)
    network = load_trainable(tiny_plan(base_weights=str(tmp_path), dtype="float32"))
    same = Network(tiny_causal(dtype=torch.float32), tiny_plan(dtype="float32"))
    samples = tiny_samples(3)
    assert torch.equal(network.nll(network.batch(samples)), same.nll(same.batch(samples)))


def test_what_cannot_be_loaded_says_so(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="cannot be loaded"):
        load_trainable(tiny_plan(base_weights=str(tmp_path)))
    with pytest.raises(UnsupportedArchitecture, match="gemma3"):
        load_trainable(tiny_plan(architecture="gemma3"))
    if not torch.cuda.is_available():
        with pytest.raises(TrainingError, match="no CUDA device"):
            load_trainable(tiny_plan(device="cuda:0"))


def test_kept_states_are_those_of_the_sequence_as_it_is_cut() -> None:
    """Networks on one base share them, and another plan may cut the same sequence elsewhere."""
    states: States = {}
    (whole,) = tiny_samples(1)
    short = replace(whole, ids=whole.ids[:-2])
    for sample in (short, whole, short):
        network = Network(tiny_causal(), tiny_plan(), states=states)
        assert len(network.states(sample)) == len(sample.ids)
        assert torch.equal(
            network.nll(network.batch([sample])), tiny_network().nll(tiny_network().batch([sample]))
        )
