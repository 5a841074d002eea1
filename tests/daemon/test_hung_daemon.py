"""A daemon that hangs: every command says so, and `stop` and `restart` end it; nothing is lost."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from qi_learn.daemon import client, silent
from qi_learn.errors import EXIT_NO_DAEMON, EXIT_TRY_AGAIN
from qi_learn.paths import Paths
from qi_learn.spool import Spool
from qi_learn.store.database import open_store
from qi_learn.store.turns import save_turn
from qi_learn.workspace.registry import add_project
from tests.support.command_line import OFFLINE, Terminal, wait_until
from tests.support.hung_daemon import hung
from tests.support.recorded_home import a_turn
from tests.support.redacted import as_redacted


@pytest.mark.parametrize(
    ("kinds", "end"),
    [
        ((), "ended"),
        (("deaf",), "killed"),
        (("answers",), "ended"),
        (("answers", "deaf"), "killed"),
    ],
)
def test_one_that_hangs_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kinds: tuple[str, ...], end: str
) -> None:
    """Without a door, or with one that answers before a loop that has not come round for long."""
    monkeypatch.setattr(silent, "FORCE_SECONDS", 0.3)
    paths = Paths.under(tmp_path / "home").ensure()
    told: list[str] = []
    with hung(paths, *kinds) as process:
        stopped = client.stop(paths, told.append)
        assert (stopped.daemon, stopped.forced) == (True, end)
        process.wait(60)
    assert [f"(pid {process.pid}) hangs" in words for words in told] == [True]
    assert not client.locked(paths)


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    made = Terminal(tmp_path, OFFLINE)
    assert made.process("daemon", "start").code == 0
    yield made
    made.process("daemon", "stop")


def tell(terminal: Terminal) -> str:
    """Have an event accepted; its id."""
    event = json.dumps({"kind": "hook", "source": "an-editor", "body": {"saved": "a.py"}})
    said = terminal.process("log", "--event", "-", "--json", given=event)
    return str(said.json["id"])


def taken_in(terminal: Terminal) -> set[str]:
    with open_store(terminal.paths.database, readonly=True) as store:
        return {str(row["id"]) for row in store.rows("SELECT id FROM events")}


def test_a_restart_ends_one_that_is_held_and_nothing_is_lost(terminal: Terminal) -> None:
    before = client.running(terminal.paths)
    assert before is not None
    accepted = {tell(terminal)}
    os.kill(before.pid, signal.SIGSTOP)
    accepted.add(tell(terminal))
    assert "does not answer: `qi-learn daemon restart`" in terminal.process("status").out
    start = terminal.process("daemon", "start")
    assert (start.code, f"(pid {before.pid}) and does not answer" in start.err) == (
        EXIT_NO_DAEMON,
        True,
    )
    said = terminal.process("daemon", "restart")
    assert said.code == 0, said.err
    assert f"The daemon (pid {before.pid}) hangs: it is told to end" in said.out
    assert "nothing that was recorded is lost" in said.out
    after = client.running(terminal.paths)
    assert after is not None
    assert after.pid != before.pid
    wait_until(lambda: accepted <= taken_in(terminal))


def test_what_waits_for_one_that_hangs_is_told(tmp_path: Path) -> None:
    """`log` counts it, `last` is not forgotten nor explained without a word."""
    terminal = Terminal(tmp_path)
    with open_store(terminal.paths.ensure().database) as store:
        save_turn(store, as_redacted(a_turn("01M8GSZE0V00X38Y19461HZM3N", at=100.0)))
    spool = Spool(terminal.paths.spool, "gateway")
    spool.append("turn", {"request": "{}"})
    spool.close()
    with hung(terminal.paths):
        listed = terminal.qi("log").out.splitlines()
        assert listed[-1] == (
            "1 answer waits and is listed once the daemon is well again: it hangs: "
            "`qi-learn daemon restart`."
        )
        forget = terminal.qi("forget", "last")
        assert (forget.code, "1 answer waits and is newer" in forget.err) == (EXIT_TRY_AGAIN, True)
        assert "`qi-learn daemon restart`" in forget.err
        named = terminal.qi("forget", "01M8GSZE")
        assert (named.code, "does not answer: it hangs" in named.err) == (EXIT_NO_DAEMON, True)
        assert "1 answer waits and is newer" in terminal.qi("explain", "last").out
        rated = terminal.qi("rate", "4")
        assert "It counts once the daemon is well again: `qi-learn daemon restart`." in rated.out


def test_a_cycle_is_not_asked_of_one_that_hangs(tmp_path: Path) -> None:
    terminal = Terminal(tmp_path, OFFLINE)
    began = time.monotonic()
    with hung(terminal.paths.ensure(), "held") as process:
        said = terminal.qi("train", "--now")
    assert (said.code, f"(pid {process.pid}) and does not answer: it hangs" in said.err) == (
        EXIT_NO_DAEMON,
        True,
    )
    assert time.monotonic() - began < 50, "a cycle is waited for longer"


def test_the_doctor_says_that_nothing_is_watched(tmp_path: Path) -> None:
    terminal = Terminal(tmp_path, OFFLINE)
    add_project(terminal.paths.ensure(), tmp_path)
    off = "1 project registered and not watched: "
    assert f"{off}the daemon is not running." in terminal.qi("doctor").out
    with hung(terminal.paths):
        assert f"{off}the daemon does not answer." in terminal.qi("doctor").out
