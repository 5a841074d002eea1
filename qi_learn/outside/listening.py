"""A process that listens: it says where in a file, and is found again by that file.

The number of a process is given again once it has ended. So the file also has its birth, as the
system tells it: number and birth together name one process. A file of a process that is gone, or of
another one that has its number now, counts for nothing.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import time
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

from qi_learn import __version__
from qi_learn.outside.socket_address import address_of
from qi_learn.paths import replace_file
from qi_learn.record_class import dataclass

CONNECT_SECONDS = 2.0
"""How long a port on loopback may take to accept."""
_BOOT = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True, slots=True)
class Listening:
    """What a process writes once it accepts connections."""

    url: str
    pid: int
    birth: str = ""
    version: str = ""
    upstream: str = ""
    """The server that it passes requests on to, if it does."""
    words: tuple[str, ...] = ()
    """The arguments that it was started with."""

    @property
    def alive(self) -> bool:
        """Whether this very process is there."""
        return bool(self.birth) and birth(self.pid) == self.birth


def announce(file: Path, url: str, *, upstream: str = "") -> None:
    """Write where this process listens. Raises OSError if the disk is full."""
    words = tuple(sys.argv[1:])
    here = Listening(url, os.getpid(), birth(os.getpid()), __version__, upstream, words)
    replace_file(file, json.dumps(asdict(here)) + "\n")


def read_listening(file: Path) -> Listening | None:
    """What the file says, true or not; None if it says nothing that can be understood."""
    try:
        value = json.loads(file.read_text(encoding="utf-8"))
        born, version, upstream = (str(value.get(k, "")) for k in ("birth", "version", "upstream"))
        words = tuple(str(word) for word in value.get("words", ()))
        return Listening(str(value["url"]), int(value["pid"]), born, version, upstream, words)
    except (OSError, ValueError, TypeError, KeyError, AttributeError, OverflowError):
        return None


def find(file: Path) -> Listening | None:
    """The process that wrote the file, if it is there and its port accepts."""
    found = read_listening(file)
    return found if found is not None and found.alive and accepts(found.url) else None


def end_process(there: Listening, seconds: float = 10.0) -> bool:
    """End a process that is not our child: by SIGTERM, then by SIGKILL; whether it took that.

    One that is held (SIGSTOP) is let go, so that it hears the first.
    """
    for number in (signal.SIGTERM, signal.SIGKILL):
        if not there.alive:
            return False
        with suppress(ProcessLookupError):
            os.kill(there.pid, number)
            os.kill(there.pid, signal.SIGCONT)
        deadline = time.monotonic() + seconds
        while there.alive and time.monotonic() < deadline:
            time.sleep(0.02)
        with suppress(ChildProcessError):  # our child, if this process was another daemon before
            os.waitpid(there.pid, os.WNOHANG)
    return True


def accepts(url: str) -> bool:
    """Whether something accepts connections at the URL's host and port."""
    try:
        with socket.create_connection(address_of(url), CONNECT_SECONDS):
            return True
    except (OSError, ValueError):
        return False


def birth(pid: int) -> str:
    """When a process began, as text that no other process of that number has.

    Empty if there is no such process, or it has ended and only waits for its parent.
    """
    if sys.platform != "linux":
        return _birth_by_ps(pid)
    try:
        stat = (Path("/proc") / str(pid) / "stat").read_text(encoding="utf-8", errors="replace")
        fields = stat.rpartition(")")[2].split()
        return "" if fields[0] in "ZX" else f"{fields[19]}@{_BOOT.read_text('ascii').strip()}"
    except (OSError, IndexError):
        return ""


def _birth_by_ps(pid: int) -> str:
    import subprocess  # `status` is spared it

    with suppress(OSError, subprocess.SubprocessError):
        told = subprocess.run(
            ["/bin/ps", "-o", "stat=,lstart=", "-p", str(pid)],
            capture_output=True,
            text=True,
            timeout=5,
            check=False,
        )
        state, _, began = told.stdout.strip().partition(" ")
        return "" if state.startswith("Z") else began.strip()
    return ""
