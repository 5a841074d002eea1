"""What a daemon hands to the one that takes its place in the same process (`execv`).

The lock, so that no other process becomes the daemon in between, and the gateway's port, so that a
request that comes meanwhile waits and is not refused. Their numbers stand in a variable of the
environment, which is read once.
"""

from __future__ import annotations

import os
from contextlib import suppress

VARIABLE = "QI_LEARN_HANDED_OVER"


def hand_over(**descriptors: int | None) -> None:
    """Leave open descriptors to the program that takes this process's place."""
    given = {name: fd for name, fd in descriptors.items() if fd is not None}
    for fd in given.values():
        os.set_inheritable(fd, True)
    os.environ[VARIABLE] = ",".join(f"{name}={fd}" for name, fd in given.items())


def handed_over(name: str) -> int | None:
    """A descriptor that was handed over, or None; it is given once."""
    given = dict(each.split("=") for each in os.environ.get(VARIABLE, "").split(",") if "=" in each)
    number = given.pop(name, "")
    if given:
        os.environ[VARIABLE] = ",".join(f"{key}={fd}" for key, fd in given.items())
    else:
        os.environ.pop(VARIABLE, None)
    with suppress(OSError, ValueError):
        fd = int(number)
        os.set_inheritable(fd, False)
        return fd
    return None


def is_handed_over() -> bool:
    """Whether this process was another daemon before."""
    return VARIABLE in os.environ
