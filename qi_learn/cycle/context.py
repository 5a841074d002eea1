"""What every step of a cycle needs, the base and the version it builds on included."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qi_learn import codec
from qi_learn.deploy.journal import candidate_model, load_deployment
from qi_learn.deploy.version import parse_version
from qi_learn.errors import Stopped, StoreError
from qi_learn.outside.ollama import Ollama
from qi_learn.pack.modelfile import modelfile_for
from qi_learn.pack.modelfile_text import ModelfileSpec
from qi_learn.paths import Paths
from qi_learn.records import Plan, Release, RunState, TrainResult
from qi_learn.rundir.directory import RunDirectory, RunRequest, run_directories
from qi_learn.settings import Settings
from qi_learn.spool import Spool

logger = logging.getLogger(__name__)
ADAPTER = "adapter.safetensors"
"""Name in a version's directory."""


@dataclass(frozen=True, slots=True)
class Cycle:
    """One cycle under way: its run, its surroundings, and what its steps report."""

    run: RunDirectory
    request: RunRequest
    """Why it was started and on what."""
    paths: Paths
    settings: Settings
    server: Ollama
    """The server that serves the live version."""
    spool: Spool
    """Takes the events for the daemon."""
    clock: Callable[[], float]
    """Unix seconds now."""
    lock: int
    """File descriptor that holds the run (`RunDirectory.hold`)."""
    finishing: Callable[[], AbstractContextManager[None]] = nullcontext
    """While this lasts, a request to stop is put off: for what must not be left half done."""

    @property
    def base(self) -> Path:
        """The base model's GGUF."""
        return Path(self.request.base_gguf)

    @property
    def candidate(self) -> str:
        """The name under which the packed file is tested."""
        return candidate_model(self.settings.serve.alias, self.run.run_id)

    def tell(self, state: RunState, **more: Any) -> None:
        """Report a state to the daemon, as a `cycle` event."""
        self.spool.append("cycle", {"run": self.run.run_id, "state": state, **codec.plain(more)})

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Note in the journal that a step began and ended.

        Raises Stopped if the cycle was cancelled.
        """
        self.go_on()
        self.run.journal(self.clock(), name, "begun")
        with self.part(name, "done"):
            yield

    @contextmanager
    def part(self, step: str, what: str) -> Iterator[None]:
        """Note in the journal how long a part of a long step took, so that `status` shows it move.

        Raises Stopped if the cycle was cancelled.
        """
        self.go_on()
        began = time.monotonic()
        yield
        self.run.journal(self.clock(), step, what, seconds=round(time.monotonic() - began, 2))

    def go_on(self) -> None:
        """Raise Stopped if the cycle was cancelled in time."""
        if self.run.cancelled and not self.released:
            raise Stopped("The cycle was cancelled.")

    @property
    def released(self) -> bool:
        """Whether its version is live already, or was: from then on there is nothing to cancel."""
        return any(r.run_id == self.run.run_id for r in load_deployment(self.paths).releases)

    @property
    def ancestors(self) -> list[RunDirectory]:
        """The runs behind the version that is trained on top of, oldest first."""
        return [RunDirectory(self.paths.runs / run) for run in self.request.ancestors]

    def last_training(self, base_digest: str) -> tuple[Plan, TrainResult] | None:
        """Plan and result of the newest earlier run on this base that was trained.

        Whether it shipped does not matter; None if there is none.
        """
        for run in reversed(run_directories(self.paths.runs)):
            if run.run_id >= self.run.run_id or not (run.plan.exists() and run.result.exists()):
                continue
            try:
                plan = run.read(run.plan, Plan)
                if plan.base.digest == base_digest:
                    return plan, run.read(run.result, TrainResult)
            except StoreError as error:
                logger.warning("what run %s measured is not used: %s", run.run_id, error.what)
        return None

    @property
    def previous(self) -> Path | None:
        """The directory of the version that is trained on top of; None for the base."""
        adapter = load_deployment(self.paths).release(self.request.parent).adapter
        return self.paths.data / adapter if adapter else None

    @property
    def base_weights(self) -> Path | None:
        """Directory of the base's full-precision weights; None if the settings name none."""
        directory = self.settings.train.base_weights
        return Path(directory).expanduser() if directory else None


def base_release(cycle: Cycle) -> Release:
    """The base version under the one that is trained on top of: the first of its major number."""
    major = parse_version(cycle.request.parent).major
    return load_deployment(cycle.paths).release(f"{major}.0.0")


def base_modelfile(cycle: Cycle) -> ModelfileSpec:
    """Template, system prompt and parameters of the base as it is served.

    A model made from a file inherits none of them.
    """
    return modelfile_for(cycle.server.show(base_release(cycle).model), "default")
