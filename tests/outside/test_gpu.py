"""Device facts: an nvidia-smi that answers, one that fails, none at all; /proc as it is and as it
may be.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from qi_learn.outside.gpu import find_devices


def _program(place: Path, body: str) -> None:
    place.mkdir(exist_ok=True)
    (place / "nvidia-smi").write_text("#!/bin/sh\n" + body)
    (place / "nvidia-smi").chmod(0o755)


def test_gpus_come_first_by_free_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _program(
        tmp_path / "bin",
        "echo 'NVIDIA A100, 81920, 1000, 97, 8.0'\necho 'NVIDIA GeForce RTX 4090, 24564, 22000, 0, "
        "8.9'\n"
        "echo 'Tesla T4, 15360, 15000, [N/A], 7.5'\necho 'broken'\necho 'Odd, [N/A], [N/A], 0, "
        "9.0'\n",
    )
    monkeypatch.setenv("PATH", str(tmp_path / "bin") + ":/usr/bin:/bin")
    first, second, third, cpu = find_devices()
    assert (first.name, first.index, first.torch_name, first.free, first.bf16, first.busy) == (
        "NVIDIA GeForce RTX 4090",
        1,
        "cuda:1",
        22000 * 2**20,
        True,
        0.0,
    )
    assert (second.name, second.index, second.bf16, second.busy) == ("Tesla T4", 2, False, None)
    assert (third.name, third.index, third.busy) == ("NVIDIA A100", 0, 0.97)
    assert cpu.kind == "cpu"


@pytest.mark.parametrize("body", ["exit 9\n", "echo 'NVIDIA-SMI has failed'\n", ""])
def test_a_driver_that_does_not_answer_is_no_device(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: str
) -> None:
    _program(tmp_path / "bin", body)
    monkeypatch.setenv("PATH", str(tmp_path / "bin") + ":/usr/bin:/bin")
    assert [d.kind for d in find_devices()] == ["cpu"]


def test_the_cpu_is_what_proc_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    (tmp_path / "meminfo").write_text(
        "MemTotal:       16000000 kB\nMemFree: 1 kB\nMemAvailable:    8000000 kB\n"
    )
    (tmp_path / "cpuinfo").write_text(
        "processor : 0\nmodel name : Some CPU @ 3GHz\nflags : fpu avx512_bf16\n\nprocessor : "
        "1\nmodel name : other\nflags : fpu\n"
    )
    (cpu,) = find_devices(proc=tmp_path)
    assert (cpu.name, cpu.total, cpu.free, cpu.bf16, cpu.torch_name) == (
        "Some CPU @ 3GHz",
        16_000_000 * 1024,
        8_000_000 * 1024,
        True,
        "cpu",
    )
    (tmp_path / "cpuinfo").write_text("flags : fpu avx2\n")
    assert not find_devices(proc=tmp_path)[0].bf16


def test_without_proc_there_is_still_a_cpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    (cpu,) = find_devices(proc=tmp_path)
    assert cpu.total > 0
    assert 0 < cpu.free <= cpu.total
    assert cpu.name
    assert not cpu.bf16
