"""What passes and is not recorded, because a person or the system says so: told by its reason, and
never counted as lost.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from qi_learn.capture.wire import decode
from qi_learn.rundir.recording_pause import begin_pause, end_pause
from tests.support.command_line import wait_until
from tests.support.fake_ollama import (
    DIE,
    ROOT,
    FakeOllama,
    GatewayProcess,
    a_gateway,
    ask,
    connect,
    head,
    read_answer,
    request_bytes,
    whole,
)

SAID = {"model": "m", "messages": [{"role": "user", "content": "Where does it hurt?"}]}
COUNTS = b'"prompt_eval_count":7,"eval_count":3,"done_reason":"stop"'
ANSWER = whole(
    b'{"model":"m","message":{"role":"assistant","content":"In \\"eval_count\\":99"},'
    + COUNTS
    + b',"done":true}'
)
CLIENT = """
import sys; sys.path.insert(0, {root!r})
from tests.support.command_line import wait_until
from tests.support.fake_ollama import ask
ask({url!r}, "POST", "/api/chat", {said!r}, {headers!r})
"""
linux = pytest.mark.skipif(sys.platform != "linux", reason="/proc tells the client")


@pytest.fixture
def strict(
    fake: FakeOllama, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[GatewayProcess]:
    """A gateway that records as it does by default; its one project is `work`."""
    monkeypatch.delenv("QI_LEARN__CAPTURE__UNREGISTERED", raising=False)
    work = tmp_path / "work"
    (work / "src").mkdir(parents=True)
    # long enough to be seen, as every client of a model is
    fake.play([head("HTTP/1.1 200 OK", ("Content-Length", "13")), 0.5, b'{"done":true}'])
    with a_gateway(fake.url, tmp_path / "home") as gateway:
        gateway.paths.projects.write_text(json.dumps([str(work)]))
        yield gateway


def ask_from(
    gateway: GatewayProcess,
    directory: Path,
    headers: Mapping[str, str] | None = None,
) -> None:
    code = CLIENT.format(root=str(ROOT), url=gateway.url, said=SAID, headers=dict(headers or {}))
    subprocess.run(
        [sys.executable, "-c", code],
        cwd=directory,
        check=True,
        timeout=200,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
    )


def socket_of(user: int) -> socket.socket:
    """A socket that the system takes for another user's: the one that makes it owns it."""
    own = os.geteuid()
    os.seteuid(user)
    try:
        return socket.socket()
    finally:
        os.seteuid(own)


def counts(gateway: GatewayProcess) -> dict[str, int]:
    status = gateway.status
    assert status["lost"]["count"] == 0
    return {**status["not_recorded"], "recorded": status["recorded"]}


def test_a_request_that_asks_for_it_passes_and_is_counted(
    fake: FakeOllama, own: GatewayProcess
) -> None:
    fake.play(ANSWER)
    said = ask(own.url, "POST", "/api/chat", SAID, {"x-qi-learn-record": "0"})
    assert b"In " in said.body
    assert "x-qi-learn-record" not in dict(fake.received[-1].headers)
    ask(own.url, "POST", "/api/chat", SAID)
    assert len(own.turns(1)) == 1
    assert counts(own) == {"asked": 1, "recorded": 1}


@pytest.mark.parametrize(
    "value", ["0", "00", " 0 ", "false", "False", "no", "off", "", "never", "-1", "\xff", "1, 0"]
)
def test_all_but_a_clear_yes_leaves_a_request_out(
    fake: FakeOllama, gateway: GatewayProcess, value: str
) -> None:
    fake.play(ANSWER)
    before = counts(gateway)
    ask(gateway.url, "POST", "/api/chat", SAID, {"x-qi-learn-record": value})
    after = counts(gateway)
    assert after["recorded"] == before["recorded"]
    assert after["asked"] == before.get("asked", 0) + 1


@pytest.mark.parametrize("value", ["1", "true", "Yes", "ON", " 1 "])
def test_a_request_that_asks_to_be_recorded_is(
    fake: FakeOllama, gateway: GatewayProcess, value: str
) -> None:
    fake.play(ANSWER)
    before = counts(gateway)["recorded"]
    ask(gateway.url, "POST", "/api/chat", SAID, {"x-qi-learn-record": value})
    assert counts(gateway)["recorded"] == before + 1


def test_one_no_among_several_is_one(fake: FakeOllama, own: GatewayProcess) -> None:
    fake.play(ANSWER)
    sent = request_bytes(
        "127.0.0.1", "POST", "/api/chat", json.dumps(SAID).encode(), {"x-qi-learn-record": "1"}
    )
    with connect(own.url) as link:
        link.sendall(sent.replace(b"\r\n\r\n", b"\r\nX-Qi-Learn-Record: 0\r\n\r\n", 1))
        assert b"In " in read_answer(link, "POST").body
    assert counts(own) == {"asked": 1, "recorded": 0}


def test_a_pause_counts_at_once_survives_the_gateway_and_ends_by_itself(
    fake: FakeOllama, tmp_path: Path
) -> None:
    fake.play(ANSWER)
    with a_gateway(fake.url, tmp_path / "home") as gateway:
        begin_pause(gateway.paths.pause, time.time(), None)
        assert b"In " in ask(gateway.url, "POST", "/api/chat", SAID).body
        assert (counts(gateway), gateway.status["recording"]) == (
            {"paused": 1, "recorded": 0},
            False,
        )
    (tmp_path / "home" / "ready.json").unlink()
    with a_gateway(fake.url, tmp_path / "home") as gateway:
        assert gateway.status["reason"] == "paused", "before the first request"
        ask(gateway.url, "POST", "/api/chat", SAID)
        assert counts(gateway) == {"paused": 1, "recorded": 0}
        end_pause(gateway.paths.pause, time.time())
        ask(gateway.url, "POST", "/api/chat", SAID)
        assert counts(gateway) == {"paused": 1, "recorded": 1}
        until = begin_pause(gateway.paths.pause, time.time(), 2).until
        time.sleep(max(0.0, until - time.time()) + 0.1)
        ask(gateway.url, "POST", "/api/chat", SAID)
        assert counts(gateway) == {"paused": 1, "recorded": 2}
        gateway.paths.pause.write_text("{")
        ask(gateway.url, "POST", "/api/chat", SAID)
        assert counts(gateway) == {"paused": 2, "recorded": 2}, "unreadable: against nobody's will"
        begin_pause(gateway.paths.pause, time.time() + 3600, None)
        ask(gateway.url, "POST", "/api/chat", SAID)
        assert counts(gateway) == {"paused": 3, "recorded": 2}, "the clock was set back"


def test_an_answer_under_way_when_the_pause_begins_is_not_recorded(
    fake: FakeOllama, own: GatewayProcess
) -> None:
    go_on = threading.Event()
    fake.play([head("HTTP/1.1 200 OK", ("Content-Length", "13")), b'{"don', go_on, b'e":true}'])
    client = threading.Thread(target=ask, args=(own.url, "POST", "/api/chat", SAID))
    client.start()
    wait_until(lambda: bool(fake.received))
    begin_pause(own.paths.pause, time.time(), None)
    go_on.set()
    client.join(60)
    assert counts(own) == {"paused": 1, "recorded": 0}


def test_an_answer_in_which_a_pause_begins_and_ends_is_not_recorded(
    fake: FakeOllama, own: GatewayProcess
) -> None:
    go_on = threading.Event()
    fake.play([head("HTTP/1.1 200 OK", ("Content-Length", "13")), b'{"don', go_on, b'e":true}'])
    begin_pause(own.paths.pause, time.time(), None)
    end_pause(own.paths.pause, time.time())
    client = threading.Thread(target=ask, args=(own.url, "POST", "/api/chat", SAID))
    client.start()
    wait_until(lambda: bool(fake.received))
    begin_pause(own.paths.pause, time.time(), None)
    end_pause(own.paths.pause, time.time())
    go_on.set()
    client.join(60)
    assert counts(own) == {"paused": 1, "recorded": 0}
    ask(own.url, "POST", "/api/chat", SAID)
    assert counts(own) == {"paused": 1, "recorded": 1}, "one that began after it is recorded"


@pytest.mark.parametrize("begins_in_it", [True, False])
def test_a_request_whose_body_came_in_part_in_a_pause_is_not_recorded(
    fake: FakeOllama, own: GatewayProcess, begins_in_it: bool
) -> None:
    fake.play(ANSWER)
    sent = request_bytes("127.0.0.1", "POST", "/api/chat", json.dumps(SAID).encode(), {})
    if begins_in_it:
        begin_pause(own.paths.pause, time.time(), None)
    with connect(own.url) as link:
        link.sendall(sent[:-20])
        time.sleep(0.5)  # its head is read
        if not begins_in_it:
            begin_pause(own.paths.pause, time.time(), None)
        end_pause(own.paths.pause, time.time())
        time.sleep(0.1)
        link.sendall(sent[-20:])
        assert b"In " in read_answer(link, "POST").body
    assert counts(own) == {"paused": 1, "recorded": 0}
    ask(own.url, "POST", "/api/chat", SAID)
    (turn,) = own.turns(1)
    assert turn.body["ttfb_ms"] < 400, "from the whole request"


def test_metadata_has_counts_and_no_text_and_counts_at_once(
    fake: FakeOllama, own: GatewayProcess
) -> None:
    fake.play(ANSWER)
    own.paths.settings_file.write_text('[gateway]\nrecord = "metadata"\n')
    ask(own.url, "POST", "/api/chat", SAID, {"x-qi-learn-project": "/work/shop"})
    (event,) = own.turns(1)
    turn = decode(event)
    assert (turn.messages, turn.answer, turn.project) == ((), "", "/work/shop")
    assert (turn.model_asked, turn.status, turn.done_reason) == ("m", 200, "stop")
    assert (turn.prompt_tokens, turn.answer_tokens) == (7, 3)
    assert "hurt" not in json.dumps(event.body)
    assert own.status["metadata_only"] is True
    own.paths.settings_file.write_text("[gateway]\nrecord = true\n")
    ask(own.url, "POST", "/api/chat", SAID)
    assert decode(own.turns(1)[0]).answer.startswith("In ")


def test_metadata_says_that_an_answer_broke_off(fake: FakeOllama, own: GatewayProcess) -> None:
    own.paths.settings_file.write_text('[gateway]\nrecord = "metadata"\n')
    whole_length = ("Content-Length", "13")
    for rest, complete in (([b'{"done":true}'], True), ([b'{"don', 0.1, DIE], False)):
        fake.play([head("HTTP/1.1 200 OK", whole_length), *rest])
        ask(own.url, "POST", "/api/chat", SAID)
        assert decode(own.turns(1)[0]).complete is complete


@linux
def test_only_what_comes_from_a_registered_project_is_recorded(
    strict: GatewayProcess, tmp_path: Path
) -> None:
    private = tmp_path / "private"
    private.mkdir()
    ask_from(strict, tmp_path / "work" / "src")
    ask_from(strict, private)
    assert [turn.project for turn in strict.turns(1)] == [str(tmp_path / "work")]
    assert counts(strict) == {"unregistered": 1, "recorded": 1}
    strict.paths.settings_file.write_text("[capture]\nunregistered = true\n")
    ask_from(strict, private)
    assert [turn.project for turn in strict.turns(1)] == [str(private)]


@linux
@pytest.mark.parametrize("damaged", ['{"x": [', "[" * 100_000, '{"a": 1}', None])
def test_while_the_list_of_projects_cannot_be_read_only_what_is_surely_allowed_is_recorded(
    strict: GatewayProcess, tmp_path: Path, damaged: str | None
) -> None:
    projects = strict.paths.projects
    whole_list = projects.read_text()
    projects.unlink()
    if damaged is None:
        projects.mkdir()
    else:
        projects.write_text(damaged)
    ask_from(strict, tmp_path / "work")
    ask_from(strict, Path("/"), {"x-qi-learn-project": str(tmp_path / "private")})
    assert counts(strict) == {"unknown_projects": 2, "recorded": 0}
    ask_from(strict, Path("/"))
    strict.paths.settings_file.write_text("[capture]\nunregistered = true\n")
    ask_from(strict, tmp_path / "work")
    strict.paths.settings_file.unlink()
    projects.rmdir() if damaged is None else projects.unlink()
    projects.write_text(whole_list)
    ask_from(strict, tmp_path / "work")
    assert counts(strict) == {"unknown_projects": 2, "recorded": 3}
    assert [turn.project for turn in strict.turns(3)] == [None, None, str(tmp_path / "work")]


@linux
def test_a_directory_that_says_nothing_is_recorded_without_a_project(
    strict: GatewayProcess,
) -> None:
    for place in (Path("/"), Path.home(), Path("/usr")):
        ask_from(strict, place)
    assert [turn.project for turn in strict.turns(3)] == [None] * 3


@linux
def test_another_working_tree_of_a_registered_repository_is_its_project(
    strict: GatewayProcess, tmp_path: Path
) -> None:
    work, linked = tmp_path / "work", tmp_path / "feature"
    for words in (
        ["init", "-q"],
        ["-c", "user.name=x", "-c", "user.email=x@x", "commit", "-qm", "x", "--allow-empty"],
        ["worktree", "add", "-q", str(linked)],
    ):
        subprocess.run(["git", *words], cwd=work, check=True)
    ask_from(strict, linked)
    assert [turn.project for turn in strict.turns(1)] == [str(work)]


@linux
def test_a_named_directory_counts_by_its_longest_registered_beginning(
    strict: GatewayProcess, tmp_path: Path
) -> None:
    inner = tmp_path / "work" / "inner"
    inner.mkdir()
    strict.paths.projects.write_text(json.dumps([str(tmp_path / "work"), str(inner)]))
    for named in (inner / "src", tmp_path / "elsewhere", tmp_path / "workshop"):
        ask_from(strict, Path("/"), {"x-qi-learn-project": str(named)})
    assert [turn.project for turn in strict.turns(1)] == [str(inner)]
    assert counts(strict) == {"unregistered": 2, "recorded": 1}


@linux
def test_a_name_that_is_no_path_says_nothing(strict: GatewayProcess, tmp_path: Path) -> None:
    for named in ("shop", "~no-such-user/work", "."):
        ask_from(strict, tmp_path / "work", {"x-qi-learn-project": named})
    assert [turn.project for turn in strict.turns(3)] == [None] * 3
    (tmp_path / "private").mkdir()
    ask_from(strict, tmp_path / "private", {"x-qi-learn-project": "shop"})
    assert counts(strict) == {"unregistered": 1, "recorded": 3}
    ask_from(strict, Path("/"), {"x-qi-learn-project": "~/no-project-of-mine"})
    assert counts(strict) == {"unregistered": 2, "recorded": 3}, "the home is a place"


@linux
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user")
def test_another_users_program_is_answered_and_not_recorded(
    strict: GatewayProcess, tmp_path: Path
) -> None:
    for named in ({}, {"x-qi-learn-project": str(tmp_path / "work")}):
        with socket_of(65534) as link:
            link.connect(("127.0.0.1", strict.port))
            body = json.dumps(SAID).encode()
            link.sendall(request_bytes("127.0.0.1", "POST", "/api/chat", body, named))
            assert read_answer(link, "POST").body == b'{"done":true}'
    ask_from(strict, tmp_path / "work")
    assert [turn.project for turn in strict.turns(1)] == [str(tmp_path / "work")]
    assert counts(strict) == {"other_user": 2, "recorded": 1}


@linux
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user")
@pytest.mark.parametrize("stays", [0, 0.002, 0.02, 0.15])
def test_another_users_program_that_hangs_up_is_not_recorded(
    strict: GatewayProcess, stays: float
) -> None:
    body = json.dumps(SAID).encode()
    for _ in range(10):
        with socket_of(65534) as link:
            link.connect(("127.0.0.1", strict.port))
            link.sendall(request_bytes("127.0.0.1", "POST", "/api/chat", body, {}))
            time.sleep(stays)
    wait_until(lambda: sum(counts(strict).values()) == 10)
    told = counts(strict)
    assert told["recorded"] == 0
    assert told.get("other_user", 0) + told.get("unknown_user", 0) == 10


@linux
def test_a_program_of_mine_that_hangs_up_is_recorded_once_it_was_looked_up(
    strict: GatewayProcess, tmp_path: Path
) -> None:
    code = f"""
import socket, time
with socket.create_connection(("127.0.0.1", {strict.port})) as link:
    link.sendall({request_bytes("127.0.0.1", "POST", "/api/chat", json.dumps(SAID).encode(), {})!r})
    time.sleep(0.3)
"""
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path / "work", check=True, timeout=200)
    (turn,) = strict.turns(1)
    assert turn.project == str(tmp_path / "work")
    assert turn.body["cancelled"]
