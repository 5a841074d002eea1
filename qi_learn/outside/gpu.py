"""Which device can train: free memory, whether it computes in bfloat16, and how busy it is.

Facts come from `nvidia-smi` and /proc, so asking costs no torch. A machine without them has a CPU and what the platform tells of it.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

QUERY = "name,memory.total,memory.free,utilization.gpu,compute_cap"
TIMEOUT = 10.0


@dataclass(frozen=True, slots=True)
class Device:
    """One place that can compute. Memory in bytes; `busy` is the share of time it computed lately, where that is known."""

    kind: Literal["cpu", "cuda"]
    name: str
    total: int
    free: int
    bf16: bool
    index: int = 0
    busy: float | None = None

    @property
    def torch_name(self) -> str:
        """What torch calls it."""
        return "cpu" if self.kind == "cpu" else f"cuda:{self.index}"


def find_devices(*, proc: Path = Path("/proc")) -> tuple[Device, ...]:
    """Every NVIDIA GPU, the one with most free memory first, then the CPU (always there)."""
    return (*sorted(_gpus(), key=lambda d: -d.free), _cpu(proc))


def _gpus() -> list[Device]:
    program = shutil.which("nvidia-smi")
    if program is None:
        return []
    try:
        done = subprocess.run([program, f"--query-gpu={QUERY}", "--format=csv,noheader,nounits"], capture_output=True, text=True, timeout=TIMEOUT, check=True)
    except (OSError, subprocess.SubprocessError):
        return []  # a driver that does not answer is no device to train on
    found = [_gpu(index, line.split(",")) for index, line in enumerate(done.stdout.splitlines())]
    return [device for device in found if device is not None]


def _gpu(index: int, cells: list[str]) -> Device | None:
    name, total, free, busy, capability = (cell.strip() for cell in cells) if len(cells) == 5 else ("",) * 5
    try:
        return Device(
            kind="cuda",
            name=name,
            total=int(total) * 2**20,
            free=int(free) * 2**20,
            bf16=float(capability) >= 8.0,  # Ampere and later
            index=index,
            busy=float(busy) / 100 if busy.isdigit() else None,
        )
    except ValueError:
        return None


def _cpu(proc: Path) -> Device:
    memory = _fields(proc / "meminfo")
    total = _kilobytes(memory.get("MemTotal")) or os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    facts = _fields(proc / "cpuinfo")
    flags = set((facts.get("flags") or facts.get("Features") or "").split())
    cores = os.cpu_count() or 1
    return Device(
        kind="cpu",
        name=facts.get("model name") or platform.processor() or platform.machine(),
        total=total,
        free=_kilobytes(memory.get("MemAvailable")) or total // 2,
        bf16=bool(flags & {"avx512_bf16", "amx_bf16", "bf16"}),
        busy=min(1.0, os.getloadavg()[0] / cores),
    )


def _fields(path: Path) -> dict[str, str]:
    """`name : value` lines, the first of each name (cpuinfo repeats them per core); empty where the file is not there."""
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return {}
    found: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if colon:
            found.setdefault(name.strip(), value.strip())
    return found


def _kilobytes(value: str | None) -> int:
    return int(value.split()[0]) * 1024 if value and value.split()[0].isdigit() else 0
