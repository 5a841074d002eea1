"""What code in the sandbox must not use up: time, memory, output, files, processes left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from qi_learn.gate.sandbox import Sandbox, SandboxLimits
from qi_learn.gate.sandbox_main import written
from tests.support.escapes import BRIEF, value
from tests.support.sandboxes import soon


def test_an_endless_loop_ends(sandbox: Sandbox) -> None:
    ran = sandbox.run("", ["1", "sum(iter(int, 1))"], BRIEF)
    assert (ran.values, ran.timed_out) == (("1",), False)
    assert ran.exit_code in (128 + signal.SIGXCPU, 128 + signal.SIGKILL)


def test_the_signal_of_the_limit_cannot_be_ignored(sandbox: Sandbox) -> None:
    ran = sandbox.run(
        "import signal\nsignal.signal(signal.SIGXCPU, signal.SIG_IGN)\nwhile True: pass", [], BRIEF
    )
    assert ran.exit_code == 128 + signal.SIGKILL


def test_a_program_that_only_sleeps_ends_too(sandbox: Sandbox) -> None:
    ran = sandbox.run("import time", ["time.sleep(60)"], SandboxLimits(seconds=soon(sandbox)))
    assert (ran.values, ran.timed_out) == ((), True)


@pytest.mark.parametrize(
    "code",
    [
        "'x' * (1 << 30)",
        "[bytearray(1 << 20) for _ in range(1000)]",
        "import mmap\nkept = [mmap.mmap(-1, 1 << 24) for _ in range(100)]",
        "def deeper(n):\n    return [n, deeper(n + 1)]\n"
        "import sys\nsys.setrecursionlimit(10**9)\ndeeper(0)",
    ],
)
def test_a_memory_bomb_hurts_only_itself(sandbox: Sandbox, code: str) -> None:
    assert sandbox.run(code, ["1"], BRIEF).values == ()


def test_limits_cannot_be_raised(sandbox: Sandbox) -> None:
    raising = (
        "resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))"
    )
    assert value(sandbox, "import resource", raising) in (
        "raises ValueError",
        "raises PermissionError",
    )
    limits = (
        "[resource.getrlimit(getattr(resource, 'RLIMIT_' + n)) "
        "for n in ('AS', 'CPU', 'FSIZE', 'NOFILE', 'NPROC', 'CORE')]"
    )
    limits_inside = value(sandbox, "import resource", limits)
    assert limits_inside == written(
        [(256 << 20, 256 << 20), (1, 1), (0, 0), (32, 32), (0, 0), (0, 0)]
    )


def test_endless_output_ends_and_is_cut(sandbox: Sandbox) -> None:
    """Even if it is written to the file that takes the values."""
    ran = sandbox.run("import os\nwhile True:\n    os.write(3, b'x' * 4096)", ["1"], BRIEF)
    assert ran.truncated
    assert sum(map(len, ran.values)) <= SandboxLimits().output


def test_it_opens_only_some_files(sandbox: Sandbox) -> None:
    assert value(sandbox, "", "len([open('/inside.py') for _ in range(100)])") == "raises OSError"


def test_nothing_is_left_behind(sandbox: Sandbox) -> None:
    thread = threading.Thread(
        target=sandbox.run,
        args=("import time", ["time.sleep(60)"], SandboxLimits(seconds=soon(sandbox))),
    )
    thread.start()
    family = _family(os.getpid())
    thread.join()
    _until(lambda: not any(map(_alive, family)))


def test_it_dies_with_who_started_it(sandbox: Sandbox) -> None:
    script = (
        "from qi_learn.gate.sandbox import *\nopen_sandbox().run('import time', ['time.sleep(60)'])"
    )
    owner = subprocess.Popen([sys.executable, "-c", script])
    try:
        family = _family(owner.pid)
    finally:
        owner.kill()
        owner.wait()
    _until(lambda: not any(map(_alive, family)))


def _family(pid: int) -> list[str]:
    """The sandbox below a process, waited for: bwrap, the first process of its namespace, the
    program.
    """
    family: list[str] = []

    def complete() -> bool:
        family[:] = _below(str(pid))
        return sum(b"/inside.py" in _read(Path(f"/proc/{p}/cmdline")) for p in family) >= 3

    _until(complete)
    return family


def _below(pid: str) -> list[str]:
    children = [
        child
        for children_file in Path(f"/proc/{pid}/task").glob("*/children")
        for child in _read(children_file).decode().split()
    ]
    return [*children, *(later for child in children for later in _below(child))]


def _alive(pid: str) -> bool:
    return b"/inside.py" in _read(Path(f"/proc/{pid}/cmdline"))


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:  # it ended meanwhile
        return b""


def _until(holds: Callable[[], bool], *, seconds: float = 15.0) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.02)
