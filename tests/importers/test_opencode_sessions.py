"""OpenCode's sessions, from its files and from a database that it is using."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path

import pytest

from qi_learn.errors import NotFound
from qi_learn.importers.opencode_sessions import files, read
from qi_learn.records import ImportedItem, ImportedTurn, ReadTo, ToolSign
from tests.support.foreign_logs import opencode_database, opencode_files

AT = 1_790_000_000.0


def check(found: list[ImportedItem], project: Path) -> None:
    edit, sign, last, end = found
    assert isinstance(end, ReadTo)
    assert isinstance(edit, ImportedTurn)
    assert (edit.key, edit.model, edit.local) == ("msg_2", "qwen3:8b", True)
    answer = edit.response["choices"][0]["message"]
    assert (answer["content"], answer["tool_calls"][0]["id"]) == ("So.", "call_1")
    assert json.loads(answer["tool_calls"][0]["function"]["arguments"])["newString"] == "y"
    assert edit.request["messages"] == [{"role": "user", "content": "Rename x."}]
    assert (edit.started, edit.ended) == (AT, AT + 3)
    assert (edit.session, edit.directory) == ("ses_1", str(project))
    assert isinstance(sign, ToolSign)
    assert (sign.key, sign.call, sign.said) == ("msg_2", "call_1", "declined")
    assert isinstance(last, ImportedTurn)
    assert [m["role"] for m in last.request["messages"]] == ["user", "assistant", "tool"]


def test_from_files(tmp_path: Path) -> None:
    (file,) = files(opencode_files(tmp_path / "opencode", tmp_path, AT))
    found = list(read(file, "", ended=True))
    check(found, tmp_path)
    assert list(read(file, found[-1].cursor, ended=True)) == []


def test_from_a_database_that_is_in_use(tmp_path: Path) -> None:
    opencode_files(tmp_path / "opencode", tmp_path, AT)
    with closing(opencode_database(tmp_path / "opencode", tmp_path, AT)) as theirs:
        (file,) = files(tmp_path / "opencode")
        assert file.name == "opencode.db"
        theirs.execute("BEGIN IMMEDIATE")
        theirs.execute("UPDATE session SET title = 'being written'")
        found = list(read(file, "", ended=False))
        check(found, tmp_path)
        theirs.execute("COMMIT")
        done = json.loads(
            theirs.execute("SELECT data FROM message WHERE id = 'msg_4'").fetchone()[0]
        )
        done["time"]["completed"] = int((AT + 8) * 1000)
        theirs.execute("UPDATE message SET data = ? WHERE id = 'msg_4'", (json.dumps(done),))
        new, _ = read(file, found[-1].cursor, ended=False)
        assert isinstance(new, ImportedTurn)
        assert new.key == "msg_4"


def test_what_is_no_database_is_said(tmp_path: Path) -> None:
    file = tmp_path / "opencode.db"
    file.write_text("no database, but long enough to look like one to somebody" * 20)
    with pytest.raises(NotFound, match="cannot be read"):
        list(read(file, "", ended=True))
    with pytest.raises(NotFound, match="no database"):
        list(read(tmp_path / "none.db", "", ended=True))


def test_what_opencode_run_refused_by_itself_no_person_declined(tmp_path: Path) -> None:
    """Version 1.18 makes such a session with a rule that it may not ask, and says "the user"."""
    rules = '[{"permission":"question","pattern":"*","action":"deny"}]'
    with closing(opencode_database(tmp_path, tmp_path, AT)) as theirs:
        theirs.execute("ALTER TABLE session ADD COLUMN permission TEXT")
        theirs.execute("UPDATE session SET permission = ?", (rules,))
        theirs.commit()
        found = list(read(tmp_path / "opencode.db", "", ended=True))
        assert [type(item) for item in found] == [ImportedTurn, ImportedTurn, ReadTo]
        theirs.execute('UPDATE session SET permission = \'[{"permission":"edit"}, 5]\'')
        theirs.commit()
        found = list(read(tmp_path / "opencode.db", "", ended=True))
        assert any(isinstance(item, ToolSign) for item in found)
