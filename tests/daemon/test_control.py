"""The control socket with real clients: good ones, slow ones, broken ones; and every way in which
no daemon is behind it.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import stat
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from qi_learn.daemon.client import LIMIT, call
from qi_learn.daemon.control import Control
from qi_learn.errors import EXIT_NO_DAEMON, EXIT_TRY_AGAIN, Busy, DaemonError, QiError
from tests.support.command_line import wait_until


class Door:
    """A control socket that gives the answers of the test."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.held = threading.Event()
        self.control = Control(place, self._answer)

    def _answer(self, request: Mapping[str, Any]) -> Mapping[str, Any]:
        match request.get("do"):
            case "echo":
                return {"said": request["word"]}
            case "wait":
                self.held.wait(30)
                return {"waited": True}
            case "refuse":
                raise Busy("A cycle is under way.", "Watch it.")
            case "break":
                raise RuntimeError("a fault of ours")
        return {"error": "unknown"}


@pytest.fixture
def door(tmp_path: Path) -> Iterator[Door]:
    made = Door(tmp_path / "control.sock")
    yield made
    made.held.set()
    made.control.close()


def echoes(place: Path, word: str = "hello") -> bool:
    return call(place, {"do": "echo", "word": word}) == {"said": word}


@contextlib.contextmanager
def connected(place: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX) as link:
        link.settimeout(20)
        link.connect(str(place))
        yield link


def answer_to(place: Path, sent: bytes) -> dict[str, Any]:
    with connected(place) as link, link.makefile("rb") as lines:
        link.sendall(sent)
        link.shutdown(socket.SHUT_WR)
        return dict(json.loads(lines.readline()))


def test_an_answer_comes_back(door: Door) -> None:
    assert echoes(door.place, "zwölf \udc80 \n")
    assert stat.S_IMODE(door.place.stat().st_mode) == 0o600


def test_a_silent_client_and_a_slow_answer_keep_nobody_waiting(door: Door) -> None:
    slow: list[dict[str, Any]] = []
    with connected(door.place):
        waiting = threading.Thread(
            target=lambda: slow.append(call(door.place, {"do": "wait"}, timeout=30))
        )
        waiting.start()
        assert all(echoes(door.place, str(n)) for n in range(5))
        assert slow == []
        door.held.set()
        waiting.join()
    assert slow == [{"waited": True}]


def test_many_clients_at_once(door: Door) -> None:
    heard: list[bool] = []

    def hear(text: str) -> None:
        heard.append(echoes(door.place, text))

    clients = [threading.Thread(target=partial(hear, "x" * n * 1000)) for n in range(12)]
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    assert heard == [True] * 12


@pytest.mark.parametrize(
    ("sent", "words"),
    [
        (b"hello\n", "no line of JSON"),
        (b"[1, 2]\n", "not an object"),
        (b"\xff\xfe\n", "no line of JSON"),
        (b"[" * 100_000 + b"\n", "nested too deep"),
        (b'{"protocol": 1, "do": "echo"', "ended within the line"),
        (b'{"do": "echo", "word": "x"}\n', "another version"),
        (b'{"protocol": 2}\n', "another version"),
    ],
    ids=["text", "list", "bytes", "deep", "torn", "no protocol", "protocol 2"],
)
def test_a_malformed_line_is_answered_and_the_door_stays_open(
    door: Door, sent: bytes, words: str
) -> None:
    assert words in answer_to(door.place, sent)["error"]
    assert echoes(door.place)


def test_a_line_too_long_is_refused(door: Door) -> None:
    with connected(door.place) as link, link.makefile("rb") as lines:
        with contextlib.suppress(BrokenPipeError):
            link.sendall(b"x" * (LIMIT + 100_000))
        with contextlib.suppress(
            ConnectionResetError
        ):  # it need not read to the end before it leaves
            assert b"longer than 1 MiB" in lines.readline()
    assert echoes(door.place)
    with pytest.raises(QiError, match=r"longer than 1 MiB|did not answer"):
        call(door.place, {"do": "echo", "word": "x" * LIMIT})


def test_a_client_that_leaves_is_no_fault(door: Door) -> None:
    with connected(door.place) as link:
        link.sendall(b'{"protocol": 1, "do": "wait"}\n')
    door.held.set()
    with connected(door.place):
        pass
    assert echoes(door.place)


def test_a_refusal_keeps_its_words_and_its_exit_code(door: Door) -> None:
    with pytest.raises(QiError) as caught:
        call(door.place, {"do": "refuse"})
    assert (caught.value.what, caught.value.hint, caught.value.exit_code) == (
        "A cycle is under way.",
        "Watch it.",
        EXIT_TRY_AGAIN,
    )


def test_a_fault_behind_the_door_ends_one_connection_only(
    door: Door, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(DaemonError, match="did not answer"):
        call(door.place, {"do": "break"})
    assert "a fault of ours" in caplog.text
    assert echoes(door.place)


def test_a_stale_socket_file_is_taken_over(tmp_path: Path) -> None:
    place = tmp_path / "control.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(place))
    with pytest.raises(DaemonError, match="not running") as caught:
        call(place, {"do": "ping"})
    assert (caught.value.exit_code, "qi-learn daemon start" in caught.value.hint) == (
        EXIT_NO_DAEMON,
        True,
    )
    door = Door(place)
    assert echoes(place)
    door.control.close()
    assert not place.exists()


def test_a_path_longer_than_an_address(tmp_path: Path) -> None:
    place = tmp_path / ("d" * 120) / ("e" * 120) / "control.sock"
    with pytest.raises(DaemonError, match="not running"):
        call(place, {"do": "ping"})
    place.parent.mkdir(parents=True)
    with pytest.raises(DaemonError, match="not running"):
        call(place, {"do": "ping"})
    door = Door(place)
    assert echoes(place)
    door.control.close()
    with pytest.raises(DaemonError, match="not running"):
        call(place, {"do": "ping"})


def test_a_socket_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for place in (tmp_path / "absent" / "control.sock", tmp_path / "file" / "control.sock"):
        with pytest.raises(DaemonError, match="cannot be made") as caught:
            Control(place, dict)
        assert "QI_LEARN_HOME" in caught.value.hint


@pytest.mark.parametrize(
    "said", [b"", b"garbage\n", b"[]\n", b'{"half": '], ids=["nothing", "garbage", "list", "half"]
)
def test_what_answers_is_no_daemon_of_ours(tmp_path: Path, said: bytes) -> None:
    place = tmp_path / "control.sock"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(place))
        server.listen()

        def serve() -> None:
            link, _ = server.accept()
            with link:
                link.recv(65536)
                link.sendall(said)

        other = threading.Thread(target=serve)
        other.start()
        with pytest.raises(DaemonError, match="did not answer") as caught:
            call(place, {"do": "ping"})
        other.join()
    assert "qi-learn doctor" in caught.value.hint


def test_a_daemon_that_hangs_is_not_waited_for(tmp_path: Path) -> None:
    place = tmp_path / "control.sock"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(place))
        server.listen()
        with pytest.raises(DaemonError, match="did not answer: timed out"):
            call(place, {"do": "ping"}, timeout=0.2)


def test_nothing_is_left_open(tmp_path: Path) -> None:
    before = len(os.listdir("/dev/fd"))
    for _ in range(3):
        door = Door(tmp_path / "control.sock")
        assert echoes(door.place)
        door.control.close()
    # The thread of a connection closes it a moment after the client has its answer.
    wait_until(lambda: len(os.listdir("/dev/fd")) <= before, seconds=20)


def _slept(thread: threading.Thread) -> int:
    """How often a thread has gone to sleep since it began."""
    status = Path(f"/proc/self/task/{thread.native_id}/status").read_text()
    return int(status.partition("voluntary_ctxt_switches:")[2].split()[0])


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_nothing_wakes_while_nobody_asks(door: Door) -> None:
    """The door is open all day: what it costs then is paid on a battery."""
    assert echoes(door.place)
    (thread,) = [t for t in threading.enumerate() if t.name == "control"]
    time.sleep(0.5)
    before = _slept(thread)
    time.sleep(3.0)
    assert _slept(thread) - before <= 1
    assert echoes(door.place)
