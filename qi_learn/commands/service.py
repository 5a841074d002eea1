"""`qi-learn daemon install` and `uninstall`: services of the user that the system keeps running.

Once they are installed, `daemon start`, `stop` and `restart` go through systemd, because it would
start again what is ended behind its back. Whether systemd answers is asked before anything is
changed; if a step fails all the same, what was there before is put back and runs again.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from qi_learn.commands.service_units import Place, ServiceFile, launchd_agents, systemd_units
from qi_learn.daemon import client
from qi_learn.daemon.hung import refuse_restart
from qi_learn.errors import DaemonError, QiError
from qi_learn.outside.user_units import (
    DAEMON,
    GATEWAY,
    SOCKET,
    call,
    manager_problem,
    unit_directory,
)
from qi_learn.outside.user_units import manages as manages  # for the face
from qi_learn.paths import Paths, replace_file
from qi_learn.settings import Settings

KEPT_VARIABLES = ("QI_LEARN_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME")
WITHOUT = (
    "Do it in a session that you logged in to (not with su or sudo, nor in a container), or go on "
    "without a service: `qi-learn daemon start`."
)
RELOAD = ("systemctl", "--user", "daemon-reload")
Step = tuple[str, ...]
"""A command of the system, as its words."""


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
    """Write the files and start the services, and yield a line on each thing done.

    Raises QiError if it cannot be done; then everything is as it was before.
    """
    files = service_files(paths, settings, env, platform)
    directory = unit_directory(env, platform)
    if dry_run:
        for file in files:
            yield f"Would write {directory / file.name}:\n\n{file.text}"
        return
    if platform != "darwin" and (problem := manager_problem()) is not None:
        raise QiError(
            f"No service was installed and nothing was changed: systemd does not answer "
            f"({problem}).",
            WITHOUT,
        )
    paths.ensure()
    refuse_restart(paths, "daemon install")
    before = _Before(paths, directory, files, platform, manages(paths, env))
    try:
        yield from _put_in_place(before)
    except (QiError, OSError) as error:
        what = error.what if isinstance(error, QiError) else str(error)
        raise QiError(
            f"The service was not installed: {what}. {before.put_back()}", WITHOUT
        ) from error
    if platform != "darwin":
        yield "It runs while you are logged in; `loginctl enable-linger` keeps it running after."


def _put_in_place(before: _Before) -> Iterator[str]:
    if not before.managed and before.stop():
        yield "The daemon has stopped: the service takes its place."
    before.directory.mkdir(parents=True, exist_ok=True)
    for file in before.files:
        replace_file(before.directory / file.name, file.text)
        yield f"Wrote {before.directory / file.name}."
    for words in before.starts:
        if (problem := call(words)) is not None:
            raise DaemonError(f"`{' '.join(words)}` failed ({problem})")
        yield f"Done: {' '.join(words)}"


class _Before:
    """What there was before the installation: the files, and whether a daemon ran."""

    def __init__(
        self,
        paths: Paths,
        directory: Path,
        files: tuple[ServiceFile, ...],
        platform: str,
        managed: bool,
    ) -> None:
        self.directory, self.files, self.managed = directory, files, managed
        self._paths = paths
        self._mac = platform == "darwin"
        self._ran = False
        self._texts = {file.name: _text(directory / file.name) for file in files}

    @property
    def starts(self) -> tuple[Step, ...]:
        """What starts the services."""
        if not self._mac:
            return (RELOAD, ("systemctl", "--user", "enable", "--now", SOCKET, DAEMON))
        places = (str(self.directory / file.name) for file in self.files)
        return tuple(("launchctl", "load", "-w", place) for place in places)

    def stop(self) -> bool:
        """Stop a daemon that is no service; whether there was one."""
        self._ran = client.stop(self._paths).daemon
        return self._ran

    def put_back(self) -> str:
        """Undo everything, and say in a sentence what runs now."""
        if self._mac:
            for file in self.files:
                call(("launchctl", "unload", "-w", str(self.directory / file.name)))
        elif not self.managed:
            call(("systemctl", "--user", "disable", "--now", DAEMON, SOCKET, GATEWAY))
        for name, text in self._texts.items():
            with suppress(OSError):  # a full disk: the new text is as good, and is told by `doctor`
                if text is None:
                    (self.directory / name).unlink(missing_ok=True)
                else:
                    replace_file(self.directory / name, text)
        if not self._mac:
            call(RELOAD)
        if not self._ran:
            return "The files are as they were before."
        try:
            client.start(self._paths)
        except QiError as error:
            return f"The daemon that ran before could not be started again: {error.what}"
        return "The daemon that ran before runs again."


def _text(file: Path) -> str | None:
    """What a file says; None if there is none."""
    try:
        return file.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None


@dataclass(frozen=True, slots=True)
class _Installed:
    """The files of the services that are there."""

    directory: Path
    files: tuple[Path, ...]
    mac: bool

    @property
    def stops(self) -> tuple[Step, ...]:
        """What stops the services, before their files are deleted."""
        if self.mac:
            return tuple(("launchctl", "unload", "-w", str(file)) for file in self.files)
        return (("systemctl", "--user", "disable", "--now", DAEMON, SOCKET, GATEWAY),)


def uninstall(
    paths: Paths,
    *,
    dry_run: bool,
    env: Mapping[str, str] = os.environ,
    platform: str = sys.platform,
) -> Iterator[str]:
    """Stop the services and take their files away; what was recorded stays."""
    found = _installed(env, platform)
    if not found.files:
        yield f"No service is installed in {found.directory}."
        return
    if dry_run:
        yield from (f"Would stop and delete {file}." for file in found.files)
        return
    for words in found.stops:
        yield _told(words)
    for file in found.files:
        file.unlink()
        yield f"Deleted {file}."
    if not found.mac:
        yield _told(RELOAD)
    client.stop(paths)
    yield "Nothing runs now. `qi-learn daemon start` starts the daemon without a service."


def _installed(env: Mapping[str, str], platform: str) -> _Installed:
    directory, mac = unit_directory(env, platform), platform == "darwin"
    names = ("qi-learn.plist", "qi-learn-gateway.plist") if mac else (DAEMON, GATEWAY, SOCKET)
    files = tuple(directory / name for name in names if (directory / name).is_file())
    return _Installed(directory, files, mac)


def ask_systemd(action: str) -> None:
    """Start, stop or restart both services. Raises DaemonError with what systemd said."""
    units = [DAEMON, GATEWAY] if action == "restart" else [SOCKET, DAEMON]
    if action == "stop":
        units.append(GATEWAY)
    words = ["systemctl", "--user", action, *units]
    if (problem := call(words)) is not None:
        raise DaemonError(
            f"The service could not be asked: {problem}.",
            f"Try `{' '.join(words)}`, or go on without it: `qi-learn daemon uninstall`, then "
            "`qi-learn daemon start`.",
        )


def _told(words: Step) -> str:
    """Call a command of the system; the line to type if that does not work."""
    problem, said = call(words), " ".join(words)
    return f"Done: {said}" if problem is None else f"Not done ({problem}). Type: {said}"
