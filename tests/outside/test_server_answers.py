"""Whether a server answers, whatever it says and however it ends its connections."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from qi_learn.outside.server_answers import server_answers
from tests.support.daemon_process import refusing_port
from tests.support.fake_ollama import DIE, HANG, FakeOllama, Step, head, whole

VERSION = b'{"version":"0.9.0"}'
OK = "HTTP/1.1 200 OK"
ANSWERS: dict[str, Sequence[Step]] = {
    "a connection that stays open": [*whole(VERSION), HANG],
    "one that is closed": [*whole(VERSION), DIE],
    "a refusal": [*whole(b"no", status="HTTP/1.1 404 Not Found"), HANG],
    "an error": [*whole(b"", status="HTTP/1.0 500 Internal Server Error"), DIE],
    "no length and no end": [head(OK) + VERSION, HANG],
    "a length that is none": [head(OK, ("Content-Length", "some")) + VERSION, HANG],
    "less than it says": [head(OK, ("Content-Length", "99")) + VERSION, HANG],
    "a head without an end": [f"{OK}\r\nA: b\r\n".encode(), HANG],
}
NONE: dict[str, Sequence[Step]] = {
    "silence": [HANG],
    "an end at once": [DIE],
    "something else": [b"220 mail.example.org ESMTP\r\n", HANG],
}


@pytest.mark.parametrize("how", ANSWERS)
def test_every_answer_is_one(how: str) -> None:
    with FakeOllama() as server:
        server.play(ANSWERS[how])
        assert server_answers(server.url, timeout=0.5)
        assert server.received[0].line == "GET /api/version HTTP/1.0"


@pytest.mark.parametrize("how", NONE)
def test_what_is_no_answer(how: str) -> None:
    with FakeOllama() as server:
        server.play(NONE[how])
        assert not server_answers(server.url, timeout=0.5)


def test_an_answer_is_read_as_far_as_its_head_says() -> None:
    """A server that keeps its connection is not waited for, as long as that may take."""
    with FakeOllama() as server:
        server.play([*whole(VERSION), HANG])
        assert server_answers(server.url, timeout=60.0)
        assert server.hung_up.wait(20.0)


def test_nothing_listens() -> None:
    with refusing_port() as port:
        assert not server_answers(f"http://127.0.0.1:{port}")
