"""Code that attempts to break out of the sandbox, and what came of it."""

from __future__ import annotations

from qi_learn.gate.sandbox import Sandbox, SandboxLimits

BRIEF = SandboxLimits(processor=1, seconds=120.0)


def value(sandbox: Sandbox, code: str, check: str = "attempt()") -> str:
    """The value of one check."""
    ran = sandbox.run(code, [check], BRIEF)
    assert len(ran.values) == 1, ran
    return ran.values[0]


def attempt(*lines: str) -> str:
    """Code that defines `attempt()`, with these lines as its body."""
    body = (f"    {line}" for line in lines)
    return "\n".join(["import ctypes, os, socket, sys, threading, time", "def attempt():", *body])
