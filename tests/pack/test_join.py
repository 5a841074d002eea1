"""Adapters: joining is exact until the rank cap, and then loses what a dense SVD says; files are
whole, ours and finite, or refused.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from qi_learn.errors import ModelError, NotFound
from qi_learn.outside.gguf import read_head
from qi_learn.pack.join import LEAST_CAP, changed_tensors, join, rank_cap
from qi_learn.pack.tensor_map import permute
from qi_learn.rundir.adapter_file import FORMAT, Adapter, Factors, read_adapter, write_adapter
from tests.support.tiny_adapters import dense, random_adapter
from tests.support.tiny_models import write_tiny_model


def factors(out: int, into: int, rank: int, seed: int) -> Factors:
    rng = np.random.default_rng(seed)
    return Factors(
        rng.standard_normal((out, rank), dtype=np.float32),
        rng.standard_normal((rank, into), dtype=np.float32),
    )


def test_joining_lays_factors_side_by_side() -> None:
    before = Adapter("b", {"m": factors(40, 24, 3, 1), "only before": factors(8, 8, 2, 2)})
    delta = Adapter("b", {"m": factors(40, 24, 4, 3), "only now": factors(8, 8, 2, 4)})
    joined, error = join(before, delta, 0.5, rank_cap=7)
    assert error == 0.0
    assert joined.modules["m"].rank == 7
    assert np.allclose(
        dense(joined.modules["m"]),
        dense(before.modules["m"]) + 0.5 * dense(delta.modules["m"]),
        atol=1e-6,
    )
    assert np.array_equal(
        dense(joined.modules["only before"]), dense(before.modules["only before"])
    )
    assert np.array_equal(dense(joined.modules["only now"]), 0.5 * dense(delta.modules["only now"]))


def test_joining_with_nothing_is_the_scaled_delta() -> None:
    delta = Adapter("b", {"m": factors(40, 24, 4, 3)})
    joined, error = join(None, delta, 0.25, rank_cap=32)
    assert error == 0.0
    assert np.array_equal(dense(joined.modules["m"]), 0.25 * dense(delta.modules["m"]))


def test_past_the_cap_the_loss_is_that_of_a_dense_svd() -> None:
    before = Adapter("b", {"m": factors(40, 24, 6, 1), "small": factors(16, 16, 2, 5)})
    delta = Adapter("b", {"m": factors(40, 24, 6, 2), "small": factors(16, 16, 2, 6)})
    joined, error = join(before, delta, 0.75, rank_cap=5)
    exact = dense(before.modules["m"]) + 0.75 * dense(delta.modules["m"])
    small = dense(before.modules["small"]) + 0.75 * dense(delta.modules["small"])
    values = np.linalg.svd(exact, compute_uv=False)
    assert joined.modules["m"].rank == 5
    assert joined.modules["small"].rank == 4
    off = np.linalg.norm(dense(joined.modules["m"]) - exact)
    assert off == pytest.approx(np.sqrt(np.sum(values[5:] ** 2)), rel=1e-5)
    assert error == pytest.approx(off / np.sqrt(np.sum(exact**2) + np.sum(small**2)), rel=1e-5)


def test_cutting_what_has_no_more_rank_loses_nothing() -> None:
    once = Adapter("b", {"m": factors(40, 24, 4, 1)})
    joined, error = join(once, once, 1.0, rank_cap=4)
    assert error < 1e-6
    assert np.allclose(dense(joined.modules["m"]), 2 * dense(once.modules["m"]), atol=1e-4)


def test_adapters_of_two_bases_or_shapes_do_not_join() -> None:
    with pytest.raises(ModelError, match="different bases"):
        join(Adapter("a", {}), Adapter("b", {}), 1.0, rank_cap=8)
    with pytest.raises(ModelError, match="shape of m"):
        join(
            Adapter("b", {"m": factors(8, 8, 2, 1)}),
            Adapter("b", {"m": factors(8, 16, 2, 1)}),
            1.0,
            rank_cap=8,
        )


def test_a_file_gives_back_the_adapter(tmp_path: Path) -> None:
    adapter = Adapter("ab" * 32, {"m": factors(40, 24, 4, 1), "n": factors(8, 8, 1, 2)})
    path = tmp_path / "adapter.safetensors"
    write_adapter(adapter, path)
    for source in (path, tmp_path):
        again = read_adapter(source)
        assert again.base == adapter.base
        assert set(again.modules) == {"m", "n"}
        assert all(
            np.array_equal(again.modules[m].up, f.up)
            and np.array_equal(again.modules[m].down, f.down)
            for m, f in adapter.modules.items()
        )
    assert path.stat().st_mode & 0o777 == 0o600
    assert [p.name for p in tmp_path.iterdir()] == ["adapter.safetensors"]


@pytest.mark.parametrize(
    ("tensors", "metadata", "says"),
    [
        (
            {"m.A": np.zeros((2, 8), np.float32), "m.B": np.zeros((8, 2), np.float32)},
            {"format": "other", "base": "b"},
            "no adapter of qi-learn",
        ),
        (
            {"m.A": np.zeros((2, 8), np.float32), "m.B": np.zeros((8, 2), np.float32)},
            {"format": FORMAT},
            "no adapter of qi-learn",
        ),
        ({"m.B": np.zeros((2, 8), np.float32)}, {"format": FORMAT, "base": "b"}, "no pair"),
        ({"m.A": np.zeros((2, 8), np.float32)}, {"format": FORMAT, "base": "b"}, "no matching"),
        (
            {"m.A": np.zeros((2, 8), np.float32), "n.B": np.zeros((8, 2), np.float32)},
            {"format": FORMAT, "base": "b"},
            "no matching",
        ),
        (
            {"m.A": np.zeros((2, 8), np.float32), "m.B": np.zeros((8, 3), np.float32)},
            {"format": FORMAT, "base": "b"},
            "no matching",
        ),
        (
            {"m.A": np.zeros((2, 8), np.float16), "m.B": np.zeros((8, 2), np.float16)},
            {"format": FORMAT, "base": "b"},
            "no matching",
        ),
        (
            {"m.A": np.full((2, 8), np.nan, np.float32), "m.B": np.ones((8, 2), np.float32)},
            {"format": FORMAT, "base": "b"},
            "not finite",
        ),
    ],
)
def test_what_is_no_adapter_is_refused(
    tmp_path: Path, tensors: dict[str, np.ndarray], metadata: dict[str, str], says: str
) -> None:
    save_file(tensors, tmp_path / "a.safetensors", metadata=metadata)
    with pytest.raises(ModelError, match=says):
        read_adapter(tmp_path / "a.safetensors")


def test_damaged_and_absent_files(tmp_path: Path) -> None:
    (tmp_path / "a.safetensors").write_bytes(b"\x10" + bytes(40))
    with pytest.raises(ModelError, match="cannot be read"):
        read_adapter(tmp_path / "a.safetensors")
    with pytest.raises(NotFound):
        read_adapter(tmp_path / "none.safetensors")


WRITE = """
import resource, sys
from pathlib import Path
import numpy as np
from qi_learn.errors import DiskFull
from qi_learn.rundir.adapter_file import Adapter, Factors, write_adapter
resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
try:
    factors = Factors(np.ones((4000, 4), np.float32), np.ones((4, 4000), np.float32))
    write_adapter(Adapter("b", {"m": factors}), Path(sys.argv[1]))
except DiskFull:
    sys.exit(7)
"""


def test_a_full_disk_leaves_the_old_adapter(tmp_path: Path) -> None:
    path = tmp_path / "adapter.safetensors"
    write_adapter(Adapter("old", {"m": factors(4, 4, 1, 0)}), path)
    assert subprocess.run([sys.executable, "-c", WRITE, str(path)], check=False).returncode == 7
    assert read_adapter(path).base == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["adapter.safetensors"]


def test_permuting_is_the_converters_row_order() -> None:
    """Row (head, j, t) of the GGUF file is row (head, t, j) of transformers, with t the half and j
    the frequency.
    """
    rows = np.arange(2 * 8, dtype=np.float32)[:, None]
    expected = [head * 8 + t * 4 + j for head in range(2) for j in range(4) for t in range(2)]
    assert permute(rows, 8)[:, 0].tolist() == expected
    assert permute(rows, 1) is rows


def test_changed_tensors_come_in_the_files_order_with_q_and_k_permuted(tmp_path: Path) -> None:
    base = write_tiny_model(tmp_path / "m.gguf", "llama", heads=4, kv_heads=2, width=64)
    adapter = random_adapter(base, [1, 0])
    changes = changed_tensors(adapter, read_head(base), 0.5)
    starts = [c.slot.tensor.start for c in changes]
    assert starts == sorted(starts)
    assert len(changes) == 14
    for change in changes:
        plain = 0.5 * dense(adapter.modules[change.module])
        expected = (
            permute(plain.astype(np.float32), 16)
            if change.module.endswith(("q_proj", "k_proj"))
            else plain
        )
        assert np.allclose(change.rows(0, len(plain)), expected, atol=1e-6)
    qwen = write_tiny_model(tmp_path / "q.gguf", "qwen2")
    assert {
        c.slot.head_rows for c in changed_tensors(random_adapter(qwen, [0]), read_head(qwen))
    } == {1}


def test_modules_that_change_nothing_are_left_out(tmp_path: Path) -> None:
    base = write_tiny_model(tmp_path / "m.gguf", "qwen2")
    adapter = random_adapter(base, [0], ["mlp.up_proj", "mlp.down_proj"])
    zero = adapter.modules["model.layers.0.mlp.up_proj"]
    silent = Adapter(
        adapter.base,
        {
            **adapter.modules,
            "model.layers.0.mlp.up_proj": Factors(np.zeros_like(zero.up), zero.down),
        },
    )
    assert [c.slot.tensor.name for c in changed_tensors(silent, read_head(base))] == [
        "blk.0.ffn_down.weight"
    ]
    assert changed_tensors(adapter, read_head(base), 0.0) == ()


@pytest.mark.parametrize(
    ("module", "shape", "says"),
    [
        ("model.embed_tokens", (300, 64), "cannot be packed"),
        ("model.layers.0.input_layernorm", (64, 1), "cannot be packed"),
        ("model.layers.7.mlp.up_proj", (128, 64), "cannot be packed"),
        ("lm_head", (300, 64), "ties its output"),
        ("model.layers.0.mlp.up_proj", (64, 128), r"ffn_up.weight is \(128, 64\)"),
    ],
)
def test_modules_without_a_tensor_are_refused(
    tmp_path: Path, module: str, shape: tuple[int, int], says: str
) -> None:
    base = write_tiny_model(tmp_path / "m.gguf", "qwen2")
    with pytest.raises(ModelError, match=says):
        changed_tensors(Adapter("b", {module: factors(*shape, 2, 0)}), read_head(base))


def test_the_rank_is_cut_if_the_adapter_would_be_larger_than_the_base() -> None:
    # 250 numbers a rank, of 4 bytes
    adapter = Adapter("b", {"m": factors(100, 60, 2, 1), "n": factors(40, 50, 3, 2)})
    assert rank_cap(adapter, 100_000) == 100
    assert rank_cap(adapter, 1000) == LEAST_CAP
    assert rank_cap(Adapter("b", {}), 1000) == 1000
