"""Plans for tests: bases of a given shape without their files, data sets, devices, their plan."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from qi_learn.outside.architectures import GGUF_NAMES
from qi_learn.outside.gpu import Device
from qi_learn.outside.python_env import Packages
from qi_learn.paths import Paths
from qi_learn.plan.base_model import BaseModel, BaseTensor
from qi_learn.plan.plan import PlanInputs, build_plan
from qi_learn.records import Example, Plan, Snapshot, TrainResult
from qi_learn.settings import Settings, TrainSettings

GB = 2**30
CPU = Device("cpu", "a laptop", 16 * GB, 8 * GB, bf16=True)
GPU = Device("cuda", "a card", 24 * GB, 22 * GB, bf16=True)
RESULT = TrainResult(48, "steps", 1.0, 1.0, 2.0, 0.1, 0.1, 9.0, 80.0, "adapter")
BITS = {"Q4_1": 5.0, "Q4_K": 4.5, "Q6_K": 6.5625, "Q8_0": 8.5, "F16": 16.0, "F32": 32.0}
"""Bits of a weight by ggml type."""


def base_of_shape(
    layers: int,
    hidden: int,
    feed: int,
    vocabulary: int,
    *,
    kind: str = "Q4_K",
    head: str = "Q6_K",
    tied: bool = False,
    kv: int | None = None,
) -> BaseModel:
    """A base of a given shape, without its file."""

    def tensor(name: str, rows: int, columns: int, type_name: str) -> BaseTensor:
        return BaseTensor(
            name, type_name, (rows, columns), int(rows * columns * BITS[type_name] / 8)
        )

    kv = kv or hidden
    rows = {
        "attn_q": (hidden, hidden),
        "attn_k": (kv, hidden),
        "attn_v": (kv, hidden),
        "attn_output": (hidden, hidden),
    }
    rows |= {"ffn_gate": (feed, hidden), "ffn_up": (feed, hidden), "ffn_down": (hidden, feed)}
    tensors = [tensor("token_embd.weight", vocabulary, hidden, head)] + (
        [] if tied else [tensor("output.weight", vocabulary, hidden, head)]
    )
    tensors += [
        tensor(f"blk.{layer}.{name}.weight", *rows[name], kind)
        for layer in range(layers)
        for name in GGUF_NAMES.values()
    ]
    return BaseModel(Path("/models/base.gguf"), "llama", layers, hidden, feed, 8192, tuple(tensors))


SMOLLM2 = base_of_shape(30, 576, 1536, 49152, kind="Q4_1", head="Q8_0", tied=True, kv=192)
SEVEN = base_of_shape(28, 3584, 18944, 152064, kv=512)


def make_snapshot(train: int = 40, *, tokens: int = 100) -> Snapshot:
    def example(name: str, length: int) -> Example:
        return Example(
            name,
            name,
            "",
            "",
            tuple(range(length // 2)),
            tuple(range(length - length // 2)),
            (True,) * (length - length // 2),
        )

    examples = tuple(example(f"t{n}", tokens) for n in range(train))
    return Snapshot(
        "s",
        0.0,
        "ab" * 32,
        (*examples, replace(example("d", 50), split="dev")),
        anchors=tuple(example(f"a{n}", 96) for n in range(3)),
    )


def make_plan(
    base: BaseModel = SMOLLM2,
    *,
    snapshot: Snapshot | None = None,
    devices: tuple[Device, ...] = (CPU,),
    train: TrainSettings | None = None,
    served: bool = False,
    adapter: Path = Path("/v/adapter.safetensors"),
    past: Path = Path("/v/past_fisher.safetensors"),
    last: tuple[Plan, TrainResult] | None = None,
    packages: Packages | None = None,
) -> Plan:
    return build_plan(
        PlanInputs(
            run_id="01RUN",
            snapshot=snapshot or make_snapshot(),
            base=base,
            settings=Settings(train=train or TrainSettings()),
            paths=Paths.under(Path("/home/x")),
            devices=devices,
            packages=packages or Packages(),
            previous_adapter=adapter if served else None,
            past_fisher=past if served else None,
            last=last,
        )
    )
