"""Gateway and cycle give way to each other through two files.

A gateway that answers is seen, a cycle that has the only GPU is waited for, and a dead one holds no
request back.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from qi_learn.rundir.activity import AHEAD, held, holding, quiet_for
from tests.support.fake_ollama import (
    ROOT,
    FakeOllama,
    GatewayProcess,
    a_gateway,
    ask,
    connect,
    request_bytes,
    stream,
    whole,
)

BODY = {"model": "m:latest", "messages": []}
HOLDER = """
import sys, time
from pathlib import Path
from qi_learn.rundir.activity import holding

with holding(Path(sys.argv[1]), "Training."):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture(scope="module")
def fake() -> Iterator[FakeOllama]:
    with FakeOllama() as fake:
        yield fake


@pytest.fixture(scope="module")
def gateway(fake: FakeOllama, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    os.environ["QI_LEARN__IDLE__LONGEST_HOLD"] = "0.6"
    with a_gateway(fake.url, tmp_path_factory.mktemp("gateway")) as gateway:
        del os.environ["QI_LEARN__IDLE__LONGEST_HOLD"]
        yield gateway


@contextmanager
def another_holds(place: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds requests back."""
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(place)], stdout=subprocess.PIPE, text=True, env=env
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        try:
            yield process
        finally:
            process.kill()


def quiet(gateway: GatewayProcess) -> float:
    return quiet_for(gateway.paths.activity, time.time())


def until(holds: object, seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not holds():  # type: ignore[operator]
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_only_what_needs_a_model_is_activity(fake: FakeOllama, gateway: GatewayProcess) -> None:
    gateway.paths.activity.unlink(missing_ok=True)
    fake.play(whole(b"{}"))
    ask(gateway.url, "GET", "/api/tags")
    ask(gateway.url, "POST", "/api/show", BODY)
    assert quiet(gateway) == float("inf")
    for path in ("/api/chat", "/v1/messages", "/api/embed"):
        gateway.paths.activity.unlink(missing_ok=True)
        ask(gateway.url, "POST", path, BODY)
        until(lambda: quiet(gateway) < 5)


def test_a_long_answer_is_activity_until_it_ends(fake: FakeOllama, gateway: GatewayProcess) -> None:
    end = threading.Event()
    steps = stream([b'{"done":false}\n', b'{"done":true}\n'])
    fake.play([*steps[:2], end, *steps[2:]])
    asking = threading.Thread(target=ask, args=(gateway.url, "POST", "/api/chat", BODY))
    asking.start()
    fake.wait_asked()
    time.sleep(1.2)
    assert quiet(gateway) < 1
    end.set()
    asking.join()
    time.sleep(1.1)
    ended = gateway.paths.activity.stat().st_mtime
    time.sleep(0.6)
    assert (
        gateway.paths.activity.stat().st_mtime == ended
    )  # and nothing is touched while nothing happens


def test_a_client_that_leaves_is_no_activity_any_more(
    fake: FakeOllama, gateway: GatewayProcess
) -> None:
    fake.play(["hang"])
    with connect(gateway.url) as link:
        link.sendall(
            request_bytes(
                f"127.0.0.1:{gateway.port}", "POST", "/api/chat", json.dumps(BODY).encode(), {}
            )
        )
        fake.wait_asked()
    time.sleep(1.2)
    ended = gateway.paths.activity.stat().st_mtime
    time.sleep(0.6)
    assert gateway.paths.activity.stat().st_mtime == ended


@pytest.mark.parametrize(
    "path", ["/api/chat", "/v1/chat/completions", "/v1/messages", "/api/embed"]
)
def test_a_held_request_waits_and_is_then_told_why(
    fake: FakeOllama, gateway: GatewayProcess, path: str
) -> None:
    fake.play(whole(b'{"answer": 1}'))
    with another_holds(gateway.paths.hold):
        began = time.monotonic()
        refused = ask(gateway.url, "POST", path, BODY)
        assert 0.5 < time.monotonic() - began < 5
        assert ask(gateway.url, "GET", "/api/tags").json == {
            "answer": 1
        }  # what needs no model passes
    assert refused.status.split()[1] == "503"
    assert refused.header("Retry-After") == "30"
    error = refused.json["error"]
    message = error["message"] if isinstance(error, dict) else error
    assert message == "qi-learn: Training. This request waited 1 s."
    assert isinstance(error, dict) == path.startswith("/v1/")
    assert [r.line for r in fake.received] == [
        "GET /api/tags HTTP/1.1"
    ]  # the server never heard of it


def test_it_passes_whole_once_the_hold_is_over(fake: FakeOllama, gateway: GatewayProcess) -> None:
    fake.play(whole(b'{"answer": 1}'))
    with holding(gateway.paths.hold, "Training."):
        answers: list[bytes] = []
        asking = threading.Thread(
            target=lambda: answers.append(ask(gateway.url, "POST", "/api/chat", BODY).body)
        )
        asking.start()
        time.sleep(0.3)
        assert fake.received == []
        assert quiet(gateway) < 1  # a request that waits is seen
    asking.join()
    assert answers == [b'{"answer": 1}']
    assert json.loads(fake.received[0].body) == BODY
    assert not gateway.paths.hold.exists()


def test_a_holder_that_is_killed_holds_nobody(fake: FakeOllama, gateway: GatewayProcess) -> None:
    fake.play(whole(b"{}"))
    with another_holds(gateway.paths.hold) as holder:
        assert held(gateway.paths.hold) == "Training."
        holder.send_signal(signal.SIGKILL)
        holder.wait()
    assert gateway.paths.hold.exists()
    assert held(gateway.paths.hold) is None
    began = time.monotonic()
    assert ask(gateway.url, "POST", "/api/chat", BODY).status.split()[1] == "200"
    assert time.monotonic() - began < 1
    with holding(gateway.paths.hold, "Again."):  # and the next one finds its place free
        assert held(gateway.paths.hold) == "Again."


def test_a_damaged_hold_still_says_something(tmp_path: Path) -> None:
    with holding(tmp_path / "hold", "Training."):
        (tmp_path / "hold").write_bytes(b"\x00\xff")
        assert "has the GPU to itself" in str(held(tmp_path / "hold"))
    assert held(tmp_path / "hold") is None


def test_a_clock_that_was_set_back_makes_nobody_wait(tmp_path: Path) -> None:
    mark = tmp_path / "activity"
    mark.touch()
    os.utime(mark, (1000.0, 1000.0))
    assert quiet_for(mark, 1010.0) == 10.0
    assert quiet_for(mark, 1000.0 - AHEAD) == 0.0
    assert quiet_for(mark, 900.0) == float("inf")
    assert quiet_for(tmp_path / "none", 0.0) == float("inf")
