"""Commands run to their end, with what they read and write, whatever they do with it."""

from __future__ import annotations

import sys
from contextlib import suppress
from pathlib import Path

import pytest

from qi_learn.errors import NotFound, ToolMissing
from qi_learn.outside.process import run
from tests.support.command_line import wait_until

MEGABYTE = 1024 * 1024
ECHO = """
import sys
given = sys.stdin.buffer.read()
sys.stderr.buffer.write(given[::-1])
sys.stdout.buffer.write(given)
"""


def python(code: str, *arguments: str) -> list[str]:
    return [sys.executable, "-c", code, *arguments]


def test_what_it_reads_and_writes_may_be_more_than_a_pipe_holds() -> None:
    given = bytes(range(256)) * (4 * MEGABYTE // 256)
    done = run(python(ECHO), timeout=60, given=given)
    assert (done.exit_code, done.timed_out) == (0, False)
    assert done.output == given
    assert done.errors == given[::-1]


def test_the_beginning_of_what_it_writes_is_kept() -> None:
    given = b"0123456789" * 100_000
    done = run(python(ECHO), timeout=60, given=given, max_output=15)
    assert (done.output, done.errors) == (given[:15], given[::-1][:15])


def test_it_may_end_without_reading_what_it_is_given() -> None:
    done = run(python("print('no')"), timeout=60, given=b"x" * 4 * MEGABYTE)
    assert (done.exit_code, done.text) == (0, "no\n")


def test_it_may_close_its_outputs_and_go_on() -> None:
    code = "import os, time; os.close(1); os.close(2); time.sleep(0.3); os._exit(3)"
    assert run(python(code), timeout=60).exit_code == 3


@pytest.mark.parametrize("fails", [0, 1])
def test_what_it_leaves_behind_neither_keeps_it_waiting_nor_lives_on(
    tmp_path: Path, fails: int
) -> None:
    note = tmp_path / "note"
    child = "import os, sys, time; open(sys.argv[1], 'w').write(str(os.getpid())); time.sleep(600)"
    code = (
        "import os, subprocess, sys, time\n"
        f"subprocess.Popen([sys.executable, '-c', {child!r}, sys.argv[1]])\n"
        "while not os.path.exists(sys.argv[1]) or not open(sys.argv[1]).read(): time.sleep(0.01)\n"
        f"print('over', flush=True); os._exit({fails})"
    )
    done = run(python(code, str(note)), timeout=300)
    assert (done.exit_code, done.text, done.timed_out) == (fails, "over\n", False)
    wait_until(lambda: not running(int(note.read_text())))


def running(pid: int) -> bool:
    """Whether a process is there and has not ended."""
    with suppress(FileNotFoundError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


def test_its_time_is_up() -> None:
    code = "import time; print('begun', flush=True); time.sleep(600)"
    done = run(python(code), timeout=2.0, given=b"x" * MEGABYTE)
    assert (done.exit_code, done.timed_out) == (-9, True)


def test_what_cannot_be_run_is_told(tmp_path: Path) -> None:
    with pytest.raises(ToolMissing):
        run(["no-such-command-here"], timeout=1)
    with pytest.raises(NotFound):
        run(python(""), timeout=1, cwd=tmp_path / "absent")
