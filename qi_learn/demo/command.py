"""The demonstration from its options to its exit code: made, told, and cleaned up after."""

from __future__ import annotations

import signal
import sys
import time
from pathlib import Path
from types import FrameType

from rich.console import Console

from qi_learn import codec
from qi_learn.bench.functions import deal
from qi_learn.bench.repositories import export
from qi_learn.demo.home import make_home
from qi_learn.demo.sessions import check_enough, choose_sessions
from qi_learn.demo.size import FULL, QUICK
from qi_learn.demo.story import Story
from qi_learn.deploy import model_server


def run_demo(
    *,
    repo: Path | None,
    cycles: int | None,
    ollama: str | None,
    quick: bool,
    as_json: bool,
    keep: bool,
) -> int:
    """Run the demonstration, clean up after it, and return the exit code.

    With `as_json` the story goes to stderr and one JSON line to stdout.
    """
    console = Console(
        stderr=as_json, width=None if (sys.stderr if as_json else sys.stdout).isatty() else 140
    )
    size = QUICK if quick else FULL
    base = model_server.embedded_file()
    source, sessions = choose_sessions(repo, size)
    groups = deal(sessions, cycles or size.cycles)
    check_enough(groups, size)
    signal.signal(signal.SIGTERM, _exit)
    home = make_home(size, ollama, base)
    started = time.monotonic()
    try:
        if repo is not None:
            source = export(source, home.root / "source")
        story = Story(home, console, source, groups, base)
        code = story.tell()
        story.figures.total_seconds = round(time.monotonic() - started, 2)
        if as_json:
            sys.stdout.write(codec.dumps(story.figures) + "\n")
        return code
    finally:
        if keep:
            home.qi_learn("daemon", "stop", check=False)
            console.print(f"The home was kept: {home.root}", markup=False)
        else:
            home.remove()


def _exit(number: int, frame: FrameType | None) -> None:
    """Leave on SIGTERM as on Ctrl-C, so that everything is cleaned up."""
    raise SystemExit(128 + number)
