"""Several series of questions at a time: in order, really side by side, and all over when one fails
or a stop comes.
"""

from __future__ import annotations

import hashlib
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

import pytest

from qi_learn.errors import ServerError, Stopped
from qi_learn.outside.ollama import Ollama
from qi_learn.outside.ollama_parallel import Asking, Stop, side_by_side
from tests.support import fake_models_server as fake

QUESTION = {"endpoint": "/api/generate", "body": {"prompt": "?"}}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Ollama]:
    with fake.FakeModels(tmp_path / "store") as models, Ollama(models.url) as client:
        content = fake.gguf(say="Yes.")
        (tmp_path / "m.gguf").write_bytes(content)
        client.upload_blob(tmp_path / "m.gguf", digest := hashlib.sha256(content).hexdigest())
        client.create("m:1", files={"m.gguf": digest})
        yield client


@pytest.mark.parametrize("at_once", [1, 2, 5])
def test_answers_come_in_the_order_of_the_series(server: Ollama, at_once: int) -> None:
    def series(number: int, client: Ollama) -> str:
        time.sleep(0.02 * (3 - number))  # the last is done first
        return f"{number} {client.ask(QUESTION, 'm:1').text}"

    asked = [lambda client, n=n: series(n, client) for n in range(3)]
    assert side_by_side(server, asked, at_once=at_once) == ["0 Yes.", "1 Yes.", "2 Yes."]


@pytest.mark.parametrize("at_once", [1, 2])
def test_it_waits_before_each_question_and_limits_do_not_count_it(
    server: Ollama, at_once: int
) -> None:
    waited: list[float] = []

    def wait(stop: Stop) -> None:
        stop()
        waited.append(0.2)
        time.sleep(0.2)

    def series(client: Asking) -> float:
        began, real = client.clock(), time.monotonic()
        for _ in range(3):
            client.ask(QUESTION, "m:1")
        return (time.monotonic() - real) - (client.clock() - began)

    hidden = side_by_side(server, [series] * 3, at_once=at_once, wait=wait)
    assert len(waited) == 9
    assert all(seconds >= 0.55 for seconds in hidden)


def test_where_one_fails_the_others_wait_no_longer(server: Ollama) -> None:
    waiting = threading.Event()

    def for_ever(stop: Stop) -> None:
        while True:
            waiting.set()
            stop()
            time.sleep(0.02)

    def failing(client: Asking) -> None:
        waiting.wait(30)
        raise ServerError("it is gone", "")

    with pytest.raises(ServerError, match="it is gone"):
        side_by_side(
            server, [lambda client: client.ask(QUESTION, "m:1"), failing], at_once=2, wait=for_ever
        )


def test_two_are_asked_at_the_same_time(server: Ollama) -> None:
    meeting = threading.Barrier(2, timeout=30)  # passed only by two at a time

    def series(client: Ollama) -> str:
        meeting.wait()
        return client.ask(QUESTION, "m:1").text

    assert side_by_side(server, [series] * 4, at_once=2) == ["Yes."] * 4


def test_where_one_fails_the_others_end_with_the_question_they_are_at(server: Ollama) -> None:
    asked, begun = [], []

    def endless(client: Ollama) -> None:
        while True:
            asked.append(client.ask(QUESTION, "m:1"))

    def failing(client: Ollama) -> None:
        while not asked:
            time.sleep(0.01)
        client.ask(QUESTION, "none:1")

    with pytest.raises(ServerError, match="none"):
        side_by_side(server, [endless, failing, lambda client: begun.append(client)], at_once=2)
    count = len(asked)
    time.sleep(0.2)
    assert len(asked) == count > 0
    assert begun == []
    assert server.ask(QUESTION, "m:1").text == "Yes."  # the client that it was given goes on


def test_a_stop_ends_all_of_them(server: Ollama) -> None:
    def stop(number: int, frame: FrameType | None) -> None:
        raise Stopped("told to stop")

    asked = []

    def endless(client: Ollama) -> None:
        while True:
            asked.append(client.ask(QUESTION, "m:1"))

    def signalling(client: Ollama) -> None:
        client.ask(QUESTION, "m:1")
        os.kill(os.getpid(), signal.SIGUSR1)
        endless(client)

    before = signal.signal(signal.SIGUSR1, stop)
    try:
        with pytest.raises(Stopped, match="told to stop"):
            side_by_side(server, [endless, signalling], at_once=2)
    finally:
        signal.signal(signal.SIGUSR1, before)
    count = len(asked)
    time.sleep(0.2)
    assert len(asked) == count
