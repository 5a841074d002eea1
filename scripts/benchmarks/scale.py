"""What history, projects and files cost: `scripts/bench scale [--turns N ...]`.

A synthetic history is made through the store's own functions, projects are git repositories, and
everything is measured at the public door: the daemon as a process (CPU seconds with those of its
gateway and of git's processes), the command line as processes, medians, and `python_ms`, a bare
`python -c pass`, beside them. Targets (design 8, on two cores, with the defaults): idle share of a
core <= 0.002 and <= 1.2 x that of a small history; `status`, `log`, `rate` <= 300 ms and
`python_ms` + 200; a test's outcome <= 50 ms in the loop; a checkout of 2,000 files <= 0.5 s CPU;
500,000 agent's turns <= 4 GB; gateway up <= 2 s, all projects watched <= 20 s, <= 64 threads. The
last line is one JSON object; smaller sizes measure the same in less time.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from scripts.benchmarks.scaling.daemons import (
    cpu_seconds,
    daemon_of,
    idle_shares,
    processes,
    settle,
)
from scripts.benchmarks.scaling.homes import (
    Home,
    fill,
    git,
    make_projects,
    model_server,
    seconds_of,
)
from scripts.benchmarks.scaling.parts import agent_turns_gb, outcome_loop_ms


def main() -> None:
    parser = argparse.ArgumentParser(description="Measures what a long history costs.")
    parser.add_argument("--turns", type=int, default=500_000, help="of the long history")
    parser.add_argument("--small", type=int, default=1000, help="turns of the short one")
    parser.add_argument("--projects", type=int, default=50)
    parser.add_argument("--files", type=int, default=2000, help="in each project")
    parser.add_argument("--outcome-files", type=int, default=20_000)
    parser.add_argument("--agent-turns", type=int, default=20_000, help="scaled to 500,000")
    parser.add_argument("--idle", type=float, default=600.0, help="seconds of idleness")
    parser.add_argument("--repeats", type=int, default=7, help="of each command")
    chosen = parser.parse_args()
    place = Path(tempfile.mkdtemp(prefix="qi-scale-"))
    try:
        print(json.dumps(measure(place, chosen)))
    finally:
        shutil.rmtree(place, ignore_errors=True)


def measure(place: Path, chosen: argparse.Namespace) -> dict[str, Any]:
    projects = make_projects(place / "projects", chosen.projects, chosen.files)
    with model_server() as url:
        small, large = (Home(place / name, projects, url) for name in ("small", "large"))
        fill(small, chosen.small)
        fill(large, chosen.turns)
        with daemon_of(large) as started:
            with daemon_of(small):  # idle in the same minutes: their ratio is of one machine
                settle(large)
                settle(small)
                share, small_share = idle_shares((large, small), chosen.idle)
            worked = at_work(large, chosen)
    return {
        "turns": chosen.turns,
        "projects": chosen.projects,
        "files": chosen.files,
        "idle_s": chosen.idle,
        **started,
        "idle_core_share": round(share, 5),
        "idle_core_share_small": round(small_share, 5),
        "idle_ratio": round(share / max(small_share, 1e-6), 2),
        **worked,
        "outcome_loop_ms": outcome_loop_ms(place / "outcome", chosen.outcome_files),
        "agent_turns_gb": agent_turns_gb(place / "agent", chosen.agent_turns),
    }


def at_work(home: Home, chosen: argparse.Namespace) -> dict[str, Any]:
    """The figures of a daemon that is up."""
    settle(home)
    threads = sum(len(list(Path(f"/proc/{p}/task").iterdir())) for p in processes(home))
    used = cpu_seconds(home)
    git(home.projects[0], "checkout", "-q", "other")
    settle(home)
    checkout = cpu_seconds(home) - used
    git(home.projects[0], "checkout", "-q", "main")
    settle(home)
    bare = [sys.executable, "-c", "pass"]
    commands: dict[str, Callable[[], float]] = {
        "python_ms": lambda: seconds_of(bare, home.env, home.projects[0]),
        "status_ms_500k": lambda: home.qi("status"),
        "log_ms_500k": lambda: home.qi("log"),
        "rate_ms_500k": lambda: home.qi("rate", "last", "4"),
    }
    times: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(chosen.repeats):
        for name, command in commands.items():
            times[name].append(command())
    return {
        "threads": threads,
        "checkout_cpu_s": round(checkout, 2),
        **{name: round(1000 * statistics.median(found)) for name, found in times.items()},
    }


if __name__ == "__main__":
    main()
