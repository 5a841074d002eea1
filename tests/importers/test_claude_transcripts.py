"""Claude Code's transcripts, as they grow."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from qi_learn.importers.claude_transcripts import files, read
from qi_learn.records import ImportedItem, ImportedTurn, NotUnderstood, ToolSign
from tests.support.foreign_logs import DECLINED, ClaudeSession, edits, iso, says

AT = 1_790_000_000.0


@pytest.fixture
def session(tmp_path: Path) -> ClaudeSession:
    return ClaudeSession(tmp_path / "-work-shop" / "s-1.jsonl", tmp_path / "shop", at=AT)


def items(session: ClaudeSession, after: str = "", *, ended: bool = True) -> list[ImportedItem]:
    return list(read(session.file, after, ended=ended))


def turns(found: list[ImportedItem]) -> list[ImportedTurn]:
    return [item for item in found if isinstance(item, ImportedTurn)]


def test_the_blocks_of_an_answer_are_one_turn(session: ClaudeSession) -> None:
    session.asks("Rename x.")
    session.answers("msg_1", says("So:"), edits("t1", "/p/a.py", "x = 1", "y = 1"))
    session.results("t1", "The file /p/a.py has been updated.")
    session.answers("msg_2", says("Done."))
    first, second = turns(items(session))
    assert (first.key, first.endpoint, first.model) == (
        "msg_1",
        "/v1/messages",
        "claude-sonnet-4-5",
    )
    assert [block["type"] for block in first.response["content"]] == ["text", "tool_use"]
    assert first.request["messages"] == [{"role": "user", "content": "Rename x."}]
    assert (first.session, first.directory) == ("s-1", str(session.project))
    assert (first.started, first.ended) == (AT + 1, AT + 3)
    assert (first.local, first.whole) == (False, False)
    roles = [message["role"] for message in second.request["messages"]]
    assert roles == ["user", "assistant", "user"]


def test_what_the_person_declined_is_told_and_nothing_else(session: ClaudeSession) -> None:
    session.asks("Rename x.")
    session.answers(
        "msg_1", edits("t1", "a.py", "x", "y"), edits("t2", "b.py", "x", "y"), stop="tool_use"
    )
    session.results("t1", DECLINED, error=True)
    session.results("t2", "String to replace not found in file.", error=True)
    session.asks("[Request interrupted by user for tool use]")
    signs = [item for item in items(session) if isinstance(item, ToolSign)]
    assert [(s.key, s.call, s.said) for s in signs] == [("msg_1", "t1", "declined")]


def test_an_answer_that_is_being_written_waits_and_comes_once(session: ClaudeSession) -> None:
    session.asks("Rename x.")
    session.answers("msg_1", says("So:"), stop="")
    assert items(session, ended=False) == []
    session.answers("msg_1", edits("t1", "a.py", "x", "y"), stop="tool_use")
    (turn,) = turns(items(session, ended=False))
    assert len(turn.response["content"]) == 2
    session.results("t1", "Updated.")
    session.answers("msg_2", says("Done."))
    (new,) = turns(items(session, turn.cursor, ended=False))
    assert new.key == "msg_2"
    assert items(session, new.cursor) == []


def test_results_between_the_blocks_of_an_answer_do_not_cut_it(session: ClaudeSession) -> None:
    session.asks("Rename x.")
    session.answers("msg_1", edits("t1", "a.py", "x", "y"), stop="")
    session.results("t1", DECLINED, error=True)
    session.answers("msg_1", edits("t2", "b.py", "x", "y"), stop="tool_use")
    session.asks("No.")
    first, sign = items(session)
    assert isinstance(first, ImportedTurn)
    assert len(first.response["content"]) == 2
    assert isinstance(sign, ToolSign)
    assert items(session, sign.cursor) == []


def test_a_server_that_gives_all_answers_one_id(session: ClaudeSession) -> None:
    session.asks("Rename x.")
    session.answers("msg_1", edits("t1", "a.py", "x", "y"), stop="tool_use")
    session.results("t1", "Updated.")
    session.answers("msg_1", says("Done."))
    session.asks("And z.")
    session.answers("msg_1", says("Done too."))
    assert [turn.key for turn in turns(items(session))] == ["msg_1", "msg_1#2", "msg_1#3"]


def test_a_torn_last_line_waits(session: ClaudeSession) -> None:
    session.asks("Rename x.")
    session.answers("msg_1", says("Done."))
    whole = session.file.read_bytes()
    session.file.write_bytes(whole[:-20])
    assert items(session) == []
    session.file.write_bytes(whole)
    assert [turn.key for turn in turns(items(session))] == ["msg_1"]


def test_a_person_who_goes_back_is_asked_from_there(session: ClaudeSession) -> None:
    root = session.asks("Rename x.")
    session.answers("msg_1", says("To y?"))
    session.asks("No, to z.")
    session.answers("msg_2", says("To z."))
    session.parent = root
    session.asks("To w.")
    session.answers("msg_3", says("To w."))
    last = turns(items(session))[-1]
    said = [message["content"] for message in last.request["messages"]]
    assert "No, to z." not in said
    assert said[-1] == "To w."


def test_an_agents_own_conversation_is_another(session: ClaudeSession) -> None:
    session.asks("Look around.")
    session.answers("msg_1", says("I send one."))
    session.parent = None
    session.asks("Find the tests.", isSidechain=True, agentId="a7")
    line = json.loads(session.file.read_text().splitlines()[-2])
    line |= {"isSidechain": True, "agentId": "a7", "uuid": "x", "timestamp": iso(AT + 9)}
    line["message"]["id"] = "msg_2"
    with session.file.open("a") as out:
        out.write(json.dumps(line) + "\n")
    found = {turn.key: turn for turn in turns(items(session))}
    assert (found["msg_1"].session, found["msg_2"].session) == ("s-1", "s-1/a7")
    assert found["msg_2"].request["messages"] == [{"role": "user", "content": "Find the tests."}]


def test_a_long_session_is_not_told_again_with_each_answer(session: ClaudeSession) -> None:
    session.asks("Go on.")
    for n in range(200):
        session.answers(f"msg_{n}", edits(f"t{n}", "a.py", "x", "y" * 500))
        session.results(f"t{n}", "z" * 2000)
    told = sum(len(json.dumps(turn.request)) for turn in turns(items(session)))
    assert told < 200 * 100_000
    last = turns(items(session))[-1].request["messages"]
    assert last[0]["content"] == "Go on."
    assert [message["role"] for message in last[-2:]] == ["assistant", "user"]


def test_a_line_that_is_none_is_counted_and_the_rest_goes_on(session: ClaudeSession) -> None:
    session.asks("Rename x.")
    with session.file.open("a") as out:
        out.write('{"type": "user"\n{"type": "user", "message": 7}\n[1]\n')
        out.write('{"type": "summary", "summary": "s", "leafUuid": "u"}\n')
    session.answers("msg_1", says("Done."))
    found = items(session)
    bad = [item for item in found if isinstance(item, NotUnderstood)]
    assert [item.where for item in bad] == ["line 2", "line 3", "line 4"]
    assert [turn.key for turn in turns(found)] == ["msg_1"]


def test_a_directory_means_all_its_transcripts(session: ClaudeSession, tmp_path: Path) -> None:
    session.asks("Hi.")
    assert files(tmp_path) == [session.file]
    assert files(session.file) == [session.file]


def test_calls_that_stood_behind_a_refused_one_were_not_declined(tmp_path: Path) -> None:
    session = ClaudeSession(tmp_path / "s-1.jsonl", tmp_path, at=AT)
    session.asks("Rename x and y.")
    session.answers("msg_1", edits("t1", "a.py", "x", "z"), edits("t2", "a.py", "y", "z"))
    session.results("t1", DECLINED, error=True)
    behind = "The user doesn't want to take this action right now. STOP what you are doing."
    session.results("t2", behind, error=True)
    signs = [i for i in read(session.file, "", ended=True) if isinstance(i, ToolSign)]
    assert [(sign.call, sign.said) for sign in signs] == [("t1", "declined")]


def test_an_edit_that_the_tool_could_not_make_is_told_also_of_the_last_answer(
    session: ClaudeSession,
) -> None:
    session.asks("Rename x, y and z.")
    session.answers("msg_1", *(edits(f"t{n}", "a.py", "x", "z") for n in range(4)))
    missing = "<tool_use_error>String to replace not found in file.\nString: x</tool_use_error>"
    session.results("t0", missing, error=True)
    session.results("t1", missing)
    session.results("t2", "[Request interrupted by user for tool use]", error=True)
    session.results("t3", "The file a.py has been updated.")
    signs = [item for item in items(session) if isinstance(item, ToolSign)]
    assert [(sign.key, sign.call, sign.said) for sign in signs] == [("msg_1", "t0", "failed")]
