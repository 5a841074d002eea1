"""`scripts/bench train_gpu` on a toy: every way that needs no GPU is timed, and what was not run
says why. The figures themselves are not checked.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "scripts" / "benchmarks" / "train_gpu.py"


def test_it_times_the_plain_loop_and_ours() -> None:
    """Each way is a process that loads torch."""
    ways = ("ours", "plain", "ours_unsloth")
    command = [sys.executable, str(SCRIPT), "--tiny", "--fisher", "kfac", "--ways", *ways]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    result = json.loads(done.stdout.splitlines()[-1])
    for way in ("ours", "plain"):
        assert result["tokens_per_second"][way] > 0, done.stderr
    assert result["peak_memory_mb"]["ours"] > 0
    assert result["fisher_seconds"]["ours"] > 0
    assert result["not_run"] == {"ours_unsloth": "Unsloth needs a CUDA device"}
