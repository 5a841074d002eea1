"""The project that a request comes from.

On Linux it is told by the working directory of the process at the other end of a loopback
connection. It is looked up once per connection, from `/proc` alone and off the hot path: one thread
answers everything that waits with one pass, and begins with the processes it found before. The
project is unknown (None) if the process belongs to another user, is gone, or sits in no project: an
editor's own directory is often `/` or the home.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from weakref import WeakKeyDictionary

from qi_learn.errors import SettingsError
from qi_learn.outside import tcp_table
from qi_learn.outside.tcp_table import Ends
from qi_learn.paths import Paths
from qi_learn.workspace.registry import load_projects

REMEMBERED = 16
"""Processes that found a client last time and are looked at first."""


class ClientProjects:
    """The projects of the connected clients."""

    def __init__(self, paths: Paths) -> None:
        self._paths = paths
        self._answers: WeakKeyDictionary[asyncio.BaseTransport, asyncio.Future[str | None]] = (
            WeakKeyDictionary()
        )
        self._waiting: list[tuple[Ends, asyncio.Future[str | None]]] = []
        self._looking: asyncio.Task[None] | None = None
        self._recent: tuple[str, ...] = ()

    def look_up(self, transport: asyncio.BaseTransport) -> None:
        """Begin to look for the project of a connection, unless that was done before."""
        if transport in self._answers:
            return
        answer: asyncio.Future[str | None] = asyncio.get_running_loop().create_future()
        self._answers[transport] = answer
        ends = (transport.get_extra_info("peername")[:2], transport.get_extra_info("sockname")[:2])
        self._waiting.append((ends, answer))
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look())

    async def project(self, transport: asyncio.BaseTransport, patience: float) -> str | None:
        """The project, as far as it is known within `patience` seconds."""
        answer = self._answers.get(transport)
        if answer is not None and not answer.done():
            await asyncio.wait((answer,), timeout=patience)
        return self.project_now(transport)

    def project_now(self, transport: asyncio.BaseTransport) -> str | None:
        """The project, as far as it is known by now."""
        answer = self._answers.get(transport)
        return answer.result() if answer is not None and answer.done() else None

    async def _look(self) -> None:
        """Answer everything that waits, in as few passes over `/proc` as there are batches."""
        while self._waiting:
            batch, self._waiting = self._waiting, []
            projects: dict[Ends, str | None] = {}
            try:
                projects = await self._projects([ends for ends, _ in batch])
            finally:
                for ends, answer in batch:
                    answer.set_result(projects.get(ends))

    async def _projects(self, connections: list[Ends]) -> dict[Ends, str | None]:
        if sys.platform != "linux":
            return {}
        clients = await asyncio.to_thread(working_directories, connections, self._recent)
        processes = (process for process, _ in clients.values())
        self._recent = tuple(dict.fromkeys((*processes, *self._recent)))[:REMEMBERED]
        directories = {directory for _, directory in clients.values()}
        projects = await asyncio.to_thread(_projects, self._paths, directories)
        return {ends: projects[directory] for ends, (_, directory) in clients.items()}


def _projects(paths: Paths, directories: Iterable[Path]) -> dict[Path, str | None]:
    """The project of each directory; without the registered ones if their file cannot be read."""
    try:
        registered = load_projects(paths)
    except SettingsError:
        registered = ()
    return {directory: project_at(directory, registered) for directory in directories}


def project_at(directory: Path, registered: Sequence[Path]) -> str | None:
    """The project that a directory belongs to; None for the root and the home.

    It is the innermost registered one, else the directory's repository, else the directory itself.
    """
    holding = [project for project in registered if directory.is_relative_to(project)]
    if holding:
        return str(max(holding, key=lambda project: len(project.parts)))
    if directory in (Path("/"), Path.home()):
        return None
    parents = (directory, *directory.parents)
    return str(next((parent for parent in parents if (parent / ".git").exists()), directory))


def working_directories(
    connections: Iterable[Ends], recent: Sequence[str] = ()
) -> dict[Ends, tuple[str, Path]]:
    """The process (pid) at the other end of each loopback connection, and its directory.

    As far as they can be seen; `recent` processes are looked at first.
    """
    found = tcp_table.listed(connections)
    missing = {f"socket:[{row.inode}]": ends for ends, row in found.items()}
    clients: dict[Ends, tuple[str, Path]] = {}
    for process in _processes(recent):
        if not missing:
            break
        try:
            with os.scandir(f"/proc/{process}/fd") as descriptors:
                held = {os.readlink(entry.path) for entry in descriptors} & missing.keys()
            if held:
                directory = Path(os.readlink(f"/proc/{process}/cwd"))
                clients |= {missing.pop(socket): (process, directory) for socket in held}
        except OSError:
            continue  # gone meanwhile, or another user's
    return clients


def _processes(recent: Sequence[str]) -> Iterator[str]:
    """Every process: the recent ones, then the others from the youngest on."""
    others = (name for name in os.listdir("/proc") if name.isdigit() and name not in recent)
    yield from recent
    yield from sorted(others, key=int, reverse=True)
