"""Whether a process does anything: its CPU time, by /proc (proc(5), Linux)."""

from __future__ import annotations

from pathlib import Path

_BUSY_STATES = b"DTt"
"""Waiting for a disk, and stopped by hand or a debugger: it uses no time and does not hang."""


def cpu_ticks(pid: int) -> int | None:
    """The clock ticks that a process has used, with all its threads.

    None if that says nothing of whether it hangs, or the system does not tell it.
    """
    try:
        stat = (Path("/proc") / str(pid) / "stat").read_bytes()
    except OSError:
        return None
    fields = stat.rpartition(b") ")[2].split()  # its name may hold anything
    return None if fields[0] in _BUSY_STATES else int(fields[11]) + int(fields[12])
