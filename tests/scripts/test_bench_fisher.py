"""`scripts/bench fisher` on tiny shapes: what it times is there, and every figure comes out.

What the figures are is its own business.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "scripts" / "benchmarks" / "fisher.py"


def test_it_times_both_forms_and_both_penalties_against_the_same_passes() -> None:
    environment = {**os.environ, "OMP_NUM_THREADS": "2"}
    done = subprocess.run(
        [sys.executable, SCRIPT, "--try", "--runs", "1", "--tokens", "64"],
        capture_output=True,
        text=True,
        check=True,
        env=environment,
    )
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["fisher_over_backward"] > 0
    assert found["kfac_over_backward"] > 0
    assert 0 < found["ewc_step_overhead"] < 1
    assert 0 < found["ewc_step_overhead_block"] < 1
    assert 0 < found["bytes_7b"] < found["bytes_7b_kfac"]
    assert found["threads"] == 2
    assert "block:" in done.stderr
