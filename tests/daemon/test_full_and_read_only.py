"""A daemon and a gateway at work in a home that becomes full, or read-only."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

import qi_learn
from qi_learn.daemon import client, renewal
from qi_learn.daemon.lock import take_lock
from qi_learn.daemon.renewal import Renewal
from qi_learn.errors import EXIT_DONE, EXIT_FAILED, EXIT_TRY_AGAIN, StoreError
from qi_learn.outside.installed_version import InstalledVersion
from qi_learn.paths import Paths
from qi_learn.rundir.lost_turns import unseen_lost
from qi_learn.spool import Spool
from tests.support.command_line import OFFLINE, Terminal, wait_until
from tests.support.fake_ollama import FakeOllama, whole
from tests.support.odd_homes import root_only
from tests.support.turn_events import turn_event

ANSWER = '{"message": {"role": "assistant", "content": "x = 1"}, "done": true}'


@contextmanager
def no_room(disk: Path) -> Iterator[None]:
    """Fill the disk, and make room again."""
    ballast = disk / "ballast"
    with suppress(OSError), ballast.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))
    try:
        yield
    finally:
        ballast.unlink()


@contextmanager
def read_only(home: Path) -> Iterator[None]:
    """Make the home read-only for those who open a file in it from now on."""
    if subprocess.run(["mount", "--bind", home, home], check=False).returncode:
        pytest.skip("nothing can be mounted here")
    try:
        subprocess.run(["mount", "-o", "remount,ro,bind", home], check=True)
        yield
    finally:
        subprocess.run(["umount", "-l", home], check=True)


def pids(terminal: Terminal) -> tuple[int, int]:
    """The daemon's number and the gateway's."""
    state = client.running(terminal.paths)
    assert state is not None
    return state.pid, client.listening(terminal.paths)["gateway"].pid


@contextmanager
def at_work(terminal: Terminal) -> Iterator[Terminal]:
    started = terminal.process("daemon", "start")
    assert started.code == 0, started.err
    try:
        yield terminal
    finally:
        terminal.process("daemon", "stop")


def test_a_restart_on_a_full_disk_takes_nothing_down(small_disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,size=16m", small_disk], check=True)
    with at_work(Terminal(small_disk, OFFLINE)) as terminal:
        before = pids(terminal)
        with no_room(small_disk):
            said = terminal.process("daemon", "restart")
            assert said.code == EXIT_TRY_AGAIN
            assert said.err.startswith("qi-learn: Nothing was stopped, what runs goes on. The")
            assert said.err.rstrip().endswith("Then: `qi-learn daemon restart`.")
            assert pids(terminal) == before
        said = terminal.process("daemon", "restart")
        assert (said.code, said.err) == (EXIT_DONE, "")
        assert set(pids(terminal)).isdisjoint(before)


def test_another_version_waits_for_room(
    small_disk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one that runs would close, and the other could not write its files."""
    monkeypatch.setattr(renewal, "LOOK_SECONDS", 0.0)
    paths = Paths.under(small_disk / "home").ensure()
    installed = InstalledVersion([str(_install(tmp_path))], qi_learn.__version__)
    time.sleep(0.02)
    _install(tmp_path)
    renewing = Renewal(paths, installed)
    subprocess.run(["mount", "-o", "remount,size=16m", small_disk], check=True)
    with no_room(small_disk):
        assert [renewing.look(time.time(), idle=True) for _ in range(3)] == [False] * 3
        assert (renewing.other, renewing.problem) == (qi_learn.__version__, "")
    assert renewing.look(time.time(), idle=True)


def _install(place: Path) -> Path:
    """As an installer does it, the version that runs; the directory in which it is."""
    about = place / "site" / f"qi_learn-{qi_learn.__version__}.dist-info"
    shutil.rmtree(about, ignore_errors=True)
    about.mkdir(parents=True)
    version = f"Name: qi-learn\nVersion: {qi_learn.__version__}\n"
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\n{version}")
    (about / "RECORD").write_text("qi_learn/__init__.py,,\n")
    return about.parent


def test_the_doctor_on_a_full_disk(small_disk: Path) -> None:
    """What could not be written is told as one sentence, with what makes it record again."""
    subprocess.run(["mount", "-o", "remount,size=16m", small_disk], check=True)
    with FakeOllama() as up, at_work(_before(up, small_disk)) as terminal:
        url = client.listening(terminal.paths)["gateway"].url
        with no_room(small_disk):
            wait_until(lambda: _lost(terminal, url))
            told = terminal.qi("doctor", "--json").json["checks"]
            (found,) = [each for each in told if "Recording is off" in each["what"]]
            assert found["what"].endswith("No space left on device.")
            assert ".." not in found["what"]
            assert found["todo"] == "Once that is mended it records again by itself."
        terminal.paths.settings_file.write_text("[gateway]\nrecord = false\n")
        wait_until(lambda: "gateway.record is false" in terminal.qi("status").out)
        assert "-> Set gateway.record = true." in terminal.qi("doctor").out


def _before(server: FakeOllama, place: Path) -> Terminal:
    """A home in front of that server, which has the base."""
    base = {"name": "base:latest", "model": "base:latest", "digest": "a" * 64, "size": 1}
    server.play(whole(json.dumps({"version": "0.19.0", "models": [base]}).encode()))
    anywhere = {"QI_LEARN__CAPTURE__UNREGISTERED": "true"}  # the tests ask from no project
    return Terminal(place, OFFLINE | anywhere | {"QI_LEARN__SERVE__OLLAMA": server.url})


def _lost(terminal: Terminal, url: str) -> bool:
    """Whether a request that finds no room is counted as lost."""
    body = json.dumps({"model": "m", "messages": [], "fill": "word " * 1000}).encode()
    urllib.request.urlopen(f"{url}/api/chat", body, timeout=60)
    return unseen_lost(terminal.paths).count > 0


def test_a_start_on_a_full_disk_says_how_to_go_on(small_disk: Path) -> None:
    terminal = Terminal(small_disk, OFFLINE)
    terminal.paths.ensure()
    with no_room(small_disk):
        said = terminal.process("daemon", "start")
        assert said.code == EXIT_TRY_AGAIN
        assert said.err.rstrip().endswith("Then: `qi-learn daemon start`.")


@root_only
def test_what_runs_in_a_home_that_became_read_only_is_found(tmp_path: Path) -> None:
    with at_work(Terminal(tmp_path, OFFLINE)) as terminal:
        before = pids(terminal)
        spool = Spool(terminal.paths.spool, "gateway")
        asked = {"model": "m", "messages": [{"role": "user", "content": "name it"}]}
        spool.append("turn", turn_event("/api/chat", asked, ANSWER).body)
        spool.close()
        wait_until(lambda: " 1 turn" in terminal.qi("status").out)
        with read_only(tmp_path / "home"):
            assert pids(terminal) == before
            assert f"daemon    running (pid {before[0]})" in terminal.qi("daemon", "status").out
            assert "not running" not in terminal.qi("status").out
            assert f"The daemon runs (pid {before[0]})" in terminal.qi("doctor").out
            said = terminal.process("daemon", "restart")
            assert (said.code, pids(terminal)) == (EXIT_FAILED, before)
            words = f"Nothing was stopped, what runs goes on. {terminal.paths.config} is on a"
            assert said.err.startswith(f"qi-learn: {words} read-only file system.")
            said = terminal.qi("forget", "last")
            where = f"qi-learn: {terminal.paths.config} is on a read-only file system.\n"
            assert (said.code, said.out, said.err[: len(where)]) == (EXIT_FAILED, "", where)
            assert "1 answer would be" in terminal.qi("forget", "last", "--dry-run").out


@root_only
def test_a_lock_that_cannot_be_taken_says_that_the_home_is_read_only(tmp_path: Path) -> None:
    terminal = Terminal(tmp_path)
    terminal.paths.ensure()
    with read_only(tmp_path / "home"), pytest.raises(StoreError, match="read-only file system"):
        take_lock(terminal.paths)
