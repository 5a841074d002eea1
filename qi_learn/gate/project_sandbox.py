"""The sandbox in which a project's own tests run, with code of a model in one place of them.

What is covered:

* The command sees a read-only system, the checkout and a scratch copy of it that lies in memory, at
  the place where the project is, and of the person's files only the environment that it needs
  (`project_environment`), read-only. The home is empty, and so is the environment but for what is
  named. What it writes is gone with it.
* It has namespaces of its own for users, processes, network, IPC and host name, no privileges and
  no way to new ones. The network is its own: it reaches nothing but itself.
* Processes, memory of each and of all, scratch space, processor time, wall time, open files and
  output are limited. All of it ends with the command.

What is not covered: faults of the kernel itself, what can be learned from timing, and a command
that writes the end of a passed run and leaves: its own result is all that it can spoil.

If bubblewrap is missing or cannot do all of it, nothing is run and the reason is reported. Root is
bound by no limit on processes, so as root the command gets a number that nobody has, instead of a
namespace of users.
"""

from __future__ import annotations

import itertools
import json
import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qi_learn.errors import ToolMissing
from qi_learn.gate import project_sandbox_main
from qi_learn.gate.project_environment import ProjectEnvironment
from qi_learn.gate.sandbox import (
    ALLOW,
    APART,
    AS_NOBODY,
    bare_python,
    system_shown,
)
from qi_learn.outside.process import run

CHECKOUT, HOME = "/checkout", "/tmp/home"
GRACE = 60.0
"""Seconds that the program inside has, beyond those of the command, to copy, to end, to tell."""
STRANGERS = 1_900_000_000
"""The first of the numbers of users that no machine has; each run has its own."""
_runs = itertools.count()


@dataclass(frozen=True, slots=True)
class ProjectLimits:
    """What one run of a project's tests may use."""

    seconds: float = 120.0
    """Of wall time."""
    processor: int = 240
    """Seconds of processor time of each process."""
    processes: int = 256
    """Processes and threads, together."""
    memory_each: int = 3 << 30
    """Bytes that one process may write to."""
    memory: int = 3 << 30
    """Bytes that all processes hold together."""
    scratch: int = 1 << 30
    """Bytes of the copy of the project, and as many of temporary files."""
    output: int = 64 << 20
    """Bytes that it may write to the terminal."""
    tail: int = 64 << 10
    """Bytes that are kept of that: the end."""


@dataclass(frozen=True, slots=True)
class ProjectRun:
    """How a run of a project's tests ended."""

    exit_code: int | None
    """None if it did not end by itself."""
    tail: str
    """The end of what it wrote; never stored or logged."""
    problem: str = ""
    """`time`, `memory`, `output` or `start` if that is what ended it."""


@dataclass(frozen=True, slots=True)
class ProjectSandbox:
    """A bubblewrap that was tried out and works (`project_sandbox_trial`)."""

    bwrap: str
    seccomp: bytes

    def run(
        self,
        checkout: Path,
        top: Path,
        cwd: Path,
        environment: ProjectEnvironment,
        limits: ProjectLimits = ProjectLimits(),
    ) -> ProjectRun:
        """Run a command in a scratch copy of the checkout that lies at `top`.

        Raises ToolMissing if the sandbox itself does not start.
        """
        uid = STRANGERS + os.getpid() % 1_000_000 * 100 + next(_runs) % 100
        with tempfile.TemporaryDirectory(prefix="qi-learn-etc-") as etc:
            files = _files(Path(etc), uid)
            argv = self._argv(checkout, top, files, environment, limits)
            program, end = os.pipe()
            lifeline, held = os.pipe()
            request = _request(top, cwd, environment, limits)
            request |= {"uid": uid, "lifeline": lifeline}
            try:
                with os.fdopen(end, "wb") as pipe:
                    pipe.write(self.seccomp)  # far less than a pipe holds
                done = run(
                    [self.bwrap, "--seccomp", str(program), *argv],
                    timeout=limits.seconds + GRACE,
                    env={},
                    given=json.dumps(request).encode(),
                    max_output=8 * limits.tail + 4096,  # JSON writes a byte as six at most
                    pass_fds=(program, lifeline),
                )
            finally:
                for each in (program, lifeline, held):
                    os.close(each)
        begun, _, result = done.output.partition(b"\n")
        if begun.decode("utf-8", "replace") != project_sandbox_main.BEGUN:
            reason = done.error_text or f"exit code {done.exit_code}"
            raise ToolMissing(f"The sandbox of projects does not start: {reason}.", ALLOW)
        if done.timed_out:
            return ProjectRun(None, "", "time")
        return _run_of(result)

    def _argv(
        self,
        checkout: Path,
        top: Path,
        files: Sequence[Path],
        environment: ProjectEnvironment,
        limits: ProjectLimits,
    ) -> list[str]:
        options = [*APART, *_identity(), "--as-pid-1"]
        for place in (Path("/etc"), Path(sys.base_prefix).resolve().parent):
            options += _open_directory(place)
        options += system_shown()
        options += ["--ro-bind-try", "/etc/alternatives", "/etc/alternatives"]
        for file in files:
            options += ["--ro-bind", str(file), f"/etc/{file.name}"]
        options += ["--proc", "/proc", "--dev", "/dev", *_scratch("/dev/shm", limits)]
        options += ["--remount-ro", "/dev", *_scratch("/tmp", limits)]
        options += [*_open_directory(top.parent), *_scratch(str(top), limits)]
        for shown in environment.shown:
            options += _open_directories(shown.at.parent, top)
            options += ["--ro-bind", str(shown.source), str(shown.at)]
        options += ["--ro-bind", str(checkout), CHECKOUT]
        options += ["--ro-bind", project_sandbox_main.__file__, "/inside.py"]
        return [*options, "--remount-ro", "/", *bare_python("/inside.py")]


def _identity() -> tuple[str, ...]:
    """The options by which it is somebody without rights; see `_become_nobody` inside."""
    if os.geteuid() != 0:
        return AS_NOBODY
    return ("--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID")


def _scratch(place: str, limits: ProjectLimits) -> list[str]:
    return ["--perms", "0777", "--size", str(limits.scratch), "--tmpfs", place]


def _open_directory(place: Path) -> list[str]:
    """A directory, and those above it, that everybody may enter: bubblewrap's own are its user's.

    One that is there already stays as it is.
    """
    return ["--perms", "0755", "--dir", str(place)]


def _open_directories(place: Path, top: Path) -> list[str]:
    """The directories from the scratch copy down to a place, or this alone if it lies elsewhere.

    Those of the copy are for everybody to write to, because what is committed comes into them.
    """
    if not place.is_relative_to(top):
        return _open_directory(place)
    below = [each for each in (place, *place.parents) if top in each.parents]
    return [word for each in reversed(below) for word in ("--perms", "0777", "--dir", str(each))]


def _files(directory: Path, uid: int) -> tuple[Path, ...]:
    """What is in /etc besides the alternatives of programs, written into a directory."""
    texts = {
        "passwd": f"nobody:x:65534:65534::{HOME}:/bin/sh\nstranger:x:{uid}:{uid}::{HOME}:/bin/sh\n",
        "group": f"nogroup:x:65534:\nstranger:x:{uid}:\n",
        "hosts": "127.0.0.1 localhost\n::1 localhost\n",
    }
    for name, text in texts.items():
        (directory / name).write_text(text, encoding="utf-8")
        (directory / name).chmod(0o644)
    return tuple(directory / name for name in texts)


def _request(
    top: Path, cwd: Path, environment: ProjectEnvironment, limits: ProjectLimits
) -> dict[str, Any]:
    variables = {
        "HOME": HOME,
        "USER": "nobody",
        "LOGNAME": "nobody",
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "TMPDIR": "/tmp",
        "LANG": "C.UTF-8",
        "CI": "true",
        "NO_COLOR": "1",
        **environment.variables,
    }
    return {
        "argv": list(environment.argv),
        "cwd": str(cwd),
        "top": str(top),
        "checkout": CHECKOUT,
        "home": HOME,
        "environment": variables,
        "seconds": limits.seconds,
        "limits": _resources(limits),
        "memory": limits.memory,
        "output": limits.output,
        "tail": limits.tail,
    }


def _resources(limits: ProjectLimits) -> dict[str, int]:
    """The limits by the names that `resource` has for them."""
    return {
        "RLIMIT_DATA": limits.memory_each,
        "RLIMIT_CPU": limits.processor,
        "RLIMIT_FSIZE": limits.scratch,
        "RLIMIT_NOFILE": 1024,
        "RLIMIT_NPROC": limits.processes,
        "RLIMIT_CORE": 0,
    }


def _run_of(result: bytes) -> ProjectRun:
    """What the program inside told; a line that is no such thing is a run that was broken off."""
    try:
        told: Mapping[str, object] = json.loads(result)
        code, problem = told["code"], str(told["problem"])
        own_end = isinstance(code, int) and not problem
        return ProjectRun(int(str(code)) if own_end else None, str(told["tail"]), problem)
    except (ValueError, KeyError, TypeError):
        return ProjectRun(None, "", "start")
