"""How busy this machine is, and whether it runs on its battery: from the system's own files,
nothing is measured.
"""

from __future__ import annotations

import os
from pathlib import Path

SUPPLIES = Path("/sys/class/power_supply")


def load_per_core() -> float:
    """The load average of the last five minutes, per core; 0 where the system tells none."""
    try:
        return os.getloadavg()[1] / (os.cpu_count() or 1)
    except OSError:
        return 0.0


def on_battery(supplies: Path = SUPPLIES) -> bool:
    """Whether a battery of the machine itself (not of a mouse) is being emptied; False where there
    is none, or nobody says.
    """
    try:
        found = sorted(supplies.iterdir())
    except OSError:
        return False
    return any(
        _read(s / "type") == "Battery"
        and _read(s / "scope") != "Device"
        and _read(s / "status") == "Discharging"
        for s in found
    )


def _read(place: Path) -> str:
    try:
        return place.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""
