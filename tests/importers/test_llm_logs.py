"""Logs that `llm` itself writes, while it has them open."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import sqlite_utils

from qi_learn.importers.llm_logs import read
from qi_learn.records import ImportedItem, ImportedTurn
from tests.support.llm_log import llm_database, log_with_llm


@pytest.fixture
def log(tmp_path: Path) -> sqlite_utils.Database:
    return llm_database(tmp_path / "logs.db")


def found(tmp_path: Path, after: str = "") -> list[ImportedItem]:
    return list(read(tmp_path / "logs.db", after, ended=False))


def test_a_conversation_is_read_with_what_was_said_before(
    tmp_path: Path, log: sqlite_utils.Database
) -> None:
    conversation = log_with_llm(log, "one", "You said: one", system="Be brief.")
    (first,) = found(tmp_path)
    log_with_llm(log, "two", "And two.", conversation=conversation)
    (second,) = found(tmp_path, first.cursor)
    assert isinstance(first, ImportedTurn)
    assert isinstance(second, ImportedTurn)
    assert first.request["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "one"},
    ]
    assert first.response["message"] == {"role": "assistant", "content": "You said: one"}
    assert (first.response["prompt_eval_count"], first.response["eval_count"]) == (3, 2)
    said = [m["content"] for m in second.request["messages"] if m["role"] != "system"]
    assert said == ["one", "You said: one", "two"]
    assert (first.session, first.local, first.whole) == (second.session, None, True)
    assert first.session == conversation.id
    assert found(tmp_path, second.cursor) == []


def test_a_fragment_is_read_back_into_its_text(tmp_path: Path, log: sqlite_utils.Database) -> None:
    log_with_llm(log, "What is it?", "A novel.", fragments=["A long text of a novel."])
    (turn,) = found(tmp_path)
    assert isinstance(turn, ImportedTurn)
    assert "A long text of a novel." in turn.request["messages"][-1]["content"]


def test_an_answer_of_ollamas_is_known_to_be_from_this_machine(
    tmp_path: Path, log: sqlite_utils.Database
) -> None:
    raw: dict[str, Any] = {"model": "qwen3:8b", "load_duration": 1, "eval_duration": 2}
    log_with_llm(log, "one", "One.", raw=raw)
    log_with_llm(log, "two", "Two.", raw={**raw, "remote_host": "https://ollama.com"})
    assert [t.local for t in found(tmp_path) if isinstance(t, ImportedTurn)] == [True, False]


def test_calls_of_older_versions_are_read_too(tmp_path: Path, log: sqlite_utils.Database) -> None:
    log_with_llm(log, "new", "New.")
    for number, (asked, said) in enumerate((("a", "A"), ("b", "B")), 1):
        log.table("responses").insert(
            {
                "id": f"01old{number}",
                "model": "old-model",
                "prompt": asked,
                "system": "S" if number == 1 else None,
                "response": said,
                "conversation_id": None,
                "duration_ms": 1500,
                "datetime_utc": f"2026-09-21T10:00:0{number}+00:00",
            }
        )
    log.table("conversations").insert({"id": "c-old", "name": "n", "model": "old-model"})
    log.conn.execute("UPDATE responses SET conversation_id = 'c-old'")
    log.conn.commit()
    turns = [item for item in found(tmp_path) if isinstance(item, ImportedTurn)]
    assert [turn.key for turn in turns[:2]] == ["01old1", "01old2"]
    assert [m["content"] for m in turns[1].request["messages"]] == ["S", "a", "A", "b"]
    assert (turns[1].model, turns[1].ended - turns[1].started) == ("old-model", 1.5)
    assert found(tmp_path, turns[-1].cursor) == []
