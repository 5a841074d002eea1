"""What a shell hook costs a command line, and the command line its start: `scripts/bench hooks`.

Each hook is called in its own shell a few hundred times as a command line calls it (begin, end; in
bash by an interactive shell itself, whose lines come through a pipe: `bash` with the HISTCONTROL
that Debian and Ubuntu set, `bash_plain` with none), in a project, beside 20 other projects, in turn
for: a line of one command, each time another, and one of two with quotes and redirections (a line
of JSON is written for each); one that holds nothing of ours, as most do. Between them, call by
call, so that a reader sees what shell and machine cost by themselves: a function that does nothing,
and a bare one that only writes a line as long, where the hook writes its own (for fish: into a file
of its own each time). Target: a median and a 99th percentile of 1 ms at most in the slowest shell;
`qi-learn --help` 150 ms, `qi-learn rate` 200 ms over Python's own start (design 8), beside a bare
`python -c pass` of the same run. `first_ms` is the first line of a shell. fish has no clock: its
calls are timed from outside. `over_1ms` counts the calls of a kind that took longer. Of 300 calls
the 99th percentile is about the third from the end, and what `nothing` has there is the machine's
own: ask for 1,000 calls for one that holds. On a busy machine it is the time for which another
process had the core (a slice of about 4 ms; bash's hook waits for nothing): the longer a call, the
more often. The last line is one JSON object.
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
LINE = "pytest -q tests/unit_"
COMPOUND = "cd ../src && pytest -q 'tests/unit' 2>&1 -k "
OTHER = "git status --short"
KINDS = ("", "compound_", "other_", "nothing_", "bare_")
"""What is timed in turn."""
BASH = f"""
. {HOOKS}/qi-learn.bash
nothing() {{ return 0; }}
bare() {{ printf '%s\\n' "$written" >>"$QI_LEARN_HOME/state/bare"; }}
begin() {{
    PROMPT_COMMAND=(_qi_learn_precmd report)
    trap "$trapped" DEBUG
}}
trapped='s=${{EPOCHREALTIME/[.,]/}}; _qi_learn_debug "$_"
    [[ $BASH_COMMAND == report ]] ||
        {{ ((spent += ${{EPOCHREALTIME/[.,]/}} - s)); at=${{EPOCHREALTIME/[.,]/}}; }}'
report() {{
    echo -n "$((spent + s - at)) " >&7
    ((++reported % 3 == 1 && reported > 1)) || return 0
    pytest; t=${{EPOCHREALTIME/[.,]/}}; nothing; nothing; ended
    pytest; t=${{EPOCHREALTIME/[.,]/}}; bare; ended; echo >&7
}}
ended() {{ echo -n "$((${{EPOCHREALTIME/[.,]/}} - t)) " >&7; }}
written={"x" * 270} reported=0
PS0='${{_b[b=${{EPOCHREALTIME/[.,]/}}]-}}'"$PS0"'${{_b[spent=${{EPOCHREALTIME/[.,]/}}-b]-}}'
PROMPT_COMMAND+=(begin)
"""
"""The start-up file: what PS0, the trap and the prompt cost is added up, line by line."""
ZSH = f"""
. {HOOKS}/qi-learn.zsh
nothing() {{ return 0 }}
bare() {{ print -r -- $1 >>$file }}
file=$QI_LEARN_HOME/state/bare
for ((i = 0; i < $1; i++)); do
    for line in "{LINE}$i" "{COMPOUND}$i" '{OTHER}'; do
        t=$EPOCHREALTIME; _qi_learn_preexec $line '' $line; ((spent = EPOCHREALTIME - t)); pytest
        t=$EPOCHREALTIME; _qi_learn_precmd; ((spent += EPOCHREALTIME - t))
        print -n "$((spent * 1000000)) "
    done
    pytest; t=$EPOCHREALTIME; nothing; nothing; ((spent = EPOCHREALTIME - t))
    print -n "$((spent * 1000000)) "
    pytest; t=$EPOCHREALTIME; bare $2; ((spent = EPOCHREALTIME - t))
    echo $((spent * 1000000))
done
"""
FISH = f"""
source {HOOKS}/qi-learn.fish
function nothing; end
function bare; echo $argv[2] >>$QI_LEARN_HOME/state/bare-$argv[1]; end
set CMD_DURATION 1234
while read -l kind i text
    switch $kind
        case compound_
            _qi_learn_preexec "{COMPOUND}$i"; _qi_learn_postexec "{COMPOUND}$i"
        case other_
            _qi_learn_preexec '{OTHER}'; _qi_learn_postexec '{OTHER}'
        case nothing_
            nothing; nothing
        case bare_
            bare $i $text
        case asked
        case run
            pytest
        case '*'
            _qi_learn_preexec "{LINE}$i"; _qi_learn_postexec "{LINE}$i"
    end
    echo done
end
"""
WRITTEN = "x" * 270
"""What the bare one writes: as long as a line of the hook's."""


def main() -> None:
    parser = argparse.ArgumentParser(description="Measures what the shells' hooks cost.")
    parser.add_argument("count", nargs="?", type=int, default=300, help="of calls in each shell")
    print(json.dumps(measure(parser.parse_args().count)))


def measure(count: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as directory:
        home = _home(Path(directory))
        found = {name: timed for name, timed in SHELLS.items() if _is_there(name)}
        spent = {name: timed(home, count) for name, timed in found.items()}
        files = (file.read_bytes() for file in (home / "state/spool").iterdir())
        lines = sum(text.count(b'{"v":1,') for text in files)
        assert lines == 2 * count * len(spent), f"{lines} lines were written"
        result: dict[str, Any] = {}
        for name, rows in spent.items():
            result[f"{name}_first_ms"] = round(rows[0][0], 3)
            for kind, times in zip(KINDS, zip(*rows, strict=True), strict=True):
                result[f"{name}_{kind}ms_p50"] = round(median(times), 3)
                result[f"{name}_{kind}ms_p99"] = round(quantiles(times, n=100)[98], 3)
                result[f"{name}_{kind}over_1ms"] = sum(took > 1 for took in times)
        slowest = {
            f"hook_ms_{part}": max(result[f"{name}_ms_{part}"] for name in spent)
            for part in ("p50", "p99")
        }
        return {**slowest, **result, **_starts(home), "calls": count}


def _is_there(name: str) -> bool:
    return shutil.which(name.split("_", 1)[0]) is not None


def _home(root: Path) -> Path:
    for name in ("state/spool", "data", "bin", "project/src", *(f"other/{i}" for i in range(20))):
        (root / name).mkdir(parents=True)
    for name in ("pytest", "git"):
        (root / "bin" / name).symlink_to("/bin/true")
    (root / ".local/share/fish/generated_completions").mkdir(parents=True)
    for project in (*sorted((root / "other").iterdir()), root / "project"):
        add_project(Paths.under(root), project)
    return root


def _environment(home: Path) -> dict[str, str]:
    words = {"HOME": str(home), "QI_LEARN_HOME": str(home), "LC_ALL": "C.UTF-8", "TERM": "dumb"}
    path = f"{home / 'bin'}:{os.environ['PATH']}"
    return {"PATH": path, "PYTHONPATH": os.environ.get("PYTHONPATH", "")} | words


Row = tuple[float, ...]
"""Milliseconds of one call of each kind."""


def _in_shell(words: list[str], home: Path, count: int) -> list[Row]:
    done = subprocess.run(
        [*words, "bench", str(count), WRITTEN],
        env=_environment(home),
        cwd=home / "project/src",
        capture_output=True,
        text=True,
        check=True,
        start_new_session=True,
    )
    lines = done.stdout.splitlines()
    return [tuple(float(word) / 1000 for word in line.split()) for line in lines]


def _bash(home: Path, count: int, before: str = "HISTCONTROL=ignoreboth") -> list[Row]:
    (home / "bashrc").write_text(f"{before}\n{BASH}")
    typed = "".join(f"{LINE}{i}\n{COMPOUND}{i}\n{OTHER}\n" for i in range(count))
    with (home / "times").open("wb") as times:
        subprocess.run(
            ["bash", "-c", f"exec bash --noprofile --rcfile {home}/bashrc -i 7>&1 >/dev/null"],
            env=_environment(home),
            cwd=home / "project/src",
            input=f"true\n{typed}".encode(),
            stdout=times,
            stderr=subprocess.DEVNULL,
            check=False,
            start_new_session=True,
        )
    numbers = [float(word) / 1000 for word in (home / "times").read_text().split()][1:]
    return list(zip(*[iter(numbers)] * len(KINDS), strict=True))


def _bash_plain(home: Path, count: int) -> list[Row]:
    return _bash(home, count, "unset HISTCONTROL")


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

        def ask(kind: str, number: int = 0) -> float:
            began = time.perf_counter()
            print(kind or "line", number, WRITTEN, file=shell.stdin, flush=True)
            assert shell.stdout is not None
            shell.stdout.readline()
            return (time.perf_counter() - began) * 1000

        asking = median(ask("asked") for _ in range(50))
        rows = []
        for number in range(count):
            row = []
            for kind in KINDS:
                ask("run")
                row.append(ask(kind, number) - asking)
            rows.append(tuple(row))
        return rows


SHELLS: dict[str, Callable[[Path, int], list[Row]]] = {
    "bash": _bash,
    "bash_plain": _bash_plain,
    "zsh": _zsh,
    "fish": _fish,
}


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
