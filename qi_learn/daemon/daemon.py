"""The daemon: one process that takes evidence in and decides when to learn.

It supervises gateway and engine, and is the only writer of the database.

Crash-only: there is one way to start, and it is the recovery. Everything that matters is in files
(spool, database, run directories, deploy.json) before anything is done with it, so a killed daemon
goes on from there.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from qi_learn.codec import dumps
from qi_learn.cycle import trigger
from qi_learn.daemon.base import BaseKeeper, file_of_base, learned_runs
from qi_learn.daemon.client import DaemonState
from qi_learn.daemon.control import Control
from qi_learn.daemon.cycles import CycleRunner
from qi_learn.daemon.idle import IdleGate
from qi_learn.daemon.intake import Intake
from qi_learn.daemon.lock import take_lock
from qi_learn.daemon.requests import Requests
from qi_learn.daemon.supervisor import (
    ENGINE_SECONDS,
    GATEWAY_SECONDS,
    SupervisedProcess,
    engine_process,
    gateway_process,
)
from qi_learn.deploy.journal import live_runs, load_deployment
from qi_learn.deploy.model_server import model_server_of, uses_engine
from qi_learn.errors import EXIT_DONE, Busy, ServerError
from qi_learn.ids import new_id
from qi_learn.outside.ollama import Ollama
from qi_learn.paths import Paths, replace_file
from qi_learn.records import Decision
from qi_learn.rundir.directory import RunDirectory, RunRequest
from qi_learn.settings import Settings
from qi_learn.store.database import Store, open_store
from qi_learn.workspace.watcher import Watcher

logger = logging.getLogger(__name__)
TICK_SECONDS = 0.1
DECIDE_SECONDS = (1.0, 30.0)
"""Seconds between two decisions: at most the second, because time passes too; while evidence comes
in, the first.
"""
FAULT_SECONDS = 60.0
"""Seconds between two log lines on one lasting fault."""


class Daemon:
    """Open it, call `tick` until `stopping`, close it.

    Raises DaemonError on opening if another process is the daemon.
    """

    def __init__(
        self,
        paths: Paths,
        settings: Settings,
        *,
        gateway: bool = True,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.paths = paths.ensure()
        self.settings = settings
        self.stopping = False
        self.decision = Decision(False, "The daemon has just started.")
        self._clock = clock
        self._with_gateway = gateway
        self._idle = IdleGate(self.paths, settings, clock())
        self._waiting = ""
        self._requests = Requests(self)
        self._decided_at = float("-inf")
        self._fault = ("", 0.0)
        self._published = ""
        self._changed = True
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Self:
        try:
            self._open()
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()

    def _open(self) -> None:
        self._stack.callback(os.close, take_lock(self.paths))
        # of a daemon that was killed: while we start it must not be taken for ours
        self.paths.daemon_state.unlink(missing_ok=True)
        self.store: Store = self._stack.enter_context(open_store(self.paths.database))
        self._open_servers()
        watcher = Watcher()
        self._stack.callback(watcher.close)
        self._intake = Intake(self.paths, self.settings, watcher)
        self._stack.callback(self._intake.close)
        self._cycles = CycleRunner(self.paths, self.model_server, clock=self._clock)
        self._stack.callback(self._cycles.stop)
        self.tick()
        control = Control(self.paths.socket, self._requests.answer)
        self._stack.callback(control.close)
        self._publish_state()
        self._stack.callback(self.paths.daemon_state.unlink, missing_ok=True)

    def _open_servers(self) -> None:
        """Start the engine if it serves, make the base version, then start the gateway."""
        self._gateway: SupervisedProcess | None = None
        self._engine = (
            self._child(engine_process(self.paths, self.settings))
            if uses_engine(self.settings)
            else None
        )
        engine_url = self._engine.wait_ready(ENGINE_SECONDS) if self._engine else None
        self.model_server = model_server_of(self.settings, self.paths, engine_url)
        self._base = BaseKeeper(self.paths, self.settings, self.model_server)
        self._base.agree(self._clock())
        if self._with_gateway:
            self._gateway = self._child(gateway_process(self.paths, self.model_server.url))
            self._gateway.wait_ready(GATEWAY_SECONDS)

    def _child(self, child: SupervisedProcess) -> SupervisedProcess:
        child.start()
        self._stack.callback(child.stop)
        return child

    @property
    def gateway_url(self) -> str | None:
        """The URL of the gateway; None if there is none."""
        return self._gateway.url if self._gateway else None

    @property
    def run(self) -> RunDirectory | None:
        """The run of the cycle under way."""
        return self._cycles.current

    @property
    def waiting(self) -> str:
        """The reason why a cycle that could start or go on waits for an idle user.

        Empty if none waits.
        """
        return self._cycles.waits_for if self._cycles.busy else self._waiting

    # --- the loop ---------------------------------------------------------------------------------

    def tick(self) -> None:
        """Do one round of everything.

        An error of one part is logged and tried again in the next round.
        """
        now = self._clock()
        for part in (
            self._watch_children,
            self._watch_cycle,
            self._agree_on_base,
            self._take_in,
            self._decide,
            self._serve_requests,
        ):
            try:
                part(now)
            except Exception as error:  # noqa: BLE001 - the edge of the daemon's loop: a fault of one part must not stop the others
                self._note_fault(error)
                return  # and nothing is decided on what was only half taken in

    def _note_fault(self, error: Exception) -> None:
        """Log it once with its traceback, then once a minute for as long as it lasts.

        So a lasting fault does not fill the disk.
        """
        text = f"{type(error).__name__}: {error}"
        if self._fault[0] != text:
            logger.error("a part of the daemon's round failed and is tried again", exc_info=error)
        elif time.monotonic() - self._fault[1] < FAULT_SECONDS:
            return
        else:
            logger.error("it still fails: %s", text)
        self._fault = (text, time.monotonic())

    def _watch_children(self, now: float) -> None:
        for child in (self._engine, self._gateway):
            if child is not None:
                child.watch()
        # on a port of its own choosing the gateway comes back at another address
        if self._published and self.gateway_url not in (None, self._published):
            self._publish_state()

    def _watch_cycle(self, now: float) -> None:
        self._cycles.watch(lambda: self._blocked(now))

    def _agree_on_base(self, now: float) -> None:
        self._base.agree(now)

    def _take_in(self, now: float) -> None:
        if self._intake.tick(self.store, now):
            self._changed = True

    def _decide(self, now: float) -> None:
        if time.monotonic() - self._decided_at < DECIDE_SECONDS[0 if self._changed else 1]:
            return
        self._decided_at, self._changed = time.monotonic(), False
        busy, learned = self._cycles.busy, learned_runs(self.paths)
        self.decision = trigger.decide(
            self.store,
            self.settings,
            learned_runs=learned,
            now=now,
            busy=busy,
            waiting=self._idle.waits,
        )
        if busy:
            return
        if not self.decision.due:
            self._waiting = ""
            self._idle.over()
        elif self._base.ready:
            self._waiting = self._blocked(now)
            if not self._waiting:
                self.start_cycle(self.decision.reason)

    def _blocked(self, now: float) -> str:
        """The reason why a cycle should not run now; empty if it may: then none waits any more."""
        if not (reason := self._idle.blocked_by(now, edited=self._intake.edited)):
            self._idle.over()
        return reason

    def _serve_requests(self, now: float) -> None:
        self._requests.serve(
            lambda: self.cycle_now("asked for by `qi-learn train --now`"), self.cancel_cycle
        )

    def _publish_state(self) -> None:
        """Write `daemon.json`, by which other processes find this one."""
        gateway = self._published = self.gateway_url or ""
        server = self.model_server
        state = DaemonState(os.getpid(), gateway, server.url, server.engine, self._clock())
        replace_file(self.paths.daemon_state, dumps(state) + "\n")

    # --- cycles -----------------------------------------------------------------------------------

    def cycle_now(self, reason: str) -> RunDirectory:
        """The cycle under way, which no longer waits for an idle user, or else a new one.

        Raises as `start_cycle`.
        """
        if (current := self._cycles.current) is not None:
            self._cycles.skip_idle_wait()
            return current
        return self.start_cycle(reason, asked=True)

    def cancel_cycle(self) -> RunDirectory:
        """End the cycle under way. Raises NotFound if there is none."""
        return self._cycles.cancel()

    def start_cycle(self, reason: str, *, asked: bool = False) -> RunDirectory:
        """Start a learning cycle, whatever the thresholds say.

        Raises Busy if one is under way, ServerError if the base is not ready.
        """
        if self._cycles.current is not None:
            raise Busy(
                f"A cycle is under way: {self._cycles.current.run_id}.",
                "Watch it with `qi-learn status`.",
            )
        if not self._base.ready:
            raise ServerError(
                "Version 1.0.0 is not there yet: the server behind the gateway did not answer.",
                "See `qi-learn doctor`.",
            )
        request = self._run_request(reason, asked=asked)
        logger.info("run %s: %s", request.run_id, reason)
        return self._cycles.start(request)

    def _run_request(self, reason: str, *, asked: bool) -> RunRequest:
        now = self._clock()
        deployment = load_deployment(self.paths)
        with Ollama(self.model_server.url) as server:
            base = file_of_base(self.settings, server, deployment)
        model_store = self.model_server.model_store
        return RunRequest(
            run_id=new_id(now),
            server=self.model_server.url,
            started=now,
            reason=reason,
            seed=self.settings.train.seed,
            fresh=self.decision.fresh,
            base_gguf=str(base),
            parent=deployment.live,
            ancestors=live_runs(deployment),
            model_store=None if model_store is None else str(model_store),
            engine=self.model_server.engine,
            asked=asked,
        )


def run_daemon(paths: Paths, settings: Settings) -> None:
    """Run until SIGTERM, SIGINT or `qi-learn daemon stop`; log to stderr.

    A signal while it starts ends it as cleanly.
    """
    logging.basicConfig(
        stream=sys.stderr,
        level=logging.INFO,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
    )
    logging.getLogger("httpx").setLevel(logging.WARNING)
    os.umask(0o077)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _exit)
    with Daemon(paths, settings) as daemon:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: setattr(daemon, "stopping", True))
        logger.info(
            "ready: gateway %s, server %s", daemon.gateway_url or "none", daemon.model_server.url
        )
        while not daemon.stopping:
            daemon.tick()
            time.sleep(TICK_SECONDS)
        logger.info("stopping")


def _exit(*_: object) -> None:
    """Leave while the daemon starts: what it has opened so far is closed."""
    raise SystemExit(EXIT_DONE)
