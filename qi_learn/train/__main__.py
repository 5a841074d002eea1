"""The training worker: `python -m qi_learn.train RUN_DIR [--parent PID]`.

It is the one process that needs torch, and talks through the run directory. It reads `plan.json`
and `snapshot/`, and leaves `adapter/delta.safetensors`, `adapter/past_fisher.safetensors` and, last
of all, `result.json`. Running it again does what is left to do: nothing once the result is there,
else it goes on from the newest complete checkpoint. `placement.json`, if there is one, names the
requests for which it pauses.

SIGTERM, or the end of the process PID: a checkpoint, then exit 75. What it cannot do is in
`error.json` ({"what", "todo"}), with exit 1. A full disk: exit 75. Too little memory: exit 12, upon
which its parent adapts the plan (`plan/fallback.py`) and starts it again.

A run that is split over GPUs, or trained by Unsloth, is done in parts (`supervise.py`): this
process then starts others like itself, with `--part`.
"""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path
from types import FrameType

from qi_learn import codec
from qi_learn.errors import (
    EXIT_DONE,
    EXIT_FAILED,
    EXIT_TRY_AGAIN,
    DiskFull,
    OutOfMemory,
    QiError,
    StoreError,
    ToolMissing,
    TrainingError,
    no_room,
)
from qi_learn.outside.installation import how_to_add
from qi_learn.outside.process import leave_with
from qi_learn.plan.backend import import_unsloth
from qi_learn.plan.fallback import EXIT_NO_MEMORY, fall_back, read_plan
from qi_learn.records import Placement, Plan
from qi_learn.rundir.failure import clear_failure, read_failure, write_failure
from qi_learn.rundir.snapshot import load_snapshot
from qi_learn.train.supervise import LEAVE_SECONDS, PARTS, Part, runs_in_parts, supervise

ENVIRONMENT = {
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "UNSLOTH_DISABLE_STATISTICS": "1",
    # threads that wait sleep: this process yields to the machine's other work
    "OMP_WAIT_POLICY": "PASSIVE",
}
"""Variables that torch and transformers read once, when they are imported."""
NICE = 10
NO_MEMORY = ("can't allocate memory", "out of memory", "not enough memory")
"""Messages of torch's CPU allocator, which has no exception of its own."""

logger = logging.getLogger(__name__)


def main(arguments: list[str]) -> int:
    """Run or resume the training of one run directory; the exit code."""
    options = _parser().parse_args(arguments)
    logging.basicConfig(
        level=logging.INFO,
        stream=sys.stderr,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
    )
    os.environ.update(ENVIRONMENT)
    stop = StopRequest()
    signal.signal(signal.SIGTERM, stop)
    if options.parent is not None:
        leave_with(options.parent, grace=LEAVE_SECONDS if options.part else None)
    try:
        if options.part is None:
            os.nice(max(0, NICE - os.nice(0)))  # which its parts inherit
            clear_failure(options.run)
            return _work(options.run, stop)
        plan = read_plan(options.run)
        return _learn(options.run, plan, stop, options.part, options.meeting)
    except (QiError, OSError) as error:
        return _failed(options.run, error)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="qi_learn.train", description="trains one run, or goes on with it"
    )
    parser.add_argument("run", type=Path, metavar="RUN_DIR")
    parser.add_argument(
        "--parent", type=int, metavar="PID", help="stop when this process is no longer the parent"
    )
    parser.add_argument("--part", choices=PARTS, help="do this part alone")
    parser.add_argument(
        "--meeting", type=Path, metavar="FILE", help="file at which the processes of the part meet"
    )
    return parser


def _failed(run: Path, error: QiError | OSError) -> int:
    """Report what went wrong; the exit code, which says whether to try again."""
    if no_room(error):
        error = DiskFull(
            f"The training has no room left in {run}: {error}.",
            "Make room on the disk; it goes on from its last checkpoint.",
        )
    elif isinstance(error, OSError):
        error = TrainingError(
            f"The training failed: {error}.",
            "Look at who owns the files it names, then start a cycle again.",
        )
    logger.error("%s", error)
    with suppress(OSError):  # the exit code says it too
        write_failure(run, error.what, error.hint)
    if isinstance(error, OutOfMemory):
        return EXIT_NO_MEMORY
    return EXIT_TRY_AGAIN if error.exit_code == EXIT_TRY_AGAIN else EXIT_FAILED


class StopRequest:
    """A signal handler that only remembers: the work asks it where it can stop."""

    def __init__(self) -> None:
        self._made = False

    def __call__(self, number: int, frame: FrameType | None) -> None:
        self._made = True

    def made(self) -> bool:
        return self._made


def _work(run: Path, stop: StopRequest) -> int:
    if (run / "result.json").exists():
        return EXIT_DONE
    plan = read_plan(run)
    if runs_in_parts(plan):
        code = supervise(run, plan, stopping=stop.made)
        if code != EXIT_FAILED or plan.hardware.backend == "plain":
            return code
        reason = read_failure(run).what or f"{plan.hardware.backend} failed; the log says how"
        fall_back(run, reason, now=time.time())
        return _work(run, stop)
    return _learn(run, plan, stop)


def _learn(
    run: Path, plan: Plan, stop: StopRequest, part: Part | None = None, meeting: Path | None = None
) -> int:
    """The whole training in this process, or one part of it."""
    snapshot = load_snapshot(run / "snapshot")
    placement = _placement(run / "placement.json")
    try:
        import torch

        if part == "fit" and plan.hardware.backend == "unsloth":
            # before transformers, which it changes
            import_unsloth(run, cuda=torch.cuda.is_available())
        from qi_learn.train import parts
        from qi_learn.train.pause import Stopping
        from qi_learn.train.ranks import ALONE, join_group
        from qi_learn.train.run import learn
        from qi_learn.train.training_run import Interrupted, TrainingRun
    except ImportError as error:
        raise ToolMissing(
            f"Training needs torch, transformers and peft, and one cannot be imported: {error}",
            how_to_add("train"),
        ) from error
    try:
        stopping = Stopping(run, placement, stop.made)
        if part is None:
            learn(run, plan, snapshot, stopping=stopping)
        elif part == "prepare":
            parts.prepare(TrainingRun(run, stopping), plan, snapshot)
        elif part == "fit":
            ranks = join_group(meeting, plan.hardware.device) if meeting else ALONE
            parts.fit(TrainingRun(run, stopping, ranks), plan, snapshot)
        else:
            parts.follow_up(TrainingRun(run, stopping), plan, snapshot)
    except Interrupted as stopped:
        logger.info("%s; running the worker again goes on from there", stopped)
        return EXIT_TRY_AGAIN
    except FloatingPointError as error:
        raise TrainingError(
            f"Training came apart: {error}.",
            "The live version goes on being served. Lower `train.rank`, or look at the newest "
            "examples.",
        ) from error
    except (MemoryError, torch.OutOfMemoryError) as error:
        raise _out_of_memory(plan, error) from error
    except RuntimeError as error:
        if any(text in str(error) for text in NO_MEMORY):
            raise _out_of_memory(plan, error) from error
        raise
    return EXIT_DONE


def _placement(path: Path) -> Placement | None:
    try:
        return codec.loads(Placement, path.read_text(encoding="utf-8")) if path.exists() else None
    except (OSError, ValueError) as error:
        raise StoreError(
            f"{path} cannot be read: {error}", "The run cannot go on; the next cycle starts afresh."
        ) from error


def _out_of_memory(plan: Plan, error: BaseException) -> OutOfMemory:
    first = str(error).splitlines()[0] if str(error) else type(error).__name__
    return OutOfMemory(
        f"Not enough memory to train on {plan.hardware.device}: {plan.batches.batch_size} "
        f"sequences of up to {plan.batches.max_length} tokens at a time, rank {plan.lora.rank}, "
        f"{plan.lora.layer_count} layers ({first}).",
        "Close what else uses it (for a GPU: models loaded in Ollama), lower `train.rank`, or take "
        "a smaller base with `serve.base`.",
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
