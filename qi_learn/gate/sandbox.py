"""Where generated code is run (a project's own tests: `project_sandbox`).

It runs in bubblewrap, without network, files, processes or time to spare.

What is covered:

* The code sees a read-only system without /etc, /home, /proc or any file of the user's, an empty
  home and working directory that it cannot write to, and no environment.
* It has namespaces of its own for users, processes, network, IPC and host name, no privileges and
  no way to new ones.
* Memory, processor time, wall time, open files, file size and output are limited.
* It starts no second process and opens no socket (`seccomp`). It dies with its parent.

What is not covered: faults of the kernel itself, and what can be learned from timing. One process
may use its memory limit and one core.

If bubblewrap is missing or cannot do all of it, nothing is run and the reason is reported. It is
tried out and not only looked for: an Ubuntu with its AppArmor, or a container, may have it and
forbid it.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from qi_learn.errors import ToolMissing
from qi_learn.gate import sandbox_main
from qi_learn.gate.seccomp import MACHINES, seccomp_program
from qi_learn.outside.process import run

INSTALL = (
    "Install it: `apt install bubblewrap` (Debian, Ubuntu), `dnf install bubblewrap` (Fedora). "
    "Everything else works without it."
)
ALLOW = (
    "Unprivileged user namespaces must be allowed: Ubuntu 24.04 needs an AppArmor profile for "
    "bwrap, a container a runtime that allows them. Everything else works without it."
)
PACKAGE = Path(__file__).parent.parent
NOBODY = "65534"
HOME = "/nobody"


@dataclass(frozen=True, slots=True)
class SandboxLimits:
    """What one run may use."""

    processor: int = 2
    """Seconds of processor time: an endless loop ends here, however busy the machine is."""
    seconds: float = 20.0
    """Seconds of wall time: a program that only sleeps ends here."""
    address_space: int = 256 << 20
    """Bytes of memory."""
    output: int = 64 << 10
    """Bytes that are read of what it writes."""


@dataclass(frozen=True, slots=True)
class SandboxRun:
    """What came out: the values of the checks, as text, as far as the run got; and how it ended."""

    values: tuple[str, ...]
    exit_code: int
    timed_out: bool
    """True if the wall time was up."""
    truncated: bool
    """True if it wrote more than is read."""


@dataclass(frozen=True, slots=True)
class Sandbox:
    """A bubblewrap that was tried out and works (`open_sandbox`)."""

    command: tuple[str, ...]
    """bwrap and its arguments, but for the seccomp program."""
    seccomp: bytes

    def run(
        self, code: str, checks: Sequence[str], limits: SandboxLimits = SandboxLimits()
    ) -> SandboxRun:
        """Run the code, then evaluate each check.

        A check is statements, the last of them an expression (see `sandbox_main`). Raises
        ToolMissing if the sandbox itself does not start.
        """
        request = {"code": code, "checks": list(checks), "limits": _resources(limits)}
        program, end = os.pipe()
        try:
            with os.fdopen(end, "wb") as pipe:
                pipe.write(self.seccomp)  # far less than a pipe holds
            argv = [self.command[0], "--seccomp", str(program), *self.command[1:]]
            done = run(
                argv,
                timeout=limits.seconds,
                env={},
                given=json.dumps(request).encode(),
                max_output=limits.output + 1,
                pass_fds=(program,),
            )
        finally:
            os.close(program)
        first, *values = done.output[: limits.output].decode("utf-8", "replace").split("\n")
        if first != sandbox_main.BEGUN:
            reason = done.error_text or f"exit code {done.exit_code}"
            if done.timed_out:
                reason = f"nothing came for {limits.seconds:.0f} s"
            raise ToolMissing(f"The sandbox does not start: {reason}.", ALLOW)
        truncated = len(done.output) > limits.output
        return SandboxRun(tuple(values[:-1]), done.exit_code, done.timed_out, truncated)


def open_sandbox() -> Sandbox:
    """The sandbox of this machine, tried out.

    Raises ToolMissing, with what to do, if there is none.
    """
    bwrap = find_bubblewrap()
    command = (bwrap, *AS_NOBODY, *APART, *_system(), *_interpreter())
    sandbox = Sandbox(command, seccomp_program(platform.machine()))
    _try_out(sandbox)
    return sandbox


def find_bubblewrap() -> str:
    """The program. Raises ToolMissing, with what to do, if there is none for this machine."""
    bwrap, machine = shutil.which("bwrap"), platform.machine()
    if sys.platform != "linux" or machine not in MACHINES:
        raise ToolMissing(
            f"There is no sandbox for {sys.platform} on {machine}: generated code is not run.",
            "Everything else works without it.",
        )
    if bwrap is None:
        raise ToolMissing("bubblewrap is not installed: generated code is not run.", INSTALL)
    return bwrap


AS_NOBODY = ("--unshare-user", "--uid", NOBODY, "--gid", NOBODY)
APART = (
    *("--unshare-pid", "--unshare-net", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try"),
    *("--cap-drop", "ALL", "--new-session", "--die-with-parent"),
)
"""Namespaces of its own for everything, no privileges, and it dies with its parent."""


def _system() -> list[str]:
    """The file system, in which nothing can be written to.

    It holds the interpreter and its libraries, an empty home, and of this package one file.
    """
    options = [*system_shown(), "--dev-bind", os.devnull, os.devnull]
    options += ["--ro-bind", sandbox_main.__file__, "/inside.py"]
    return [*options, "--dir", HOME, "--chdir", HOME, "--remount-ro", "/"]


def system_shown() -> list[str]:
    """The options that show the system's programs and libraries and this interpreter's."""
    python = Path(sys.base_prefix).resolve()
    shown = [Path("/usr")] if python.is_relative_to("/usr") else [Path("/usr"), python]
    options = [word for path in shown for word in ("--ro-bind", str(path), str(path))]
    for path in map(Path, ("/lib", "/lib32", "/lib64")):
        if path.is_symlink():
            options += ["--symlink", str(path.readlink()), str(path)]
        elif path.is_dir():
            options += ["--ro-bind", str(path), str(path)]
    if any(PACKAGE.is_relative_to(path) for path in shown):  # the tasks' solutions are in there
        options += ["--tmpfs", str(PACKAGE), "--remount-ro", str(PACKAGE)]
    return [*options, "--ro-bind-try", "/etc/ld.so.cache", "/etc/ld.so.cache"]


def _interpreter() -> list[str]:
    """The command that runs this Python, without site packages and writing nothing.

    Hashing is fixed, so that the same code gives the same values every time.
    """
    environment = ["--setenv", "HOME", HOME, "--setenv", "PYTHONHASHSEED", "0"]
    return [*environment, *bare_python("/inside.py")]


def bare_python(program: str) -> list[str]:
    """The command that runs a program under this Python, without site packages."""
    name = f"python{sys.version_info.major}.{sys.version_info.minor}"
    python = (Path(sys.base_prefix).resolve() / "bin" / name).resolve()
    return [str(python), "-P", "-s", "-S", "-B", program]


def _resources(limits: SandboxLimits) -> dict[str, int]:
    """The limits by the names that `resource` has for them."""
    return {
        "RLIMIT_AS": limits.address_space,
        "RLIMIT_CPU": limits.processor,
        "RLIMIT_FSIZE": 0,
        "RLIMIT_NOFILE": 32,
        "RLIMIT_NPROC": 0,
        "RLIMIT_CORE": 0,
    }


# --- trying it out --------------------------------------------------------------------------------

ATTEMPT = """
import os, socket

def fork():
    if os.fork() == 0:
        os._exit(0)
"""


def _try_out(sandbox: Sandbox) -> None:
    """Run a program that attempts what it must not be able to do.

    Raises ToolMissing if one of the attempts works, or nothing works.
    """
    with tempfile.NamedTemporaryFile() as secret:
        required = {
            "sum(range(5))": "10",
            "os.getuid()": NOBODY,
            "os.getpid() < 9": "True",
            f"open({secret.name!r})": "raises FileNotFoundError",
            "open('/etc/passwd')": "raises FileNotFoundError",
            "os.access('.', os.W_OK)": "False",
            "fork()": "raises PermissionError",
            "socket.socket()": "raises PermissionError",
        }
        values = sandbox.run(ATTEMPT, tuple(required)).values
    missing = [""] * (len(required) - len(values))
    results = zip(required, (*values, *missing), strict=False)
    wrong = [check for check, value in results if value != required[check]]
    if wrong:
        raise ToolMissing(
            f"bubblewrap does not shut off what it runs here ({'; '.join(wrong)}): generated code "
            "is not run.",
            ALLOW,
        )
