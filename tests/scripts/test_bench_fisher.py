"""`scripts/bench fisher` on tiny shapes: what it times is there, and every figure comes out.

The figures themselves are not checked.
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
    result = json.loads(done.stdout.splitlines()[-1])
    assert result["fisher_over_backward"] > 0
    assert result["kfac_over_backward"] > 0
    assert 0 < result["ewc_step_overhead"] < 1
    assert 0 < result["ewc_step_overhead_block"] < 1
    assert 0 < result["bytes_7b"] < result["bytes_7b_kfac"]
    assert result["threads"] == 2
    assert "block:" in done.stderr
