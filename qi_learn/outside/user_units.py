"""The user's own services: where their files lie, and the system's command asked for them."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from qi_learn.errors import ToolMissing
from qi_learn.paths import Paths, home_mark, user_config

DAEMON, GATEWAY, SOCKET = "qi-learn.service", "qi-learn-gateway.service", "qi-learn-gateway.socket"
MARK = "# home "
"""Before the mark of the home that a unit was written for."""
SECONDS = 180.0
"""How long systemd may take to start or stop both services."""
ASK_SECONDS = 10.0
_REMARKS = ("Created symlink", "Removed ", "See ", "Hint: ")
"""How lines begin that `systemctl` writes beside what went wrong."""


def unit_directory(env: Mapping[str, str] = os.environ, platform: str = sys.platform) -> Path:
    """Where the user's units or agents lie."""
    if platform == "darwin":
        return Path.home() / "Library" / "LaunchAgents"
    return user_config(Path.home(), env) / "systemd" / "user"


def manages(paths: Paths, env: Mapping[str, str] = os.environ) -> bool:
    """Whether a unit of systemd is installed for this home."""
    try:
        text = (unit_directory(env, "linux") / DAEMON).read_text(encoding="utf-8")
    except (OSError, ValueError):
        return False
    return text.startswith(f"{MARK}{home_mark(paths)}\n")


def manager_problem() -> str | None:
    """Why the systemd of this user cannot be asked for anything; None if it can."""
    return call(["systemctl", "--user", "show", "--property=Version"], seconds=ASK_SECONDS)


def call(words: Sequence[str], *, seconds: float = SECONDS) -> str | None:
    """What went wrong with a command of the system, in its own words; None if nothing did."""
    from qi_learn.outside.process import run  # where no unit is installed, nothing is asked

    try:
        done = run(list(words), timeout=seconds)
    except ToolMissing as error:
        return error.what.rstrip(".")
    if done.exit_code == 0:
        return None
    if done.timed_out:
        return f"no answer within {seconds:.0f} s"
    lines = [line.strip() for line in done.error_text.splitlines() if line.strip()]
    said = [line for line in lines if not line.startswith(_REMARKS)]
    return said[0].rstrip(".") if said else f"exit code {done.exit_code}"
