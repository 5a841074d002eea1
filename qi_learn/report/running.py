"""What runs, as each process says itself: the daemon over its socket, the gateway over its route.

Files only say where to ask, and what was last said by one that does not answer.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import field
from pathlib import Path
from typing import Any

from qi_learn import __version__
from qi_learn.codec import read_object
from qi_learn.daemon import client
from qi_learn.daemon.client import DaemonState
from qi_learn.daemon.gateway_client import ask_state
from qi_learn.daemon.hung import ASK_SECONDS, process_id
from qi_learn.daemon.silent import STALE_SECONDS
from qi_learn.errors import DaemonError, QiError
from qi_learn.outside.boot_clock import boot_clock
from qi_learn.outside.disk_room import refuse_full
from qi_learn.outside.mounts import refuse_shared_home
from qi_learn.outside.port_holder import refuse_taken_port
from qi_learn.outside.server_answers import server_answers
from qi_learn.outside.silence import Silence, hanging, silence_of
from qi_learn.paths import Paths, refuse_unusable_home
from qi_learn.record_class import dataclass
from qi_learn.report.asking import at_once
from qi_learn.rundir.lost_turns import Lost, unseen_lost
from qi_learn.rundir.progress import span
from qi_learn.rundir.recording_pause import pause_now, read_pauses, until_text
from qi_learn.settings import Settings
from qi_learn.settings_file import COUNT_AT_ONCE, changed_in_file

SILENT_MANAGER = "Daemon and gateway are services of systemd, which does not answer: {}."
WITHOUT_MANAGER = (
    "Log in to a session of your own; without one: `qi-learn daemon uninstall`, then "
    "`qi-learn daemon start`"
)

Attempt = Callable[[Callable[[], Mapping[str, Any]]], Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Running:
    """The daemon and the gateway now."""

    daemon: DaemonState | None
    told: Mapping[str, Any]
    """The daemon's answer; empty if there is none."""
    gateway_url: str
    """Where the gateway is, or was last; empty if that is unknown."""
    gateway: Mapping[str, Any]
    """What the gateway says of itself now; empty if it does not answer."""
    last_said: Mapping[str, Any] = field(default_factory=dict)
    """What the gateway wrote down last."""
    said_ago: float = 0.0
    daemon_silent: float = 0.0
    """Seconds since the daemon's loop last came round."""
    lost: Lost = field(default_factory=Lost)
    changed: tuple[str, ...] = ()
    """What only counts after a restart, in words."""
    server: str = ""
    """Where the gateway passes requests on to; empty if that is not known yet."""
    engine: bool = False
    """Whether that is the embedded engine."""
    silent_server: Silence | None = None
    """What is said of it if it does not answer; None if it does, or none could be asked."""
    silent_gateway: Silence | None = None
    """What is said of a gateway that is there and does not answer."""
    paused: str = ""
    """Until when the recording is paused, in words; empty if it is not."""
    starting: bool = False
    """Whether a daemon has begun and does not say where it is, or a command holds the home."""

    @property
    def serves(self) -> bool:
        """Whether the gateway answers."""
        return bool(self.gateway)

    @property
    def gateway_at(self) -> str:
        """The address of a gateway that is there, whether it answers or not; else empty."""
        there = self.serves or self.silent_gateway is not None
        return self.gateway_url if there else str(self.told.get("gateway") or "")

    @property
    def daemon_answers(self) -> bool:
        """Whether there is a daemon, and it says what it does."""
        return bool(self.told)

    @property
    def silent_daemon(self) -> Silence | None:
        """What is said of a daemon that is there and does not answer."""
        if self.daemon is None or self.daemon_answers:
            return None
        return hanging("daemon", self.daemon.pid)

    @property
    def not_recording(self) -> str:
        """The reason why nothing is recorded now; empty if it is."""
        if self.paused:
            return f"paused {self.paused}"
        if self.serves:
            return "" if self.gateway.get("recording") else _reason(self.gateway)
        if self.starting:
            return "the daemon is starting"
        if self.daemon is None:
            return "the daemon is not running"
        last = f"; it last spoke {span(self.said_ago)} ago" if self.last_said else ""
        if self.silent_gateway is not None:
            return f"the gateway does not answer{last}"
        if not self.daemon.gateway:
            return "`qi-learn train --now` is at work, without a gateway"
        if not self.told.get("gateway"):
            return "the gateway is not up"
        return f"the gateway does not answer{last}"

    @property
    def faults(self) -> tuple[str, ...]:
        """What does not do its work, in words."""
        silent = (self.silent_daemon, self.silent_gateway, self.silent_server)
        return (*self.parts_at_fault, *(silence.line for silence in silent if silence is not None))

    @property
    def parts_at_fault(self) -> tuple[str, ...]:
        """What the daemon itself does not do, of what it says and of its heartbeat, in words."""
        told = [
            f"{fault.get('part')}: {fault.get('what')}{_since(fault.get('seconds'))}"
            for fault in self.told.get("faults") or ()
        ]
        if self.daemon_silent > STALE_SECONDS:
            told.append(f"the daemon's loop has not come round for {span(self.daemon_silent)}")
        return tuple(told)


def look(paths: Paths, settings: Settings, attempt: Attempt) -> Running:
    """Ask everything that may run. `attempt` makes a problem of what cannot be read."""
    daemon = client.running(paths)
    expected, (server, engine) = (
        _gateway_url(paths, settings, {}, daemon),
        _server(settings, daemon, {}),
    )
    told, gateway, answers = at_once(
        lambda: attempt(lambda: _ask_daemon(paths, daemon)),
        lambda: _ask_gateway(paths, expected),
        lambda: not server or server_answers(server),
    )
    if (url := _gateway_url(paths, settings, told, daemon)) != expected:
        gateway = _ask_gateway(paths, url)
    if (named := _server(settings, daemon, gateway)) != (server, engine):
        server, engine = named
        answers = not server or server_answers(server)
    last_said = attempt(lambda: _last_said(paths))
    gateway_pid = 0 if gateway else process_id(paths, "gateway")
    return Running(
        daemon,
        told,
        url,
        gateway,
        last_said,
        _age(paths.gateway_status),
        _age(paths.daemon_state) if daemon is not None and daemon.version else 0.0,
        unseen_lost(paths),
        (*_restarts(paths, daemon, gateway), *_other_version(daemon, told)),
        server,
        engine,
        None if answers else silence_of(server, engine=engine, pid=process_id(paths, "engine")),
        hanging("gateway", gateway_pid) if gateway_pid else None,
        _paused(paths),
        daemon is None and client.locked(paths),
    )


def _paused(paths: Paths) -> str:
    pause = pause_now(read_pauses(paths.pause), time.time(), boot_clock())
    return until_text(pause) if pause else ""


def _ask_daemon(paths: Paths, daemon: DaemonState | None) -> Mapping[str, Any]:
    """What it says; nothing of one that hangs, which is told by its silence."""
    try:
        return client.call(paths.socket, {"do": "status"}, timeout=ASK_SECONDS) if daemon else {}
    except DaemonError:
        return {}


def _ask_gateway(paths: Paths, url: str) -> Mapping[str, Any]:
    return (url and ask_state(url, paths, timeout=ASK_SECONDS)) or {}


def _gateway_url(
    paths: Paths, settings: Settings, told: Mapping[str, Any], daemon: DaemonState | None
) -> str:
    there = client.listening(paths).get("gateway")
    if there is None and daemon is not None and not told:
        return daemon.gateway  # it hangs; where its gateway is, it said before
    known = there.url if there else settings.gateway.url
    return str(told.get("gateway") or known)


def _server(
    settings: Settings, daemon: DaemonState | None, gateway: Mapping[str, Any]
) -> tuple[str, bool]:
    """The server behind the gateway, as those say that use it, and whether it is the engine."""
    engine = daemon.engine if daemon is not None else settings.serve.embedded
    url = str(gateway.get("upstream") or (daemon.server if daemon is not None else ""))
    return url or ("" if engine else settings.serve.ollama), engine


def _last_said(paths: Paths) -> Mapping[str, Any]:
    try:
        return read_object(paths.gateway_status)
    except FileNotFoundError:
        return {}


def _reason(said: Mapping[str, Any]) -> str:
    return str(said.get("reason") or "the gateway does not say why")


def _age(file: Path) -> float:
    try:
        return max(0.0, time.time() - file.stat().st_mtime)
    except OSError:
        return 0.0


def _since(seconds: Any) -> str:
    return f" (for {span(seconds)})" if isinstance(seconds, (int, float)) and seconds >= 1 else ""


def _restarts(paths: Paths, daemon: DaemonState | None, gateway: Mapping[str, Any]) -> list[str]:
    """What was changed since the processes started, and what to do about it."""
    now = changed_in_file(paths.settings_file)
    told = []
    started = [daemon.settings] if daemon is not None and daemon.version else []
    started += [gateway["settings"]] if isinstance(gateway.get("settings"), dict) else []
    keys = {
        key
        for then in started
        for key in {*then, *now}
        if then.get(key) != now.get(key) and key not in COUNT_AT_ONCE
    }
    if keys:
        told.append(
            f"{', '.join(sorted(keys))} changed in {paths.settings_file} after the start: "
            "`qi-learn daemon restart` makes it count."
        )
    return told


def _other_version(daemon: DaemonState | None, told: Mapping[str, Any]) -> list[str]:
    """That another version is installed than the daemon is, and when that will count."""
    if daemon is None:
        return []
    if problem := told.get("other_problem"):
        return [
            f"Version {told.get('other_version')} is installed and does not start ({problem}): the "
            "daemon goes on as it is. Install it again."
        ]
    if other := told.get("other_version"):
        same = " anew" if other == daemon.version else ""
        return [
            f"Another version is installed ({other}{same}): the daemon (version {daemon.version}) "
            "restarts when idle; `qi-learn daemon restart` does it now."
        ]
    if daemon.version not in ("", __version__):
        return [
            f"The daemon is of version {daemon.version}, this is {__version__}: it restarts when "
            "idle; `qi-learn daemon restart` does it now."
        ]
    return []


def taken_port(now: Running, paths: Paths, settings: Settings) -> list[str]:
    """That another program has the gateway's port, if there is no gateway for that reason."""
    if now.serves or now.daemon is not None:
        return []
    try:
        refuse_taken_port(paths, settings)
    except QiError as error:
        return [f"{error.what} {error.hint}"]
    return []


def odd_home(paths: Paths) -> list[str]:
    """That nothing can be kept in the home, and why, if that is so."""
    try:
        refuse_unusable_home(paths)
        refuse_shared_home(paths)
    except QiError as error:
        return [f"{error.what} {error.hint}"]
    return []


def full_disk(paths: Paths) -> list[str]:
    """That there is no room for what is recorded, if that is so."""
    try:
        for directory in (paths.state, paths.data):
            refuse_full(directory)
    except QiError as error:
        return [f"{error.what} {error.hint}".strip()]
    return []


def silent_manager(now: Running, paths: Paths) -> list[str]:
    """That the service which is to run the daemon cannot be asked for it, if that is so."""
    if now.daemon is not None:
        return []

    from qi_learn.outside.user_units import manager_problem, manages

    if not manages(paths) or (problem := manager_problem()) is None:
        return []
    return [f"{SILENT_MANAGER.format(problem)} {WITHOUT_MANAGER}"]


def look_quietly(paths: Paths, settings: Settings) -> Running:
    """Ask everything that may run; what cannot be read counts as not said."""

    def attempt(read: Callable[[], Mapping[str, Any]]) -> Mapping[str, Any]:
        try:
            return read()
        except (QiError, OSError, ValueError):
            return {}

    return look(paths, settings, attempt)
