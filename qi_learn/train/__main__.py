"""The training worker: `python -m qi_learn.train RUN_DIR [--parent PID]`. The one process that
needs torch; it talks through the run directory.

It reads `plan.json` and `snapshot/`, and leaves `adapter/delta.safetensors`,
`adapter/past_fisher.safetensors` and, last of all, `result.json`. Running it again does what is
left to do: nothing once the result is there, else on from the newest complete checkpoint.
`placement.json`, where it is there, says for whose requests it pauses. SIGTERM, or the end of the
process PID: a checkpoint, then exit 75. What it cannot do is in `error.json` ({"what", "todo"}),
with exit 1; a full disk, with exit 75; too little memory, with exit 12, upon which its parent
adapts the plan (`ladder.py`) and starts it again.

A run that is split over GPUs, or trained by Unsloth, is done in parts (`conduct.py`): this process
then starts others like itself, with `--part`.
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
from qi_learn.train.supervise import LEAVE_SECONDS, PARTS, Part, is_apart, supervise

ENVIRONMENT = {
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "UNSLOTH_DISABLE_STATISTICS": "1",
    "OMP_WAIT_POLICY": "PASSIVE",  # threads that wait sleep: this process yields to whatever else the machine does
}
"""What torch and transformers read once, when they are imported."""
NICE = 10
NO_MEMORY = ("can't allocate memory", "out of memory", "not enough memory")
"""What torch's CPU allocator says; it has no exception of its own."""

logger = logging.getLogger(__name__)


def main(arguments: list[str]) -> int:
    """Runs or resumes the training of one run directory; the exit code."""
    asked = _parser().parse_args(arguments)
    logging.basicConfig(
        level=logging.INFO,
        stream=sys.stderr,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
    )
    os.environ.update(ENVIRONMENT)
    stop = StopRequest()
    signal.signal(signal.SIGTERM, stop)
    if asked.parent is not None:
        leave_with(asked.parent, grace=LEAVE_SECONDS if asked.part else None)
    try:
        if asked.part is None:
            os.nice(NICE)  # which its parts inherit
            clear_failure(asked.run)
            return _work(asked.run, stop)
        return _learn(asked.run, read_plan(asked.run), stop, asked.part, asked.meeting)
    except (QiError, OSError) as error:
        return _failed(asked.run, error)


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
        "--meeting", type=Path, metavar="FILE", help="where the processes of the part meet"
    )
    return parser


def _failed(run: Path, error: QiError | OSError) -> int:
    """Says what went wrong; the exit code that says whether to try again."""
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
    """A signal handler that only remembers: the work asks it at places where it can stop."""

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
    if is_apart(plan):
        code = supervise(run, plan, stopping=stop.made)
        if code != EXIT_FAILED or plan.hardware.backend == "plain":
            return code
        fall_back(
            run,
            read_failure(run).what or f"{plan.hardware.backend} failed; the log says how",
            now=time.time(),
        )
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
            import_unsloth(
                run, cuda=torch.cuda.is_available()
            )  # before transformers, which it changes
        from qi_learn.train import parts
        from qi_learn.train.fisher import Interrupted
        from qi_learn.train.pause import Stopping
        from qi_learn.train.ranks import ALONE, join
        from qi_learn.train.run import learn
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
            parts.prepare(run, plan, snapshot, stopping)
        elif part == "fit":
            parts.fit(
                run,
                plan,
                snapshot,
                join(meeting, plan.hardware.device) if meeting else ALONE,
                stopping,
            )
        else:
            parts.follow_up(run, plan, snapshot, stopping)
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
        f"Not enough memory to train on {plan.hardware.device}: {plan.batches.batch_size} sequences "
        ""
        f"of up to {plan.batches.max_length} tokens at a time, rank {plan.lora.rank}, "
        f"{plan.lora.layer_count} layers ({first}).",
        "Close what else uses it (for a GPU: models loaded in Ollama), lower `train.rank`, or take "
        "a smaller base with `serve.base`.",
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
