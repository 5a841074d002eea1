"""What packing refuses, and faults while it writes: the file is whole or not there at all."""

from __future__ import annotations

import json
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path

import gguf
import numpy as np
import pytest

from qi_learn.errors import DiskFull, ModelError, NotFound, UnsupportedArchitecture
from qi_learn.outside.gguf import sha256_of
from qi_learn.pack.splice import pack
from qi_learn.rundir.adapter_file import Adapter, Factors, write_adapter
from tests.support.packing import packing, smollm2
from tests.support.tiny_adapters import random_adapter
from tests.support.tiny_models import write_tiny_model


def renamed(base: Path, path: Path, *pairs: tuple[str, str]) -> Path:
    """A copy in which names are exchanged for others of equal length, everywhere in the file."""
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
def test_parts_and_adapters_are_no_base(
    tmp_path: Path, add: Callable[[gguf.GGUFWriter], None], says: str
) -> None:
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


# --- faults ---------------------------------------------------------------------------------------


def test_a_full_disk_names_the_missing_bytes_and_leaves_nothing(tmp_path: Path) -> None:
    base = write_tiny_model(tmp_path / "base.gguf", "llama", tensor_type="Q4_0")
    write_adapter(random_adapter(base, [0, 1]), tmp_path / "a.safetensors")
    limit = base.stat().st_size // 2
    with packing(base, tmp_path / "a.safetensors", tmp_path / "out.gguf", limit) as child:
        line = child.communicate()[0].splitlines()[-1]
    assert child.returncode == 75
    assert "bytes are missing" in json.loads(line)["what"]
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
