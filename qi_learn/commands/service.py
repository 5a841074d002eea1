"""`qi-learn daemon install` and `uninstall`: services of the user that the system keeps running.

Once they are installed, `daemon start`, `stop` and `restart` go through systemd, because it would
start again what is ended behind its back. systemd's and launchd's own commands are called if they
are there; if they are not, or fail, the line to type is said.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from qi_learn.commands.service_units import (
    DAEMON,
    GATEWAY,
    MARK,
    SOCKET,
    Place,
    ServiceFile,
    launchd_agents,
    systemd_units,
)
from qi_learn.daemon import client
from qi_learn.errors import DaemonError, ToolMissing
from qi_learn.outside.process import run
from qi_learn.paths import Paths, home_mark, replace_file
from qi_learn.settings import Settings

SECONDS = 180.0
"""How long systemd may take to start or stop both services."""
KEPT_VARIABLES = ("QI_LEARN_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME")


def unit_directory(env: Mapping[str, str] = os.environ, platform: str = sys.platform) -> Path:
    """Where the user's units or agents lie."""
    if platform == "darwin":
        return Path.home() / "Library" / "LaunchAgents"
    config = env.get("XDG_CONFIG_HOME")
    return (Path(config) if config else Path.home() / ".config") / "systemd" / "user"


def service_files(
    paths: Paths, settings: Settings, env: Mapping[str, str], platform: str
) -> tuple[ServiceFile, ...]:
    """The files for this home and this interpreter."""
    kept = {name: env[name] for name in KEPT_VARIABLES if env.get(name)}
    if home := kept.get("QI_LEARN_HOME"):
        kept["QI_LEARN_HOME"] = str(Path(home).expanduser().absolute())
    place = Place(Path(sys.executable), paths, kept)
    return launchd_agents(place) if platform == "darwin" else systemd_units(place, settings)


def install(
    paths: Paths,
    settings: Settings,
    *,
    dry_run: bool,
    env: Mapping[str, str] = os.environ,
    platform: str = sys.platform,
) -> Iterator[str]:
    """Write the files and start the services, and yield a line on each thing done."""
    files = service_files(paths, settings, env, platform)
    directory = unit_directory(env, platform)
    if dry_run:
        for file in files:
            yield f"Would write {directory / file.name}:\n\n{file.text}"
        return
    paths.ensure()
    if not manages(paths, env) and client.stop(paths).daemon:
        yield "The daemon has stopped: the service takes its place."
    directory.mkdir(parents=True, exist_ok=True)
    for file in files:
        replace_file(directory / file.name, file.text)
        yield f"Wrote {directory / file.name}."
    if platform == "darwin":
        for file in files:
            yield from _told(["launchctl", "load", "-w", str(directory / file.name)])
    else:
        yield from _told(["systemctl", "--user", "daemon-reload"])
        yield from _told(["systemctl", "--user", "enable", "--now", SOCKET, DAEMON])
        yield "It runs while you are logged in; `loginctl enable-linger` keeps it running after."


def uninstall(
    paths: Paths,
    *,
    dry_run: bool,
    env: Mapping[str, str] = os.environ,
    platform: str = sys.platform,
) -> Iterator[str]:
    """Stop the services and take their files away; what was recorded stays."""
    directory = unit_directory(env, platform)
    names = ("qi-learn.plist", "qi-learn-gateway.plist")
    found = [
        directory / name
        for name in (names if platform == "darwin" else (DAEMON, GATEWAY, SOCKET))
        if (directory / name).is_file()
    ]
    if not found:
        yield f"No service is installed in {directory}."
        return
    if dry_run:
        yield from (f"Would stop and delete {file}." for file in found)
        return
    if platform == "darwin":
        for file in found:
            yield from _told(["launchctl", "unload", "-w", str(file)])
    else:
        yield from _told(["systemctl", "--user", "disable", "--now", DAEMON, SOCKET, GATEWAY])
    for file in found:
        file.unlink()
        yield f"Deleted {file}."
    if platform != "darwin":
        yield from _told(["systemctl", "--user", "daemon-reload"])
    client.stop(paths)


def manages(paths: Paths, env: Mapping[str, str] = os.environ) -> bool:
    """Whether a unit of systemd is installed for this home."""
    try:
        text = (unit_directory(env, "linux") / DAEMON).read_text(encoding="utf-8")
    except (OSError, ValueError):
        return False
    return text.startswith(f"{MARK}{home_mark(paths)}\n")


def ask_systemd(action: str) -> None:
    """Start, stop or restart both services. Raises DaemonError with what systemd said."""
    units = [DAEMON, GATEWAY] if action == "restart" else [SOCKET, DAEMON]
    if action == "stop":
        units.append(GATEWAY)
    words = ["systemctl", "--user", action, *units]
    if (problem := _call(words)) is not None:
        raise DaemonError(
            f"The service could not be asked: {problem}",
            f"Try `{' '.join(words)}`, or `qi-learn daemon uninstall` to go on without it.",
        )


def _told(words: list[str]) -> Iterator[str]:
    """Call a command of the system; the line to type if that does not work."""
    problem = _call(words)
    said = " ".join(words)
    yield f"Done: {said}" if problem is None else f"Not done ({problem}). Type: {said}"


def _call(words: list[str]) -> str | None:
    """What went wrong with a command; None if nothing did."""
    try:
        done = run(words, timeout=SECONDS)
    except ToolMissing as error:
        return error.what.rstrip(".")
    if done.exit_code == 0:
        return None
    return (done.error_text or f"exit code {done.exit_code}").splitlines()[0]
