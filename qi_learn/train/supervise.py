"""The processes of a run that is done in parts (`parts.py`), started and watched.

One, then one for each device, then one again. This needs no torch. They live and die together: if
one of them fails or is killed the others are stopped, all of them stop when this process is asked
to, and none outlives it. The newest checkpoint holds what was reached, and all go on from it.
"""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Literal

from qi_learn.errors import EXIT_DONE, EXIT_FAILED, EXIT_TRY_AGAIN
from qi_learn.plan.fallback import EXIT_NO_MEMORY
from qi_learn.records import Plan
from qi_learn.rundir.failure import write_failure

Part = Literal["prepare", "fit", "follow-up"]
PARTS: tuple[Part, ...] = ("prepare", "fit", "follow-up")
LOOK_SECONDS = 0.1
GRACE = 5.0
"""How long processes that wait for one that is gone may take to notice."""
LEAVE_SECONDS = 30.0
"""How long a process whose parent is gone may take to leave."""
AS_ASKED = frozenset((EXIT_DONE, EXIT_TRY_AGAIN, -signal.SIGTERM))
"""Exit codes of a process that did its work, or stopped because it was asked to (by the signal
itself if it had hardly begun).
"""
LOOPBACK = "lo0" if sys.platform == "darwin" else "lo"

logger = logging.getLogger(__name__)


def runs_in_parts(plan: Plan) -> bool:
    """Whether a run is done in parts."""
    return plan.hardware.backend != "plain" or len(plan.hardware.devices) > 1


def supervise(run: Path, plan: Plan, *, stopping: Callable[[], bool]) -> int:
    """Do every part of a run, one after the other; the exit code.

    What went wrong is in `error.json`.
    """
    for part in PARTS:
        if _is_done(run, part):
            continue
        if stopping():
            return EXIT_TRY_AGAIN
        logger.info("%s begins", part)
        codes = _wait(list(_start(run, plan, part)), stopping)
        for meeting in run.glob("meeting-*"):
            meeting.unlink()
        if (code := _exit_code(run, part, codes)) != EXIT_DONE:
            return code
    return EXIT_DONE


def _is_done(run: Path, part: Part) -> bool:
    """Whether an earlier start of this run has finished a part."""
    done = {"prepare": "prepared", "fit": "trained.json"}.get(part)
    return done is not None and (run / done).exists()


def _start(run: Path, plan: Plan, part: Part) -> Iterator[subprocess.Popen[bytes]]:
    """The processes of a part. They inherit the descriptor that holds the run."""
    options = [str(run), "--parent", str(os.getpid()), "--part", part]
    command = [sys.executable, "-P", "-m", "qi_learn.train", *options]
    environments = _ranks(plan) if part == "fit" else ()
    if len(environments) < 2:
        yield subprocess.Popen(command, stdin=subprocess.DEVNULL, close_fds=False)
        return
    meeting = run / f"meeting-{os.getpid()}-{time.monotonic_ns()}"
    for own in environments:
        yield subprocess.Popen(
            [*command, "--meeting", str(meeting)],
            stdin=subprocess.DEVNULL,
            close_fds=False,
            env={**os.environ, **own},
        )


def _ranks(plan: Plan) -> Sequence[dict[str, str]]:
    """The environment of each rank; a GPU's rank sees that GPU alone."""
    devices = plan.hardware.devices
    visible = [name for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name]
    if visible and plan.hardware.device.startswith("cuda"):
        devices = plan.hardware.devices[: len(visible)]
    else:
        visible = [name.rpartition(":")[2] for name in devices]
    threads = str(max(1, (os.cpu_count() or 1) // max(1, len(devices))))
    environments = []
    for rank, device in enumerate(devices):
        cuda = device.startswith("cuda")
        own = {
            "RANK": str(rank),
            "WORLD_SIZE": str(len(devices)),
            "LOCAL_RANK": "0" if cuda else str(rank),
            "LOCAL_WORLD_SIZE": str(len(devices)),
        }
        own |= {
            "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", threads),
            "GLOO_SOCKET_IFNAME": LOOPBACK,
            "NCCL_SOCKET_IFNAME": LOOPBACK,
        }
        environments.append(own | ({"CUDA_VISIBLE_DEVICES": visible[rank]} if cuda else {}))
    return environments


def _wait(
    processes: Sequence[subprocess.Popen[bytes]], stopping: Callable[[], bool]
) -> list[int | None]:
    """Wait until all processes have ended.

    Returns their exit codes when the first of them failed (None: it was still at work), or when all
    were done.
    """
    asked = False
    failed: list[int | None] = []
    since = 0.0
    while None in (codes := [process.poll() for process in processes]):
        if not failed and any(code not in (None, *AS_ASKED) for code in codes):
            failed, since = codes, time.monotonic()
        if (failed or stopping()) and not asked:
            asked = True
            _signal(processes, signal.SIGTERM)
        if failed and time.monotonic() - since > GRACE:
            _signal(processes, signal.SIGKILL)
        time.sleep(LOOK_SECONDS)
    return failed or codes


def _signal(processes: Sequence[subprocess.Popen[bytes]], number: int) -> None:
    for process in processes:
        if process.poll() is None:
            process.send_signal(number)


def _exit_code(run: Path, part: Part, codes: Sequence[int | None]) -> int:
    """The run's exit code for a part's exit codes.

    SIGKILL is the system's and means a lack of memory, as everywhere.
    """
    ended = {code for code in codes if code is not None}
    for code in sorted(ended - AS_ASKED):
        if code < 0:
            write_failure(
                run,
                f"A process of the training ({part}) was killed by signal {-code}.",
                "The run goes on from its newest checkpoint.",
            )
    if ended & {EXIT_NO_MEMORY, -signal.SIGKILL}:
        return EXIT_NO_MEMORY
    if ended <= {EXIT_DONE}:
        return EXIT_DONE
    return EXIT_TRY_AGAIN if ended <= AS_ASKED else EXIT_FAILED
