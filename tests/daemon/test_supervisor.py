"""Supervised children: small real modules that behave, die, dawdle or refuse to leave; and the real
gateway after its parent was killed.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from qi_learn import __version__
from qi_learn.daemon import answers, supervisor
from qi_learn.daemon.supervisor import SupervisedProcess, open_log
from qi_learn.errors import DaemonError
from qi_learn.logs import LIMIT
from qi_learn.outside.listening import Listening, birth
from tests.support.command_line import wait_until

KID = """
import argparse, json, os, signal, socket, sys, time
parser = argparse.ArgumentParser()
for name in ("--mode", "--ready", "--parent", "--port"):
    parser.add_argument(name)
told = parser.parse_args()
if told.mode == "mute":
    sys.exit("the library is not there")
if told.mode == "stubborn":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
if told.mode == "tidy":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
listener = socket.create_server(("127.0.0.1", int(told.port or 0)))
if told.mode != "dawdling":
    text = json.dumps({"url": f"http://127.0.0.1:{listener.getsockname()[1]}", "pid": os.getpid()})
    with open(told.ready + ".tmp", "w") as file:
        file.write(text)
    os.rename(told.ready + ".tmp", told.ready)
while told.mode == "asleep":
    time.sleep(3600)
while told.mode == "busy" and os.getppid() == int(told.parent):
    pass
while told.parent is None or os.getppid() == int(told.parent):
    time.sleep(0.05)
"""
SECONDS = 60.0
NEVER = (0.0, 3600.0)
"""The first restart at once, the second not while this test runs."""


@pytest.fixture
def made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., SupervisedProcess]]:
    (tmp_path / "kid.py").write_text(KID)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    children: list[SupervisedProcess] = []

    def make(
        mode: str,
        *more: str,
        backoff: tuple[float, ...] = (0.0,),
        outlives: bool = False,
        health: str = "",
        start: bool = True,
    ) -> SupervisedProcess:
        children.append(
            SupervisedProcess(
                "kid",
                ["--mode", mode, *more],
                ready=tmp_path / "kid.ready",
                log=tmp_path / "kid.log",
                backoff=backoff,
                outlives=outlives,
                health=health,
            )
        )
        if start:
            children[-1].start()
        return children[-1]

    yield make
    for child in children:
        child.stop(5)


def pid_of(place: Path) -> int:
    return int(json.loads((place / "kid.ready").read_text())["pid"])


def gone(pid: int) -> bool:
    with contextlib.suppress(OSError, IndexError):
        return (Path("/proc") / str(pid) / "stat").read_text().rsplit(") ", 1)[1].startswith("Z")
    return True


def killed(child: SupervisedProcess, pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: child.url is None)


def test_it_says_where_it_listens_and_stops(
    made: Callable[..., SupervisedProcess], tmp_path: Path
) -> None:
    child = made("good")
    url = child.wait_ready(SECONDS)
    assert url == child.url
    pid = pid_of(tmp_path)
    with socket.create_connection(("127.0.0.1", urlsplit(url).port or 0)):
        pass
    child.watch()
    assert (pid_of(tmp_path), child.starts) == (pid, 1)
    child.stop()
    assert gone(pid)
    assert child.url is None
    assert not (tmp_path / "kid.ready").exists()


def test_one_that_dies_is_started_again_on_the_port_it_had(
    made: Callable[..., SupervisedProcess], tmp_path: Path
) -> None:
    child = made("good", "--port", "0")
    url = child.wait_ready(SECONDS)
    first = pid_of(tmp_path)
    killed(child, first)
    child.watch()
    assert child.wait_ready(SECONDS) == url
    assert pid_of(tmp_path) != first
    assert child.starts == 2


def test_one_that_keeps_dying_has_to_wait_longer(
    made: Callable[..., SupervisedProcess], tmp_path: Path
) -> None:
    child = made("good", backoff=NEVER)
    for start in (1, 2):
        child.wait_ready(SECONDS)
        killed(child, pid_of(tmp_path))
        assert child.starts == start
        child.watch()
    child.watch()
    assert child.starts == 2
    assert child.url is None


def test_one_that_never_gets_ready_leaves_its_last_words(
    made: Callable[..., SupervisedProcess], tmp_path: Path
) -> None:
    child = made("mute")
    with pytest.raises(DaemonError, match="the library is not there") as caught:
        child.wait_ready(SECONDS)
    assert str(tmp_path / "kid.log") in caught.value.hint


def test_one_that_dawdles_is_not_waited_for(made: Callable[..., SupervisedProcess]) -> None:
    with pytest.raises(DaemonError, match="kid did not start"):
        made("dawdling").wait_ready(0.2)


def test_one_that_ignores_sigterm_is_killed(
    made: Callable[..., SupervisedProcess], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    child = made("stubborn")
    child.wait_ready(SECONDS)
    pid = pid_of(tmp_path)
    child.stop(0.2)
    assert gone(pid)
    assert "is killed" in caplog.text


def test_one_that_is_held_is_let_go_and_ends_by_itself(
    made: Callable[..., SupervisedProcess], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    child = made("tidy")
    child.wait_ready(SECONDS)
    pid = pid_of(tmp_path)
    os.kill(pid, signal.SIGSTOP)
    child.stop(5)
    assert gone(pid)
    assert "is killed" not in caplog.text


def test_one_that_hangs_gets_less_time_to_end(
    made: Callable[..., SupervisedProcess],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(supervisor, "LAST_ASK_SECONDS", 0.3)
    monkeypatch.setattr(supervisor, "HUNG_SECONDS", 1.0)
    child = made("stubborn", health="/qi/state")
    child.wait_ready(SECONDS)
    pid = pid_of(tmp_path)
    child.stop(3600)
    assert gone(pid)
    assert "did not stop within 1 s and is killed" in caplog.text


def test_one_that_is_just_asked_can_be_stopped(
    made: Callable[..., SupervisedProcess], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The question breaks off with the child, and starts nothing."""
    monkeypatch.setattr(supervisor, "LAST_ASK_SECONDS", 0.3)
    monkeypatch.setattr(answers, "ASK_SECONDS", 0.0)
    monkeypatch.setattr(answers, "ANSWER_SECONDS", 3600.0)
    child = made("good", health="/qi/state")
    child.wait_ready(SECONDS)
    pid = pid_of(tmp_path)
    child.watch()  # the first time nothing is asked
    asking = threading.Thread(target=child.watch, daemon=True)
    asking.start()
    asking.join(0.5)
    assert asking.is_alive()
    stopping = threading.Thread(target=child.stop, daemon=True)
    stopping.start()
    stopping.join(SECONDS)
    assert not stopping.is_alive()
    assert gone(pid)
    asking.join(SECONDS)
    assert not asking.is_alive()
    assert child.pid is None


def test_one_whose_port_was_taken_comes_back_on_another(
    made: Callable[..., SupervisedProcess], tmp_path: Path
) -> None:
    child = made("good", "--port", "0")
    url = child.wait_ready(SECONDS)
    killed(child, pid_of(tmp_path))
    with socket.create_server(("127.0.0.1", urlsplit(url).port or 0)):

        def back() -> bool:
            child.watch()
            return child.url is not None

        wait_until(back)
        assert child.url != url
    assert "Address already in use" in (tmp_path / "kid.log").read_text()


def test_one_that_lives_and_answers_nothing_is_started_again(
    made: Callable[..., SupervisedProcess], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kid's port accepts, and nothing ever answers there."""
    monkeypatch.setattr(answers, "ASK_SECONDS", 0.0)
    monkeypatch.setattr(answers, "SILENT_SECONDS", 0.1)
    monkeypatch.setattr(answers, "ANSWER_SECONDS", 0.5)
    child = made("good", health="/qi/state")
    child.wait_ready(SECONDS)
    first = pid_of(tmp_path)

    def another() -> bool:
        child.watch()
        return child.url is not None and pid_of(tmp_path) != first

    wait_until(another, 120)


@pytest.mark.parametrize(
    ("mode", "ends"), [("asleep", True), ("busy", False), ("held", False)], ids=lambda v: str(v)
)
def test_one_that_does_nothing_is_not_waited_for_as_long_as_one_that_works(
    made: Callable[..., SupervisedProcess],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    mode: str,
    ends: bool,
) -> None:
    """Nothing answers, and a minute has not passed."""
    monkeypatch.setattr(answers, "ASK_SECONDS", 0.0)
    monkeypatch.setattr(answers, "IDLE_SECONDS", 1.0)
    monkeypatch.setattr(answers, "SILENT_SECONDS", 3600.0)
    monkeypatch.setattr(answers, "ANSWER_SECONDS", 0.7)
    child = made("busy" if mode == "busy" else "asleep", health="/qi/state")
    child.wait_ready(SECONDS)
    first = pid_of(tmp_path)
    if mode == "held":
        os.kill(first, signal.SIGSTOP)

    def another() -> bool:
        child.watch()
        return child.url is not None and pid_of(tmp_path) != first

    if ends:
        wait_until(another, 120)
        return
    assert not any(another() for _ in range(8))
    os.kill(first, signal.SIGCONT)


def test_one_that_outlives_is_taken_over_only_if_it_is_what_is_wanted(
    made: Callable[..., SupervisedProcess], tmp_path: Path
) -> None:
    first = made("good", outlives=True, start=False)
    assert first.find_or_start() is False
    url = first.wait_ready(SECONDS)
    announced = Listening(
        url,
        pid_of(tmp_path),
        birth(pid_of(tmp_path)),
        __version__,
        words=("--mode", "good", "--ready", "x"),
    )
    (tmp_path / "kid.ready").write_text(json.dumps(asdict(announced)))
    second = made("good", outlives=True, start=False)
    assert second.find_or_start() is True
    assert (second.url, second.pid, second.found) == (url, announced.pid, True)
    second.leave()
    assert not gone(announced.pid), "what was found is not ended by leaving"
    third = made("good", outlives=True, start=False)
    assert third.find_or_start(wanted=lambda found: False) is False
    assert third.wait_ready(SECONDS)
    assert third.pid != announced.pid
    wait_until(lambda: gone(announced.pid))


@pytest.mark.parametrize(
    "said", ['{"url": "http://127.0.0.1:1", "pid": 1}', "[]", "3", '{"url": "x"}', "{", "\x00"]
)
def test_what_somebody_else_left_in_the_ready_file_is_not_believed(
    made: Callable[..., SupervisedProcess], tmp_path: Path, said: str
) -> None:
    child = made("dawdling")
    (tmp_path / "kid.ready").write_text(said)
    assert child.url is None


def test_a_file_in_the_working_directory_stands_in_for_no_library(
    made: Callable[..., SupervisedProcess], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = tmp_path / "project"
    project.mkdir()
    (project / "socket.py").write_text("raise SystemExit('I am a file of the project')")
    monkeypatch.chdir(project)
    assert made("good").wait_ready(SECONDS)


def test_a_full_log_is_put_aside(tmp_path: Path) -> None:
    log = tmp_path / "daemon.log"
    with open_log(log) as out:
        out.write(b"old\n")
        out.truncate(LIMIT + 1)
    with open_log(log) as out:
        out.write(b"new\n")
    assert log.read_bytes() == b"new\n"
    assert (tmp_path / "daemon.log.1").read_bytes().startswith(b"old\n")
    assert log.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("module", ["kid", "qi_learn.gateway"])
def test_when_its_parent_is_killed_it_leaves(tmp_path: Path, module: str) -> None:
    (tmp_path / "kid.py").write_text(KID)
    ready = tmp_path / "kid.ready"
    arguments = ["--upstream", "http://127.0.0.1:9"] if module != "kid" else ["--mode", "good"]
    script = (
        "import sys, time\nfrom pathlib import Path\n"
        "from qi_learn.daemon.supervisor import SupervisedProcess\n"
        f"child = SupervisedProcess({module!r}, {arguments!r}, ready=Path({str(ready)!r}), "
        f"log=Path({str(tmp_path / 'kid.log')!r}))\n"
        f"child.start(); child.wait_ready({SECONDS}); print('ready', flush=True); time.sleep(600)\n"
    )
    env = os.environ | {
        "PYTHONPATH": str(tmp_path),
        "QI_LEARN_HOME": str(tmp_path / "home"),
        "QI_LEARN__GATEWAY__PORT": "0",
    }
    with subprocess.Popen(
        [sys.executable, "-c", script], env=env, stdout=subprocess.PIPE
    ) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == b"ready\n"
        pid = pid_of(tmp_path)
        parent.kill()
    wait_until(lambda: gone(pid))
