"""The daemon: one process that takes evidence in and decides when to learn.

It supervises gateway and engine, in a thread of their own (servers.py), and is the only writer of
the database.

Crash-only: there is one way to start, and it is the recovery. Everything that matters is in files
(spool, database, run directories, deploy.json) before anything is done with it, so a killed daemon
goes on from there.
"""

from __future__ import annotations

import contextlib
import logging
import os
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from qi_learn.cycle import trigger
from qi_learn.daemon.base import BaseKeeper, learned_runs
from qi_learn.daemon.condition import Condition, condition_of
from qi_learn.daemon.control import Control
from qi_learn.daemon.cycles import CycleRunner
from qi_learn.daemon.health import Health
from qi_learn.daemon.idle import IdleGate
from qi_learn.daemon.intake import Intake
from qi_learn.daemon.lock import take_lock
from qi_learn.daemon.monitoring import Monitoring
from qi_learn.daemon.pace import Pace
from qi_learn.daemon.published import PublishedState
from qi_learn.daemon.renewal import Renewal
from qi_learn.daemon.requests import Requests
from qi_learn.daemon.restoring import complete_restore
from qi_learn.daemon.run_request import run_request
from qi_learn.daemon.servers import Servers
from qi_learn.daemon.upkeep import Upkeep
from qi_learn.deploy.model_server import model_server_of
from qi_learn.errors import Busy, ServerError
from qi_learn.outside import systemd
from qi_learn.paths import Paths
from qi_learn.records import Decision
from qi_learn.rundir.directory import RunDirectory
from qi_learn.settings import Settings
from qi_learn.store.candidates import FreshExamples
from qi_learn.store.database import Store, open_store
from qi_learn.store.soundness import Soundness
from qi_learn.workspace.watcher import Watcher

logger = logging.getLogger(__name__)
PAUSE_SECONDS = (1.0, 10.0)
"""Longest pause between two rounds, while a cycle is under way and else."""
DECIDE_SECONDS = (1.0, 30.0)
"""Seconds between two decisions: at most the second, because time passes too; while evidence comes
in, the first.
"""


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
        service: bool = False,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`service`: the gateway is a service of its own, which is only looked for."""
        self.paths = paths.ensure()
        self.settings = settings
        self.decision = Decision(False, "The daemon has just started.")
        self._clock = clock
        self._stopping = self.told_to_stop = False
        self._servers = Servers(self.paths, settings, gateway=gateway, service=service)
        self._ends_servers = gateway
        self._pace = Pace(self.paths.spool, self.paths.projects, self.paths.deploy)
        self._health = Health()
        self._idle = IdleGate(self.paths, settings, clock())
        self._waiting = ""
        self._requests = Requests(self)
        self.renewal = Renewal(self.paths)
        self.heirloom: tuple[int, int | None] | None = None
        """Lock and gateway's port, for the version that takes over when this one has closed."""
        self._decided_at, self._examples = float("-inf"), FreshExamples()
        self._state = PublishedState(self.paths)
        self._changed = True
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Self:
        try:
            self._open()
        except BaseException:
            self._ends_servers = False  # what served before us goes on
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
        self._lock = take_lock(self.paths)
        self._stack.callback(os.close, self._lock)
        complete_restore(self.paths)
        # of a daemon that was killed: while we start it must not be taken for ours
        self.paths.daemon_state.unlink(missing_ok=True)
        self._stack.callback(self._close_servers)
        self._servers.start()  # first: clients are served while the rest starts
        self.store: Store = self._stack.enter_context(open_store(self.paths.database))
        self._soundness = self._stack.enter_context(
            contextlib.closing(Soundness(self.paths.database))
        )
        engine_url = self._servers.wait()
        self.model_server = model_server_of(self.settings, self.paths, engine_url)
        self._base = BaseKeeper(self.paths, self.settings, self.model_server)
        self._base.agree(self._clock())
        self._intake = Intake(self.paths, self.settings, Watcher(), wait=False, wake=self.wake)
        self._stack.callback(lambda: self._intake.watcher.close())
        self._stack.callback(self._intake.close)
        self._cycles = CycleRunner(self.paths, self.model_server, clock=self._clock)
        self._stack.callback(self._cycles.stop)
        self._monitoring = Monitoring(self.paths, self.settings.gate, self.model_server)
        self._stack.callback(self._monitoring.stop)
        self.upkeep = Upkeep(
            self.paths, self.settings.keep, self._cycles, self._intake.let_go, self.wake
        )
        control = Control(self.paths.socket, self._requests.answer)
        self._stack.callback(control.close)
        self._publish_state(self._clock())
        self._stack.callback(self.paths.daemon_state.unlink, missing_ok=True)

    def _close_servers(self) -> None:
        """End what answers clients, if the daemon was told to stop; else only what we started.

        Another version of the daemon finds all of it.
        """
        if self.renews:
            self.heirloom = os.dup(self._lock), self._servers.hand_over()
        elif self._ends_servers:
            self._servers.stop()
        else:
            self._servers.leave()

    @property
    def stopping(self) -> bool:
        """Whether the loop is to end."""
        return self._stopping

    @property
    def renews(self) -> bool:
        """Whether another version takes over; not if this one was told to stop meanwhile."""
        return self.renewal.is_due and not self.told_to_stop

    def stop(self) -> None:
        """End the loop, at once if it sleeps; from any thread or a signal."""
        self._stopping = self.told_to_stop = True
        self._pace.wake()

    def settle(self, seconds: float) -> None:
        """Do rounds until everything that came in is scored, for `seconds` at most."""
        until = time.monotonic() + seconds
        self.tick()
        while self._intake.pending and not self._stopping and time.monotonic() < until:
            self.sleep()
            self.tick()

    def wake(self) -> None:
        """Let the loop look now."""
        self._pace.wake()

    @property
    def gateway_url(self) -> str | None:
        """The URL of the gateway; None if there is none."""
        return self._servers.gateway_url

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

    @property
    def condition(self) -> Condition:
        """How the daemon's parts are."""
        return condition_of(self._health, self._servers, self._intake)

    # --- the loop ---------------------------------------------------------------------------------

    def tick(self) -> None:
        """Do one round of everything, each part in its own guarded step.

        A part that fails is tried again in the next round.
        """
        now, began = self._clock(), time.monotonic()
        step = self._health.step
        step("the state", lambda: self._publish_state(now))
        step("the cycle", lambda: self._watch_cycle(now))
        step("the base version", lambda: self._agree_on_base(now))
        step("watching", self._mend_watcher)
        if step("the database", self._soundness.require, certain=True) and step(
            "taking in", lambda: self._take_in(now)
        ):
            # nothing is decided on what was only half taken in
            step("forgetting", lambda: self.upkeep.tick(self.store, now))
            if not self.upkeep.forgetting:
                step("deciding", lambda: self._decide(now))
            step("comparing versions", lambda: self._compare_versions(now))
        step("answering", lambda: self._serve_requests(now))
        step("another version", lambda: self._look_for_another(now))
        self._health.round_took(time.monotonic() - began)

    def sleep(self) -> None:
        """Wait until there is something to do."""
        if not self._stopping:
            longest = PAUSE_SECONDS[0 if self._cycles.busy else 1]
            seconds = min(longest, self._intake.next_due(self._clock()))
            self._pace.sleep(seconds, lambda: self._intake.look(self._clock()))

    def _mend_watcher(self) -> None:
        """Start the watcher's threads again if one has ended, else make it anew."""
        if self._intake.watcher.alive:
            return
        self._intake.watcher.revive()
        if self._intake.watcher.alive:
            return
        logger.error("the watcher's threads have ended: it is made anew")
        self._intake.watch_anew(Watcher())

    def _watch_cycle(self, now: float) -> None:
        self._cycles.watch(lambda: self._blocked(now))

    def _agree_on_base(self, now: float) -> None:
        self._base.agree(now)

    def _take_in(self, now: float) -> None:
        if self._intake.tick(self.store, now):
            self._changed = True
        if self._changed or self.upkeep.forgetting:
            self._examples.outdate()

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
            examples=self._examples,
        )
        self._changed = self.decision.reason == trigger.STILL_LOOKING
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

    def _compare_versions(self, now: float) -> None:
        """At night, and beside nothing else: not while something is forgotten either."""
        unwanted = self._cycles.busy or self.upkeep.forgetting or self._waiting
        disturbs = self._idle.disturbs
        self._monitoring.tick(
            now,
            unwanted=bool(unwanted),
            disturbs=lambda: disturbs(now, edited=self._intake.edited),
        )

    def _serve_requests(self, now: float) -> None:
        self._requests.serve(
            lambda: self.cycle_now("asked for by `qi-learn train --now`"), self.cancel_cycle
        )

    def _look_for_another(self, now: float) -> None:
        idle = not (self._cycles.working or self._intake.pending)
        if self.renewal.look(now, idle=idle):
            self._stopping = True

    def _publish_state(self, now: float) -> None:
        """Keep `daemon.json`, by which other processes find this one."""
        # on a port of its own choosing the gateway comes back at another address
        if self._state.publish(self.gateway_url, self.model_server, now):
            systemd.notify(systemd.ALIVE)

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
        request = run_request(
            self.paths,
            self.settings,
            self.model_server,
            now=self._clock(),
            reason=reason,
            fresh=self.decision.fresh,
            asked=asked,
        )
        logger.info("run %s: %s", request.run_id, reason)
        return self._cycles.start(request)
