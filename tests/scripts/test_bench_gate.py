"""`scripts/bench gate`: few updates, and what it says of them.

How often the gate errs is not checked; this holds that adversaries, chains and useful updates go
through it.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "scripts" / "benchmarks" / "gate.py"


def test_adversaries_and_useful_updates_go_through_the_gate() -> None:
    done = subprocess.run(
        [sys.executable, SCRIPT, "--quick", "--draws", "2", "--chains", "1", "--processes", "2"],
        capture_output=True,
        text=True,
        check=True,
    )
    result = json.loads(done.stdout.splitlines()[-1])
    assert set(result["adversaries"].values()) == {0.0}
    assert {"logits_x1.05", "leaker", "optimist_30_looks"} <= set(result["adversaries"])
    assert set(result["adversaries_upper"]) == set(result["adversaries"])
    assert result["power_25_3"] > 0.0
    assert list(result["power"]) == ["25", "50"]
    assert result["chain30_third"]["helpful"] == 10
    assert 0.0 <= result["type1_chain30"] <= 1.0
    assert "nothing, 12 sessions: " in done.stderr
    assert 0 < result["tokens_generated"] <= 3000
    assert 10_000 < result["tokens_read"] <= 60_000
    few = "python_stdlib, two of spill-over, and the others as one"
    assert result["whole_gate"]["suites"] == 4, few
