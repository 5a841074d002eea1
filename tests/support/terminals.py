"""Real interactive shells at a terminal, with a hook loaded, in a registered project."""

from __future__ import annotations

import os
import pty
import select
import shutil
import time
from dataclasses import asdict, replace
from pathlib import Path

from qi_learn.capture.shell_line import raw_line_of
from qi_learn.capture.shell_outcomes import outcomes_of
from qi_learn.paths import Paths
from qi_learn.records import Event
from qi_learn.spool import read_from, spool_files
from qi_learn.workspace.registry import add_project
from tests.support.left_out import absent

HOOKS = Path(__file__).parent.parent.parent / "hooks"
SHELLS = {
    "bash": ["--norc", "--noprofile", "-i"],
    "zsh": ["-f", "-i"],
    "fish": ["-i"],
}
PROJECT = 'my "work\\ é'
"""The registered project's directory: a name with all that a shell or JSON would trip over."""


def need(shell: str) -> str:
    """The shell, or the test is skipped and says so."""
    if shutil.which(shell) is None:
        absent(shell, f"NOT TESTED: {shell} is not installed here")
    return shell


def make_home(root: Path) -> Path:
    """A home of qi-learn with a spool and one registered project, and commands that end as their
    first argument says.
    """
    for name in (".config/fish", "rc", "state/spool", "data", "bin", f"{PROJECT}/src/web", "run"):
        (root / name).mkdir(parents=True)
    # without it fish reads every manual page when it starts for the first time
    (root / ".local/share/fish/generated_completions").mkdir(parents=True)
    (root / "nowhere").mkdir()
    for name in ("nowhere", PROJECT):
        add_project(Paths.under(root), root / name)
    for name in ("pytest", "make", "mypy", "ls-like", "npm"):
        word = 2 if name == "npm" else 1
        (root / "bin" / name).write_text(f"#!/bin/sh\nexit ${{{word}:-0}}\n")
        (root / "bin" / name).chmod(0o755)
    return root


def environment(home: Path, **env: str) -> dict[str, str]:
    given = {
        "PATH": f"{home / 'bin'}:{os.environ['PATH']}",
        "HOME": str(home),
        "TERM": "dumb",
        "QI_LEARN_HOME": str(home),
        "TZ": "Asia/Kolkata",
        "XDG_RUNTIME_DIR": str(home / "run"),
        "LC_ALL": "C.UTF-8",
    }
    return {k: v for k, v in (given | env).items() if v}


class Terminal:
    """An interactive shell whose start-up file loads the hook, in the project."""

    def __init__(
        self,
        shell: str,
        home: Path,
        *,
        before: str = "",
        after: str = "",
        at: str = f"{PROJECT}/src",
        hook: str | None = None,
        traced: Path | None = None,
        **env: str,
    ) -> None:
        self.home = home
        self.shell = shell
        given = environment(home, ZDOTDIR=str(home / "rc"), **env)
        prompt = "function fish_prompt; echo -n '> '; end" if shell == "fish" else ""
        lines = (prompt, before, f". {HOOKS}/qi-learn.{shell}" if hook is None else hook, after)
        for file in (home / "rc/bashrc", home / "rc/.zshrc", home / ".config/fish/config.fish"):
            file.write_text("".join(f"{line}\n" for line in lines))
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.chdir(home / at)
            rc = ["--noprofile", "--rcfile", str(home / "rc/bashrc"), "-i"]
            words = {"bash": rc, "zsh": ["-d", "-i"], "fish": ["-i"]}[shell]
            trace = ["strace", "-f", "-e", "trace=clone,clone3,fork,vfork", "-o", str(traced)]
            words = [*(trace if traced else ()), shell, *words]
            os.execvpe(words[0], words, given)
        self._count = 0
        self.seen = ""
        self.type("true")

    def type(self, line: str) -> str:
        """One line; the exit status that the shell tells for it once it is ready again."""
        self._count += 1
        os.write(self.fd, f"{line}\n".encode())
        mark = f"ready:{self._count}:"
        status = "$status" if self.shell == "fish" else "$?"
        os.write(self.fd, f"echo rea''dy:{self._count}:{status}\n".encode())
        seen = ""
        deadline = time.monotonic() + 60
        while mark not in seen or "\n" not in seen[seen.index(mark) :]:
            assert time.monotonic() < deadline, seen
            if select.select([self.fd], [], [], 0.1)[0]:
                seen += os.read(self.fd, 65536).decode("utf-8", "replace")
        self.seen = seen
        return seen[seen.index(mark) + len(mark) :].split()[0]

    def close(self) -> None:
        os.write(self.fd, b"exit\n")
        deadline = time.monotonic() + 60
        while os.waitpid(self.pid, os.WNOHANG) == (0, 0):
            assert time.monotonic() < deadline, "the shell does not end"
            if select.select([self.fd], [], [], 0.05)[0]:
                try:
                    os.read(self.fd, 65536)
                except OSError:  # its end of the terminal is closed
                    time.sleep(0.01)
        os.close(self.fd)


def events(home: Path) -> list[Event]:
    """What waits in the spool, as it is taken in: of the shells' lines what they tell."""
    return [told for event in raw(home) for told in outcomes_of(event)]


def written(home: Path) -> list[Event]:
    """What the hooks have written."""
    return [as_read(event) for event in raw(home)]


def raw(home: Path) -> list[Event]:
    lines = [line for path in spool_files(home / "state/spool") for line in read_from(path)]
    assert [line.problem for line in lines if line.problem] == []
    return [line.event for line in lines if line.event is not None]


def as_read(event: Event) -> Event:
    """What bash passes on with the fields that the other shells write."""
    if "raw" not in event.body:
        return event
    line, _ = raw_line_of(event.body)
    assert line is not None
    return replace(event, body=asdict(line))


def said(home: Path) -> list[tuple[str, int]]:
    return [(e.body["command"], e.body["exit_code"]) for e in events(home)]
