"""The process that compares the live version with the one before it, in a night.

    python -m qi_learn.cycle.monitor_process --server URL [--parent PID]

It is niced, and leaves at once when a request was answered, the recording is paused, the night is
over or the process PID is gone; what it has read is kept, and the next one goes on. Exit code 75
says that there is more to do.
"""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
import time
from functools import partial

from qi_learn import logs
from qi_learn.cycle.monitor import Terms, compare_versions
from qi_learn.cycle.night import night_at
from qi_learn.errors import EXIT_DONE, EXIT_TRY_AGAIN, Deferred, QiError, Stopped, no_room
from qi_learn.outside.boot_clock import boot_clock
from qi_learn.outside.ollama import Ollama
from qi_learn.outside.process import leave_with
from qi_learn.paths import Paths
from qi_learn.rundir.activity import quiet_for
from qi_learn.rundir.recording_pause import pause_now, read_pauses
from qi_learn.settings import Settings
from qi_learn.settings_file import load_settings
from qi_learn.spool import Spool

logger = logging.getLogger(__name__)
NICE = 19
"""Everything else on the machine comes first."""


def main(arguments: list[str]) -> int:
    """Compare what is due; the exit code."""
    parser = argparse.ArgumentParser(
        prog="qi_learn.cycle.monitor_process", description="the live version beside the one before"
    )
    parser.add_argument("--server", required=True, help="base URL of the serving API")
    parser.add_argument("--parent", type=int, help="stop when this process is no longer the parent")
    options = parser.parse_args(arguments)
    os.umask(0o077)
    os.nice(max(0, NICE - os.nice(0)))
    logs.configure()
    signal.signal(signal.SIGTERM, _stop)
    if options.parent is not None:
        leave_with(options.parent)
    try:
        _run(Paths.default(), options.server)
    except (QiError, OSError) as error:
        if isinstance(error, OSError) and not no_room(error):
            raise
        logger.warning("%s", error)
        return error.exit_code if isinstance(error, QiError) else EXIT_TRY_AGAIN
    return EXIT_DONE


def _run(paths: Paths, server: str) -> None:
    settings, night = load_settings(paths.settings_file), night_at(time.time())
    give_way = partial(leave_if_unwanted, paths, settings, night)
    give_way()
    spool = Spool(paths.spool, "cycle", clock=time.time)
    try:
        with Ollama(server) as ollama:
            compare_versions(Terms(paths, settings, ollama, spool, time.time, night, give_way))
    finally:
        spool.close()


def leave_if_unwanted(paths: Paths, settings: Settings, night: str) -> None:
    """Raise Deferred if this is no time to read."""
    now = time.time()
    if not night or night_at(now) != night:
        raise Deferred("It is day.", "It goes on in the next night.")
    if pause_now(read_pauses(paths.pause), now, boot_clock()) is not None:
        raise Deferred("The recording is paused.", "It goes on when that is over.")
    if quiet_for(paths.activity, now) < settings.idle.quiet:
        raise Deferred("A request was answered just now.", "It goes on when it is quiet.")


def _stop(*_: object) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise Stopped("It was told to stop.", "It goes on where it was.")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
