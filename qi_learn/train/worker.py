"""The training worker: `python -m qi_learn.train.worker RUN_DIR [--parent PID]`. The one process that needs torch; it talks through the run directory.

It reads `plan.json` and `snapshot/`, and leaves `adapter/delta.safetensors`, `adapter/past_fisher.safetensors` and, last of all, `result.json`. Running
it again does what is left to do: nothing once the result is there, else on from the newest complete checkpoint. `placement.json`, where it is there, says
for whose requests it pauses. SIGTERM, or the end of the process PID: a checkpoint, then exit 75. What it cannot do is in `error.json` ({"what", "todo"}),
with exit 1; a full disk, with exit 75.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import TypeVar

from qi_learn import codec
from qi_learn.errors import EXIT_DONE, EXIT_FAILED, EXIT_TRY_AGAIN, EXIT_USAGE, DiskFull, QiError, StoreError, ToolMissing, TrainingError, no_room
from qi_learn.outside.process import leave_with
from qi_learn.paths import replace_file
from qi_learn.records import Placement, Plan
from qi_learn.store.snapshots import load_snapshot

ENVIRONMENT = {
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "OMP_WAIT_POLICY": "PASSIVE",  # threads that wait sleep: this process yields to whatever else the machine does
}
"""What torch and transformers read once, when they are imported."""
NICE = 10
NO_MEMORY = ("can't allocate memory", "out of memory", "not enough memory")
"""What torch's CPU allocator says; it has no exception of its own."""

logger = logging.getLogger(__name__)
T = TypeVar("T")


def main(arguments: list[str]) -> int:
    """Runs or resumes the training of one run directory; the exit code."""
    if len(arguments) != 1 and not (len(arguments) == 3 and arguments[1] == "--parent" and arguments[2].isdigit()):
        sys.stderr.write("usage: python -m qi_learn.train.worker RUN_DIR [--parent PID]\n")
        return EXIT_USAGE
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    os.environ.update(ENVIRONMENT)
    os.nice(NICE)
    asked = StopRequest()
    signal.signal(signal.SIGTERM, asked)
    if len(arguments) == 3:
        leave_with(int(arguments[2]))
    run = Path(arguments[0])
    try:
        (run / "error.json").unlink(missing_ok=True)
        return _work(run, asked)
    except (QiError, OSError) as error:
        return _failed(run, error)


def _failed(run: Path, error: QiError | OSError) -> int:
    """Says what went wrong; the exit code that says whether to try again."""
    if no_room(error):
        error = DiskFull(f"The training has no room left in {run}: {error}.", "Make room on the disk; it goes on from its last checkpoint.")
    elif isinstance(error, OSError):
        error = TrainingError(f"The training failed: {error}.", "Look at who owns the files it names, then start a cycle again.")
    logger.error("%s", error)
    with suppress(OSError):  # the exit code says it too
        replace_file(run / "error.json", json.dumps({"what": error.what, "todo": error.todo}))
    return EXIT_TRY_AGAIN if error.exit_code == EXIT_TRY_AGAIN else EXIT_FAILED


class StopRequest:
    """A signal handler that only remembers: the work asks it at places where it can stop."""

    def __init__(self) -> None:
        self._made = False

    def __call__(self, number: int, frame: FrameType | None) -> None:
        self._made = True

    def made(self) -> bool:
        return self._made


def _work(run: Path, asked: StopRequest) -> int:
    if (run / "result.json").exists():
        return EXIT_DONE
    plan = _read(Plan, run / "plan.json")
    snapshot = load_snapshot(run / "snapshot")
    placement = _read(Placement, run / "placement.json") if (run / "placement.json").exists() else None
    try:
        import torch

        from qi_learn.train.fisher import Interrupted
        from qi_learn.train.pause import Stopping
        from qi_learn.train.run import learn
    except ImportError as error:
        raise ToolMissing(
            f"Training needs torch, transformers and peft, and one cannot be imported: {error}", 'Install them with: pip install "qi-learn[train]"'
        ) from error
    try:
        learn(run, plan, snapshot, stopping=Stopping(run, placement, asked.made))
    except Interrupted as stopped:
        logger.info("%s; running the worker again goes on from there", stopped)
        return EXIT_TRY_AGAIN
    except FloatingPointError as error:
        raise TrainingError(
            f"Training came apart: {error}.", "The live version goes on being served. Lower `train.rank`, or look at the newest examples."
        ) from error
    except (MemoryError, torch.OutOfMemoryError) as error:
        raise _out_of_memory(plan, error) from error
    except RuntimeError as error:
        if any(text in str(error) for text in NO_MEMORY):
            raise _out_of_memory(plan, error) from error
        raise
    return EXIT_DONE


def _read(kind: type[T], path: Path) -> T:
    try:
        return codec.loads(kind, path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise StoreError(f"{path} cannot be read: {error}", "The run cannot go on; the next cycle starts afresh.") from error


def _out_of_memory(plan: Plan, error: BaseException) -> TrainingError:
    first = str(error).splitlines()[0] if str(error) else type(error).__name__
    return TrainingError(
        f"Not enough memory to train on {plan.device}: {plan.batch_size} sequences of up to {plan.max_length} tokens at a time, rank {plan.rank}, "
        f"{plan.layer_count} layers ({first}).",
        "Close what else uses it (for a GPU: models loaded in Ollama), lower `train.rank`, or take a smaller base with `serve.base`.",
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
