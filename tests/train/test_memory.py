"""Less memory for the same training: layers computed twice, a base in four bits, and what a worker
without memory gives up.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from qi_learn import codec
from qi_learn.cycle.training import run_worker
from qi_learn.errors import Stopped, ToolMissing, TrainingError
from qi_learn.plan.fallback import read_rungs
from qi_learn.records import TrainResult
from qi_learn.rundir.directory import RunDirectory
from qi_learn.train import calibrate
from qi_learn.train.adapter import WeightChange
from qi_learn.train.factor import Form
from qi_learn.train.fisher_estimate import estimate
from qi_learn.train.loop import Data
from qi_learn.train.network import Network
from qi_learn.train.protection import Prior
from qi_learn.train.run import stage
from qi_learn.train.training_run import TrainingRun
from tests.support.tiny_models import write_tiny_model
from tests.support.tiny_training import (
    one_thread,  # noqa: F401 - a fixture
    randomised,
    tiny_causal,
    tiny_network,
    tiny_plan,
    tiny_samples,
)
from tests.support.training_runs import snapshot_of, write_run

EXACT = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"}
"""glibc then takes every tensor's memory from the system and gives it back: what is held is what is
used (its own thresholds move with what came before).
"""
PEAK = """
import ctypes, os, sys
from pathlib import Path
import torch
from transformers import AutoConfig, AutoModelForCausalLM
from qi_learn.outside.process import peak_resident
from qi_learn.plan.schedule import Sample
from qi_learn.train.network import Network
from tests.support.tiny_training import tiny_plan

config = AutoConfig.for_model(
    "llama",
    vocab_size=64,
    hidden_size=64,
    intermediate_size=256,
    num_hidden_layers=16,
    num_attention_heads=4,
    num_key_value_heads=2,
    head_dim=16,
    max_position_embeddings=512,
    pad_token_id=None,
    bos_token_id=None,
    eos_token_id=None,
)
twice = bool(os.fork())  # each way in a process of its own; what they load is loaded once
torch.set_num_threads(1)
torch.manual_seed(0)
causal = AutoModelForCausalLM.from_config(config, attn_implementation="eager", dtype=torch.float32)
network = Network(
    causal,
    tiny_plan(dtype="float32", first_layer=0, layer_count=16, gradient_checkpointing=twice),
)
network.attach()
batch = network.batch([Sample(str(n), tuple(range(64)) * 4, 8) for n in range(2)])
# what imports left free must not be taken for growth that did not happen
ctypes.CDLL(None).malloc_trim(0)
# the peak begins anew from what is held now (proc(5)): imports had one of their own
Path("/proc/self/clear_refs").write_text("5")
before = peak_resident()
network.nll(batch).sum().backward()
grown = peak_resident() - before
gradient = float(next(iter(network.factors().values()))[1].grad.abs().sum())
os.write(1, f"{twice} {grown} {gradient}\\n".encode())
if twice:
    sys.exit(os.waitstatus_to_exitcode(os.wait()[1]))
"""


def _gradients(network: Network) -> dict[str, torch.Tensor]:
    batch = network.batch(tiny_samples(6))
    (network.nll(batch) * batch.weights).sum().backward()  # type: ignore[no-untyped-call]
    return {
        f"{name}.{part}": value.grad
        for name, pair in network.factors().items()
        for part, value in zip("AB", pair, strict=True)
        if value.grad is not None
    }


@pytest.mark.parametrize("architecture", ["llama", "qwen2", "qwen3"])
@pytest.mark.parametrize("first", [0, 1])
def test_computing_a_layer_twice_changes_no_gradient(architecture: str, first: int) -> None:
    plain, twice = (
        _gradients(
            randomised(
                tiny_network(
                    architecture,
                    first_layer=first,
                    layer_count=3 - first,
                    gradient_checkpointing=on,
                )
            )
        )
        for on in (False, True)
    )
    assert plain.keys() == twice.keys()
    assert len(plain) == 2 * 7 * (3 - first)
    assert all(torch.allclose(plain[name], twice[name], rtol=1e-12, atol=1e-15) for name in plain)


@pytest.mark.parametrize("form", ["kfac", "diagonal"])
def test_the_fisher_counts_each_position_once(form: Form) -> None:
    plain, twice = (
        estimate(
            randomised(tiny_network(gradient_checkpointing=on)),
            tiny_samples(5),
            form=form,
            seed=1,
            batch_tokens=40,
        )
        for on in (False, True)
    )
    for name, both in plain.modules.items():
        for side in ("S", "C"):
            one, other = getattr(both, side).parts(), getattr(twice.modules[name], side).parts()
            assert one.keys() == other.keys()
            assert all(torch.allclose(one[part], other[part], rtol=1e-12) for part in one)


def test_nothing_is_computed_twice_where_nothing_is_learned() -> None:
    calls = []
    network = Network(tiny_causal(), tiny_plan(gradient_checkpointing=True))
    network.causal.model.layers[0].mlp.register_forward_hook(lambda *_: calls.append(1))
    with torch.no_grad():
        network.nll(network.batch(tiny_samples(2)))
    assert len(calls) == 1


def test_a_peak_is_the_programs_own() -> None:
    """A large process starts a small one: what the large one held is not the small one's."""
    small = "from qi_learn.outside.process import peak_resident; print(peak_resident())"
    large = (
        "import subprocess, sys; held = bytes(300 << 20); "
        f"subprocess.run([sys.executable, '-c', {small!r}], check=True)"
    )
    done = subprocess.run([sys.executable, "-c", large], capture_output=True, text=True, check=True)
    assert 1 << 20 < int(done.stdout) < 200 << 20


def test_the_peak_of_the_process_falls() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PEAK],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | EXACT,
    )
    lines = (line.split() for line in done.stdout.splitlines())
    peaks = {twice: (int(grown), float(gradient)) for twice, grown, gradient in lines}
    assert peaks["True"][1] == pytest.approx(peaks["False"][1], rel=1e-4)
    assert peaks["True"][0] < 0.5 * peaks["False"][0]


# --- four bits (bitsandbytes also computes on a CPU) ----------------------------------------------

BLOCK = 64
"""Numbers that share a scale. bitsandbytes 0.50.2 reads matrices with shorter rows back wrongly on
a CPU (by 53 % in place of 9 %).
"""


def test_four_bits_are_frozen_trained_on_and_listened_to() -> None:
    """Against a network whose weights are the numbers that the four bits stand for."""
    bitsandbytes = pytest.importorskip("bitsandbytes", reason="the extra `qlora` is not installed")
    plain, small = (
        Network(
            tiny_causal(width=BLOCK, dtype=torch.float32), tiny_plan(dtype="bfloat16", four_bit=on)
        )
        for on in (False, True)
    )
    served = {small.names[0]: WeightChange(torch.ones(1, BLOCK), torch.full((BLOCK, 1), 0.1))}
    small.merge(served)  # before anything is quantised
    small.lower_precision()
    small.lower_precision()  # as after a Fisher of the same network
    for whole, quantised in ((plain.lower, small.lower), (plain.causal, small.causal)):
        for name, module in quantised.named_modules():
            if isinstance(module, bitsandbytes.nn.Linear4bit):
                read = bitsandbytes.functional.dequantize_4bit(
                    module.weight.data, module.weight.quant_state
                )
                whole.get_submodule(name).weight.data = read.float()
    plain.lower_precision()
    losses, gradients = [], []
    for network in (plain, small):
        torch.manual_seed(0)
        network.attach()
        batch = network.batch(tiny_samples(8))
        loss = network.nll(batch).mean()
        loss.backward()  # type: ignore[no-untyped-call]
        losses.append(float(loss.detach()))
        gradients.append(
            torch.cat(
                [B.grad.flatten() for _, B in network.factors().values() if B.grad is not None]
            )
        )
    packed = small.module(small.names[0])
    assert packed.base_layer.weight.dtype == torch.uint8  # type: ignore[union-attr]
    assert losses[1] == pytest.approx(losses[0], rel=0.01)
    assert torch.cosine_similarity(gradients[0], gradients[1], dim=0) > 0.99
    assert all(value.dtype == torch.float32 for pair in small.factors().values() for value in pair)
    assert estimate(small, tiny_samples(4), form="diagonal", seed=0, batch_tokens=64).tokens > 0


def test_in_four_bits_a_move_from_the_base_is_measured_where_the_base_is_what_is_trained_on(
    tmp_path: Path,
) -> None:
    pytest.importorskip("bitsandbytes", reason="the extra `qlora` is not installed")
    plan = tiny_plan(dtype="bfloat16", four_bit=True, lambda_general=0.0, lambda_past=0.0)
    data = Data(tiny_samples(8), yardsticks=tiny_samples(4, seed=9))
    network = Network(tiny_causal(width=BLOCK, dtype=torch.float32), plan)
    first = stage(network, plan, data, TrainingRun(tmp_path), Prior())
    assert first.divergence_general is not None
    assert 0 < first.divergence_general.measured < 1.0
    rounded = calibrate.yardstick(
        Network(tiny_causal(width=BLOCK, dtype=torch.float32), plan), data.yardsticks
    )
    assert rounded is not None
    whole = calibrate.measure_divergence(network, rounded, None)
    assert whole is not None
    assert whole.measured != first.divergence_general.measured, (
        "else the rounding to four bits would count as a move"
    )
    (tmp_path / "second").mkdir()
    again = stage(
        Network(tiny_causal(width=BLOCK, dtype=torch.float32), plan),
        plan,
        data,
        TrainingRun(tmp_path / "second"),
        Prior(network.delta()),
    )
    assert again.divergence_general is None


def test_without_bitsandbytes_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)  # an import of it fails
    with pytest.raises(ToolMissing) as missing:
        Network(tiny_causal(), tiny_plan(four_bit=True)).lower_precision()
    assert "Install the extra `qlora`" in missing.value.hint
    assert "[qlora]" in missing.value.hint


# --- a worker without memory ----------------------------------------------------------------------


def _limited(program: Path, kilobytes: int) -> str:
    """An interpreter that may not have more memory of its own than that, by the system's limit."""
    program.write_text(f'#!/bin/sh\nulimit -d {kilobytes}\nexec {sys.executable} "$@"\n')
    program.chmod(0o755)
    return str(program)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not enforce RLIMIT_DATA")
def test_too_little_memory_halves_the_batch_and_the_run_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Eight sequences of 512 tokens with sixteen heads need 1.50 GB of data (measured), four need
    1.22 GB, and the limit is between.
    """
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    base = write_tiny_model(tmp_path / "base.gguf", layers=2, width=64, heads=16, kv_heads=2)
    plan = tiny_plan(
        base_gguf=str(base),
        dtype="float32",
        first_layer=0,
        layer_count=2,
        batch_size=8,
        accumulation=1,
        max_length=512,
        max_steps=2,
        lambda_general=0.0,
    )
    run = RunDirectory(write_run(tmp_path / "run", plan, snapshot_of(*[512] * 8)))
    run_worker(run, _limited(tmp_path / "python", 1_350_000), lock=run.hold() or 0)
    assert codec.loads(TrainResult, run.result.read_text()).steps == 2
    (rung,) = read_rungs(run.path).rungs
    assert rung.changes == {"batch_size": 4, "accumulation": 2}
    assert "Not enough memory to train on cpu: 8 sequences" in rung.reason
    assert [line["now"] for line in run.history() if line["state"] == "adapted"] == [
        "4 sequences at a time instead of 8, in the same steps of 8"
    ]


def test_a_worker_that_is_killed_steps_down_and_waits_in_the_end(tmp_path: Path) -> None:
    """The system's own way to make room is a SIGKILL: the interpreter here does that to itself."""
    run = RunDirectory(
        write_run(tmp_path / "run", tiny_plan(batch_size=1, accumulation=8), snapshot_of(40))
    )
    dying = tmp_path / "python"
    dying.write_text("#!/bin/sh\nkill -9 $$\n")
    dying.chmod(0o755)
    lock = run.hold() or 0
    with pytest.raises(
        Stopped, match="too little memory to train now: the worker was killed by signal 9"
    ):
        run_worker(run, str(dying), lock=lock)
    # checkpointing; then nothing
    assert [bool(rung.changes) for rung in read_rungs(run.path).rungs] == [True, False]
    for _ in range(10):
        with pytest.raises(Stopped):
            run_worker(run, str(dying), lock=lock)
    with pytest.raises(TrainingError, match="too little memory 12 times"):
        run_worker(run, str(dying), lock=lock)
