"""What other processes see of a daemon, without one: its lock, `daemon.json` and its socket."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from qi_learn.daemon.control import Control
from qi_learn.paths import Paths

STATE = {
    "pid": os.getpid(),
    "gateway": "http://127.0.0.1:1",
    "server": "http://127.0.0.1:2",
    "engine": True,
    "started": 1.5,
}


@contextmanager
def holding_the_lock(paths: Paths) -> Iterator[None]:
    with paths.daemon_lock.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextmanager
def daemon(
    paths: Paths, *, gateway: str | None = "http://127.0.0.1:1", waiting: str = "", **said: Any
) -> Iterator[None]:
    """A process that holds the lock and answers as the daemon does."""
    paths.ensure().daemon_state.write_text(json.dumps(STATE | said))
    with holding_the_lock(paths):
        control = Control(paths.socket, lambda _: {"gateway": gateway, "waiting": waiting})
        yield
        control.close()
