"""The sandbox of projects tried out before it is used: what it must not let through is attempted.

The invariant: if one of the attempts works, or nothing works, there is no sandbox.
"""

from __future__ import annotations

import platform
import tempfile
from collections.abc import Sequence
from pathlib import Path

from qi_learn.errors import ToolMissing
from qi_learn.gate.project_environment import ProjectEnvironment
from qi_learn.gate.project_sandbox import ProjectLimits, ProjectRun, ProjectSandbox
from qi_learn.gate.sandbox import ALLOW, bare_python, find_bubblewrap
from qi_learn.gate.seccomp import project_seccomp_program

ATTEMPT = """
import os, socket, sys, time

def refused(attempt):
    try:
        attempt()
    except OSError:
        return True
    return False

def outside():
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.connect(("192.0.2.1", 9))

def forks():
    for _ in range(64):
        if os.fork() == 0:
            time.sleep(9)
            os._exit(0)

print(refused(lambda: open(sys.argv[1])), os.path.exists("/etc/shadow"), os.getuid() != 0,
      refused(outside), refused(forks), refused(lambda: open("/usr/mine", "w")),
      refused(lambda: open("/mine", "w")), refused(lambda: open("/checkout/a", "w")),
      not refused(lambda: open("a", "w").write("b")))
"""
EXPECTED = "True False True True True True True True True"


def open_project_sandbox() -> ProjectSandbox:
    """The sandbox of this machine, tried out.

    Raises ToolMissing, with what to do, if there is none.
    """
    sandbox = ProjectSandbox(find_bubblewrap(), project_seccomp_program(platform.machine()))
    _try_out(sandbox)
    return sandbox


def _try_out(sandbox: ProjectSandbox) -> None:
    """Run a program that attempts what it must not be able to do.

    Raises ToolMissing if one of the attempts works, or nothing works.
    """
    with tempfile.TemporaryDirectory(prefix="qi-learn-tried-") as directory:
        root = Path(directory)
        (root / "checkout").mkdir(mode=0o755)
        secret = root / "secret"
        secret.write_text("x", encoding="utf-8")
        argv = (*bare_python("-c"), ATTEMPT, str(secret))
        limits = ProjectLimits(seconds=20, processes=32, scratch=1 << 20)
        top = root / "top"
        ran = sandbox.run(root / "checkout", top, top, ProjectEnvironment(argv, ()), limits)
    if ran.tail.strip() != EXPECTED:
        raise ToolMissing(
            "bubblewrap does not shut off a project's tests here "
            f"({_told(ran)}): they are not run.",
            ALLOW,
        )


def _told(ran: ProjectRun) -> str:
    lines: Sequence[str] = ran.tail.strip().splitlines()
    return lines[-1] if lines else (ran.problem or f"exit code {ran.exit_code}")
