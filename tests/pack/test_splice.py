"""The packed file: the base but for the touched tensors, and to llama.cpp the merged model."""

from __future__ import annotations

import hashlib
import tempfile
from pathlib import Path

import gguf
import numpy as np
import pytest
from numpy.typing import NDArray

from qi_learn.errors import ModelError
from qi_learn.outside.gguf import read_head, sha256_of
from qi_learn.outside.llama_cpp import Model
from qi_learn.pack.splice import pack
from qi_learn.pack.tensor_map import find_slot
from qi_learn.pack.verify import verify_packed
from qi_learn.rundir.adapter_file import Adapter
from tests.support.packing import (
    IDS,
    merged_in_transformers,
    smollm2,
    tensors_of,
    touched,
    values_of,
)
from tests.support.tiny_adapters import ALL_LINEAR, ATTENTION, dense, random_adapter
from tests.support.tiny_models import write_tiny_model


def llama_logits(path: Path) -> NDArray[np.float32]:
    with Model(path, context=64, threads=1) as model:
        model.evaluate(IDS, range(len(IDS)), [0] * len(IDS), [True] * len(IDS))
        return np.array([model.logits(n) for n in range(len(IDS))])


# --- what is in the file --------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["Q4_1", "Q8_0", "F32"])
def test_the_file_is_what_gguf_py_would_build(tmp_path: Path, kind: str) -> None:
    """Every tensor and key, independently: gguf-py dequantises, adds, quantises; nothing of ours
    but the factors.
    """
    base = write_tiny_model(tmp_path / "base.gguf", "qwen2", tensor_type=kind, layers=3)
    adapter = random_adapter(base, [1], size=0.02)
    packed = pack(base, adapter, tmp_path / "out.gguf", scale=0.5, threads=2)
    before, after = tensors_of(base), tensors_of(tmp_path / "out.gguf")
    assert list(after) == list(before)
    slots = {
        find_slot(read_head(base), module).tensor.name: factors
        for module, factors in adapter.modules.items()
    }
    assert touched(packed) == set(slots)
    for name, tensor in after.items():
        if name not in slots:
            assert tensor.tensor_type == before[name].tensor_type
            assert np.array_equal(tensor.data, before[name].data)
            continue
        merged = values_of(before[name]) + (0.5 * dense(slots[name])).astype(np.float32)
        expected = gguf.quants.quantize(merged, tensor.tensor_type)
        assert tensor.tensor_type.name == {"Q4_1": "Q8_0", "F32": "F32"}.get(
            kind, tensor.tensor_type.name
        )
        if kind == "F32":
            assert np.allclose(tensor.data, expected, atol=1e-6)
        else:
            # float32 sums in another order move a weight across a rounding edge
            different = float(np.mean(np.asarray(tensor.data) != expected))
            assert different < 0.005
    base_fields = gguf.GGUFReader(base).fields
    packed_fields = gguf.GGUFReader(tmp_path / "out.gguf").fields
    assert {k: f.contents() for k, f in packed_fields.items()} == {
        k: f.contents() for k, f in base_fields.items()
    }
    assert packed.digest == hashlib.sha256((tmp_path / "out.gguf").read_bytes()).hexdigest()
    assert packed.bytes_total == (tmp_path / "out.gguf").stat().st_size
    assert packed.bytes_rewritten == sum(after[name].n_bytes for name in slots)
    verify_packed(base, tmp_path / "out.gguf", touched(packed))


@pytest.mark.parametrize(
    ("architecture", "kind"),
    [("llama", "F32"), ("qwen2", "F32"), ("qwen3", "F32"), ("llama", "F16")],
)
def test_llama_cpp_computes_what_transformers_computes_with_the_merged_adapter(
    tmp_path: Path, architecture: str, kind: str
) -> None:
    base = write_tiny_model(tmp_path / "base.gguf", architecture, tensor_type=kind)  # type: ignore[arg-type]
    adapter = random_adapter(base, [0, 1], size=0.03)
    pack(base, adapter, tmp_path / "out.gguf", scale=0.75)
    expected, _ = merged_in_transformers(base, adapter, 0.75)
    plain, _ = merged_in_transformers(base, adapter, 0.0)
    moved = float(np.abs(expected - plain).max())
    off = float(np.abs(llama_logits(tmp_path / "out.gguf") - expected).max())
    assert moved > 1.0
    assert off < (0.02 if kind == "F32" else 0.05)  # llama.cpp keeps keys and values in F16


def test_the_real_model_packs_a_small_change_of_its_upper_layers(tmp_path: Path) -> None:
    """SmolLM2: llama, Q4_1, no exact weights; layers 20-29 in Q8_0, the rest byte for byte, and
    llama.cpp runs it.
    """
    base = smollm2()
    adapter = random_adapter(base, range(20, 30), ALL_LINEAR, size=0.0005)
    packed = pack(base, adapter, tmp_path / "out.gguf")
    assert len(packed.gains) == 70
    assert {(g.type_before, g.type_after) for g in packed.gains} == {("Q4_1", "Q8_0")}
    assert all(0.75 < g.gain < 1.25 for g in packed.gains)
    assert packed.bytes_total - base.stat().st_size == pytest.approx(
        packed.bytes_rewritten * (1 - 20 / 34), rel=0.01
    )
    verify_packed(base, tmp_path / "out.gguf", touched(packed))


# --- scales, threads ------------------------------------------------------------------------------


def test_an_adapter_that_changes_nothing_gives_the_base_back(tmp_path: Path) -> None:
    base = write_tiny_model(tmp_path / "base.gguf", "qwen3", tensor_type="Q8_0")
    for adapter, scale in ((Adapter(sha256_of(base), {}), 1.0), (random_adapter(base, [0]), 0.0)):
        packed = pack(base, adapter, tmp_path / "out.gguf", scale=scale)
        assert packed.digest == sha256_of(base)
        assert (packed.gains, packed.bytes_rewritten) == ((), 0)


def test_the_number_of_threads_does_not_show(tmp_path: Path) -> None:
    base = write_tiny_model(tmp_path / "base.gguf", "llama", tensor_type="Q4_0")
    adapter = random_adapter(base, [0, 1])
    assert (
        len({pack(base, adapter, tmp_path / "out.gguf", threads=n).digest for n in (1, 2, 5)}) == 1
    )


def test_another_filesystem_gets_the_same_file(tmp_path: Path) -> None:
    """Between two filesystems the kernel neither shares nor copies, so the bytes go through the
    process.
    """
    memory = Path("/dev/shm")
    if not memory.is_dir() or memory.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("there is no second filesystem to write to")
    base = write_tiny_model(tmp_path / "base.gguf", "qwen2", tensor_type="Q4_0")
    adapter = random_adapter(base, [1])
    with tempfile.TemporaryDirectory(dir=memory) as other:
        assert (
            pack(base, adapter, Path(other) / "out.gguf").digest
            == pack(base, adapter, tmp_path / "out.gguf").digest
        )


@pytest.mark.parametrize("kind", ["Q4_0", "F16"])
def test_other_scales_of_a_packed_adapter_are_what_packing_anew_gives(
    tmp_path: Path, kind: str
) -> None:
    base = write_tiny_model(tmp_path / "base.gguf", "llama", tensor_type=kind, layers=3)
    adapter = random_adapter(base, [1, 2], ATTENTION, size=0.02)
    first = pack(base, adapter, tmp_path / "1.gguf")
    fresh = pack(base, adapter, tmp_path / "fresh.gguf", scale=0.5)
    beside = pack(base, adapter, tmp_path / "2.gguf", scale=0.5, like=first)
    assert sha256_of(tmp_path / "1.gguf") == first.digest
    taken_over = pack(base, adapter, tmp_path / "1.gguf", scale=0.5, like=first)
    assert beside.digest == taken_over.digest == fresh.digest == sha256_of(tmp_path / "1.gguf")
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "1.gguf",
        "2.gguf",
        "base.gguf",
        "fresh.gguf",
    ]


def test_a_file_with_other_tensors_touched_is_no_likeness(tmp_path: Path) -> None:
    base = write_tiny_model(tmp_path / "base.gguf", "llama", tensor_type="F16")
    wide = pack(base, random_adapter(base, [0, 1]), tmp_path / "wide.gguf")
    other = pack(
        write_tiny_model(tmp_path / "other.gguf", "qwen2", layers=1),
        Adapter(sha256_of(tmp_path / "other.gguf"), {}),
        tmp_path / "q.gguf",
    )
    narrow = pack(base, random_adapter(base, [1], ATTENTION), tmp_path / "narrow.gguf")
    for like in (wide, other, narrow):
        with pytest.raises(ModelError, match="was not packed from"):
            pack(base, random_adapter(base, [1]), Path(like.path), like=like)
        assert sha256_of(Path(like.path)) == like.digest
