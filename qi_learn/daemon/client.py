"""The daemon in the background: start it and wait until it accepts, find it, stop it.

The lock says whether there is one (the kernel lets go of it when its holder dies), `daemon.json`
says at which addresses it listens. A file without a lock, or of a process that is gone, counts for
nothing.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qi_learn import codec
from qi_learn.daemon import silent
from qi_learn.daemon.lock import locked as locked  # part of finding the daemon
from qi_learn.errors import EXIT_FAILED, Busy, DaemonError, DiskFull, QiError
from qi_learn.outside.listening import Listening, end_process, read_listening
from qi_learn.paths import Paths
from qi_learn.record_class import dataclass

if TYPE_CHECKING:
    import subprocess

START_SECONDS = 90.0
"""The engine gets 60 to load its library and look through its models, the gateway 20."""
STOP_SECONDS = 60.0
ANSWER_SECONDS = 3.0
"""How long the daemon may take to answer before it counts as silent."""
WATCHING_SECONDS = 2.0
"""How long a start waits for the projects: a few small ones are taken up by then."""
_LOOK_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class DaemonState:
    """What a running daemon writes about itself to `daemon.json`."""

    pid: int
    gateway: str
    """Empty while `qi-learn train --now` is the daemon: it brings no gateway."""
    server: str
    """The serving API behind the gateway."""
    engine: bool
    """Whether that is the embedded engine."""
    started: float
    birth: str = ""
    version: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """What the configuration had changed when the daemon started."""


def running(paths: Paths) -> DaemonState | None:
    """The daemon that holds the lock and accepts, or None."""
    if not locked(paths):
        return None
    try:
        state = codec.loads(DaemonState, paths.daemon_state.read_text(encoding="utf-8"))
        os.kill(state.pid, 0)
    except (OSError, ValueError, TypeError, OverflowError):
        return None
    return state


@dataclass(frozen=True, slots=True)
class Started:
    """The daemon after `start`."""

    state: DaemonState
    already: bool
    """Whether it was there before."""


def start(paths: Paths) -> Started:
    """Start the daemon unless it runs or is just being started, and wait until it accepts.

    Raises QiError with its last words and its exit code if it does not come up, Busy while
    `qi-learn train --now` is the daemon.
    """
    log = paths.ensure().logs / "daemon.log"
    log_size = log.stat().st_size if log.exists() else 0
    process: subprocess.Popen[bytes] | None = None
    spawned = False
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if state := running(paths):
            started = Started(_with_gateway(state), already=not spawned)
            if spawned:
                wait_until_watching(paths, WATCHING_SECONDS)
            return started
        if process is not None and process.poll() is not None:
            if not locked(paths):
                raise _not_started(process.returncode, paths, log_size)
            process, spawned = None, False  # another one was quicker: wait for that
        elif process is None and not locked(paths):
            process, spawned = _spawn(log), True
        time.sleep(_LOOK_SECONDS)
    raise DaemonError(
        f"The daemon did not come up within {START_SECONDS:.0f} s.",
        f"It is still trying; see {log} and `qi-learn doctor`.",
    )


def wait_until_watching(paths: Paths, seconds: float) -> bool:
    """Wait until the daemon has taken up every project, so that the next save is seen.

    False if it has not in time: it goes on with that, and `qi-learn status` shows how far it is.
    """
    deadline = time.monotonic() + seconds
    with suppress(QiError):
        while time.monotonic() < deadline:
            told = call(paths.socket, {"do": "status"})
            modes = [project.get("mode") for project in told.get("projects", ())]
            if told.get("rounds", 1) and "starting" not in modes:
                return True
            time.sleep(_LOOK_SECONDS)
    return False


@dataclass(frozen=True, slots=True)
class StopResult:
    """What `stop` found and ended."""

    daemon: bool
    left: tuple[str, ...] = ()
    """What had gone on without a daemon: `gateway`, `engine`."""
    forced: str = ""
    """How a daemon that hung was ended, `ended` or `killed`; empty if it was asked and left."""


def stop(paths: Paths, tell: Callable[[str], object] = lambda words: None) -> StopResult:
    """Stop the daemon, gateway and engine, whichever of them runs, and wait until they have ended.

    A daemon that hangs is ended by signals (daemon/silent.py), which `tell` is told before. Raises
    DaemonError if the daemon does not stop.
    """
    was_running, asked, forced = locked(paths), False, ""
    began, turns = time.monotonic(), not silent.has_stopped_turning(paths)
    while locked(paths):
        lasted = time.monotonic() - began
        if lasted > STOP_SECONDS:
            raise _not_stopped(paths)
        if not asked:
            try:
                call(paths.socket, {"do": "stop"}, timeout=ANSWER_SECONDS)
                asked = True
            except DaemonError:  # it hangs, or it starts and does not listen yet
                forced = forced or _end(paths, tell)
        elif not turns and lasted > silent.FORCE_SECONDS:
            forced = forced or _end(paths, tell)
        time.sleep(_LOOK_SECONDS)
    return StopResult(was_running, _stop_servers(paths), forced)


def end_if_silent(paths: Paths, tell: Callable[[str], object]) -> str:
    """End the daemon if there is one that does not answer; how, as `StopResult.forced`."""
    return "" if hung(paths) is None else _end(paths, tell)


def _end(paths: Paths, tell: Callable[[str], object]) -> str:
    if (state := running(paths)) is None:
        return ""
    return silent.end_silent(Listening(state.gateway, state.pid, state.birth), tell)


def _not_stopped(paths: Paths) -> DaemonError:
    pid = state.pid if (state := running(paths)) else "PID"
    return DaemonError(
        f"The daemon did not stop within {STOP_SECONDS:.0f} s.",
        f"See {paths.logs / 'daemon.log'}; `kill {pid}` ends it, nothing is lost.",
    )


def _stop_servers(paths: Paths) -> tuple[str, ...]:
    """End the gateway and the engine that go on without a daemon; their names.

    At the same time: one that hangs takes its seconds.
    """
    from concurrent.futures import ThreadPoolExecutor

    if there := listening(paths):
        with ThreadPoolExecutor(len(there)) as enders:
            list(enders.map(end_process, there.values()))
    return tuple(there)


def listening(paths: Paths) -> dict[str, Listening]:
    """The gateway and the engine that are there, with a daemon or without."""
    files = {"gateway": paths.gateway_ready, "engine": paths.engine_ready}
    found = {name: read_listening(file) for name, file in files.items()}
    return {name: there for name, there in found.items() if there is not None and there.alive}


def _spawn(log: Path) -> subprocess.Popen[bytes]:
    import subprocess

    from qi_learn.daemon.supervisor import open_log, python  # who only asks starts nothing

    home = os.environ.get("QI_LEARN_HOME")
    # its working directory is another, so the home's path must be absolute
    absolute = {"QI_LEARN_HOME": str(Path(home).expanduser().absolute())} if home else {}
    with open_log(log) as out:
        return subprocess.Popen(
            python("qi_learn", "daemon"),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            start_new_session=True,
            cwd="/",
            env=os.environ | absolute,
        )


def _with_gateway(state: DaemonState) -> DaemonState:
    if not state.gateway:
        raise Busy(
            f"`qi-learn train --now` is at work (pid {state.pid}).",
            "Start the daemon when it is done; `qi-learn status` shows how far it is.",
        )
    return state


def _not_started(exit_code: int, paths: Paths, log_size: int) -> QiError:
    """What the daemon wrote of its end, as the error it was; a full disk, on which it could not."""
    from qi_learn.outside.disk_room import refuse_full

    try:
        for directory in (paths.state, paths.data, paths.runtime):
            refuse_full(directory)
    except DiskFull as full:
        return DiskFull(f"The daemon did not start. {full.what}", f"{full.hint} Then: {AGAIN}")
    log = paths.logs / "daemon.log"
    with log.open("rb") as file:
        file.seek(log_size if log_size <= log.stat().st_size else 0)
        words = file.read().decode("utf-8", "replace").splitlines()
    own = next(
        (i for i, line in enumerate(words) if line.startswith("qi-learn: ")), max(0, len(words) - 4)
    )
    last = "\n".join(words[own:]).removeprefix("qi-learn: ") or "It said nothing."
    error = DaemonError(
        f"The daemon did not start: {last}",
        f"Its log is {log}; `qi-learn doctor` looks for the usual causes.",
    )
    error.exit_code = exit_code if exit_code > 0 else EXIT_FAILED
    return error


PROTOCOL = 1
LIMIT = 1 << 20
"""Longest line, bytes."""
AGAIN = "`qi-learn daemon start`."
START = "Start it with `qi-learn daemon start`."
RESTART = "Restart it: `qi-learn daemon restart`."
_ADDRESS_LIMIT = 100
"""A unix socket's address has 108 bytes on Linux, 104 on macOS, its end included."""


def call(socket_path: Path, request: Mapping[str, Any], *, timeout: float = 10.0) -> dict[str, Any]:
    """The daemon's answer to a request; `timeout`: seconds of silence to bear.

    Raises DaemonError if it is not running or does not answer, and what it refused with (a QiError
    with its exit code).
    """
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as link:
            link.settimeout(timeout)
            with short_address(socket_path) as address:
                link.connect(address)
            link.sendall(json.dumps({"protocol": PROTOCOL, **request}).encode("ascii") + b"\n")
            with link.makefile("rb") as lines:
                answer = read_line(lines.readline(LIMIT + 1))
    except (FileNotFoundError, NotADirectoryError, ConnectionRefusedError) as error:
        raise DaemonError("The daemon is not running.", START) from error
    except (OSError, ValueError) as error:
        raise DaemonError(
            f"The daemon did not answer: {error}.",
            f"{RESTART} `qi-learn doctor` looks for the cause.",
        ) from error
    if "error" in answer:
        refused = QiError(str(answer["error"]), str(answer.get("todo", "")))
        refused.exit_code = int(answer.get("exit_code", EXIT_FAILED))
        raise refused
    return answer


def answers(paths: Paths, *, timeout: float = ANSWER_SECONDS) -> bool:
    """Whether a daemon is there and answers in time."""
    try:
        call(paths.socket, {"do": "ping"}, timeout=timeout)
    except QiError:
        return False
    return True


def hung(paths: Paths) -> DaemonState | None:
    """The daemon that is there and does not answer in time; one that just starts is none."""
    state = running(paths)
    return None if state is None or answers(paths) else state


def refusal(error: QiError) -> dict[str, Any]:
    """An error as an answer; `call` raises it on the other side with the same exit code."""
    return {"error": error.what, "todo": error.hint, "exit_code": error.exit_code}


def read_line(line: bytes) -> dict[str, Any]:
    """The JSON object in a whole line. Raises ValueError."""
    if len(line) > LIMIT:
        raise ValueError(f"longer than {LIMIT >> 20} MiB")
    if not line.endswith(b"\n"):
        raise ValueError(
            "the connection ended within the line" if line else "the connection was closed"
        )
    try:
        value = json.loads(line)
    except RecursionError:
        raise ValueError("nested too deep") from None
    if not isinstance(value, dict):
        raise ValueError("not an object")
    return value


@contextlib.contextmanager
def short_address(path: Path) -> Iterator[str]:
    """The path as an address; on Linux through /proc/self/fd if it is too long for an address."""
    if len(os.fsencode(path)) < _ADDRESS_LIMIT or sys.platform != "linux":
        yield str(path)
        return
    directory = os.open(path.parent, os.O_PATH | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{directory}/{path.name}"
    finally:
        os.close(directory)
