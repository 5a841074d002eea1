"""What only a GPU can show: bfloat16, 4 bits, NCCL and Unsloth there compute what the plain model
computes on a CPU. Skipped without a GPU.

Each runs in a process of its own, as the worker does: Unsloth must come before transformers.
"""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from qi_learn import codec
from qi_learn.cycle.training import run_worker
from qi_learn.outside.gpu import find_devices, find_gpu
from qi_learn.plan.fallback import read_rungs
from qi_learn.records import TrainResult
from qi_learn.rundir.directory import RunDirectory
from qi_learn.train.fisher import load_fisher
from tests.support.tiny_models import write_tiny_model
from tests.support.tiny_training import tiny_plan
from tests.support.training_runs import DIGEST, snapshot_of, work, write_run
from tests.train.test_ranks import _run

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
]

WEIGHTS = """
import sys, torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM
torch.manual_seed(0)
config = Qwen2Config(
    vocab_size=512,
    hidden_size=128,
    intermediate_size=256,
    num_hidden_layers=4,
    num_attention_heads=4,
    num_key_value_heads=2,
    max_position_embeddings=512,
    initializer_range=0.1,
    tie_word_embeddings=False,
)
Qwen2ForCausalLM(config).to(torch.bfloat16).save_pretrained(sys.argv[1])
letters = sorted(pre_tokenizers.ByteLevel.alphabet())
tokenizer = Tokenizer(models.BPE(vocab={c: n for n, c in enumerate(letters)}, merges=[]))
tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
tokenizer.decoder = decoders.ByteLevel()
end = "<|endoftext|>"
tokenizer.add_special_tokens([end])
wrapped = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token=end, pad_token=end)
wrapped.save_pretrained(sys.argv[1])
"""
PASS = """
import json, sys
from pathlib import Path
import torch
from qi_learn import codec
from qi_learn.records import Plan
plan = codec.loads(Plan, Path(sys.argv[1]).read_text())
if plan.hardware.backend == "unsloth":
    from qi_learn.plan.backend import import_unsloth
    import_unsloth(Path(sys.argv[1]).parent, cuda=True)
from qi_learn.plan.schedule import Sample
from qi_learn.train.load import load_trainable
network = load_trainable(plan)
network.lower_precision()
torch.manual_seed(0)
network.attach()
generator = torch.Generator().manual_seed(1)
for A, B in network.factors().values():
    A.data.copy_(torch.randn(A.shape, generator=generator) / 8)
    B.data.copy_(torch.randn(B.shape, generator=generator) / 8)
tokens = [torch.randint(512, (48 + n,), generator=generator).tolist() for n in range(4)]
batch = network.batch([Sample(str(n), tuple(ids), 8) for n, ids in enumerate(tokens)])
losses = network.nll(batch)
(losses.sum() / len(batch.labels)).backward()
gradients = torch.cat([value.grad.flatten().float().cpu() for value in network.parameters])
torch.save({"losses": losses.detach().float().cpu(), "gradients": gradients}, sys.argv[2])
"""


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("weights")
    subprocess.run([sys.executable, "-c", WEIGHTS, str(directory)], check=True)
    return directory


def _pass(directory: Path, weights: Path, **changes: object) -> dict[str, torch.Tensor]:
    """Losses and gradients of one batch under a plan, in a process of its own."""
    made: dict[str, object] = {
        "architecture": "qwen2",
        "base_weights": str(weights),
        "first_layer": 0,
        "layer_count": 4,
        "dtype": "bfloat16",
        **changes,
    }
    directory.mkdir()
    plan, saved = directory / "plan.json", directory / "pass.pt"
    plan.write_text(codec.dumps(tiny_plan(**made)))
    subprocess.run([sys.executable, "-c", PASS, str(plan), str(saved)], check=True)
    numbers: dict[str, torch.Tensor] = torch.load(saved, weights_only=True)
    return numbers


def _close(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor], tolerance: float) -> None:
    assert torch.allclose(one["losses"].mean(), other["losses"].mean(), rtol=tolerance)
    assert torch.cosine_similarity(one["gradients"], other["gradients"], dim=0) > 1 - tolerance
    assert torch.allclose(one["gradients"].norm(), other["gradients"].norm(), rtol=2 * tolerance)


def _learned(run: Path) -> TrainResult:
    """The result of a run that the worker ends."""
    code, _, err = work(run)
    assert code == 0, err
    return codec.loads(TrainResult, (run / "result.json").read_text())


def test_the_gpu_is_seen_without_torch_as_torch_sees_it() -> None:
    seen, facts = find_devices()[0], torch.cuda.get_device_properties(0)
    assert (seen.kind, seen.name, seen.torch_name) == ("cuda", facts.name, "cuda:0")
    assert seen.total == pytest.approx(facts.total_memory, rel=0.05)
    assert 0 < seen.free <= seen.total
    assert seen.bf16 == torch.cuda.is_bf16_supported(including_emulation=False)
    again = find_gpu(seen.uuid)
    assert again is not None
    assert again.index == seen.index


def test_a_run_on_the_gpu_learns_what_one_on_the_cpu_learns(tmp_path: Path) -> None:
    """From a GGUF's own weights, with the penalty on the change since the base: dev loss, the
    Fishers, and how far it moved.
    """
    base = write_tiny_model(tmp_path / "sha256-abc", layers=3, tensor_type="Q4_0")
    runs, results = [], []
    for name, changes in (
        ("cpu", {"dtype": "float32"}),
        ("gpu", {"dtype": "bfloat16", "device": "cuda:0"}),
    ):
        plan = tiny_plan(base_gguf=str(base), max_steps=6, batch_size=2, accumulation=4, **changes)
        runs.append(_run(tmp_path / name, plan))
        results.append(_learned(runs[-1]))
    cpu, gpu = results
    assert gpu.dev_loss == pytest.approx(cpu.dev_loss, rel=0.02)
    assert cpu.divergence_general is not None
    assert gpu.divergence_general is not None
    assert gpu.divergence_general.measured == pytest.approx(
        cpu.divergence_general.measured, rel=0.15
    )
    one, other = (load_fisher(run / "general.safetensors", DIGEST) for run in runs)
    assert other.tokens == one.tokens
    for name, both in one.modules.items():
        for side in ("S", "C"):
            parts = getattr(both, side).parts()
            for key, value in getattr(other.modules[name], side).parts().items():
                assert (
                    torch.cosine_similarity(
                        value.flatten().float(), parts[key].flatten().float(), dim=0
                    )
                    > 0.9
                ), (name, side, key)


def test_a_gpu_without_memory_is_given_fewer_sequences(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three quarters of what the run needs as planned, which is found out first; the limit is the
    allocator's own.
    """
    base = write_tiny_model(tmp_path / "base.gguf", layers=4, width=256, feed=1024)
    plan = tiny_plan(
        base_gguf=str(base),
        device="cuda:0",
        dtype="bfloat16",
        first_layer=0,
        layer_count=4,
        batch_size=8,
        accumulation=1,
        max_length=512,
        max_steps=2,
        lambda_general=0.0,
    )
    peaks = []
    for name in ("whole", "limited"):
        run = RunDirectory(write_run(tmp_path / name, plan, snapshot_of(*[512] * 8)))
        run_worker(run, sys.executable, lock=run.hold() or 0, gpus=[find_devices()[0].uuid])
        result = codec.loads(TrainResult, run.result.read_text())
        assert result.steps == 2
        peaks.append(result.peak_memory_mb)
        share = 0.75 * peaks[0] * 2**20 / torch.cuda.get_device_properties(0).total_memory
        monkeypatch.setenv("PYTORCH_CUDA_ALLOC_CONF", f"per_process_memory_fraction:{share:.9f}")
    first = read_rungs(run.path).rungs[0]
    assert not (tmp_path / "whole" / "adapted.json").exists()
    assert first.changes == {"batch_size": 4, "accumulation": 2}
    assert "Not enough memory to train on cuda:0: 8 sequences" in first.reason
    assert peaks[1] < 0.75 * peaks[0]


def test_bfloat16_on_the_gpu_is_the_cpus_float32(weights: Path, tmp_path: Path) -> None:
    exact = _pass(tmp_path / "cpu", weights, dtype="float32")
    _close(exact, _pass(tmp_path / "gpu", weights, device="cuda:0"), 0.02)
    _close(
        exact,
        _pass(tmp_path / "twice", weights, device="cuda:0", gradient_checkpointing=True),
        0.02,
    )


@pytest.mark.skipif(
    importlib.util.find_spec("bitsandbytes") is None, reason="the extra `qlora` is not installed"
)
def test_four_bits_on_the_gpu_are_the_cpus(weights: Path, tmp_path: Path) -> None:
    """Both read the same rounded weights; how far those are from the base's is the base's own
    matter (in a random model very far).
    """
    _close(
        _pass(tmp_path / "cpu", weights, four_bit=True),
        _pass(tmp_path / "gpu", weights, device="cuda:0", four_bit=True),
        0.02,
    )


@pytest.mark.skipif(importlib.util.find_spec("unsloth") is None, reason="Unsloth is not installed")
@pytest.mark.parametrize("checkpointing", [False, True])
def test_unsloth_computes_the_plain_losses_and_gradients(
    weights: Path, tmp_path: Path, checkpointing: bool
) -> None:
    plain = _pass(tmp_path / "plain", weights, device="cuda:0")
    _close(
        plain,
        _pass(
            tmp_path / "unsloth",
            weights,
            device="cuda:0",
            backend="unsloth",
            gradient_checkpointing=checkpointing,
        ),
        0.02,
    )


@pytest.mark.skipif(importlib.util.find_spec("unsloth") is None, reason="Unsloth is not installed")
def test_unsloth_carries_a_whole_run(weights: Path, tmp_path: Path) -> None:
    """In its three parts: the Fishers are the plain model's, and what it learned is what the plain
    backend learns.
    """
    results = []
    for backend in ("plain", "unsloth"):
        plan = tiny_plan(
            base_weights=str(weights),
            architecture="qwen2",
            device="cuda:0",
            dtype="bfloat16",
            first_layer=0,
            layer_count=4,
            max_steps=6,
            backend=backend,
        )
        results.append(_learned(_run(tmp_path / backend, plan)))
    # else it fell back to the plain backend
    assert not (tmp_path / "unsloth" / "adapted.json").exists(), read_rungs(tmp_path / "unsloth")
    assert (tmp_path / "unsloth" / "unsloth").is_dir()
    assert results[1].dev_loss == pytest.approx(results[0].dev_loss, rel=0.02)
    assert results[1].divergence_general is not None


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="one GPU alone")
def test_two_gpus_learn_what_one_learns(tmp_path: Path) -> None:
    base = write_tiny_model(tmp_path / "sha256-abc", layers=3, tensor_type="Q4_0")
    plan = tiny_plan(
        base_gguf=str(base),
        dtype="bfloat16",
        device="cuda:0",
        max_steps=6,
        batch_size=2,
        accumulation=4,
    )
    results = []
    for name, devices in (("one", ()), ("two", ("cuda:0", "cuda:1"))):
        results.append(_learned(_run(tmp_path / name, codec.changed(plan, devices=devices))))
    assert results[1].dev_loss == pytest.approx(results[0].dev_loss, rel=0.02)
    assert (
        json.loads((tmp_path / "two" / "trained.json").read_text())["trained"]["stopped"] == "steps"
    )
