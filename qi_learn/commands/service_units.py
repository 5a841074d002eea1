"""The files by which the system keeps daemon and gateway running: units of systemd, launchd agents.

Gateway and daemon are two services, so that each is started again on its own. Under systemd the
gateway's port is held by a socket unit: a request that comes while the gateway starts waits, and is
not refused. Both tell systemd that they live; one that hangs is started again.
"""

from __future__ import annotations

import plistlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from qi_learn.errors import SettingsError
from qi_learn.loopback import ADDRESSES
from qi_learn.outside.user_units import DAEMON, GATEWAY, MARK, SOCKET
from qi_learn.paths import Paths, home_mark
from qi_learn.settings import Settings

AGENTS = ("qi-learn", "qi-learn-gateway")


@dataclass(frozen=True, slots=True)
class ServiceFile:
    """A file and its text."""

    name: str
    text: str


@dataclass(frozen=True, slots=True)
class Place:
    """What the files are written for."""

    python: Path
    """The interpreter that has qi-learn installed."""
    paths: Paths
    env: Mapping[str, str]
    """What the services need to find the same home: variables and their values."""

    def command(self, *words: str) -> list[str]:
        """The words that start a part of qi-learn."""
        return [str(self.python), "-P", "-m", *words]

    @property
    def daemon(self) -> list[str]:
        """The words that start the daemon."""
        return self.command("qi_learn", "daemon", "--gateway-service")

    @property
    def gateway(self) -> list[str]:
        """The words that start the gateway."""
        return self.command("qi_learn.gateway", "--ready", str(self.paths.gateway_ready))


def systemd_units(place: Place, settings: Settings) -> tuple[ServiceFile, ...]:
    """The three user units. Raises SettingsError if the gateway takes any free port."""
    host, port = ADDRESSES[settings.gateway.host], settings.gateway.port
    if port == 0:
        raise SettingsError(
            "gateway.port is 0: a service has to have a port of its own.",
            "Set gateway.port, for example 11435.",
        )
    address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    return (
        ServiceFile(DAEMON, _daemon_unit(place)),
        ServiceFile(GATEWAY, _gateway_unit(place)),
        ServiceFile(SOCKET, _socket_unit(place, address)),
    )


def _daemon_unit(place: Place) -> str:
    return f"""{MARK}{home_mark(place.paths)}
[Unit]
Description=qi-learn: watching, recording and learning
Wants={SOCKET} {GATEWAY}
After={SOCKET}
StartLimitIntervalSec=0

[Service]
Type=notify
ExecStart={_words(place.daemon)}
{_environment(place.env)}UMask=0077
Restart=on-failure
RestartSec=2
# A loop that has not come round for five minutes hangs.
WatchdogSec=300
TimeoutStartSec=300
# A cycle under way saves its state first.
TimeoutStopSec=90
# The engine goes on serving when the daemon dies; the daemon ends it when it is stopped.
KillMode=process

[Install]
WantedBy=default.target
"""


def _gateway_unit(place: Place) -> str:
    return f"""{MARK}{home_mark(place.paths)}
[Unit]
Description=qi-learn: the gateway in front of Ollama
Requires={SOCKET}
After={SOCKET}
StartLimitIntervalSec=0

[Service]
Type=notify
ExecStart={_words(place.gateway)}
{_environment(place.env)}UMask=0077
Restart=always
RestartSec=500ms
WatchdogSec=30
# It waits for the embedded engine, if that serves.
TimeoutStartSec=150
TimeoutStopSec=10
"""


def _socket_unit(place: Place, address: str) -> str:
    return f"""{MARK}{home_mark(place.paths)}
[Unit]
Description=qi-learn: the gateway's port

[Socket]
ListenStream={address}
Service={GATEWAY}

[Install]
WantedBy=sockets.target
"""


def launchd_agents(place: Place) -> tuple[ServiceFile, ...]:
    """The two launchd agents, as property lists."""
    return (
        _agent(place, AGENTS[0], place.daemon, {"SuccessfulExit": False}),
        _agent(place, AGENTS[1], place.gateway, True),
    )


def _agent(place: Place, label: str, words: list[str], keep: object) -> ServiceFile:
    value = {
        "Label": label,
        "ProgramArguments": words,
        "EnvironmentVariables": dict(place.env),
        "RunAtLoad": True,
        "KeepAlive": keep,
        "ThrottleInterval": 2,
        "Umask": 0o077,
        "StandardErrorPath": str(place.paths.logs / f"{_log_of(label)}.log"),
    }
    return ServiceFile(f"{label}.plist", plistlib.dumps(value).decode("utf-8"))


def _log_of(label: str) -> str:
    return "gateway" if label == AGENTS[1] else "daemon"


def _environment(env: Mapping[str, str]) -> str:
    return "".join(f"Environment={_words([f'{name}={value}'])}\n" for name, value in env.items())


def _words(words: list[str]) -> str:
    """Words as systemd reads them: quoted if need be, its own signs doubled."""
    return " ".join(_word(word) for word in words)


def _word(word: str) -> str:
    plain = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    return f'"{plain}"' if any(sign in word for sign in " \t'\"\\;") else plain
