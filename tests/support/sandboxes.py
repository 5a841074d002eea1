"""The sandbox of this machine for tests that need one; if there is none they say so."""

from __future__ import annotations

import time

from qi_learn.errors import ToolMissing
from qi_learn.gate.sandbox import Sandbox, open_sandbox
from tests.support.left_out import absent


def sandbox_here() -> Sandbox | None:
    """The sandbox, or None if this machine has none that works."""
    try:
        return open_sandbox()
    except ToolMissing:
        return None


def sandbox_or_skip() -> Sandbox:
    """The sandbox; skips the test, with the reason, if this machine has none that works."""
    try:
        return open_sandbox()
    except ToolMissing as error:
        absent("bwrap", f"THE SANDBOX IS NOT TESTED HERE: {error.what}")


def soon(sandbox: Sandbox) -> float:
    """Seconds of wall time that are over soon, and in which a program surely begins, however busy
    the machine is just now.
    """
    began = time.monotonic()
    sandbox.run("", [])
    return 0.5 + 10 * (time.monotonic() - began)
