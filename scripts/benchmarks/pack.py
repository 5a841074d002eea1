"""How fast an adapter becomes a served file, against converting and quantising the whole model.

qi-learn's splice and the public way, in one run on one machine (design 8). The model is a random
qwen2 of 0.5B (the shape of Qwen2.5-0.5B), made on the spot in bfloat16, and its Q4_K_M file is the
base. Two ways from there:

    public   `convert_hf_to_gguf.py` of llama.cpp (from the source package of llama-cpp-python),
             then `llama_model_quantize` to Q4_K_M; it starts from weights that are merged already,
             so the merging is left out, in its favour
    ours     `qi_learn.pack.splice.pack` from the adapter, the base's file and its full-precision
             weights: merged, checked, quantised, spliced, hashed, synced

Each runs in a process of its own and is timed from outside, imports included. The two take turns,
and the medians of `--runs` are compared. Processor seconds are given too: they depend less on the
machine's other work. The converter recognises a tokenizer by a hash of the real one's output; ours
is made up, so the converter is told that it is qwen2's, a BPE. The last line is one JSON object;
its flat keys are those of the default targets (all linear layers).
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

import llama_cpp
import numpy as np

from qi_learn.outside.gguf import read_head
from qi_learn.pack.tensor_map import find_slot
from qi_learn.rundir.adapter_file import Adapter, Factors, write_adapter

VERSION = llama_cpp.__version__
ATTENTION = ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj")
TARGETS = {
    "all_linear": (*ATTENTION, "mlp.gate_proj", "mlp.up_proj", "mlp.down_proj"),
    "attention": ATTENTION,
}

MAKE = """
import sys
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM
directory, layers = sys.argv[1], int(sys.argv[2])
torch.manual_seed(0)
config = Qwen2Config(
    hidden_size=896,
    num_hidden_layers=layers,
    intermediate_size=4864,
    num_attention_heads=14,
    num_key_value_heads=2,
    vocab_size=151936,
    max_position_embeddings=32768,
    rope_theta=1e6,
    rms_norm_eps=1e-6,
    tie_word_embeddings=True,
    bos_token_id=256,
    eos_token_id=256,
    dtype="bfloat16",
)
torch.set_default_dtype(torch.bfloat16)
Qwen2ForCausalLM(config).save_pretrained(directory)
letters = sorted(pre_tokenizers.ByteLevel.alphabet())
tokenizer = Tokenizer(models.BPE(vocab={c: n for n, c in enumerate(letters)}, merges=[]))
tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
tokenizer.decoder = decoders.ByteLevel()
wrapped = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|endoftext|>")
wrapped.save_pretrained(directory)
"""
CONVERT = """
import runpy, sys
root = sys.argv[1]
sys.path[:0] = [root, root + "/gguf-py"]
from conversion.qwen import Qwen2Model
Qwen2Model.get_vocab_base_pre = lambda self, tokenizer: "qwen2"
Qwen2Model.set_vocab = lambda self: self._set_vocab_gpt2()
sys.argv = ["convert_hf_to_gguf.py", *sys.argv[2:]]
runpy.run_path(root + "/convert_hf_to_gguf.py", run_name="__main__")
"""
QUANTISE = """
import ctypes, sys, llama_cpp
full, out, threads = sys.argv[1:]
params = llama_cpp.llama_model_quantize_default_params()
params.ftype, params.nthread = llama_cpp.LLAMA_FTYPE_MOSTLY_Q4_K_M, int(threads)
pointer = ctypes.byref(params)
sys.exit(llama_cpp.llama_model_quantize(full.encode(), out.encode(), pointer))
"""
PACK = """
import sys
from pathlib import Path
from qi_learn import codec
from qi_learn.rundir.adapter_file import read_adapter
from qi_learn.pack.splice import pack
base, adapter, weights, out = map(Path, sys.argv[1:5])
threads = int(sys.argv[5])
packed = pack(base, read_adapter(adapter), out, base_weights=weights, threads=threads)
print(codec.dumps(packed))
"""


def main() -> None:
    parser = argparse.ArgumentParser(
        description="Times packing an adapter against converting and quantising the whole model."
    )
    parser.add_argument(
        "--layers", type=int, default=24, help="layers of the random model (24: 0.5B)"
    )
    parser.add_argument("--rank", type=int, default=16)
    parser.add_argument(
        "--runs", type=int, default=3, help="of each way, in turns; the medians are compared"
    )
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1, help="of both ways")
    parser.add_argument(
        "--cache",
        type=Path,
        default=Path.home() / ".cache" / "qi-learn" / "bench",
        help="directory that keeps the converter's source package",
    )
    given = parser.parse_args()
    converter = fetch_converter(given.cache)
    with tempfile.TemporaryDirectory(prefix="qi-bench-pack-") as directory:
        print(json.dumps(measure(Path(directory), converter, given)))


def measure(directory: Path, converter: Path, given: argparse.Namespace) -> dict[str, Any]:
    weights, base = directory / "weights", directory / "base.gguf"
    say(f"making a random qwen2 of {given.layers} layers")
    timed([sys.executable, "-c", MAKE, str(weights), str(given.layers)])
    public = [publish(converter, weights, base, given.threads)]
    for name, modules in TARGETS.items():
        adapter = random_adapter(base, modules, given.layers, given.rank)
        write_adapter(adapter, directory / f"{name}.safetensors")
    ours: dict[str, list[dict[str, Any]]] = {name: [] for name in TARGETS}
    for run in range(given.runs):
        for name in TARGETS:
            files = (base, directory / f"{name}.safetensors", weights, directory / "out.gguf")
            command = [sys.executable, "-c", PACK, *map(str, files), str(given.threads)]
            ours[name].append(timed(command))
        if run + 1 < given.runs:
            public.append(publish(converter, weights, directory / "again.gguf", given.threads))
        say(
            f"run {run + 1}: public {public[run]['seconds']:.1f} s, ours "
            + ", ".join(f"{name} {runs[-1]['seconds']:.1f} s" for name, runs in ours.items())
        )
    results = {name: compared(runs, public) for name, runs in ours.items()}
    return {
        **results["all_linear"],
        "convert_seconds": round(median(run["convert"] for run in public), 2),
        "quantise_seconds": round(median(run["quantise"] for run in public), 2),
        "baseline_peak_rss_mb": round(max(run["rss_mb"] for run in public), 1),
        "base_bytes": base.stat().st_size,
        "threads": given.threads,
        "layers": given.layers,
        "rank": given.rank,
        "runs": given.runs,
        **results,
    }


def publish(converter: Path, weights: Path, out: Path, threads: int) -> dict[str, float]:
    """The public way, from the weights to a Q4_K_M file."""
    full = out.with_name("full.gguf")
    options = [str(weights), "--outtype", "bf16", "--outfile", str(full)]
    convert = timed([sys.executable, "-c", CONVERT, str(converter), *options])
    quantise = timed([sys.executable, "-c", QUANTISE, str(full), str(out), str(threads)])
    full.unlink()
    parts = {"convert": convert["seconds"], "quantise": quantise["seconds"]}
    return {
        **parts,
        "seconds": sum(parts.values()),
        "cpu": convert["cpu"] + quantise["cpu"],
        "rss_mb": max(convert["rss_mb"], quantise["rss_mb"]),
    }


def compared(runs: list[dict[str, Any]], public: list[dict[str, float]]) -> dict[str, Any]:
    packed = json.loads(runs[-1]["output"].splitlines()[-1])
    seconds, baseline = (
        median(run["seconds"] for run in runs),
        median(run["seconds"] for run in public),
    )
    return {
        "seconds": round(seconds, 2),
        "baseline_seconds": round(baseline, 2),
        "speedup": round(baseline / seconds, 2),
        "cpu_seconds": round(median(run["cpu"] for run in runs), 2),
        "baseline_cpu_seconds": round(median(run["cpu"] for run in public), 2),
        "touched_share": round(packed["bytes_rewritten"] / packed["bytes_total"], 4),
        "bytes_rewritten": packed["bytes_rewritten"],
        "peak_rss_mb": round(max(run["rss_mb"] for run in runs), 1),
        "gain_min": min(g["gain"] for g in packed["gains"]),
        "types_raised": sum(g["type_before"] != g["type_after"] for g in packed["gains"]),
    }


def random_adapter(base: Path, modules: Sequence[str], layers: int, rank: int) -> Adapter:
    """A change of 1 % of the weights' size (their standard deviation is 0.02)."""
    head, rng = read_head(base), np.random.default_rng(0)
    made: dict[str, Factors] = {}
    for name in (f"model.layers.{layer}.{module}" for layer in range(layers) for module in modules):
        tensor = find_slot(head, name).tensor
        up = rng.standard_normal((tensor.rows, rank), dtype=np.float32) * np.float32(
            0.0002 / rank**0.5
        )
        made[name] = Factors(up, rng.standard_normal((rank, tensor.columns), dtype=np.float32))
    with base.open("rb") as file:
        return Adapter(hashlib.file_digest(file, "sha256").hexdigest(), made)


def fetch_converter(cache: Path) -> Path:
    """llama.cpp's converter, from the source package on PyPI (75 MB, once).

    Exits if the package cannot be fetched.
    """
    root = cache / f"llama_cpp_python-{VERSION}" / "vendor" / "llama.cpp"
    if not (root / "convert_hf_to_gguf.py").exists():
        cache.mkdir(parents=True, exist_ok=True)
        say(f"fetching the source package of llama-cpp-python {VERSION}")
        options = ["-q", "--no-binary", ":all:", "--no-deps", "-d", str(cache)]
        get = ["pip", "download", *options, f"llama-cpp-python=={VERSION}"]
        done = subprocess.run(
            [sys.executable, "-m", *get], capture_output=True, text=True, check=False
        )
        if done.returncode:
            sys.exit(
                "the source package cannot be fetched, so there is nothing to compare "
                f"with:\n{done.stderr[-800:]}"
            )
        with tarfile.open(next(cache.glob(f"llama_cpp_python-{VERSION}.tar.gz"))) as package:
            package.extractall(cache, filter="data")
    return root


def timed(command: list[str]) -> dict[str, Any]:
    """Run a command to its end: wall seconds, peak memory in MB, what it printed.

    Exits with the command's errors if it fails.
    """
    with tempfile.TemporaryFile("w+") as output, tempfile.TemporaryFile("w+") as errors:
        began = time.perf_counter()
        child = subprocess.Popen(
            command,
            stdout=output,
            stderr=errors,
            text=True,
            env={**os.environ, "PYTHONWARNINGS": "ignore"},
        )
        _, status, usage = os.wait4(child.pid, 0)
        seconds = time.perf_counter() - began
        child.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        errors.seek(0)
        if child.returncode:
            sys.exit(f"{command[2][:60]!r} failed:\n{errors.read()[-2000:]}")
        return {
            "seconds": seconds,
            "cpu": usage.ru_utime + usage.ru_stime,
            "rss_mb": usage.ru_maxrss / 1024,
            "output": output.read(),
        }


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
