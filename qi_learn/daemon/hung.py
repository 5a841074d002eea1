"""What hangs or is gone of the processes of this home, as other processes see it."""

from __future__ import annotations

from qi_learn.daemon import client
from qi_learn.daemon.gateway_client import ask_state
from qi_learn.errors import DaemonError, QiError, ServerUnreachable
from qi_learn.outside.disk_room import refuse_full_home
from qi_learn.outside.server_answers import server_answers
from qi_learn.outside.silence import Silence, hanging, silence_of
from qi_learn.paths import Paths

ASK_SECONDS = 2.0


def refuse_hung(paths: Paths) -> None:
    """Raise DaemonError if there is a daemon that does not answer."""
    if (state := client.hung(paths)) is not None:
        told = hanging("daemon", state.pid)
        raise DaemonError(f"{told.what}.", f"{told.todo}.")


def refuse_restart(paths: Paths, command: str = "daemon restart") -> None:
    """Raise StoreError or DiskFull if what runs could be stopped and not started again.

    `command`: what to type again once that is mended.
    """
    if not client.locked(paths) and not client.listening(paths):
        return
    try:
        refuse_full_home(paths)
    except QiError as error:
        error.what = f"Nothing was stopped, what runs goes on. {error.what}"
        error.hint = f"{error.hint} Then: `qi-learn {command}`."
        raise


def refuse_silent_server(paths: Paths, url: str, *, engine: bool) -> None:
    """Raise ServerUnreachable if the server behind the gateway does not answer."""
    if (told := silent_server(paths, url, engine=engine)) is not None:
        raise ServerUnreachable(f"{told.what}.", f"{told.todo}.")


def silent_server(paths: Paths, url: str, *, engine: bool) -> Silence | None:
    """What is said of the server behind the gateway; None if it answers."""
    if server_answers(url, timeout=ASK_SECONDS):
        return None
    return silence_of(url, engine=engine, pid=process_id(paths, "engine"))


def silent_gateway(paths: Paths) -> Silence | None:
    """What is said of a gateway that is there and does not answer; None if it does, or is not."""
    there = client.listening(paths).get("gateway")
    if there is None or ask_state(there.url, paths, timeout=ASK_SECONDS) is not None:
        return None
    return hanging("gateway", there.pid)


def process_id(paths: Paths, name: str) -> int:
    """The number of the `gateway` or the `engine`; 0 if it is not there."""
    there = client.listening(paths).get(name)
    return there.pid if there is not None else 0
