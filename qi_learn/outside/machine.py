"""How busy this machine is, how much memory it has left, and whether it runs on its battery.

The system's own files say so; nothing is measured.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

SUPPLIES = Path("/sys/class/power_supply")


def load_per_core() -> float:
    """The load average of the last five minutes, per core; 0 if the system has none."""
    try:
        return os.getloadavg()[1] / (os.cpu_count() or 1)
    except OSError:
        return 0.0


def available_memory(
    system: Path = Path("/proc/meminfo"), group: Path = Path("/sys/fs/cgroup")
) -> int | None:
    """Bytes that a process may still take before something is ended or swapped out.

    The smaller of the machine's and the container's; None if the system does not say.
    """
    known = []
    if found := re.search(r"^MemAvailable:\s+(\d+) kB", _read(system), re.MULTILINE):
        known.append(int(found[1]) * 1024)
    most, used = _read(group / "memory.max"), _read(group / "memory.current")
    if most.isdigit() and used.isdigit():
        known.append(max(0, int(most) - int(used)))
    return min(known, default=None)


def on_battery(supplies: Path = SUPPLIES) -> bool:
    """Whether a battery of the machine itself (not of a mouse) is being emptied.

    False if there is none, or the system does not say.
    """
    try:
        listed = sorted(supplies.iterdir())
    except OSError:
        return False
    return any(
        _read(supply / "type") == "Battery"
        and _read(supply / "scope") != "Device"
        and _read(supply / "status") == "Discharging"
        for supply in listed
    )


def _read(path: Path) -> str:
    """The text of a file of the system; empty if it cannot be read."""
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""
