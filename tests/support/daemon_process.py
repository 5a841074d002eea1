"""The daemon and the command line as processes in a world's home."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from qi_learn.daemon import client
from qi_learn.outside.listening import Listening, read_listening
from qi_learn.paths import Paths
from qi_learn.spool import Spool
from tests.support.command_line import wait_until
from tests.support.repository import Repository
from tests.support.world import World, drafted, steps, turn_body

SESSIONS = {f"s{n}": 4 for n in range(6)}
"""Enough work for a cycle."""


def free_port() -> int:
    """A port for a process that starts later.

    It is none of those that the system gives to connections (from 32768 on, on Linux), so that no
    test beside this one comes to hold it by chance.
    """
    for port in random.Random().sample(range(15000, 30000), 100):
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port
    raise OSError("no port is free")


@contextmanager
def refusing_port() -> Iterator[int]:
    """A port that refuses every connection, and that no other process can take."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]


def qi(world: World, *words: str, place: Path | None = None) -> subprocess.CompletedProcess[str]:
    """The command line in this home."""
    return subprocess.run(
        [sys.executable, "-m", "qi_learn", *words],
        env=world.env,
        cwd=place or world.root,
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )


@contextmanager
def daemon(world: World) -> Iterator[subprocess.Popen[bytes]]:
    """`qi-learn daemon` as a process of its own, up, with every project watched."""
    with (world.paths.logs / "daemon.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "qi_learn", "daemon"],
            env=world.env,
            cwd=world.root,
            stdout=log,
            stderr=log,
        )
    try:
        wait_until(
            lambda: client.running(world.paths) is not None or process.poll() is not None, 120
        )
        assert process.poll() is None, (world.paths.logs / "daemon.log").read_text()
        assert client.wait_until_watching(world.paths, 120)
        yield process
    finally:
        process.terminate()
        process.wait(90)


def end_servers(paths: Paths) -> None:
    """End the gateway and the engine of a home, which a killed daemon leaves behind (contract)."""
    for file in (paths.gateway_ready, paths.engine_ready):
        server = read_listening(file)
        if server is not None and server.alive:
            os.kill(server.pid, signal.SIGTERM)
            wait_until(partial(_gone, server), 60)


def _gone(server: Listening) -> bool:
    return not server.alive


def record_turns(world: World, project: Repository, numbers: list[int], session: str) -> None:
    """Write turns to the spool as the gateway does; the files get something better than that."""
    spool = Spool(world.paths.spool, "gateway")
    for n in numbers:
        spool.append(
            "turn",
            turn_body(n, drafted(steps(n)), session=session, at=time.time() - 5),
            author="model",
            project=str(project.root),
        )
    spool.close()
