"""Python code in the sandbox of projects, in the scratch copy of a checkout with one file."""

from __future__ import annotations

from pathlib import Path

from qi_learn.gate.project_environment import ProjectEnvironment
from qi_learn.gate.project_sandbox import ProjectLimits, ProjectRun, ProjectSandbox
from qi_learn.gate.sandbox import bare_python
from tests.support.tested_projects import QUICK

LIMITS = QUICK.limits


def ran(
    sandbox: ProjectSandbox, tmp_path: Path, code: str, limits: ProjectLimits = LIMITS
) -> ProjectRun:
    """Run Python code in the scratch copy of a checkout with one file."""
    checkout = tmp_path / "checkout"
    checkout.mkdir(mode=0o755, exist_ok=True)
    (checkout / "a.py").write_text("A = 1\n")
    top = tmp_path / "project"
    environment = ProjectEnvironment((*bare_python("-c"), code), ())
    return sandbox.run(checkout, top, top, environment, limits)


def said(sandbox: ProjectSandbox, tmp_path: Path, code: str) -> str:
    return ran(sandbox, tmp_path, code).tail.strip()


def refused(attempt: str) -> str:
    return f"""
import os, socket, subprocess, ctypes, sys
try:
    {attempt}
except (OSError, ValueError) as error:
    print("refused", type(error).__name__)
else:
    print("done")
"""
