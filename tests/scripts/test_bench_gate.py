"""`scripts/bench gate`: few updates, and what it says of them.

How often the gate errs is not checked; this holds that updates go through it.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "scripts" / "benchmarks" / "gate.py"


def test_null_updates_go_through_the_gate_and_power_is_reported() -> None:
    done = subprocess.run(
        [sys.executable, SCRIPT, "--updates", "36", "--power-updates", "8"],
        capture_output=True,
        text=True,
        check=True,
    )
    result = json.loads(done.stdout.splitlines()[-1])
    assert {"type1", "power", "seconds"} <= set(result)
    assert result["type1"] <= 0.15  # of 36; 5 % is shown by more of them
    assert result["type1_first_rule_by_sessions"]["1"] == 0.0
    assert list(result["power"]) == ["25", "50", "100", "200"]
    assert result["power"]["200"]["0.2"] == 1.0 > result["power"]["25"]["0.01"]
    assert "promoted" in done.stderr
