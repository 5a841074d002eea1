"""Gateway and engine: found again or started, and kept alive by a thread that does nothing else.

The gateway comes first, so that clients are served while the rest starts. Neither of the two waits
for what the daemon's loop does, and neither ends with a daemon that is killed: only `stop` ends
them. If this daemon takes the place of another version, both are made anew, the engine first, while
requests wait in the gateway's port. Under systemd the gateway is a service of its own, and is only
looked for here.
"""

from __future__ import annotations

import logging
import threading

from qi_learn.daemon.children import (
    ENGINE_SECONDS,
    GATEWAY_SECONDS,
    engine_process,
    gateway_process,
)
from qi_learn.daemon.gateway_client import ask_state
from qi_learn.daemon.hand_over import is_handed_over
from qi_learn.daemon.held_port import HeldPort
from qi_learn.daemon.supervisor import SupervisedProcess
from qi_learn.deploy.model_server import uses_engine
from qi_learn.errors import DaemonError
from qi_learn.outside.listening import Listening, end_process, read_listening
from qi_learn.outside.port_holder import refuse_taken_port
from qi_learn.outside.process_end import EndWaiter
from qi_learn.paths import Paths
from qi_learn.settings import Settings
from qi_learn.settings_file import changed_in_file

logger = logging.getLogger(__name__)
LOOK_SECONDS = (1.0, 5.0)
"""Seconds between two looks at the children: while one has just begun or is down, and else. The
end of one is looked at at once.
"""
JOIN_SECONDS = 1.0
"""How long the thread that looks may take to end: no longer than that a child that hangs, which it
is just asking, keeps both from being ended. It starts nothing after that.
"""


class Servers:
    """The processes that answer clients."""

    def __init__(
        self, paths: Paths, settings: Settings, *, gateway: bool, service: bool = False
    ) -> None:
        """`gateway`: whether to bring one; `service`: whether somebody else does."""
        self._paths = paths
        self._settings = settings
        self._service = service
        self._engine = (
            engine_process(paths, settings, outlives=True) if uses_engine(settings) else None
        )
        self._bring = gateway and not service
        self._renews = is_handed_over()
        self._port = HeldPort(settings)
        self._gateway: SupervisedProcess | None = None
        self._closing = threading.Event()
        self._ends = EndWaiter()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Start both, or find them, and wait for neither."""
        upstream = self._settings.serve.ollama.rstrip("/")
        if self._renews and self._bring:
            self._end_both()
        if self._engine is not None:
            self._engine.find_or_start()
            if self._renews:
                self._engine.wait_ready(ENGINE_SECONDS)
            upstream = self._engine.planned_url
        if self._bring:
            self._gateway = gateway_process(self._paths, upstream, self._port)
            self._gateway.find_or_start(wanted=self._is_wanted)

    def _end_both(self) -> None:
        """End gateway and engine of the version before: the gateway first, which asks the other."""
        for file in (self._paths.gateway_ready, self._paths.engine_ready):
            if (there := read_listening(file)) is not None:
                end_process(there)

    def wait(self) -> str | None:
        """Wait until both accept; the engine's URL, if there is an engine. Raises DaemonError."""
        if self._gateway is not None:
            self._wait_for_gateway(self._gateway)
        url = self._engine.wait_ready(ENGINE_SECONDS) if self._engine is not None else None
        self._follow_engine()
        self._thread = threading.Thread(target=self._supervise, name="servers", daemon=True)
        self._thread.start()
        return url

    def _wait_for_gateway(self, gateway: SupervisedProcess) -> None:
        try:
            gateway.wait_ready(GATEWAY_SECONDS)
        except DaemonError:
            self._port.close()  # else it is we who have it
            refuse_taken_port(self._paths, self._settings)
            raise

    def _is_wanted(self, found: Listening) -> bool:
        """Whether a gateway that goes on from before has the settings as they are now."""
        state = ask_state(found.url, self._paths)
        settings = changed_in_file(self._paths.settings_file)
        return state is not None and state.get("settings") == settings

    @property
    def gateway_url(self) -> str | None:
        """The URL of the gateway; None if there is none."""
        if self._service:
            found = read_listening(self._paths.gateway_ready)
            # else its port, which systemd holds for it
            return found.url if found is not None and found.alive else self._settings.gateway.url
        return self._gateway.url if self._gateway is not None else None

    @property
    def down(self) -> tuple[tuple[str, str], ...]:
        """What should answer and does not: its name, and in words."""
        children = (("gateway", self._gateway), ("engine", self._engine))
        return tuple(
            (name, f"it is down and is started again; see {self._paths.logs / name}.log")
            for name, child in children
            if child is not None and child.url is None
        )

    @property
    def _children(self) -> list[SupervisedProcess]:
        return [child for child in (self._gateway, self._engine) if child is not None]

    def _supervise(self) -> None:
        while not self._rest():
            for child in self._children:
                if self._closing.is_set():
                    return
                try:
                    child.watch()
                except Exception:  # one that cannot be started now must not leave the other alone
                    logger.exception("a child could not be looked at; trying again")
            self._follow_engine()

    def _rest(self) -> bool:
        """Sleep until a child ends, or it is time to look; whether this is the end."""
        if self._closing.is_set():
            return True
        children = self._children
        settled = all(child.settled for child in children)
        # the number of one that is down may be another's by now
        pids = [child.pid for child in children if child.alive]
        self._ends.wait((pid for pid in pids if pid is not None), LOOK_SECONDS[settled])
        return self._closing.is_set()

    def _follow_engine(self) -> None:
        """Point the gateway to where the engine listens, should its port have been taken."""
        url = self._engine.url if self._engine is not None else None
        if url is not None and self._gateway is not None and not self._closing.is_set():
            self._gateway.redirect(url)

    def _end_thread(self) -> None:
        self._closing.set()
        self._ends.wake()
        if self._thread is not None:
            self._thread.join(JOIN_SECONDS)
        self._ends.close()

    def stop(self) -> None:
        """End both, whoever started them: the gateway first, which asks the engine."""
        self._end_thread()
        for child in (self._gateway, self._engine):
            if child is not None:
                child.stop()
        self._port.close()

    def hand_over(self) -> int | None:
        """Leave all of it to the version that takes over; the descriptor of the gateway's port.

        A gateway that is a service is ended here, and the engine after it: the system holds the
        port, and starts a gateway that waits for the next engine.
        """
        self._end_thread()
        if self._service:
            there = read_listening(self._paths.gateway_ready)
            if there is not None:
                end_process(there)
            if self._engine is not None:
                self._engine.stop()
        return self._port.detach()

    def leave(self) -> None:
        """End what was started here; what was found goes on."""
        self._end_thread()
        for child in (self._gateway, self._engine):
            if child is not None:
                child.leave()
        self._port.close()
