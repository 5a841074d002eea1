"""Processes: run a command to its end, leave with the parent, the memory held at most.

A command has a time limit, and a limit on what is kept of its output. It gets a process group of
its own, and that whole group is killed when the command has ended or its time is up: a grandchild
that stays behind neither outlives the call nor keeps it waiting. Nothing is a shell string; the
command is its list of arguments.
"""

from __future__ import annotations

import logging
import os
import re
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from qi_learn.errors import NotFound, ToolMissing

logger = logging.getLogger(__name__)
MAX_OUTPUT = 16 * 1024 * 1024
"""Bytes that are kept of each of a command's two outputs."""
PARENT_SECONDS = 1.0
"""Seconds between two checks whether the parent is still there."""


@dataclass(frozen=True, slots=True)
class Finished:
    """How a command ended.

    `exit_code` is negative if a signal ended it, and -9 also if its time was up.
    """

    argv: tuple[str, ...]
    exit_code: int
    output: bytes
    errors: bytes
    seconds: float
    timed_out: bool = False

    @property
    def text(self) -> str:
        """Standard output as text."""
        return self.output.decode("utf-8", "replace")

    @property
    def error_text(self) -> str:
        """Standard error as text, without white space around it."""
        return self.errors.decode("utf-8", "replace").strip()


def run(
    argv: Sequence[str],
    *,
    timeout: float,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    given: bytes = b"",
    max_output: int = MAX_OUTPUT,
    pass_fds: Sequence[int] = (),
) -> Finished:
    """Run a command for at most `timeout` seconds, and keep what it writes.

    Up to `max_output` bytes are kept of each of its two outputs. The command reads `given`, and
    inherits `pass_fds`.

    Raises ToolMissing if there is no such command, NotFound if `cwd` is no directory.
    """
    started = time.monotonic()
    process = start(argv, cwd=cwd, env=env, pass_fds=pass_fds)
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    output, errors = bytearray(), bytearray()
    threads = [
        threading.Thread(target=_keep, args=(process.stdout, output, max_output), daemon=True),
        threading.Thread(target=_keep, args=(process.stderr, errors, max_output), daemon=True),
        threading.Thread(target=_give, args=(process.stdin, given), daemon=True),
    ]
    for thread in threads:
        thread.start()
    timed_out = False
    try:
        process.wait(timeout)
    except subprocess.TimeoutExpired:
        timed_out = True
    finally:
        kill_group(process.pid)
        process.wait()
        for thread in threads:
            thread.join()
    return Finished(
        tuple(argv),
        process.returncode,
        bytes(output),
        bytes(errors),
        time.monotonic() - started,
        timed_out,
    )


def start(
    argv: Sequence[str],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    pass_fds: Sequence[int] = (),
    stderr: int = subprocess.PIPE,
) -> subprocess.Popen[bytes]:
    """The command, as the leader of a process group of its own, its input and output in pipes.

    Raises ToolMissing if there is no such command, NotFound if `cwd` is no directory.
    """
    if cwd is not None and not cwd.is_dir():
        raise NotFound(f"{cwd} is not a directory.", "Name one that exists.")
    try:
        return subprocess.Popen(
            argv,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
            cwd=cwd,
            env=env,
            start_new_session=True,
            pass_fds=pass_fds,
        )
    except (FileNotFoundError, PermissionError) as error:
        raise ToolMissing(
            f"{argv[0]} cannot be started: {error.strerror}.",
            f"Install {argv[0]}, or see that it is on PATH.",
        ) from error


def kill_group(leader: int) -> None:
    """Kill every process of the group that `leader` began, if any is left."""
    with suppress(ProcessLookupError, PermissionError):  # on macOS a group of zombies answers EPERM
        os.killpg(leader, signal.SIGKILL)


def leave_with(parent: int, *, grace: float | None = None) -> None:
    """Send this process SIGTERM once `parent` is no longer its parent.

    So it does not outlive the process that started it.

    With `grace`, it ends that many seconds later in any case, even in a call that no signal ends.
    A process with a SIGTERM handler of its own installs it first.
    """

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(PARENT_SECONDS)
        logger.warning("the process that started this one (%d) is gone", parent)
        os.kill(os.getpid(), signal.SIGTERM)
        if grace is not None:
            time.sleep(grace)
            os.kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=watch, name="parent", daemon=True).start()


def _keep(pipe: IO[bytes], kept: bytearray, limit: int) -> None:
    """Read to the end, so that the command never waits for its reader, and keep the beginning."""
    with pipe:
        while chunk := os.read(pipe.fileno(), 65536):
            kept += chunk[: max(0, limit - len(kept))]


def _give(pipe: IO[bytes], given: bytes) -> None:
    """Write what the command is to read; it may end without reading it."""
    with suppress(BrokenPipeError), pipe:
        pipe.write(given)


def peak_resident() -> int:
    """The bytes that this program held in memory at most.

    On Linux they are of this program alone. Elsewhere `getrusage` tells them, which begins with
    what the process that started this one held.
    """
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii")
    except OSError:
        status = ""
    if match := re.search(r"^VmHWM:\s+(\d+) kB", status, re.MULTILINE):
        return int(match[1]) * 1024
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
