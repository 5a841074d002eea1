"""The devices that can train: memory, bfloat16, how busy they are, what the server holds.

The facts come from `nvidia-smi` and /proc, so they cost no torch. A machine without these has a
CPU, and what the platform tells of it. GPUs that CUDA_VISIBLE_DEVICES hides from this process are
not there.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

QUERY = "name,memory.total,memory.free,utilization.gpu,compute_cap,uuid"
TIMEOUT = 10.0
SERVERS = ("ollama", "llama-server")
"""Parts of the names of processes that hold models for the server: Ollama's own, and the runners
that it starts.
"""


@dataclass(frozen=True, slots=True)
class Device:
    """One device that can compute. Memory is in bytes."""

    kind: Literal["cpu", "cuda"]
    name: str
    total: int
    free: int
    bf16: bool
    index: int = 0
    busy: float | None = None
    """The share of time that it computed lately, if that is known."""
    uuid: str = ""
    """Of a GPU: its name, whatever else is visible."""

    @property
    def torch_name(self) -> str:
        """The device's name in torch."""
        return "cpu" if self.kind == "cpu" else f"cuda:{self.index}"


def find_devices(*, proc: Path = Path("/proc")) -> tuple[Device, ...]:
    """Every NVIDIA GPU, the one with most free memory first, then the CPU (always there)."""
    return (*sorted(_gpus(), key=lambda d: -d.free), _cpu(proc))


def find_gpu(uuid: str) -> Device | None:
    """One GPU as it is now; None if it does not answer."""
    return next((device for device in _gpus() if device.uuid == uuid), None)


def held_by_server() -> dict[str, int]:
    """The bytes that the server's processes hold of each GPU, by its UUID.

    Empty if nvidia-smi shows no processes (as in some containers).
    """
    held: dict[str, int] = {}
    for line in _ask("--query-compute-apps=gpu_uuid,used_memory,process_name"):
        cells = [cell.strip() for cell in line.split(",", 2)]
        if len(cells) != 3:
            continue
        uuid, megabytes, process = cells
        if megabytes.isdigit() and any(server in process.lower() for server in SERVERS):
            held[uuid] = held.get(uuid, 0) + int(megabytes) * 2**20
    return held


def _gpus() -> list[Device]:
    """The GPUs that this process may use."""
    lines = enumerate(_ask(f"--query-gpu={QUERY}"))
    listed = [_gpu(index, line.split(",")) for index, line in lines]
    return _visible(
        [device for device in listed if device is not None], os.environ.get("CUDA_VISIBLE_DEVICES")
    )


def _ask(query: str) -> list[str]:
    """The lines that `nvidia-smi` answers with.

    There are none without a driver, or with one that does not answer: that is no device to train
    on.
    """
    program = shutil.which("nvidia-smi")
    if program is None:
        return []
    try:
        done = subprocess.run(
            [program, query, "--format=csv,noheader,nounits"],
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return []
    return done.stdout.splitlines()


def _visible(gpus: list[Device], named: str | None) -> list[Device]:
    """Those that CUDA shows to this process.

    They are named by index or by (the beginning of) the UUID, up to the first name that means none.
    """
    if named is None:
        return gpus
    shown: list[Device] = []
    for name in (part.strip() for part in named.split(",")):
        gpu = next((gpu for gpu in gpus if _is_named(gpu, name)), None)
        if gpu is None:
            break
        shown.append(gpu)
    return shown


def _is_named(gpu: Device, name: str) -> bool:
    return name == str(gpu.index) or (name.startswith("GPU-") and gpu.uuid.startswith(name))


def _gpu(index: int, cells: list[str]) -> Device | None:
    """The GPU of one line; None if the line is no GPU's."""
    name, total, free, busy, capability, uuid = (
        (cell.strip() for cell in (*cells, "")[:6]) if len(cells) in (5, 6) else ("",) * 6
    )
    try:
        return Device(
            kind="cuda",
            name=name,
            total=int(total) * 2**20,
            free=int(free) * 2**20,
            bf16=float(capability) >= 8.0,  # Ampere and later
            index=index,
            busy=float(busy) / 100 if busy.isdigit() else None,
            uuid=uuid or str(index),
        )
    except ValueError:
        return None


def _cpu(proc: Path) -> Device:
    memory = _fields(proc / "meminfo")
    physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    total = _kilobytes(memory.get("MemTotal")) or physical
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
    """The `name : value` lines of a file, the first of each name (cpuinfo repeats them per core).

    Empty if the file is not there.
    """
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return {}
    fields: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if colon:
            fields.setdefault(name.strip(), value.strip())
    return fields


def _kilobytes(value: str | None) -> int:
    """The bytes of a value in kB (`16384 kB`); 0 if it is none."""
    return int(value.split()[0]) * 1024 if value and value.split()[0].isdigit() else 0
