"""A machine without a sandbox that works: nothing is run, and the reason says what to do."""

from __future__ import annotations

import platform
import sys
from pathlib import Path

import pytest

from qi_learn.errors import ToolMissing
from qi_learn.gate import sandbox as sandbox_module
from qi_learn.gate.sandbox import open_sandbox
from qi_learn.gate.seccomp import MACHINES


def without(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str | None) -> None:
    """Set a PATH with a bwrap of our own, or with none."""
    monkeypatch.setenv("PATH", str(tmp_path))
    if script is not None:
        (tmp_path / "bwrap").write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / "bwrap").chmod(0o755)


linux = pytest.mark.skipif(
    sys.platform != "linux" or platform.machine() not in MACHINES,
    reason="another reason is given there",
)


@linux
def test_without_bubblewrap_it_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without(tmp_path, monkeypatch, None)
    with pytest.raises(ToolMissing, match="bubblewrap is not installed") as raised:
        open_sandbox()
    assert "apt install bubblewrap" in raised.value.hint


@linux
def test_a_bubblewrap_that_is_forbidden_is_as_good_as_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without(
        tmp_path, monkeypatch, "echo 'bwrap: setting up uid map: Permission denied' >&2; exit 1"
    )
    with pytest.raises(ToolMissing, match="setting up uid map: Permission denied") as raised:
        open_sandbox()
    assert "AppArmor" in raised.value.hint


@linux
def test_one_that_shuts_nothing_off_is_found_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """This one runs the program, in the open."""
    inside = Path(sandbox_module.__file__).with_name("sandbox_main.py")
    without(tmp_path, monkeypatch, f"exec {sys.executable} {inside}")
    with pytest.raises(ToolMissing, match="does not shut off"):
        open_sandbox()
