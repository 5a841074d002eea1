"""`qi-learn` as a person types it, in a home of its own: as a process, or (quicker) the same `main`
in this one with streams of its own.
"""

from __future__ import annotations

import fcntl
import io
import json
import os
import pty
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from qi_learn.__main__ import main
from qi_learn.paths import Paths

OFFLINE = {
    "QI_LEARN__SERVE__BACKEND": "ollama",
    "QI_LEARN__SERVE__BASE": "base:latest",
    "QI_LEARN__SERVE__OLLAMA": "http://127.0.0.1:9",  # the discard port: no answer comes
    "QI_LEARN__GATEWAY__PORT": "0",
}


@dataclass(frozen=True, slots=True)
class Said:
    """The exit code and the output of a command."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        """The one JSON object on the standard output."""
        value = json.loads(self.out)
        assert isinstance(value, dict)
        assert self.out.count("\n") == 1
        return value


@dataclass(frozen=True, slots=True)
class Terminal:
    """A directory and a home in which commands are typed."""

    root: Path
    env: dict[str, str] = field(default_factory=dict)

    @property
    def paths(self) -> Paths:
        return Paths.under(self.root / "home")

    def environment(self) -> dict[str, str]:
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("QI_LEARN")}
        return (
            inherited
            | {"QI_LEARN_HOME": str(self.root / "home"), "HOME": str(self.root), "PYTHONUTF8": "1"}
            | self.env
        )

    def process(
        self,
        *arguments: str,
        given: str | bytes = b"",
        directory: Path | None = None,
        seconds: float = 200,
    ) -> Said:
        """Run a command to its end, `seconds` at most. No command ever shows a traceback."""
        done = subprocess.run(
            [sys.executable, "-m", "qi_learn", *arguments],
            input=given.encode() if isinstance(given, str) else given,
            capture_output=True,
            env=self.environment(),
            cwd=directory or self.root,
            check=False,
            timeout=seconds,
        )
        return _said(done.returncode, done.stdout, done.stderr)

    def screen(self, *arguments: str, columns: int = 80, typed: bytes = b"") -> list[str]:
        """The lines that a command writes to a terminal of so many columns, in which is typed."""
        ours, theirs = pty.openpty()
        os.write(ours, typed)
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
        command = subprocess.Popen(
            [sys.executable, "-m", "qi_learn", *arguments],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env={k: v for k, v in self.environment().items() if k not in ("COLUMNS", "LINES")},
            cwd=self.root,
        )
        os.close(theirs)
        written = b""
        try:
            while piece := os.read(ours, 65536):
                written += piece
        except OSError:
            pass  # what a terminal says when its last writer has left
        finally:
            os.close(ours)
        assert command.wait(200) in (0, 1), written
        return written.decode().replace("\r\n", "\n").split("\n")[:-1]

    def qi(self, *arguments: str, given: str | bytes = b"") -> Said:
        """Run a command without a process: for one that uses nothing but Python's own streams."""
        streams = [
            io.TextIOWrapper(io.BytesIO(text), encoding="utf-8")
            for text in (given.encode() if isinstance(given, str) else given, b"", b"")
        ]
        names = ("stdin", "stdout", "stderr")
        before = [getattr(sys, name) for name in names], sys.argv, dict(os.environ), Path.cwd()
        try:
            for name, stream in zip(names, streams, strict=True):
                setattr(sys, name, stream)
            sys.argv = ["qi-learn", *arguments]
            _put(self.environment())
            os.chdir(self.root)
            code = _exit_code()
        finally:
            for name, stream in zip(names, before[0], strict=True):
                setattr(sys, name, stream)
            sys.argv = before[1]
            _put(before[2])
            os.chdir(before[3])
        return _said(code, *(_written(stream) for stream in streams[1:]))


def _exit_code() -> int:
    try:
        main()
    except SystemExit as left:
        return left.code if isinstance(left.code, int) else int(left.code is not None)
    return 0


def _written(stream: io.TextIOWrapper) -> bytes:
    stream.flush()
    assert isinstance(stream.buffer, io.BytesIO)
    return stream.buffer.getvalue()


def _put(environment: dict[str, str]) -> None:
    os.environ.clear()
    os.environ.update(environment)


def _said(code: int, out: bytes, err: bytes) -> Said:
    said = Said(code, out.decode(), err.decode())
    assert "Traceback" not in said.err, said.err
    return said


def wait_until(holds: Callable[[], bool], seconds: float = 60.0, *, pause: float = 0.02) -> None:
    """Wait until `holds()`, asked after each `pause`; fail if it does not in time."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it never came to that"
        time.sleep(pause)
