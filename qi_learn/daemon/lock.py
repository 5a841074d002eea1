"""The daemon's lock: the process that holds it is the daemon.

The kernel lets go of it when its holder dies.
"""

from __future__ import annotations

import fcntl
import os
import time

from qi_learn.daemon.hand_over import handed_over
from qi_learn.errors import DaemonError
from qi_learn.outside.mounts import refuse_shared_home
from qi_learn.paths import Paths, refuse_unusable_home

LOCK_TRIES = 5


def take_lock(paths: Paths) -> int:
    """Take the daemon's lock; its file descriptor.

    Tried a few times: a process that looks whether there is a daemon (`locked`) holds the
    lock for that moment. A daemon that takes the place of another in the same process has it
    already. Raises DaemonError if another daemon holds it, StoreError if the home cannot be written
    to or is on a network file system: its lock would not reach another machine.
    """
    refuse_shared_home(paths)
    held = handed_over("lock")
    if held is not None and _is_lock_of(paths, held):
        return held
    fd = _open(paths)
    for tries_left in range(LOCK_TRIES, 0, -1):
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except BlockingIOError as error:
            if tries_left == 1:
                os.close(fd)
                raise DaemonError(
                    "Another daemon runs for this home.",
                    "`qi-learn status` shows it; `qi-learn daemon stop` stops it.",
                ) from error
            time.sleep(0.01)
    return fd


def locked(paths: Paths) -> bool:
    """Whether some process is the daemon now (holds the daemon's lock).

    Asked without the right to write: a file system may have become read-only since.
    """
    try:
        fd = os.open(paths.daemon_lock, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    else:
        return False
    finally:
        os.close(fd)


def _open(paths: Paths) -> int:
    try:
        return os.open(paths.daemon_lock, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError:
        refuse_unusable_home(paths)
        raise


def _is_lock_of(paths: Paths, fd: int) -> bool:
    """Whether a descriptor is of this home's lock, and not of a file that was deleted since."""
    try:
        return os.path.samestat(os.fstat(fd), paths.daemon_lock.stat())
    except OSError:
        return False
