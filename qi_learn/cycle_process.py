"""The process of one cycle, `python -m qi_learn.cycle_process RUN_DIR`: runs or resumes it, and turns what happened into an outcome and an exit code."""

from __future__ import annotations

import logging
import signal
import sys
import time
from pathlib import Path

from qi_learn.cycle import end, learn
from qi_learn.cycle_context import Cycle
from qi_learn.errors import EXIT_DONE, EXIT_FAILED, EXIT_REFUSED, EXIT_TRY_AGAIN, EXIT_USAGE, QiError, Refused, Stopped
from qi_learn.outside.ollama import Ollama
from qi_learn.paths import Paths
from qi_learn.settings import load_settings
from qi_learn.spool import Spool
from qi_learn.store.rundir import RunDirectory, RunRequest

logger = logging.getLogger(__name__)


def main(arguments: list[str]) -> int:
    """Runs or resumes the cycle of one run directory; the exit code."""
    if len(arguments) != 1:
        sys.stderr.write("usage: python -m qi_learn.cycle_process RUN_DIR\n")
        return EXIT_USAGE
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    signal.signal(signal.SIGTERM, _stop)
    run = RunDirectory(Path(arguments[0]).absolute())
    paths = Paths.default()
    request = run.read(run.request, RunRequest)
    spool = Spool(paths.spool, "cycle", clock=time.time)
    try:
        with Ollama(request.server) as server:
            return run_once(Cycle(run, request, paths, load_settings(paths.settings_file), server, spool, time.time))
    finally:
        spool.close()


def run_once(cycle: Cycle) -> int:
    """The cycle, its errors turned into an outcome. A server that is away, a full disk or a stop end nothing: the cycle is tried again."""
    if cycle.run.ended:
        return EXIT_DONE
    cycle.tell("planned", started=cycle.request.started, reason=cycle.request.reason, fresh=cycle.request.fresh, parent=cycle.request.parent)
    try:
        verdict = learn(cycle)
    except Refused as refused:
        end(cycle, "refused", str(refused))
        return EXIT_REFUSED
    except QiError as error:
        if error.exit_code == EXIT_TRY_AGAIN:
            logger.warning("%s", error)
            return EXIT_TRY_AGAIN
        logger.error("%s", error)
        end(cycle, "failed", str(error))
        return EXIT_FAILED
    return EXIT_DONE if verdict.ships else EXIT_REFUSED


def _stop(*_: object) -> None:
    raise Stopped("The cycle was told to stop.", "It goes on where it was when the daemon starts again.")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
