"""What the gateway says of itself: the truth over its own route, its last word in a file."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from qi_learn.outside.listening import birth, find
from qi_learn.paths import home_mark
from qi_learn.rundir.lost_turns import LEDGER_BYTES, Lost, LostTurns, read_lost
from tests.support.command_line import wait_until
from tests.support.daemon_process import free_port
from tests.support.fake_ollama import (
    FakeOllama,
    GatewayProcess,
    a_gateway,
    ask,
    gateway_environment,
    whole,
)
from tests.support.odd_homes import small_disk as small_disk

HI = {"model": "m", "messages": [{"role": "user", "content": "Say hi."}]}
DONE = b'{"done":true}'


def test_it_says_who_it_is_and_what_passed(fake: FakeOllama, own: GatewayProcess) -> None:
    fake.play(whole(DONE))
    ask(own.url, "POST", "/api/chat", HI)
    ask(own.url, "GET", "/api/version")
    said = own.status
    assert (said["pid"], said["birth"]) == (own.process.pid, birth(own.process.pid))
    assert (said["url"], said["upstream"], said["home"]) == (
        own.url,
        fake.url,
        home_mark(own.paths),
    )
    assert (said["requests"], said["recorded"], said["lost"]["count"]) == (1, 1, 0)
    assert "Say hi." not in json.dumps(said)
    found = find(own.paths.state.parent / "ready.json")
    assert found is not None
    assert (found.pid, found.url) == (own.process.pid, own.url)


@pytest.mark.parametrize(
    "headers", [{"Origin": "http://127.0.0.1:3000"}, {"Host": "evil.example"}], ids=str
)
def test_no_page_is_told(own: GatewayProcess, headers: dict[str, str]) -> None:
    answer = ask(own.url, "GET", "/qi/state", headers=headers)
    assert (" 403 " in answer.status, b"recording" in answer.body) == (True, False)


def test_the_configuration_counts_at_once(fake: FakeOllama, own: GatewayProcess) -> None:
    fake.play(whole(DONE))
    for text, recorded, reason in (
        ("[gateway]\nrecord = false\n", 0, "gateway.record is false"),
        ("[gateway]\nrecord = true\n", 1, None),
        ('[gateway]\nrecord = "yes"\n', 2, None),  # cannot be used: the old one holds
    ):
        own.paths.settings_file.write_text(text)
        assert ask(own.url, "POST", "/api/chat", HI).body == DONE
        said = own.status
        assert (said["recorded"], said["reason"]) == (recorded, reason)
    assert "write `record = true`" in said["settings_problem"]


def test_a_lost_turn_is_counted_on_a_full_disk_and_by_the_next_process(
    fake: FakeOllama, tmp_path: Path
) -> None:
    fake.play(whole(DONE))
    with a_gateway(fake.url, tmp_path / "home") as own:
        file = own.paths.gateway_status
        wait_until(file.exists)
        written = file.read_text()
        pid = own.process.pid
        limit = resource.prlimit(pid, resource.RLIMIT_FSIZE)
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (LEDGER_BYTES, limit[1]))
        for n in range(2):
            assert ask(own.url, "POST", "/api/chat", HI | {"n": "x" * 600 + str(n)}).body == DONE
        said = own.status
        assert (said["recording"], said["lost"]["count"]) == (False, 2)
        assert file.read_text() == written, "the file could not be written, so it is not the truth"
        os.kill(pid, signal.SIGKILL)
    lost = read_lost(own.paths.lost_turns)
    assert (lost.count, "File too large" in lost.reason) == (2, True)
    (tmp_path / "home" / "ready.json").unlink()
    with a_gateway(fake.url, tmp_path / "home") as again:
        assert again.status["lost"]["count"] == 2


def test_what_a_full_disk_cost_is_told_though_the_gateway_was_killed_each_time(
    fake: FakeOllama, small_disk: Path
) -> None:
    """Its room was taken before: not one of the turns goes uncounted."""
    fake.play(whole(DONE))
    home, filler, turns = small_disk / "home", small_disk / "filler", 0
    for count in (3, 2):
        (home / "ready.json").unlink(missing_ok=True)
        with a_gateway(fake.url, home) as own:
            fill(filler)
            for _ in range(count):
                turns += 1
                body = HI | {"n": f"{turns} " + "x" * 9000}  # the spool's last page has no room
                assert ask(own.url, "POST", "/api/chat", body).body == DONE
            os.kill(own.process.pid, signal.SIGKILL)
        filler.unlink()
        told = subprocess.run(
            [sys.executable, "-m", "qi_learn", "status", "--json"],
            env=gateway_environment(home, None),
            capture_output=True,
            text=True,
            check=False,
        )
        assert json.loads(told.stdout)["lost"]["count"] == turns


def fill(file: Path) -> None:
    """Take all the room that the disk has left."""
    with file.open("ab", buffering=0) as filler, suppress(OSError):
        while True:
            filler.write(b"x" * 4096)


def test_a_count_that_cannot_be_written_is_logged_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "lost.json").mkdir()
    lost = LostTurns(tmp_path / "lost.json")
    for _ in range(3):
        lost.add("full", 1.0)
    assert (lost.now.count, len(caplog.records)) == (3, 1)
    (tmp_path / "lost.json").rmdir()
    lost.add("full", 2.0)
    assert read_lost(tmp_path / "lost.json").count == 4


def test_what_was_lost_in_a_home_that_took_no_writes_is_counted_once_it_does(
    fake: FakeOllama, own: GatewayProcess
) -> None:
    """The heartbeat writes it down, though nothing more is lost; a directory in its place is all
    that keeps root from writing.
    """
    fake.play(whole(DONE))
    own.paths.lost_turns.unlink()
    own.paths.lost_turns.mkdir()
    spool = own.paths.spool
    spool.rename(spool.with_name("aside"))
    spool.write_text("")
    ask(own.url, "POST", "/api/chat", HI)
    assert own.status["lost"]["count"] == 1
    spool.unlink()
    spool.with_name("aside").rename(spool)
    own.paths.lost_turns.rmdir()
    wait_until(lambda: read_lost(own.paths.lost_turns).count == 1)


def test_a_reason_in_foreign_signs_fits_its_place(tmp_path: Path) -> None:
    file = tmp_path / "lost.json"
    LostTurns(file).add("\N{SNOWMAN}" * 1000, 7.0)
    assert file.stat().st_size == LEDGER_BYTES
    assert (read_lost(file).count, read_lost(file).last) == (1, 7.0)
    file.write_bytes(b"\x00\xff")
    assert read_lost(file) == Lost()


def test_systemd_holds_the_port_and_hears_that_it_lives(fake: FakeOllama, tmp_path: Path) -> None:
    fake.play(whole(DONE))
    port = free_port()
    env = gateway_environment(tmp_path / "home")
    passed = [f"-E{key}={env[key]}" for key in ("QI_LEARN_HOME", "PYTHONPATH")]
    command = [sys.executable, "-P", "-m", "qi_learn.gateway", "--upstream", fake.url]
    with (tmp_path / "log").open("wb") as log:
        try:
            holder = subprocess.Popen(
                ["systemd-socket-activate", "-l", f"127.0.0.1:{port}", *passed, *command],
                stdout=log,
                stderr=log,
                env=env,
            )
        except FileNotFoundError:
            pytest.skip("systemd-socket-activate is not installed: socket activation is not tested")
    try:
        wait_until(lambda: b"Listening on" in (tmp_path / "log").read_bytes())
        answer = ask(f"http://127.0.0.1:{port}", "POST", "/api/chat", HI)
        assert answer.body == DONE
        with (tmp_path / "log").open() as told:
            assert "cannot listen" not in told.read()
    finally:
        holder.terminate()
        holder.wait(20)


def test_the_file_beats(own: GatewayProcess) -> None:
    file = own.paths.gateway_status
    wait_until(file.exists)
    os.utime(file, (1.0, 1.0))
    wait_until(lambda: file.stat().st_mtime > time.time() - 60)
