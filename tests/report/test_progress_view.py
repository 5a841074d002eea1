"""What a person sees of `train --now`: plain lines in a pipe, and a few lines drawn in place on a
terminal.
"""

from __future__ import annotations

import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios
import time
from dataclasses import replace
from pathlib import Path

import pytest

from qi_learn.paths import Paths
from qi_learn.records import Placement
from qi_learn.report import progress_view
from qi_learn.rundir.directory import RunDirectory
from qi_learn.rundir.progress import Progress, span
from tests.support.gpus import UUIDS, Gpus
from tests.support.recorded_home import ended_run

TRAINING = Progress(
    "training", 12, 48, 5.0, loss=1.5, dev=1.6, penalty=0.0123, eta=300.0, tokens_per_second=850.0
)
SCRIPT = """
import sys, time
from pathlib import Path
from qi_learn.report import progress_view
from qi_learn.rundir.directory import RunDirectory
with progress_view.view(print) as view:
    view.say("train: begun")
    view.say("uncut " * 60)
    view.show(RunDirectory(Path(sys.argv[1])))
    time.sleep(0.5)
print("the end")
"""


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    return ended_run(Paths.under(tmp_path / "home").ensure(), ended=False)


def seen_on_a_terminal(run: RunDirectory) -> str:
    """Everything that a process with a terminal of 100 columns writes to it."""
    ours, its = pty.openpty()
    fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 100, 0, 0))
    env = {
        **os.environ,
        "TERM": "xterm",
        "COLUMNS": "100",
        "PYTHONPATH": str(Path(__file__).parent.parent.parent),
    }
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(run.path)], stdout=its, stderr=its, env=env
    )
    os.close(its)
    seen = b""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            piece = os.read(ours, 65536)
        except OSError:  # its end was closed
            break
        if not piece:
            break
        seen += piece
    os.close(ours)
    assert process.wait(10) == 0
    return seen.decode()


def test_a_terminal_shows_how_far_it_is_in_place(
    run: RunDirectory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gpus = Gpus.install(tmp_path / "bin", monkeypatch)
    gpus.show(("RTX 4090", 24564, 4084), busy=97)
    run.write(run.progress, TRAINING)
    run.write(run.placement, Placement("cuda:0", "RTX 4090", 1, True, "", gpus=(UUIDS[0],)))
    seen = seen_on_a_terminal(run)
    for part in (
        "train: begun",
        "training",
        "━",
        "12/48",
        "5 min to go",
        "loss 1.500",
        "dev loss 1.600",
        "penalty 0.0123",
        "850 tokens/s",
    ):
        assert part in seen
    assert "RTX 4090: 97 % busy, 20.0 of 24.0 GiB" in seen
    assert "Ctrl-C: leave it, or cancel it" in seen
    told = [line for line in seen.split("\r\n") if "uncut" in line]
    assert (len(told), sum(line.count("uncut") for line in told)) == (4, 60), "cut between words"
    assert seen.index("\x1b[2K") < seen.index("the end")  # what was drawn is taken away


@pytest.mark.parametrize(
    ("progress", "state", "words"),
    [
        (None, "begun", "train ..."),
        (Progress("done", 48, 48, 1.0), "done", "train ..."),
        (None, "waits", "waits: no room"),
        (
            Progress("general fisher", 16, 240, 1.0, paused="answering"),
            "begun",
            "paused: answering",
        ),
    ],
    ids=["before", "after", "waits", "paused"],
)
def test_other_steps_are_named(
    run: RunDirectory, progress: Progress | None, state: str, words: str
) -> None:
    if progress is not None:
        run.write(run.progress, progress)
    run.journal(2.0, "train", state, reason="no room")
    assert words in seen_on_a_terminal(run)


STEERS = "\x1b]0;owned\x07no room\x1b[2J"


def test_what_others_wrote_steers_no_terminal(run: RunDirectory) -> None:
    run.journal(2.0, "train", "waits", reason=STEERS)
    seen = seen_on_a_terminal(run)
    assert "waits: \ufffd]0;owned\ufffdno room\ufffd[2J" in seen
    run.write(run.progress, replace(TRAINING, paused=STEERS))
    run.journal(3.0, "train", "begun")
    assert "paused: \ufffd]0;owned\ufffdno room\ufffd[2J" in seen_on_a_terminal(run)


def test_what_others_wrote_steers_no_pipe(run: RunDirectory) -> None:
    said: list[str] = []
    run.write(run.progress, replace(TRAINING, paused=STEERS))
    with progress_view.view(said.append) as view:
        view.say(f"failed: {STEERS}")
        view.show(run)
    assert len(said) == 2
    assert "\x1b" not in "".join(said)


def test_without_a_terminal_a_change_is_a_line(run: RunDirectory) -> None:
    said: list[str] = []
    with progress_view.view(said.append) as view:
        view.say("train: begun")
        view.show(run)
        run.write(run.progress, TRAINING)
        view.show(run)
        view.show(run)
    assert said == [
        "train: begun",
        "  step 12 of 48, loss 1.500, dev loss 1.600, penalty 0.0123, 850 tokens/s, 5 min to go",
    ]


@pytest.mark.parametrize(("seconds", "words"), [(41.2, "41 s"), (300, "5 min"), (9000, "2.5 h")])
def test_times_to_go_are_short(seconds: float, words: str) -> None:
    assert span(seconds) == words
