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
import selectors
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from qi_learn.errors import NotFound, ToolMissing

logger = logging.getLogger(__name__)
MAX_OUTPUT = 16 * 1024 * 1024
"""Bytes that are kept of each of a command's two outputs."""
LOOK_SECONDS = 0.02
"""Seconds between two looks at a command where the system does not tell that it has ended."""
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
    try:
        with _Pipes(process, given, max_output) as pipes:
            timed_out = not pipes.serve(started + timeout)
            kill_group(process.pid)  # whatever it left behind, which may hold its pipes
            pipes.drain()
    finally:
        if process.returncode is None:
            kill_group(process.pid)
            process.wait()
    return Finished(
        tuple(argv),
        process.returncode,
        bytes(pipes.output),
        bytes(pipes.errors),
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


class _Pipes:
    """What a command reads and writes, served by the thread that waits for it.

    Its outputs are read to their ends, so that it never waits for its reader; their beginnings are
    kept. It may end without reading what it is given.
    """

    def __init__(self, process: subprocess.Popen[bytes], given: bytes, limit: int) -> None:
        self.output, self.errors = bytearray(), bytearray()
        self._process = process
        self._given = memoryview(given)
        self._limit = limit
        self._selector = selectors.DefaultSelector()
        self._ends = -1

    def __enter__(self) -> Self:
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        self._selector.register(process.stdout, selectors.EVENT_READ, self.output)
        self._selector.register(process.stderr, selectors.EVENT_READ, self.errors)
        if self._given:
            os.set_blocking(process.stdin.fileno(), False)
            self._selector.register(process.stdin, selectors.EVENT_WRITE)
        else:
            process.stdin.close()
        if sys.platform == "linux":
            with suppress(OSError):  # a kernel without it: we look now and then
                self._ends = os.pidfd_open(process.pid)
                self._selector.register(self._ends, selectors.EVENT_READ)
        return self

    def __exit__(self, *_: object) -> None:
        self._selector.close()
        if self._ends >= 0:
            os.close(self._ends)
        for pipe in (self._process.stdin, self._process.stdout, self._process.stderr):
            assert pipe is not None
            with suppress(BrokenPipeError):
                pipe.close()

    def serve(self, deadline: float) -> bool:
        """Serve the command until it has ended; False if it has not by the deadline."""
        while self._process.poll() is None:
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            self._turn(left if self._ends >= 0 else min(left, LOOK_SECONDS))
        return True

    def drain(self) -> None:
        """Read to their ends the outputs of a command that has ended, with all it began."""
        if self._ends >= 0:
            self._selector.unregister(self._ends)
        while any(key.data is not None for key in self._selector.get_map().values()):
            self._turn(None)

    def _turn(self, seconds: float | None) -> None:
        """Wait until something can be done, and do it."""
        for key, _ in self._selector.select(seconds):
            if key.data is not None:
                self._read(key.fileobj, key.fd, key.data)
            elif key.fd != self._ends:
                self._write(key.fileobj, key.fd)

    def _read(self, pipe: Any, fd: int, kept: bytearray) -> None:
        if chunk := os.read(fd, 65536):
            kept += chunk[: max(0, self._limit - len(kept))]
        else:
            self._selector.unregister(pipe)

    def _write(self, pipe: Any, fd: int) -> None:
        with suppress(BlockingIOError):
            try:
                self._given = self._given[os.write(fd, self._given[:65536]) :]
            except BrokenPipeError:
                self._given = self._given[:0]
        if not self._given:
            self._selector.unregister(pipe)
            pipe.close()


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
