"""`scripts/bench train_gpu` on a toy: every way that needs no GPU is timed, and what was not run
says why. The figures themselves are not checked.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "benchmarks" / "train_gpu.py"


@pytest.mark.parametrize("fisher", ["diagonal", "kfac"])
def test_it_times_the_plain_loop_and_ours(fisher: str) -> None:
    ways = ("--ways", "plain", "ours", "ours_unsloth")
    command = [sys.executable, str(SCRIPT), "--tiny", "--fisher", fisher, *ways]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    result = json.loads(done.stdout.splitlines()[-1])
    assert result["tokens_per_second"]["plain"] > 0
    assert result["tokens_per_second"]["ours"] > 0, done.stderr
    assert result["peak_memory_mb"]["ours"] > 0
    assert result["fisher_seconds"]["ours"] > 0
    assert result["not_run"] == {"ours_unsloth": "Unsloth needs a CUDA device"}
