"""The services of this home: units of systemd with their links, or agents of launchd."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

from qi_learn.commands.removal import Removal, Removals
from qi_learn.commands.service_units import AGENTS
from qi_learn.outside.user_units import DAEMON, GATEWAY, MARK, SOCKET, call, unit_directory
from qi_learn.paths import Paths, home_mark

UNITS = (DAEMON, SOCKET, GATEWAY)


def find_services(paths: Paths, env: Mapping[str, str], platform: str) -> Removals:
    """The files of this home's services, and the directories that are empty without them."""
    directory = unit_directory(env, platform)
    files = tuple(_own_files(paths, env, platform))
    links = tuple(_links(directory, files)) if platform != "darwin" else ()
    if not files:
        return Removals()
    going = [Removal("service", str(file), partial(_unlink, file)) for file in (*links, *files)]
    if platform != "darwin":
        going.append(
            Removal("service", "what systemd remembers of them", partial(_reload, directory))
        )
    return Removals(tuple(going))


def stop_services(paths: Paths, env: Mapping[str, str], platform: str) -> None:
    """Ask the system to stop and forget this home's services.

    If it does not answer, they do not run: the processes are stopped by the caller either way.
    """
    files = tuple(_own_files(paths, env, platform))
    if not files:
        return
    if platform == "darwin":
        for file in files:
            call(("launchctl", "unload", "-w", str(file)))
    else:
        call(("systemctl", "--user", "disable", "--now", *UNITS))


def _own_files(paths: Paths, env: Mapping[str, str], platform: str) -> Iterator[Path]:
    directory = unit_directory(env, platform)
    mac = platform == "darwin"
    mark = str(paths.logs) if mac else f"{MARK}{home_mark(paths)}\n"
    for name in (f"{agent}.plist" for agent in AGENTS) if mac else UNITS:
        try:
            text = (directory / name).read_text(encoding="utf-8")
        except (OSError, ValueError):
            continue
        if mark in text:
            yield directory / name


def _links(directory: Path, files: tuple[Path, ...]) -> Iterator[Path]:
    """The links by which systemd starts them, which it deletes itself if it answers."""
    names = {file.name for file in files}
    yield from (
        link
        for link in sorted(directory.glob("*.wants/*"))
        if link.name in names and link.is_symlink()
    )


def _unlink(file: Path) -> None:
    file.unlink(missing_ok=True)
    if file.parent.name.endswith(".wants") and not any(file.parent.iterdir()):
        file.parent.rmdir()


def _reload(directory: Path) -> None:
    """Have systemd read its files again, and take the directories away that are empty now."""
    for place in (directory, directory.parent):
        if place.is_dir() and not any(place.iterdir()):
            place.rmdir()
    call(("systemctl", "--user", "daemon-reload"))
