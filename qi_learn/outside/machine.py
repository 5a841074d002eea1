"""How busy this machine is, and whether it runs on its battery.

The system's own files say so; nothing is measured.
"""

from __future__ import annotations

import os
from pathlib import Path

SUPPLIES = Path("/sys/class/power_supply")


def load_per_core() -> float:
    """The load average of the last five minutes, per core; 0 if the system has none."""
    try:
        return os.getloadavg()[1] / (os.cpu_count() or 1)
    except OSError:
        return 0.0


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
