"""How fast a GPU trains a LoRA, and in how much memory: plain PEFT, Unsloth, and ours with EWC.

All on one random-weight model of the shape of Qwen2.5-7B, without a download:

    plain    transformers and PEFT as their documentation has it: the whole model, its own loss,
             AdamW
    unsloth  the same loop on Unsloth's model, if Unsloth is installed (`--unsloth-python`: in
             another environment)
    ours     qi-learn's own loop with both EWC penalties; `ours_unsloth`: the same on Unsloth's
             model

Each way runs in a process of its own, on the same sequences, rank and number of sequences at a
time; what is timed begins after two steps. Weights are random, so losses mean nothing. `--tiny`
does it with a toy on the CPU, to see that it works. The last line is one JSON object; a way that
was not run has `null` and its reason.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from qi_learn import codec
from qi_learn.records import Plan

WAYS = ("plain", "unsloth", "ours", "ours_unsloth")
SEVEN = {
    "hidden_size": 3584,
    "intermediate_size": 18944,
    "num_hidden_layers": 28,
    "num_attention_heads": 28,
    "num_key_value_heads": 4,
    "vocab_size": 152064,
}
TINY = {
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 512,
}
MODULES = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
WARM_UP = 2


def main() -> None:
    options = _options()
    if options.way:
        print(json.dumps(_one(options)))
        return
    if not options.tiny and not torch.cuda.is_available():
        sys.exit(
            "bench train_gpu: this Python's torch sees no CUDA device, so nothing is measured "
            "(--tiny runs a toy on the CPU)"
        )
    with tempfile.TemporaryDirectory(prefix="bench-train-") as directory:
        results = {way: _child(options, way, Path(directory)) for way in options.ways or WAYS}
    _print_table(results)
    measured = {way: result for way, result in results.items() if "tokens_per_second" in result}
    print(
        json.dumps(
            {
                "device": next(iter(measured.values()))["device"] if measured else None,
                "tiny": options.tiny,
                **{
                    key: {way: result.get(key) for way, result in results.items()}
                    for key in ("tokens_per_second", "peak_memory_mb", "fisher_seconds")
                },
                "not_run": {
                    way: result["why"] for way, result in results.items() if "why" in result
                },
                "sequences": options.sequences,
                "tokens": options.tokens,
                "at_once": options.at_once,
                "rank": options.rank,
                "fisher": options.fisher,
                "steps": options.steps,
                "torch": torch.__version__,
            }
        )
    )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tiny", action="store_true", help="a toy model on the CPU")
    parser.add_argument("--steps", type=int, default=8, help="optimiser steps that are timed")
    parser.add_argument("--sequences", type=int, default=8, help="sequences of a step")
    parser.add_argument("--at-once", type=int, default=2, help="sequences in one pass")
    parser.add_argument(
        "--tokens", type=int, default=512, help="length of a sequence; the second half is learned"
    )
    parser.add_argument("--rank", type=int, default=16)
    parser.add_argument(
        "--fisher", choices=("diagonal", "kfac"), default="diagonal", help="form of the penalties"
    )
    parser.add_argument(
        "--checkpointing", action="store_true", help="compute each layer twice (every way)"
    )
    parser.add_argument("--ways", nargs="+", choices=WAYS, help="these alone")
    parser.add_argument(
        "--unsloth-python",
        default=sys.executable,
        metavar="PYTHON",
        help="interpreter with Unsloth",
    )
    parser.add_argument("--way", choices=WAYS, help=argparse.SUPPRESS)
    parser.add_argument("--directory", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.tiny:
        options.tokens, options.steps = min(options.tokens, 64), min(options.steps, 2)
    return options


def _child(options: argparse.Namespace, way: str, directory: Path) -> dict[str, Any]:
    """One way in a process of its own: what it measured, or `why` not."""
    unsloth = "unsloth" in way
    if unsloth and options.tiny:
        return {"why": "Unsloth needs a CUDA device"}
    python = options.unsloth_python if unsloth else sys.executable
    if (
        unsloth
        and subprocess.run(
            [
                python,
                "-c",
                "import importlib.util as u, sys; sys.exit(u.find_spec('unsloth') is None)",
            ],
            check=False,
        ).returncode
    ):
        return {"why": f"Unsloth is not installed for {python}"}
    root = str(Path(__file__).resolve().parents[2])
    env = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(p for p in (root, os.environ.get("PYTHONPATH", "")) if p),
        "UNSLOTH_DISABLE_STATISTICS": "1",
    }
    env |= {"UNSLOTH_COMPILE_LOCATION": str(directory / "unsloth"), "HF_HUB_OFFLINE": "1"}
    print(f"{way}:", file=sys.stderr)
    done = subprocess.run(
        [python, __file__, *sys.argv[1:], "--way", way, "--directory", str(directory)],
        stdout=subprocess.PIPE,
        text=True,
        env=env,
        check=False,
    )
    if done.returncode:
        return {"why": f"it ended with exit code {done.returncode}; its errors are above"}
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    print(f"{way}: {result}", file=sys.stderr)  # a run that is stopped has reported what it had
    return result


def _print_table(results: dict[str, dict[str, Any]]) -> None:
    print("| way | tokens/s | peak memory, MB |\n|---|---|---|", file=sys.stderr)
    for way, result in results.items():
        cells = (
            f"{result['tokens_per_second']:.0f} | {result['peak_memory_mb']:.0f}"
            if "why" not in result
            else f"not run: {result['why']} |"
        )
        print(f"| {way} | {cells} |", file=sys.stderr)


# --- one way, in its own process ------------------------------------------------------------------


def _one(options: argparse.Namespace) -> dict[str, Any]:
    device = "cpu" if options.tiny else "cuda:0"
    if "unsloth" in options.way:
        import unsloth  # noqa: F401 - before transformers, which it changes
    seconds, extra = (_ours if "ours" in options.way else _plain)(options, device)
    tokens = options.steps * options.sequences * options.tokens
    return {
        "way": options.way,
        "device": _name(device),
        "tokens_per_second": round(tokens / seconds, 1),
        "peak_memory_mb": round(_peak(device), 1),
        **extra,
    }


def _plain(options: argparse.Namespace, device: str) -> tuple[float, dict[str, Any]]:
    """The loop that every tutorial has, on transformers' model or on Unsloth's."""
    model = _unsloth_model(options) if options.way == "unsloth" else _peft_model(options, device)
    model.train()
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=2e-4)
    ids = torch.tensor(_sequences(options), device=device)
    labels = ids.clone()
    labels[:, : options.tokens // 2] = -100
    begun = 0.0
    for step in range(WARM_UP + options.steps):
        if step == WARM_UP:
            begun = _now(device)
        for at in range(0, options.sequences, options.at_once):
            part = slice(at, at + options.at_once)
            with torch.autocast(torch.device(device).type, torch.bfloat16):
                loss = model(input_ids=ids[part], labels=labels[part]).loss
            (loss * len(ids[part]) / options.sequences).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
    return _now(device) - begun, {}


def _peft_model(options: argparse.Namespace, device: str) -> Any:
    from peft import LoraConfig, get_peft_model

    model = _random_model(options, device)
    if options.checkpointing:
        model.gradient_checkpointing_enable({"use_reentrant": False})
        model.enable_input_require_grads()
    return get_peft_model(
        model,
        LoraConfig(
            r=options.rank,
            lora_alpha=2 * options.rank,
            target_modules=list(MODULES),
            bias="none",
            task_type="CAUSAL_LM",
        ),
    )


def _unsloth_model(options: argparse.Namespace) -> Any:
    from unsloth import FastLanguageModel

    model, _ = FastLanguageModel.from_pretrained(
        str(_saved(options)),
        max_seq_length=options.tokens,
        dtype=torch.bfloat16,
        load_in_4bit=False,
        load_in_16bit=True,
        local_files_only=True,
    )
    checkpointing = "unsloth" if options.checkpointing else False
    return FastLanguageModel.get_peft_model(
        model,
        r=options.rank,
        lora_alpha=2 * options.rank,
        lora_dropout=0,
        bias="none",
        target_modules=list(MODULES),
        use_gradient_checkpointing=checkpointing,
    )


def _ours(options: argparse.Namespace, device: str) -> tuple[float, dict[str, Any]]:
    """qi-learn's own loop, with both penalties.

    The Fisher of a few sequences stands for those of the anchors and of past work.
    """
    from qi_learn.plan.schedule import Sample
    from qi_learn.train.fisher_estimate import estimate
    from qi_learn.train.load import load_trainable
    from qi_learn.train.loop import Data, train
    from qi_learn.train.network import Network
    from qi_learn.train.protection import Prior, protect
    from qi_learn.train.training_run import TrainingRun

    data = [
        Sample(str(n), tuple(ids), options.tokens // 2) for n, ids in enumerate(_sequences(options))
    ]
    plan = _plan(options, device)
    network = Network(_random_model(options, device), plan)
    network.lower_precision()
    fisher = estimate(
        network,
        data[:4],
        form=options.fisher,
        seed=0,
        batch_tokens=options.at_once * options.tokens,
    )
    if options.way == "ours_unsloth":
        del network
        torch.cuda.empty_cache()
        network = load_trainable(plan)
    torch.manual_seed(0)
    network.attach()
    protection = protect(plan, network, Prior(general=fisher, past=fisher))
    if device != "cpu":
        torch.cuda.reset_peak_memory_stats()
    seconds = 0.0
    for stage, steps in (("warm-up", WARM_UP), ("timed", options.steps)):
        run = options.directory / f"{options.way}-{stage}"
        run.mkdir()
        begun = _now(device)
        train(
            network, _plan(options, device, steps), Data(tuple(data)), protection, TrainingRun(run)
        )
        seconds = _now(device) - begun
    return seconds, {"fisher_seconds": round(fisher.seconds, 2)}


def _plan(options: argparse.Namespace, device: str, steps: int = 1) -> Plan:
    layers = (TINY if options.tiny else SEVEN)["num_hidden_layers"]
    unsloth = "unsloth" in options.way
    return codec.build(
        Plan,
        {
            "run_id": "bench",
            "seed": 0,
            "base_gguf": "",
            "base_digest": "0" * 64,
            "base_weights": str(_saved(options)) if unsloth else None,
            "architecture": "qwen2",
            "device": device,
            "dtype": "bfloat16",
            "first_layer": 0,
            "layer_count": layers,
            "target_modules": MODULES,
            "rank": options.rank,
            "alpha": 2.0 * options.rank,
            "dropout": 0.0,
            "learning_rate": 2e-4,
            "weight_decay": 0.01,
            "warmup_steps": 1,
            "max_steps": steps,
            "batch_size": options.at_once,
            "accumulation": options.sequences // options.at_once,
            "max_length": options.tokens,
            "replay_share": 0.0,
            "generic_share": 0.0,
            "lambda_general": 300.0,
            "lambda_past": 200.0,
            "eval_every": 10**6,
            "patience": 3,
            "max_seconds": 1e9,
            "fisher": options.fisher,
            "gradient_checkpointing": options.checkpointing,
            "backend": "unsloth" if unsloth else "plain",
        },
    )


def _sequences(options: argparse.Namespace) -> list[list[int]]:
    rng = random.Random(0)
    vocabulary = (TINY if options.tiny else SEVEN)["vocab_size"]
    return [
        [rng.randrange(vocabulary) for _ in range(options.tokens)] for _ in range(options.sequences)
    ]


def _random_model(options: argparse.Namespace, device: str) -> Any:
    """A model made on its device, in bfloat16: 15 GB of random numbers are slower to read."""
    from transformers import AutoModelForCausalLM, Qwen2Config

    torch.manual_seed(0)
    config = Qwen2Config(
        **(TINY if options.tiny else SEVEN),
        max_position_embeddings=32768,
        rms_norm_eps=1e-6,
        tie_word_embeddings=False,
        pad_token_id=None,
    )
    with torch.device(device):
        model = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
    return model.requires_grad_(False)


def _saved(options: argparse.Namespace) -> Path:
    """The same model as a directory with a tokenizer, as Unsloth takes one; written once."""
    directory: Path = options.directory / "model"
    if not (directory / "tokenizer.json").exists():
        from tokenizers import Tokenizer, decoders, models, pre_tokenizers
        from transformers import PreTrainedTokenizerFast

        # on the GPU the numbers are drawn in no time
        _random_model(options, "cuda:0").save_pretrained(directory)
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        tokenizer = Tokenizer(
            models.BPE(
                vocab={c: n for n, c in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))},
                merges=[],
            )
        )
        tokenizer.pre_tokenizer, tokenizer.decoder = (
            pre_tokenizers.ByteLevel(add_prefix_space=False),
            decoders.ByteLevel(),
        )
        tokenizer.add_special_tokens(["<|endoftext|>"])
        PreTrainedTokenizerFast(
            tokenizer_object=tokenizer, eos_token="<|endoftext|>", pad_token="<|endoftext|>"
        ).save_pretrained(directory)
    return directory


def _now(device: str) -> float:
    if device != "cpu":
        torch.cuda.synchronize()
    return time.perf_counter()


def _peak(device: str) -> float:
    from qi_learn.train.run import peak_memory

    return peak_memory(torch.device(device))


def _name(device: str) -> str:
    return "cpu" if device == "cpu" else torch.cuda.get_device_name(device)


if __name__ == "__main__":
    main()
