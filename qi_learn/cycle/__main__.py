"""The process of one cycle: it runs or resumes it, and gives its outcome and an exit code.

    python -m qi_learn.cycle RUN_DIR [--parent PID]

It stops, to be resumed, when the process PID is gone. While it or its training worker lives they
hold the run, and no other process begins on it. If the run is marked as cancelled, a stop is its
end.
"""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from qi_learn import logs
from qi_learn.cycle.context import Cycle
from qi_learn.cycle.learn import end, learn
from qi_learn.errors import (
    EXIT_DONE,
    EXIT_FAILED,
    EXIT_REFUSED,
    EXIT_TRY_AGAIN,
    Busy,
    QiError,
    Refused,
    Stopped,
    no_room,
)
from qi_learn.outside.ollama import Ollama
from qi_learn.outside.process import leave_with
from qi_learn.paths import Paths
from qi_learn.rundir.directory import RunDirectory, RunRequest
from qi_learn.settings_file import load_settings
from qi_learn.spool import Spool

logger = logging.getLogger(__name__)
NICE = 10
"""What the process adds to its niceness: packing and measuring give way to whatever the user does.
"""


def main(arguments: list[str]) -> int:
    """Run or resume the cycle of one run directory; the exit code."""
    parser = argparse.ArgumentParser(prog="qi_learn.cycle", description="one learning cycle")
    parser.add_argument("run", type=Path, metavar="RUN_DIR")
    parser.add_argument("--parent", type=int, help="stop when this process is no longer the parent")
    options = parser.parse_args(arguments)
    os.umask(0o077)
    os.nice(max(0, NICE - os.nice(0)))
    logs.configure()
    stop = StopSignal()
    signal.signal(signal.SIGTERM, stop)
    if options.parent is not None:
        leave_with(options.parent)
    try:
        return _open_and_run(RunDirectory(options.run.absolute()), Paths.default(), stop)
    except QiError as error:  # no outcome could be written: it is tried again
        logger.error("%s", error)
        return error.exit_code


class StopSignal:
    """SIGTERM as an exception, in whatever step the cycle is.

    It is ignored while something is being finished, after which there is nothing left to stop.
    """

    def __init__(self) -> None:
        self._finishing = False

    def __call__(self, *_: object) -> None:
        if self._finishing:
            return
        # once is enough: a second one must not cut off what the first one began
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        raise Stopped(
            "The cycle was told to stop.", "It goes on where it was when the daemon starts again."
        )

    @contextmanager
    def finishing(self) -> Iterator[None]:
        """Ignore the signal while this lasts."""
        self._finishing = True
        try:
            yield
        finally:
            self._finishing = False


def _open_and_run(run: RunDirectory, paths: Paths, stop: StopSignal) -> int:
    lock = run.hold()
    if lock is None:
        raise Busy(
            f"Another process works on the run {run.run_id}.",
            "It goes on by itself; `qi-learn status` shows how far it is.",
        )
    request, settings = run.read(run.request, RunRequest), load_settings(paths.settings_file)
    spool = Spool(paths.spool, "cycle", clock=time.time)
    try:
        with Ollama(request.server) as server:
            cycle = Cycle(
                run, request, paths, settings, server, spool, time.time, lock, stop.finishing
            )
            return run_once(cycle)
    finally:
        spool.close()


def run_once(cycle: Cycle) -> int:
    """Run the cycle and turn an error into its outcome; the exit code.

    A server that is away, a full disk or a stop end nothing: the cycle is tried again.
    """
    if cycle.run.ended:
        return EXIT_DONE
    try:
        return _run(cycle)
    except (QiError, OSError) as error:
        if not _passes(error):
            raise
        if cycle.run.cancelled and not cycle.released:
            end(cycle, "cancelled", "by `qi-learn train --cancel`")
            return EXIT_DONE
        logger.warning("%s", error)
        cycle.run.journal(cycle.clock(), "cycle", "waits", reason=str(error).splitlines()[0])
        return EXIT_TRY_AGAIN


def _run(cycle: Cycle) -> int:
    """Run the cycle to its outcome; the exit code. Raises errors that may pass by themselves."""
    cycle.tell(
        "planned",
        started=cycle.request.started,
        reason=cycle.request.reason,
        fresh=cycle.request.fresh,
        parent=cycle.request.parent,
    )
    cycle.go_on()
    try:
        verdict = learn(cycle)
    except Refused as refused:
        end(cycle, "refused", str(refused))
        return EXIT_REFUSED
    except (QiError, OSError) as error:
        if _passes(error):
            raise
        logger.error("%s", error)
        end(cycle, "failed", str(error))
        return EXIT_FAILED
    return EXIT_DONE if verdict.ships else EXIT_REFUSED


def _passes(error: QiError | OSError) -> bool:
    """Whether it may work later: the server is away, the disk is full, it was told to stop."""
    return no_room(error) or (isinstance(error, QiError) and error.exit_code == EXIT_TRY_AGAIN)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
