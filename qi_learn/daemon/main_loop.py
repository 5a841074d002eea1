"""The daemon's process: its loop from the first round until a signal or `qi-learn daemon stop`."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Iterator

from qi_learn import logs
from qi_learn.daemon.daemon import Daemon
from qi_learn.daemon.renewal import take_over
from qi_learn.errors import EXIT_DONE
from qi_learn.outside import systemd
from qi_learn.paths import Paths
from qi_learn.settings import Settings

logger = logging.getLogger(__name__)


def run_daemon(paths: Paths, settings: Settings, *, service: bool = False) -> None:
    """Run until a signal ends it or `qi-learn daemon stop`; log to stderr.

    A signal while it starts ends it as cleanly. `service`: the gateway is a service of its own.
    """
    logs.configure(paths.logs / "daemon.log")
    os.umask(0o077)
    for number in _endings():
        signal.signal(number, _exit)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _endings())  # one may wait since before `take_over`
    with Daemon(paths, settings, service=service) as daemon:
        for number in _endings():
            signal.signal(number, lambda *_: daemon.stop())
        systemd.notify(systemd.READY)
        logger.info(
            "ready: gateway %s, server %s", daemon.gateway_url or "none", daemon.model_server.url
        )
        while not daemon.stopping:
            daemon.tick()
            daemon.sleep()
        logger.info("stopping")
        if not daemon.renews:
            systemd.notify(systemd.LEAVING)
    if daemon.heirloom is not None:
        signal.pthread_sigmask(signal.SIG_BLOCK, _endings())
        if daemon.told_to_stop:
            raise SystemExit(EXIT_DONE)
        take_over(*daemon.heirloom, service=service)


def _endings() -> Iterator[signal.Signals]:
    """The signals that stop the daemon; a closed terminal does not where `nohup` says so."""
    yield from (signal.SIGTERM, signal.SIGINT)
    if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:
        yield signal.SIGHUP


def _exit(*_: object) -> None:
    """Leave while the daemon starts: what it has opened so far is closed."""
    raise SystemExit(EXIT_DONE)
