"""From the request that follows an answer to what is stored of the answer's edits."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from qi_learn.capture.wire import decode
from qi_learn.records import Suggestion
from qi_learn.spool import Spool
from qi_learn.store import feedback
from qi_learn.store.database import Store, open_store
from qi_learn.store.ingest import drain
from qi_learn.track.heard import words_for
from qi_learn.track.suggestions import suggestions_of


class Gateway:
    """Records exchanges as the gateway does, and takes them in as the daemon does."""

    def __init__(self, store: Store, spool: Path) -> None:
        self.store, self.spool = store, spool
        self._producer = Spool(spool, "gateway")
        self._ts = 1000.0

    def exchange(
        self,
        request: dict[str, Any],
        response: dict[str, Any],
        *,
        endpoint: str = "/v1/chat/completions",
        project: str | None = "/work/shop",
    ) -> str:
        self._ts += 60.0
        body = {
            "endpoint": endpoint,
            "request": json.dumps({"model": "m", **request}),
            "response": json.dumps(response),
            "content_type": "application/json",
            "model_asked": "m",
            "status": 200,
            "started": self._ts - 2,
            "ended": self._ts,
        }
        id = self._producer.append("turn", body, project=project, ts=self._ts)
        drain(
            self.store, self.spool, decode=decode, suggest=suggestions_of, say=words_for, now=2000.0
        )
        return id

    def suggestions(self, turn: str) -> tuple[Suggestion, ...]:
        return feedback.suggestions_of(self.store, turn)

    def said(self, turn: str) -> list[str | None]:
        return [suggestion.said for suggestion in self.suggestions(turn)]


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Gateway]:
    with open_store(tmp_path / "qi.db") as store:
        yield Gateway(store, tmp_path / "spool")


ASKED = {"role": "user", "content": "Name the tax."}


def edit(id: str, new: str) -> dict[str, Any]:
    arguments = {"filePath": "tax.py", "oldString": "RATE = 1", "newString": new}
    function = {"name": "edit", "arguments": json.dumps(arguments)}
    return {"id": id, "type": "function", "function": function}


def chat(*messages: dict[str, Any]) -> dict[str, Any]:
    return {"messages": [ASKED, *messages]}


def answer(message: dict[str, Any]) -> dict[str, Any]:
    return {"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}


BOTH = {"role": "assistant", "content": "", "tool_calls": [edit("c1", "VAT = 19"), edit("c2", "X")]}
RESULTS = (
    {"role": "tool", "tool_call_id": "c1", "content": "Edit applied successfully."},
    {
        "role": "tool",
        "tool_call_id": "c2",
        "content": "Error: The user rejected permission to use this specific tool call with the "
        "following feedback: no",
    },
)


def test_each_edit_has_what_the_next_request_says_of_its_call(gateway: Gateway) -> None:
    first = gateway.exchange(chat(), answer(BOTH))
    assert gateway.said(first) == [None, None]
    gateway.exchange(chat(BOTH, *RESULTS), answer({"role": "assistant", "content": "Done."}))
    assert gateway.said(first) == ["applied", "declined"]
    assert [s.fate for s in gateway.suggestions(first)] == [None, "rejected"]


def test_a_word_that_is_stored_is_not_changed_by_what_is_sent_again(gateway: Gateway) -> None:
    first = gateway.exchange(chat(), answer(BOTH))
    gateway.exchange(chat(BOTH, *RESULTS), answer({"role": "assistant", "content": "Done."}))
    other = tuple({**result, "content": "Edit applied successfully."} for result in RESULTS)
    gateway.exchange(chat(BOTH, *other), answer({"role": "assistant", "content": "Done."}))
    assert gateway.said(first) == ["applied", "declined"]


def test_a_failed_edit_is_not_rejected(gateway: Gateway) -> None:
    first = gateway.exchange(chat(), answer(BOTH))
    failed = tuple({**r, "content": "Error: oldString not found in content"} for r in RESULTS)
    gateway.exchange(chat(BOTH, *failed), answer({"role": "assistant", "content": "Again."}))
    assert gateway.said(first) == ["failed", "failed"]
    assert [s.fate for s in gateway.suggestions(first)] == [None, None]


def test_what_opencode_run_refuses_by_itself_is_not_rejected(gateway: Gateway) -> None:
    """Its words are those of a person's refusal; the plug-in and the log know which it was."""
    first = gateway.exchange(chat(), answer(BOTH))
    words = "Error: The user rejected permission to use this specific tool call."
    refused = tuple({**result, "content": words} for result in RESULTS)
    gateway.exchange(chat(BOTH, *refused), answer({"role": "assistant", "content": "Well."}))
    assert gateway.said(first) == [None, None]
    assert [s.fate for s in gateway.suggestions(first)] == [None, None]


def test_an_edit_in_the_text_is_told_by_the_answer_that_comes_back(gateway: Gateway) -> None:
    text = "tax.py\n```\n<<<<<<< SEARCH\nRATE = 1\n=======\nVAT = 19\n>>>>>>> REPLACE\n```\n"
    said = {"role": "assistant", "content": text}
    first = gateway.exchange(chat(), answer(said))
    committed = "I committed the changes with git hash 1a2b3c4 & commit msg: Name the tax"
    later = [
        {"role": "system", "content": "Files have changed since."},
        ASKED,
        said,
        {"role": "user", "content": committed},
        {"role": "assistant", "content": "Ok."},
        {"role": "user", "content": "Now the tests."},
    ]
    gateway.exchange({"messages": later}, answer({"role": "assistant", "content": "Yes."}))
    assert gateway.said(first) == ["applied"]


def test_calls_without_ids_are_told_by_what_they_call(gateway: Gateway) -> None:
    arguments = {"file_path": "tax.py", "content": "VAT = 19\n"}
    calls = [{"function": {"name": "write_file", "arguments": arguments}}]
    said = {"role": "assistant", "content": "", "tool_calls": calls}
    first = gateway.exchange(chat(), {"message": said, "done": True}, endpoint="/api/chat")
    result = {
        "role": "tool",
        "tool_name": "write_file",
        "content": "The user denied this operation.",
    }
    gateway.exchange(
        chat(said, result), {"message": {"content": "Well."}, "done": True}, endpoint="/api/chat"
    )
    assert gateway.said(first) == ["declined"]


def test_another_conversation_says_nothing_of_it(gateway: Gateway) -> None:
    text = "tax.py\n```\n<<<<<<< SEARCH\nRATE = 1\n=======\nVAT = 19\n>>>>>>> REPLACE\n```\n"
    first = gateway.exchange(chat(), answer({"role": "assistant", "content": text}))
    other = {"role": "assistant", "content": "Something else."}
    taken = {"role": "user", "content": "I updated the files."}
    gateway.exchange(chat(other, taken), answer({"role": "assistant", "content": "Yes."}))
    assert gateway.said(first) == [None]


def test_the_plan_of_asking_uses_indexes(gateway: Gateway) -> None:
    from qi_learn.store.client_words import _NAMED, _UNNAMED

    about = {"session": "s", "project": "p", "until": 1.0, "id": "T"}
    for sql, values in ((_NAMED, ('["c"]',)), (_UNNAMED, about)):
        plan = [row["detail"] for row in gateway.store.rows(f"EXPLAIN QUERY PLAN {sql}", values)]
        scans = [step for step in plan if step.startswith("SCAN") and "json_each" not in step]
        assert not any(name in step for step in scans for name in (" s", "turns")), plan
