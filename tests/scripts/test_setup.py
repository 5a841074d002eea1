"""`scripts/setup` with its output in a file: every line whole, while pip is still at work."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from tests.support.command_line import wait_until

SETUP = Path(__file__).parent.parent.parent / "scripts" / "setup"
COLLECTED = [
    f"Collecting package{n}==1.{n} (from another-package[with,many,extras]==13.0.3->qi-learn)"
    for n in range(120)
]
"""About 9 KiB: more than two blocks of a stream that collects before it writes."""
PYTHON = """#!/bin/sh
# An interpreter of which scripts/setup asks pip alone: it tells what it collects, then compiles.
case "$*" in
*--editable*)
    cat "{place}/collected"
    echo "  Downloading something (1 kB)"
    while [ ! -e "{place}/compiled" ]; do sleep 0.05; done
    printf 'Successfully installed qi-learn'
    exit {code} ;;
*"pip check") echo "No broken requirements found." ;;
esac
"""


def start(place: Path, *, code: int = 0) -> tuple[subprocess.Popen[bytes], Path]:
    """`scripts/setup` in an environment whose pip waits for the file `compiled`, and its output."""
    (place / "venv/bin").mkdir(parents=True)
    (place / "collected").write_text("\n".join(COLLECTED) + "\n")
    for name in ("python", "pip"):
        (place / "venv/bin" / name).write_text(PYTHON.format(place=place, code=code))
        (place / "venv/bin" / name).chmod(0o755)
    log = place / "log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [SETUP, "embedded"], env={**os.environ, "VENV": str(place / "venv")},
            stdout=out, stderr=out,
        )  # fmt: skip
    return process, log


def test_whole_lines_while_pip_is_still_at_work(tmp_path: Path) -> None:
    process, log = start(tmp_path)
    try:
        wait_until(lambda: log.read_text().endswith(f"setup: {COLLECTED[-1]}\n"), 20)
    finally:
        (tmp_path / "compiled").touch()
    assert process.wait(20) == 0
    lines = log.read_text().splitlines()
    assert [line for line in lines if "Collecting" in line] == [f"setup: {c}" for c in COLLECTED]
    assert "setup: Successfully installed qi-learn" in lines, "though pip did not end that line"
    assert not any("Downloading" in line for line in lines)
    assert lines[-1].startswith("setup: done in ")


def test_a_failure_of_pip_is_one(tmp_path: Path) -> None:
    (tmp_path / "compiled").touch()
    process, log = start(tmp_path, code=1)
    assert process.wait(20) == 1
    assert "setup: pip could not install everything" in log.read_text().splitlines()[-1]
    assert not (tmp_path / "venv/.qi-learn-setup").exists(), "the next run tries again"
