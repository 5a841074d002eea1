"""The daemon: one process that supervises gateway and engine, takes evidence in, decides when to
learn, and is the only writer of the database.

Crash-only: there is one way to start, and it is the recovery. Everything that matters is in files
(spool, database, run directories, deploy.json) before anything is done with it, so a killed daemon
goes on where it was.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import queue
import signal
import sys
import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Self

from qi_learn.codec import dumps, plain
from qi_learn.cycle import trigger
from qi_learn.daemon.base import ensure_base, file_of_base, learned_runs
from qi_learn.daemon.client import DaemonState, refusal
from qi_learn.daemon.control import Control
from qi_learn.daemon.cycles import CycleRunner
from qi_learn.daemon.idle import IdleGate
from qi_learn.daemon.intake import Intake
from qi_learn.daemon.supervisor import ENGINE_SECONDS, SupervisedProcess, engine_process
from qi_learn.deploy.journal import live_runs, load_deployment
from qi_learn.deploy.model_server import model_server_of, uses_engine
from qi_learn.errors import EXIT_DONE, Busy, DaemonError, QiError, ServerError
from qi_learn.outside.ollama import Ollama
from qi_learn.paths import Paths, replace_file
from qi_learn.records import Decision
from qi_learn.rundir.directory import RunDirectory, RunRequest
from qi_learn.settings import Settings
from qi_learn.spool import new_id
from qi_learn.store.database import Store, open_store
from qi_learn.workspace.watcher import Watcher

logger = logging.getLogger(__name__)
TICK_SECONDS = 0.1
DECIDE_SECONDS = (1.0, 30.0)
"""How often to ask whether it is time: at most, while evidence comes in, and at least, because time
passes too.
"""
BASE_RETRY_SECONDS = 2.0
"""How often, at most, the server is asked to agree with deploy.json."""
WISH_SECONDS = 50.0
FAULT_SECONDS = 60.0
LOCK_TRIES = 5


class Daemon:
    """Open it, call `tick` until `stopping`, close it.

    Raises DaemonError on opening where another process is the daemon.
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
        self._requests: queue.SimpleQueue[tuple[str, queue.SimpleQueue[Mapping[str, Any]]]] = (
            queue.SimpleQueue()
        )
        self._decided_at = self._base_tried_at = float("-inf")
        self._base_ready = False
        self._agreed = 0
        self._fault = ("", 0.0)
        self._said = ""
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
        self._stack.callback(os.close, _take_lock(self.paths))
        self.paths.daemon_state.unlink(
            missing_ok=True
        )  # of a daemon that was killed: while we start it must not be taken for ours
        self.store: Store = self._stack.enter_context(open_store(self.paths.database))
        self._engine = (
            self._child(engine_process(self.paths, self.settings))
            if uses_engine(self.settings)
            else None
        )
        self._gateway: SupervisedProcess | None = None
        engine_url = self._engine.wait_ready(ENGINE_SECONDS) if self._engine else None
        self.backend = model_server_of(self.settings, self.paths, engine_url)
        self._ensure_base(self._clock())
        if self._with_gateway:
            arguments = ["--upstream", self.backend.url]
            self._gateway = self._child(
                SupervisedProcess(
                    "qi_learn.gateway",
                    arguments,
                    ready=self.paths.state / "gateway.ready",
                    log=self.paths.logs / "gateway.log",
                )
            )
            self._gateway.wait_ready(20)
        watcher = Watcher()
        self._stack.callback(watcher.close)
        self._intake = Intake(self.paths, self.settings, watcher)
        self._cycles = CycleRunner(self.paths, self.backend, clock=self._clock)
        self._stack.callback(self._cycles.stop)
        self.tick()
        control = Control(self.paths.socket, self._answer)
        self._stack.callback(control.close)
        self._say_where()
        self._stack.callback(self.paths.daemon_state.unlink, missing_ok=True)

    @property
    def gateway_url(self) -> str | None:
        """Where the gateway listens; None where there is none."""
        return self._gateway.url if self._gateway else None

    def _child(self, child: SupervisedProcess) -> SupervisedProcess:
        child.start()
        self._stack.callback(child.stop)
        return child

    def tick(self) -> None:
        """One round of everything.

        Errors of one part are logged and tried again in the next round: the others go on.
        """
        now = self._clock()
        for part in (
            self._watch_children,
            self._watch_cycle,
            self._ensure_base,
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
        """Once with its traceback, then once a minute for as long as it lasts, so that a lasting
        fault does not fill the disk.
        """
        known = f"{type(error).__name__}: {error}"
        if self._fault[0] != known:
            logger.error("a part of the daemon's round failed and is tried again", exc_info=error)
        elif time.monotonic() - self._fault[1] < FAULT_SECONDS:
            return
        else:
            logger.error("it still fails: %s", known)
        self._fault = (known, time.monotonic())

    def cycle_now(self, reason: str) -> RunDirectory:
        """The cycle under way, or a new one, for somebody who waits for it.

        Raises as `start_cycle`.
        """
        if (current := self._cycles.current) is not None:
            self._cycles.skip_idle_wait()
            return current
        return self.start_cycle(reason, asked=True)

    def cancel_cycle(self) -> RunDirectory:
        """Ends the cycle under way. Raises NotFound where there is none."""
        return self._cycles.cancel()

    def start_cycle(self, reason: str, *, asked: bool = False) -> RunDirectory:
        """Starts a learning cycle, whatever the thresholds say.

        Raises Busy where one is under way, ServerError where the base is not ready.
        """
        if self._cycles.current is not None:
            raise Busy(
                f"A cycle is under way: {self._cycles.current.run_id}.",
                "Watch it with `qi-learn status`.",
            )
        if not self._base_ready:
            raise ServerError(
                "Version 1.0.0 is not there yet: the server behind the gateway did not answer.",
                "See `qi-learn doctor`.",
            )
        now = self._clock()
        deployment = load_deployment(self.paths)
        with Ollama(self.backend.url) as server:
            base = file_of_base(self.settings, server, deployment)
        store_place = None if self.backend.model_store is None else str(self.backend.model_store)
        request = RunRequest(
            run_id=new_id(now),
            server=self.backend.url,
            started=now,
            reason=reason,
            seed=self.settings.train.seed,
            fresh=self.decision.fresh,
            base_gguf=str(base),
            parent=deployment.live,
            ancestors=live_runs(deployment),
            model_store=store_place,
            engine=self.backend.engine,
            asked=asked,
        )
        logger.info("run %s: %s", request.run_id, reason)
        return self._cycles.start(request)

    def _take_in(self, now: float) -> None:
        if self._intake.tick(self.store, now):
            self._changed = True

    @property
    def waiting(self) -> str:
        """Why a cycle that could start or go on waits: the user is not idle.

        Empty where none waits.
        """
        return self._cycles.waits_for if self._cycles.busy else self._waiting

    def _watch_cycle(self, now: float) -> None:
        self._cycles.watch(lambda: self._disturbed(now))

    def _disturbed(self, now: float) -> str:
        """Why now is no moment for a cycle. Empty: it is, and none waits any more."""
        if not (reason := self._idle.blocked_by(now, edited=self._intake.edited)):
            self._idle.over()
        return reason

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
        elif self._base_ready:
            self._waiting = self._disturbed(now)
            if not self._waiting:
                self.start_cycle(self.decision.reason)

    def _watch_children(self, now: float) -> None:
        for child in (self._engine, self._gateway):
            if child is not None:
                child.watch()
        if self._said and self.gateway_url not in (None, self._said):
            self._say_where()  # on a port of its own choosing it comes back somewhere else

    def _ensure_base(self, now: float) -> None:
        """Version 1.0.0, and routes and alias as deploy.json wants them, whenever somebody has
        changed it; tried again until the server answers.
        """
        seen = self._journal_time()
        if (
            self._base_ready and seen == self._agreed
        ) or time.monotonic() - self._base_tried_at < BASE_RETRY_SECONDS:
            return
        self._base_tried_at = time.monotonic()
        try:
            ensure_base(self.paths, self.settings, self.backend, now=now)
        except ServerError as error:
            logger.warning("routes and alias wait for the server: %s", error.what)
        else:
            self._base_ready, self._agreed = (
                True,
                seen,
            )  # not the time it has now: somebody may have changed it since

    def _journal_time(self) -> int:
        try:
            return self.paths.deploy.stat().st_mtime_ns
        except FileNotFoundError:
            return 0

    def _say_where(self) -> None:
        gateway = self._said = self.gateway_url or ""
        state = DaemonState(
            os.getpid(), gateway, self.backend.url, self.backend.engine, self._clock()
        )
        replace_file(self.paths.daemon_state, dumps(state) + "\n")

    def _answer(self, request: Mapping[str, Any]) -> Mapping[str, Any]:
        """Called from the control thread: only reads, or leaves a wish for the loop."""
        match request.get("do"):
            case "ping":
                return {"pid": os.getpid()}
            case "status":
                current = self._cycles.current
                run = current.run_id if current else None
                return {
                    "decision": plain(self.decision),
                    "run": run,
                    "gateway": self.gateway_url,
                    "waiting": self.waiting,
                }
            case "train" | "cancel" as wish:
                reply: queue.SimpleQueue[Mapping[str, Any]] = queue.SimpleQueue()
                self._requests.put((wish, reply))
                with contextlib.suppress(queue.Empty):
                    return reply.get(timeout=WISH_SECONDS)
                return {
                    "error": f"The daemon is too busy to {'start' if wish == 'train' else 'cancel'} a cycle.",
                    "todo": "Try again in a minute.",
                }
            case "stop":
                self.stopping = True
                return {"stopping": True}
        return {"error": f"The daemon does not know {request.get('do')!r}."}

    def _serve_requests(self, now: float) -> None:
        """Starts and cancels cycles as was asked through the control socket: here, because only the
        loop may.
        """
        while not self._requests.empty():
            wish, reply = self._requests.get()
            try:
                run = (
                    self.cycle_now("asked for by `qi-learn train --now`")
                    if wish == "train"
                    else self.cancel_cycle()
                )
                reply.put({"run": run.run_id})
            except QiError as error:
                reply.put(refusal(error))
            except OSError as error:
                reply.put(
                    refusal(
                        QiError(
                            "The cycle could not be "
                            f"{'started' if wish == 'train' else 'cancelled'}: {error}",
                            "See `qi-learn doctor`.",
                        )
                    )
                )


def _take_lock(paths: Paths) -> int:
    """Tries a few times: whoever looks whether there is a daemon (`background.locked`) has the lock
    for that moment.
    """
    fd = os.open(paths.daemon_lock, os.O_RDWR | os.O_CREAT, 0o600)
    for tries_left in range(LOCK_TRIES, 0, -1):
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except BlockingIOError as error:
            if tries_left == 1:
                os.close(fd)
                raise DaemonError(
                    "Another daemon runs for this home.",
                    "`qi-learn status` shows it; `qi-learn daemon stop` stops it.",
                ) from error
            time.sleep(0.01)
    return fd


def run_daemon(paths: Paths, settings: Settings) -> None:
    """Runs until SIGTERM, SIGINT or `qi-learn daemon stop`; logs to stderr.

    A signal while it starts ends it as cleanly.
    """
    logging.basicConfig(
        stream=sys.stderr,
        level=logging.INFO,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
    )
    logging.getLogger("httpx").setLevel(logging.WARNING)
    os.umask(0o077)
    for sign in (signal.SIGTERM, signal.SIGINT):
        signal.signal(sign, _leave)
    with Daemon(paths, settings) as daemon:
        for sign in (signal.SIGTERM, signal.SIGINT):
            signal.signal(sign, lambda *_: setattr(daemon, "stopping", True))
        logger.info(
            "ready: gateway %s, server %s", daemon.gateway_url or "none", daemon.backend.url
        )
        while not daemon.stopping:
            daemon.tick()
            time.sleep(TICK_SECONDS)
        logger.info("stopping")


def _leave(*_: object) -> None:
    """While the daemon starts: unwinds what it has opened so far."""
    raise SystemExit(EXIT_DONE)
