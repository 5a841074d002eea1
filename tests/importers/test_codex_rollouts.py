"""Codex's rollouts, as they grow."""

from __future__ import annotations

from pathlib import Path

from qi_learn.importers.codex_rollouts import files, read
from qi_learn.records import ImportedTurn, NotUnderstood, ToolSign
from tests.support.foreign_logs import codex_line, codex_session, jsonl

AT = 1_790_000_000.0
NAME = "sessions/2026/09/21/rollout-2026-09-21T10-00-00-c-1.jsonl"


def test_a_session_gives_its_answers_and_what_was_declined(tmp_path: Path) -> None:
    file = jsonl(tmp_path / NAME, codex_session(tmp_path / "shop", AT))
    first, sign, last = list(read(file, "", ended=False))
    assert isinstance(first, ImportedTurn)
    assert (first.endpoint, first.model, first.local) == ("/v1/responses", "gpt-5-codex", False)
    assert [item["type"] for item in first.response["output"]] == ["reasoning", "custom_tool_call"]
    assert first.request["input"][0]["content"][0]["text"] == "Add a file a.py."
    assert first.response["usage"]["output_tokens"] == 8
    assert (first.session, first.directory) == ("c-1", str(tmp_path / "shop"))
    assert (first.started, first.ended) == (AT + 1, AT + 3)
    assert isinstance(sign, ToolSign)
    assert (sign.key, sign.call, sign.said) == (first.key, "call_1", "declined")
    assert isinstance(last, ImportedTurn)
    assert [item["type"] for item in last.request["input"]][-1] == "custom_tool_call_output"


def test_the_end_of_an_answer_as_newer_versions_tell_it(tmp_path: Path) -> None:
    usage = {"input_tokens": 5, "output_tokens": 6}
    record = codex_line(AT + 3, "token_usage_record", response_id="resp_1", usage=usage)
    lines = codex_session(tmp_path, AT)
    file = jsonl(tmp_path / NAME, [*lines[:7], record])
    (turn,) = read(file, "", ended=False)
    assert isinstance(turn, ImportedTurn)
    assert turn.response["usage"] == usage


def test_what_only_their_service_reads_is_left_out(tmp_path: Path) -> None:
    file = jsonl(tmp_path / NAME, codex_session(tmp_path, AT))
    assert "c2VjcmV0" not in repr(list(read(file, "", ended=True)))


def test_a_file_that_grows_gives_what_is_new(tmp_path: Path) -> None:
    lines = codex_session(tmp_path, AT, provider="ollama")
    file = jsonl(tmp_path / NAME, lines[:7])
    assert list(read(file, "", ended=False)) == []
    jsonl(file, lines[7:8])
    (first,) = read(file, "", ended=False)
    assert isinstance(first, ImportedTurn)
    assert first.local is True
    jsonl(file, lines[8:])
    sign, last = list(read(file, first.cursor, ended=False))
    assert isinstance(sign, ToolSign)
    assert sign.key == first.key
    assert list(read(file, last.cursor, ended=True)) == []


def test_lines_of_an_older_form_are_counted(tmp_path: Path) -> None:
    file = jsonl(tmp_path / NAME, [{"type": "message", "role": "user", "content": []}])
    (bad,) = read(file, "", ended=True)
    assert isinstance(bad, NotUnderstood)
    assert "older form" in bad.why


def test_a_directory_means_its_sessions_oldest_first(tmp_path: Path) -> None:
    new = jsonl(tmp_path / NAME, [])
    old = jsonl(tmp_path / "archived_sessions/rollout-2026-01-01T00-00-00-a.jsonl", [])
    jsonl(tmp_path / "history.jsonl", [])
    assert files(tmp_path) == [old, new]
