"""What was said in a pause, or marked as not to be recorded, is not stored as history either."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace

import pytest

from qi_learn.capture.wire import decode
from qi_learn.records import Message
from qi_learn.report.explain import explain
from qi_learn.report.status import as_text, gather
from qi_learn.report.turn_table import turn_table
from qi_learn.rundir.recording_pause import begin_pause, end_pause
from qi_learn.said_marks import history_marks, new_marks
from qi_learn.settings import Settings
from qi_learn.spool import Spool
from qi_learn.store.database import Store, open_store
from qi_learn.store.ingest import drain
from qi_learn.store.turn_lines import list_turns
from qi_learn.track.suggestions import suggestions_of
from tests.support.command_line import wait_until
from tests.support.fake_ollama import FakeOllama, GatewayProcess, ask, head, whole

QUIET = {"x-qi-learn-record": "0"}
SECRET = "I have been ill since May, do not tell."
ANSWER = whole(
    b'{"model":"m","message":{"role":"assistant","content":"Then rest, by the KORN field."},'
    b'"done_reason":"stop","done":true}'
)
OPENED = [("user", "Where does it hurt, please tell?"), ("assistant", "In the knee, a little.")]
SAID = [("user", SECRET), ("assistant", "Then rest, by the KORN field.")]
AFTER = [("user", "And what does the model of the knee say?")]


@pytest.fixture
def store(own: GatewayProcess) -> Iterator[Store]:
    own.paths.ensure()
    with open_store(own.paths.database) as store:
        yield store


def chat(said: list[tuple[str, str]]) -> dict[str, object]:
    messages = [{"role": role, "content": content} for role, content in said]
    return {"model": "m", "stream": False, "messages": messages}


def in_parts(said: list[tuple[str, str]]) -> dict[str, object]:
    """The same as other clients write it, with a system prompt that is never the same."""
    system = {"role": "system", "content": f"Now it is {time.time()}."}
    messages = [
        {"role": role, "content": [{"type": "text", "text": f"{content}\n"}]}
        for role, content in said
    ]
    return {"model": "m", "stream": False, "messages": [system, *messages]}


def take_in(own: GatewayProcess, store: Store) -> list[str]:
    """Take the spool in; the last questions of the turns that are stored by then."""
    drain(store, own.paths.spool, decode=decode, suggest=suggestions_of, now=time.time())
    sql = "SELECT m.content FROM turns t JOIN messages m ON m.hash = t.tip ORDER BY t.started"
    return [row[0].strip() for row in store.rows(sql)]


def spool_of(own: GatewayProcess) -> str:
    return "".join(file.read_text() for file in own.paths.spool.glob("*.jsonl"))


@pytest.mark.parametrize("in_a_pause", [True, False])
@pytest.mark.parametrize(
    ("path", "form"),
    [
        ("/api/chat", chat),
        ("/v1/chat/completions", in_parts),
        ("/v1/messages", chat),
        ("/v1/messages", in_parts),
    ],
)
def test_a_turn_that_sends_it_again_is_not_stored(
    fake: FakeOllama,
    own: GatewayProcess,
    store: Store,
    path: str,
    form: Callable[[list[tuple[str, str]]], dict[str, object]],
    in_a_pause: bool,
) -> None:
    fake.play(ANSWER)
    first, private, later = OPENED[0][1], OPENED + SAID[:1], OPENED + SAID + AFTER
    ask(own.url, "POST", path, form(OPENED[:1]))
    if in_a_pause:
        begin_pause(own.paths.pause, time.time(), None)
    ask(own.url, "POST", path, form(private), {} if in_a_pause else QUIET)
    end_pause(own.paths.pause, time.time())
    assert SECRET not in spool_of(own)
    assert take_in(own, store) == [first]
    ask(own.url, "POST", path, form(later))
    assert take_in(own, store) == [first]
    ask(own.url, "POST", path, form(OPENED + AFTER))
    assert take_in(own, store) == [first, AFTER[0][1]], "what goes on from before it is stored"
    ask(own.url, "POST", path, form(SAID[:1]))
    assert take_in(own, store) == [first, AFTER[0][1], SECRET], "asked anew it is a new thing"


def test_a_turn_without_texts_is_told_as_one_that_had_none(
    fake: FakeOllama, own: GatewayProcess, store: Store
) -> None:
    fake.play(ANSWER)
    own.paths.settings_file.write_text('[gateway]\nrecord = "metadata"\n')
    ask(own.url, "POST", "/api/chat", chat(SAID))
    drain(store, own.paths.spool, decode=decode, suggest=suggestions_of, now=time.time())
    (line,) = list_turns(store, limit=2)
    assert (line.textless, line.texts_gone) == (True, None)
    assert turn_table([line], None)[1].endswith("(no texts recorded)")
    told = "\n".join(explain(own.paths, Settings(), line.id).lines)
    assert ("no texts of it were recorded" in told, "expired" in told) == (True, False)
    ask(own.url, "POST", "/api/chat", chat(AFTER))
    store.execute("UPDATE turns SET texts_gone = 1.0")
    (line,) = list_turns(store, limit=1)
    assert (line.textless, line.texts_gone) == (False, 1.0)
    assert "its texts expired on" in "\n".join(explain(own.paths, Settings(), line.id).lines)


def test_it_is_told_as_left_out_and_not_as_recorded(
    fake: FakeOllama, own: GatewayProcess, store: Store
) -> None:
    fake.play(ANSWER)
    ask(own.url, "POST", "/api/chat", chat(SAID[:1]), QUIET)
    for more in range(1, 4):
        ask(own.url, "POST", "/api/chat", chat(SAID + AFTER * more))
    ask(own.url, "POST", "/api/chat", chat(AFTER))
    take_in(own, store)
    gateway = replace(Settings().gateway, port=own.port)
    said = gather(own.paths, replace(Settings(), gateway=gateway))
    assert (said.requests, said.recorded) == (5, 1)
    assert said.not_recorded == {"asked": 1, "history": 3}
    assert "3 that sent again what was left out before" in as_text(said)


def test_a_question_whose_answer_came_in_a_pause_is_known_again(
    fake: FakeOllama, own: GatewayProcess, store: Store
) -> None:
    go_on = threading.Event()
    fake.play([head("HTTP/1.1 200 OK", ("Content-Length", "13")), b'{"don', go_on, b'e":true}'])
    client = threading.Thread(target=ask, args=(own.url, "POST", "/api/chat", chat(SAID[:1])))
    client.start()
    wait_until(lambda: bool(fake.received))
    begin_pause(own.paths.pause, time.time(), None)
    end_pause(own.paths.pause, time.time())
    go_on.set()
    client.join(60)
    fake.play(ANSWER)
    ask(own.url, "POST", "/api/chat", chat(SAID + AFTER))
    assert take_in(own, store) == []


def test_a_line_of_another_form_is_set_aside(own: GatewayProcess, store: Store) -> None:
    with closing(Spool(own.paths.spool, "test")) as spool:
        for body in ({}, {"marks": ["not hex"]}, {"marks": [7]}, {"marks": 7}):
            spool.append("left_out", body)
    done = drain(store, own.paths.spool, decode=decode, suggest=suggestions_of, now=time.time())
    assert (done.bad, store.rows("SELECT * FROM forgotten_messages")) == (4, [])


KEY = b"k" * 32


def test_only_what_is_new_is_marked_and_never_what_is_short() -> None:
    old, said = Message("user", "What was said before."), Message("user", SECRET)
    answer, result = Message("assistant", "An answer that is long."), Message("tool", "x = 1\n" * 9)
    assert new_marks(KEY, (old, answer, said)) == new_marks(KEY, (said,))
    assert len(new_marks(KEY, (said, answer, result))) == 1
    assert new_marks(KEY, (old, answer, Message("user", "yes"))) == []
    assert new_marks(KEY, (Message("prompt", "def area(radius):\n    "),)) == []
    assert new_marks(b"l" * 32, (said,)) != new_marks(KEY, (said,))


def test_what_is_asked_anew_is_no_history() -> None:
    said, answer = Message("user", SECRET), Message("assistant", "An answer that is long.")
    assert history_marks(KEY, (said,)) == []
    assert new_marks(KEY, (said,))[0] in history_marks(KEY, (said, answer))
    assert new_marks(KEY, (said,))[0] not in history_marks(KEY, (said, answer), 1)
