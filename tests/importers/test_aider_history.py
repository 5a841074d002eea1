"""Aider's history in Markdown, and its log of requests."""

from __future__ import annotations

from pathlib import Path

from qi_learn.importers.aider_history import files, read
from qi_learn.records import ImportedTurn, NotUnderstood
from tests.support.foreign_logs import aider_session

AT = 1_790_000_000.0
BLOCK = "a.py\n```python\n<<<<<<< SEARCH\nx = 1\n=======\ny = 1\n>>>>>>> REPLACE\n```"


def turns(file: Path, after: str = "", *, ended: bool = True) -> list[ImportedTurn]:
    found = list(read(file, after, ended=ended))
    assert all(isinstance(item, ImportedTurn) for item in found), found
    return [item for item in found if isinstance(item, ImportedTurn)]


def test_a_session_is_read_with_its_model_and_time(tmp_path: Path) -> None:
    file = tmp_path / ".aider.chat.history.md"
    file.write_text(
        aider_session(
            AT,
            ("/add a.py", ""),
            ("Rename x\nto y.", BLOCK),
            ("/run pytest", ""),
            ("Thanks", "Ok."),
        )
    )
    assert files(tmp_path) == [file]
    first, second = turns(file)
    assert (first.model, first.local, first.whole) == ("qwen3:8b", True, False)
    assert first.request["messages"] == [{"role": "user", "content": "Rename x\nto y."}]
    assert first.response["choices"][0]["message"]["content"] == BLOCK
    assert (first.started, second.started, first.directory) == (AT, AT + 1, str(tmp_path))
    assert [m["role"] for m in second.request["messages"]] == ["user", "assistant", "user"]
    assert first.session == second.session


def test_a_command_whose_rest_is_asked_is_a_question(tmp_path: Path) -> None:
    file = tmp_path / "history.md"
    file.write_text(aider_session(AT, ("/ask What is x?", "One."), model="gpt-4o"))
    (turn,) = turns(file)
    assert turn.request["messages"][0]["content"] == "What is x?"
    assert (turn.model, turn.local) == ("gpt-4o", None)


def test_the_newest_answer_waits_while_it_may_grow(tmp_path: Path) -> None:
    file = tmp_path / ".aider.chat.history.md"
    begun = aider_session(AT, ("One", "First."), ("Two", "Second."))
    file.write_text(begun.removesuffix("> Tokens: 3.1k sent, 50 received.  \n"))
    (first,) = turns(file, ended=False)
    with file.open("a") as out:
        out.write("and more of it\n\n> Tokens: 3.1k sent, 50 received.  \n")
        out.write(aider_session(AT + 900, ("Three", "Third.")))
    second, third = turns(file, first.cursor)
    assert second.response["choices"][0]["message"]["content"].endswith("more of it")
    assert third.session != second.session
    assert len({first.key, second.key, third.key}) == 3
    assert turns(file, third.cursor) == []


def test_an_answer_to_what_is_not_in_the_history_is_counted(tmp_path: Path) -> None:
    file = tmp_path / "history.md"
    text = aider_session(AT, ("Go", "Done."))
    file.write_text(
        text + "> Fix lint errors? (Y)es/(N)o [Yes]: y  \n\nMended.\n\n> Tokens: 1 sent  \n"
    )
    first, bad = list(read(file, "", ended=True))
    assert isinstance(first, ImportedTurn)
    assert isinstance(bad, NotUnderstood)


def test_the_log_of_requests_has_the_whole_question(tmp_path: Path) -> None:
    file = tmp_path / "llm.log"
    file.write_text(
        "TO LLM 2026-09-21T10:00:00\n-------\nSYSTEM Act as an expert.\nSYSTEM \n-------\n"
        "USER Rename x\nUSER to y.\nLLM RESPONSE 2026-09-21T10:00:07\nASSISTANT Done:\n"
        "ASSISTANT \nASSISTANT y = 1\n"
    )
    assert list(read(file, "", ended=False)) == []
    (turn,) = turns(file)
    assert turn.request["messages"] == [
        {"role": "system", "content": "Act as an expert.\n"},
        {"role": "user", "content": "Rename x\nto y."},
    ]
    assert turn.response["choices"][0]["message"]["content"] == "Done:\n\ny = 1"
    assert (turn.whole, turn.ended - turn.started) == (True, 7.0)
    assert turns(file, turn.cursor) == []


def test_a_long_session_is_not_written_out_again_for_each_answer(tmp_path: Path) -> None:
    file = tmp_path / ".aider.chat.history.md"
    long = "```python\n" + "x = 1  # and so on\n" * 500 + "```"
    file.write_text(aider_session(AT, *((f"Question {n}", long) for n in range(60))))
    told = turns(file)
    assert len(told) == 60
    written = sum(len(m["content"]) for turn in told for m in turn.request["messages"])
    assert written < 10 * file.stat().st_size
    assert all(
        turn.request["messages"][-1]["content"] == f"Question {n}" for n, turn in enumerate(told)
    )
