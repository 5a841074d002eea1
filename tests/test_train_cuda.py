"""What only a GPU can show: bfloat16, 4 bits, NCCL and Unsloth there compute what the plain model computes on a CPU. Skipped where there is none.

Each runs in a process of its own, as the worker does: Unsloth must come before transformers. None of these was run by this project yet.
"""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from qi_learn import codec
from qi_learn.records import TrainResult
from tests.test_train_ranks import _run, _work
from tests.tiny_models import write_tiny_model
from tests.train_models import tiny_plan

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")]

WEIGHTS = """
import sys, torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM
torch.manual_seed(0)
config = Qwen2Config(vocab_size=512, hidden_size=128, intermediate_size=256, num_hidden_layers=4, num_attention_heads=4, num_key_value_heads=2,
    max_position_embeddings=512, initializer_range=0.1, tie_word_embeddings=False)
Qwen2ForCausalLM(config).to(torch.bfloat16).save_pretrained(sys.argv[1])
tokenizer = Tokenizer(models.BPE(vocab={c: n for n, c in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}, merges=[]))
tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
tokenizer.add_special_tokens(["<|endoftext|>"])
PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|endoftext|>", pad_token="<|endoftext|>").save_pretrained(sys.argv[1])
"""
PASS = """
import json, sys
from pathlib import Path
import torch
from qi_learn import codec
from qi_learn.records import Plan
plan = codec.loads(Plan, Path(sys.argv[1]).read_text())
if plan.backend == "unsloth":
    from qi_learn.train.backend import import_unsloth
    import_unsloth(Path(sys.argv[1]).parent, cuda=True)
from qi_learn.train.batches import Sample
from qi_learn.train.model import load_trainable
network = load_trainable(plan)
network.lower_precision()
torch.manual_seed(0)
network.attach()
generator = torch.Generator().manual_seed(1)
for A, B in network.factors().values():
    A.data.copy_(torch.randn(A.shape, generator=generator) / 8)
    B.data.copy_(torch.randn(B.shape, generator=generator) / 8)
batch = network.batch([Sample(str(n), tuple(torch.randint(512, (48 + n,), generator=generator).tolist()), 8) for n in range(4)])
losses = network.nll(batch)
(losses.sum() / len(batch.labels)).backward()
gradients = torch.cat([value.grad.flatten().float().cpu() for pair in network.factors().values() for value in pair])
torch.save({"losses": losses.detach().float().cpu(), "gradients": gradients}, sys.argv[2])
"""


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("weights")
    subprocess.run([sys.executable, "-c", WEIGHTS, str(place)], check=True)
    return place


def _pass(place: Path, weights: Path, **changes: object) -> dict[str, torch.Tensor]:
    """Losses and gradients of one batch under a plan, in a process of its own."""
    made: dict[str, object] = {"architecture": "qwen2", "base_weights": str(weights), "first_layer": 0, "layer_count": 4, "dtype": "bfloat16", **changes}
    place.mkdir()
    (place / "plan.json").write_text(codec.dumps(tiny_plan(**made)))
    subprocess.run([sys.executable, "-c", PASS, str(place / "plan.json"), str(place / "found.pt")], check=True)
    found: dict[str, torch.Tensor] = torch.load(place / "found.pt", weights_only=True)
    return found


def _close(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor], tolerance: float) -> None:
    assert torch.allclose(one["losses"].mean(), other["losses"].mean(), rtol=tolerance)
    assert torch.cosine_similarity(one["gradients"], other["gradients"], dim=0) > 1 - tolerance
    assert torch.allclose(one["gradients"].norm(), other["gradients"].norm(), rtol=2 * tolerance)


def test_bfloat16_on_the_gpu_is_the_cpus_float32(weights: Path, tmp_path: Path) -> None:
    exact = _pass(tmp_path / "cpu", weights, dtype="float32")
    _close(exact, _pass(tmp_path / "gpu", weights, device="cuda:0"), 0.02)
    _close(exact, _pass(tmp_path / "twice", weights, device="cuda:0", gradient_checkpointing=True), 0.02)


@pytest.mark.skipif(importlib.util.find_spec("bitsandbytes") is None, reason="the extra `qlora` is not installed")
def test_four_bits_on_the_gpu_are_near_the_base(weights: Path, tmp_path: Path) -> None:
    exact = _pass(tmp_path / "cpu", weights, dtype="float32")
    _close(exact, _pass(tmp_path / "gpu", weights, device="cuda:0", four_bit=True), 0.15)


@pytest.mark.skipif(importlib.util.find_spec("unsloth") is None, reason="Unsloth is not installed")
@pytest.mark.parametrize("checkpointing", [False, True])
def test_unsloth_computes_the_plain_losses_and_gradients(weights: Path, tmp_path: Path, checkpointing: bool) -> None:
    plain = _pass(tmp_path / "plain", weights, device="cuda:0")
    _close(plain, _pass(tmp_path / "unsloth", weights, device="cuda:0", backend="unsloth", gradient_checkpointing=checkpointing), 0.02)


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="one GPU alone")
def test_two_gpus_learn_what_one_learns(tmp_path: Path) -> None:
    base = write_tiny_model(tmp_path / "sha256-abc", layers=3, tensor_type="Q4_0")
    plan = tiny_plan(base_gguf=str(base), dtype="bfloat16", device="cuda:0", max_steps=6, batch_size=2, accumulation=4)
    results = []
    for name, devices in (("one", ()), ("two", ("cuda:0", "cuda:1"))):
        run = _run(tmp_path / name, replace(plan, devices=devices))
        code, err = _work(run)
        assert code == 0, err
        results.append(codec.loads(TrainResult, (run / "result.json").read_text()))
    assert results[1].dev_loss == pytest.approx(results[0].dev_loss, rel=0.02)
    assert json.loads((tmp_path / "two" / "trained.json").read_text())["trained"]["stopped"] == "steps"
