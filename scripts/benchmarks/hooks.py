"""What a shell hook costs a command line, and the command line its start: `scripts/bench hooks`.

Each hook is called in its own shell as a command line calls it (begin, end, one line written), a
few hundred times, in a project, beside 20 other projects; then for a line that holds nothing of
ours, as most do; and, call by call between them, so does a hook that does nothing: its 99th
percentile is what the machine itself adds. Target: a 99th percentile of 1 ms at most in the slowest
shell; `qi-learn --help` 150 ms, `qi-learn rate` 200 ms over Python's own start (design 8), beside a
bare `python -c pass` of the same run. fish has no clock: its calls are timed from outside, ten by
ten. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median, quantiles
from typing import Any

from qi_learn.paths import Paths
from qi_learn.workspace.registry import add_project

HOOKS = Path(__file__).parent.parent.parent / "hooks"
LINE = "pytest -q tests/unit"
OTHER = "git status --short"
KINDS = ("", "other_", "nothing_")
"""What is timed in turn: a line that is recorded, one that is not, a hook that does nothing."""
BASH = f"""
set -o history; . {HOOKS}/qi-learn.bash
nothing() {{ return 0; }}
for ((i = 0; i < $1; i++)); do
    history -s '{LINE}'; t=${{EPOCHREALTIME/[.,]/}}
    : "${{_qi_learn_arm@P}}"; _qi_learn_debug "$_"
    u=${{EPOCHREALTIME/[.,]/}}; _qi_learn_first='{LINE}' _qi_learn_fresh=1
    v=${{EPOCHREALTIME/[.,]/}}; _qi_learn_precmd
    spent=$((u - t + ${{EPOCHREALTIME/[.,]/}} - v))
    history -s '{OTHER}'; t=${{EPOCHREALTIME/[.,]/}}
    : "${{_qi_learn_arm@P}}"; _qi_learn_debug "$_"
    u=${{EPOCHREALTIME/[.,]/}}; _qi_learn_first='{OTHER}' _qi_learn_fresh=1
    v=${{EPOCHREALTIME/[.,]/}}; _qi_learn_precmd
    other=$((u - t + ${{EPOCHREALTIME/[.,]/}} - v))
    t=${{EPOCHREALTIME/[.,]/}}; nothing "$_"; u=${{EPOCHREALTIME/[.,]/}}
    v=${{EPOCHREALTIME/[.,]/}}; nothing
    echo $spent $other $((u - t + ${{EPOCHREALTIME/[.,]/}} - v))
done
"""
ZSH = f"""
. {HOOKS}/qi-learn.zsh
nothing() {{ return 0 }}
for ((i = 0; i < $1; i++)); do
    for line in '{LINE}' '{OTHER}'; do
        t=$EPOCHREALTIME; _qi_learn_preexec $line '' $line; ((spent = EPOCHREALTIME - t))
        t=$EPOCHREALTIME; _qi_learn_precmd; ((spent += EPOCHREALTIME - t))
        print -n "$((spent * 1000000)) "
    done
    t=$EPOCHREALTIME; nothing; ((spent = EPOCHREALTIME - t))
    t=$EPOCHREALTIME; nothing; ((spent += EPOCHREALTIME - t))
    echo $((spent * 1000000))
done
"""
FISH = f"""
source {HOOKS}/qi-learn.fish
function nothing; end
set CMD_DURATION 1234
while read -l times
    for i in (string match -ra . -- $times)
        switch $i
            case r
                _qi_learn_preexec '{LINE}'; _qi_learn_postexec '{LINE}'
            case o
                _qi_learn_preexec '{OTHER}'; _qi_learn_postexec '{OTHER}'
            case n
                nothing '{LINE}'; nothing '{LINE}'
        end
    end
    echo done
end
"""


def main() -> None:
    parser = argparse.ArgumentParser(description="Measures what the shells' hooks cost.")
    parser.add_argument("count", nargs="?", type=int, default=300, help="of calls in each shell")
    print(json.dumps(measure(parser.parse_args().count)))


def measure(count: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as directory:
        home = _home(Path(directory))
        found = {name: timed for name, timed in SHELLS.items() if shutil.which(name)}
        spent = {name: timed(home, count) for name, timed in found.items()}
        written = len(list((home / "state/spool").glob("fish-*"))) if "fish" in spent else count
        assert written == count, f"fish wrote {written} lines of {count}"
        result: dict[str, Any] = {}
        for name, rows in spent.items():
            for kind, times in zip(KINDS, zip(*rows, strict=True), strict=True):
                result[f"{name}_{kind}ms_p50"] = round(median(times), 3)
                result[f"{name}_{kind}ms_p99"] = round(quantiles(times, n=100)[98], 3)
        worst = max(result[f"{name}_ms_p99"] for name in spent)
        return {"hook_ms_p99": worst, **result, **_starts(home), "calls": count}


def _home(root: Path) -> Path:
    for name in ("state/spool", "data", "project/src", *(f"other/{i}" for i in range(20))):
        (root / name).mkdir(parents=True)
    (root / ".local/share/fish/generated_completions").mkdir(parents=True)
    for project in (*sorted((root / "other").iterdir()), root / "project"):
        add_project(Paths.under(root), project)
    return root


def _environment(home: Path) -> dict[str, str]:
    words = {"HOME": str(home), "QI_LEARN_HOME": str(home), "LC_ALL": "C.UTF-8", "TERM": "dumb"}
    return {"PATH": os.environ["PATH"], "PYTHONPATH": os.environ.get("PYTHONPATH", "")} | words


Row = tuple[float, ...]
"""Milliseconds of one call of each kind."""


def _in_shell(words: list[str], home: Path, count: int) -> list[Row]:
    done = subprocess.run(
        [*words, "bench", str(count)],
        env=_environment(home),
        cwd=home / "project/src",
        capture_output=True,
        text=True,
        check=True,
        start_new_session=True,
    )
    lines = done.stdout.splitlines()
    return [tuple(float(word) / 1000 for word in line.split()) for line in lines]


def _bash(home: Path, count: int) -> list[Row]:
    return _in_shell(["bash", "--norc", "--noprofile", "-i", "-c", BASH], home, count)


def _zsh(home: Path, count: int) -> list[Row]:
    return _in_shell(["zsh", "-f", "-i", "-c", ZSH], home, count)


def _fish(home: Path, count: int) -> list[Row]:
    with subprocess.Popen(
        ["fish", "-i", "-c", FISH],
        env=_environment(home),
        cwd=home / "project/src",
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    ) as shell:
        assert shell.stdin is not None
        assert shell.stdout is not None

        def ask(calls: int, kind: str = "n") -> float:
            began = time.perf_counter()
            print(kind * calls, file=shell.stdin, flush=True)
            assert shell.stdout is not None
            shell.stdout.readline()
            return (time.perf_counter() - began) * 1000

        nothing = median(ask(0) for _ in range(50))
        return [tuple((ask(10, kind) - nothing) / 10 for kind in "ron") for _ in range(count // 10)]


SHELLS: dict[str, Callable[[Path, int], list[Row]]] = {"bash": _bash, "zsh": _zsh, "fish": _fish}


def _starts(home: Path) -> dict[str, float]:
    """Milliseconds of a start, the median of 9: of Python alone, `--help`, `rate`."""
    commands = {
        "cli_help_ms": ["-m", "qi_learn", "--help"],
        "rate_ms": ["-m", "qi_learn", "rate", "5"],
        "python_ms": ["-c", "pass"],
    }
    times: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(9):
        for name, words in commands.items():
            began = time.perf_counter()
            subprocess.run(
                [sys.executable, *words],
                env=_environment(home),
                cwd=home / "project",
                capture_output=True,
                check=False,
            )
            times[name].append((time.perf_counter() - began) * 1000)
    return {name: round(median(spent), 1) for name, spent in times.items()}


if __name__ == "__main__":
    main()
