"""Full-precision weights: they keep the base's types and the change, and are refused unless they
are the base's own.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from qi_learn.errors import ModelError, NotFound
from qi_learn.outside.gguf import read_head, sha256_of
from qi_learn.pack.splice import pack
from qi_learn.pack.verify import verify_packed
from qi_learn.rundir.adapter_file import Adapter, Factors
from tests.support.packing import merged_in_transformers, save_weights, touched
from tests.support.tiny_adapters import random_adapter
from tests.support.tiny_models import write_tiny_model

Weights = dict[str, NDArray[np.float32]]


def test_exact_weights_give_the_same_bytes_as_the_base_that_holds_them(tmp_path: Path) -> None:
    """The second way to the permutation: weights in transformers' order, from transformers' own
    un-permuting.
    """
    base = write_tiny_model(tmp_path / "base.gguf", "llama")
    adapter = random_adapter(base, [0, 1])
    _, weights = merged_in_transformers(base, adapter, 0.0)
    plain = pack(base, adapter, tmp_path / "a.gguf")
    exact = pack(
        base, adapter, tmp_path / "b.gguf", base_weights=save_weights(tmp_path / "weights", weights)
    )
    assert exact.digest == plain.digest


@pytest.fixture(scope="module")
def quantised(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A Q4_K_M base as llama.cpp's own quantiser writes it, and the directory of full-precision
    weights that it was made from.
    """
    import ctypes

    import llama_cpp

    directory = tmp_path_factory.mktemp("quantised")
    full = write_tiny_model(directory / "full.gguf", "llama", width=256, feed=512, tied=False)
    params = llama_cpp.llama_model_quantize_default_params()
    params.ftype = llama_cpp.LLAMA_FTYPE_MOSTLY_Q4_K_M
    params.nthread = 1
    with silence():
        assert (
            llama_cpp.llama_model_quantize(
                str(full).encode(), str(directory / "base.gguf").encode(), ctypes.byref(params)
            )
            == 0
        )
    _, weights = merged_in_transformers(full, Adapter("", {}), 0.0)
    return directory / "base.gguf", save_weights(directory / "weights", weights)


@contextlib.contextmanager
def silence() -> Iterator[None]:
    """Keep llama.cpp, which writes from C, off the terminal."""
    kept, null = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(null)


def test_with_exact_weights_a_k_quant_base_keeps_its_types_and_the_change(
    quantised: tuple[Path, Path], tmp_path: Path
) -> None:
    base, weights = quantised
    adapter = random_adapter(base, [0, 1], size=0.0006)  # 1 % of the weights
    packed = pack(base, adapter, tmp_path / "out.gguf", base_weights=weights)
    assert {g.type_before for g in packed.gains} >= {"Q4_K"}
    assert all(g.type_after == g.type_before for g in packed.gains)
    assert all(0.7 < g.gain < 1.3 for g in packed.gains)
    assert packed.bytes_total == base.stat().st_size
    verify_packed(base, tmp_path / "out.gguf", touched(packed))
    without = pack(base, adapter, tmp_path / "out2.gguf")
    assert {g.type_after for g in without.gains} == {"Q8_0"}
    assert all(0.9 < g.gain < 1.1 for g in without.gains)
    verify_packed(base, tmp_path / "out2.gguf", touched(without))


def test_an_untied_output_can_be_changed(quantised: tuple[Path, Path], tmp_path: Path) -> None:
    base = quantised[0]
    tensor = read_head(base).tensors["output.weight"]
    rng = np.random.default_rng(0)
    factors = Factors(
        rng.standard_normal((tensor.rows, 2), dtype=np.float32) * np.float32(0.01),
        rng.standard_normal((2, tensor.columns), dtype=np.float32),
    )
    packed = pack(base, Adapter(sha256_of(base), {"lm_head": factors}), tmp_path / "out.gguf")
    assert touched(packed) == {"output.weight"}


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda w: w["model.norm.weight"].__imul__(1.01), "output_norm.weight differs"),
        (
            lambda w: w["model.layers.1.mlp.up_proj.weight"].__imul__(1.3),
            "blk.1.ffn_up.weight is off",
        ),
        (
            lambda w: w.update(
                {
                    "model.layers.0.self_attn.q_proj.weight": w[
                        "model.layers.0.self_attn.q_proj.weight"
                    ][::-1].copy()
                }
            ),
            "attn_q.weight is off",
        ),
        (
            lambda w: w.pop("model.layers.0.self_attn.v_proj.weight"),
            "has no model.layers.0.self_attn.v_proj.weight",
        ),
        (
            lambda w: w.update({"model.layers.0.mlp.up_proj.weight": np.zeros((8, 8), np.float32)}),
            r"is \(8, 8\)",
        ),
    ],
)
def test_weights_that_are_not_the_bases_are_refused(
    quantised: tuple[Path, Path], tmp_path: Path, spoil: Callable[[Weights], object], says: str
) -> None:
    from safetensors.numpy import load_file

    base, directory = quantised
    weights = {
        name: value.copy() for name, value in load_file(directory / "model.safetensors").items()
    }
    spoil(weights)
    with pytest.raises(ModelError, match=says):
        pack(
            base,
            random_adapter(base, [0, 1], size=0.0006),
            tmp_path / "out.gguf",
            base_weights=save_weights(tmp_path / "weights", weights),
        )
    assert not (tmp_path / "out.gguf").exists()


def test_sharded_bfloat16_weights_are_read(quantised: tuple[Path, Path], tmp_path: Path) -> None:
    import torch
    from safetensors.torch import load_file as load
    from safetensors.torch import save_file as save

    base, directory = quantised
    weights = {
        name: value.to(torch.bfloat16)
        for name, value in load(directory / "model.safetensors").items()
    }
    names = sorted(weights)
    for number, part in enumerate((names[::2], names[1::2]), start=1):
        save(
            {name: weights[name] for name in part},
            tmp_path / f"model-0000{number}-of-00002.safetensors",
        )
    packed = pack(
        base, random_adapter(base, [1], size=0.0006), tmp_path / "out.gguf", base_weights=tmp_path
    )
    assert all(0.7 < g.gain < 1.3 for g in packed.gains)


@pytest.mark.parametrize(
    "content",
    [b"", b"\xff" * 64, (30).to_bytes(8, "little") + b'{"a": {"dtype": "F32"}}       ' + bytes(8)],
)
def test_damaged_weights_are_refused(
    quantised: tuple[Path, Path], tmp_path: Path, content: bytes
) -> None:
    (tmp_path / "model.safetensors").write_bytes(content)
    with pytest.raises(ModelError):
        pack(
            quantised[0],
            random_adapter(quantised[0], [1]),
            tmp_path / "out.gguf",
            base_weights=tmp_path,
        )
    with pytest.raises(NotFound, match="no weights"):
        pack(
            quantised[0],
            random_adapter(quantised[0], [1]),
            tmp_path / "out.gguf",
            base_weights=tmp_path / "none",
        )
