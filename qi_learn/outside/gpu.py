"""Which device can train: free memory, whether it computes in bfloat16, how busy it is, and what
the server holds of it.

Facts come from `nvidia-smi` and /proc, so asking costs no torch. A machine without them has a CPU
and what the platform tells of it. GPUs that CUDA_VISIBLE_DEVICES hides from us are not there.
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
"""In the names of processes that hold models for the server: Ollama's own, and the runners it
starts.
"""


@dataclass(frozen=True, slots=True)
class Device:
    """One place that can compute.

    Memory in bytes; `busy` is the share of time it computed lately, where that is known.
    """

    kind: Literal["cpu", "cuda"]
    name: str
    total: int
    free: int
    bf16: bool
    index: int = 0
    busy: float | None = None
    uuid: str = ""
    """Of a GPU: names it whatever else is visible."""

    @property
    def torch_name(self) -> str:
        """What torch calls it."""
        return "cpu" if self.kind == "cpu" else f"cuda:{self.index}"


def find_devices(*, proc: Path = Path("/proc")) -> tuple[Device, ...]:
    """Every NVIDIA GPU, the one with most free memory first, then the CPU (always there)."""
    return (*sorted(_gpus(), key=lambda d: -d.free), _cpu(proc))


def find_gpu(uuid: str) -> Device | None:
    """One GPU as it is now; None where it does not answer."""
    return next((device for device in _gpus() if device.uuid == uuid), None)


def held_by_server() -> dict[str, int]:
    """Bytes that the server's processes hold of each GPU, by its UUID; empty where nvidia-smi shows
    no processes (as in some containers).
    """
    held: dict[str, int] = {}
    for line in _ask("--query-compute-apps=gpu_uuid,used_memory,process_name"):
        cells = [cell.strip() for cell in line.split(",", 2)]
        if (
            len(cells) == 3
            and cells[1].isdigit()
            and any(server in cells[2].lower() for server in SERVERS)
        ):
            held[cells[0]] = held.get(cells[0], 0) + int(cells[1]) * 2**20
    return held


def _gpus() -> list[Device]:
    found = [
        _gpu(index, line.split(",")) for index, line in enumerate(_ask(f"--query-gpu={QUERY}"))
    ]
    return _visible(
        [device for device in found if device is not None], os.environ.get("CUDA_VISIBLE_DEVICES")
    )


def _ask(query: str) -> list[str]:
    """The lines of an answer; none where there is no driver, or one that does not answer: that is
    no device to train on.
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
    """Those that CUDA shows to us: by index or by (the beginning of) the UUID, up to the first name
    that means none.
    """
    if named is None:
        return gpus
    shown: list[Device] = []
    for name in (part.strip() for part in named.split(",")):
        found = next(
            (
                d
                for d in gpus
                if name == str(d.index) or (name.startswith("GPU-") and d.uuid.startswith(name))
            ),
            None,
        )
        if found is None:
            break
        shown.append(found)
    return shown


def _gpu(index: int, cells: list[str]) -> Device | None:
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
    total = _kilobytes(memory.get("MemTotal")) or os.sysconf("SC_PAGE_SIZE") * os.sysconf(
        "SC_PHYS_PAGES"
    )
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
    """`name : value` lines, the first of each name (cpuinfo repeats them per core); empty where the
    file is not there.
    """
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
