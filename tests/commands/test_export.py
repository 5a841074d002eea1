"""`qi-learn export data --all DIR`: all of it, readable, without secrets; nothing changes."""

from __future__ import annotations

import json
import random
import stat
import string
from pathlib import Path
from typing import Any

import pytest

from qi_learn.paths import Paths
from qi_learn.store.database import open_store
from qi_learn.store.everything import JSON_COLUMNS, WORDS, one_moment, rows_of, tables
from qi_learn.store.turns import load_turn
from tests.support.command_line import OFFLINE, Terminal
from tests.support.installed_home import look_of_tree
from tests.support.recorded_home import RUN, ended_run, record

TOKEN = "ghp_" + "".join(random.Random(5).choices(string.ascii_letters + string.digits, k=36))


@pytest.fixture
def terminal(tmp_path: Path) -> Terminal:
    made = Terminal(tmp_path, OFFLINE)
    record(made.paths, tmp_path / "project")
    ended_run(made.paths)
    return made


def lines(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()]


def test_everything_is_there_and_readable(terminal: Terminal) -> None:
    before = look_of_tree(terminal.paths.data)
    out = terminal.root / "mine"
    said = terminal.process("export", "data", "--all", str(out))
    assert (said.code, said.err) == (0, "")
    with open_store(terminal.paths.database, readonly=True) as store:
        for table in tables(store):
            count = store.rows(f'SELECT count(*) FROM "{table}"')[0][0]
            assert len(lines(out / f"{table}.jsonl")) == count, table
        turn = load_turn(store, "T1")
    row = next(row for row in lines(out / "turns.jsonl") if row["id"] == "T1")
    assert (row["question"], row["answer_text"]) == (turn.messages[-1].content, turn.answer)
    assert (out / "runs" / RUN / "verdict.json").is_file()
    page = (out / "README.md").read_text()
    assert all(f"`{file.name}`" in page for file in out.glob("*.jsonl"))
    assert "Not copied" in page
    assert json.loads((out / "projects.json").read_text()) == [str(terminal.root / "project")]
    modes = {stat.filemode(p.stat().st_mode) for p in out.rglob("*") if p.is_file()}
    assert (modes, stat.filemode(out.stat().st_mode)) == ({"-rw-------"}, "drwx------")
    after = look_of_tree(terminal.paths.data)
    assert {k: v for k, v in after.items() if "-shm" not in k and "-wal" not in k} == {
        **{k: v for k, v in before.items() if "-shm" not in k and "-wal" not in k},
        **{k: v for k, v in after.items() if k == "redaction.key"},
    }


def test_a_secret_that_no_rule_knew_then_is_taken_out_now(terminal: Terminal) -> None:
    with open_store(terminal.paths.database) as store:
        store.execute("UPDATE messages SET content = ?", (f"It is {TOKEN}, keep it.",))
    snapshot = terminal.paths.runs / RUN / "snapshot"
    snapshot.mkdir(exist_ok=True)
    (snapshot / "train.jsonl").write_text(json.dumps({"prompt": f'k = "{TOKEN}"'}) + "\n")
    (snapshot / "odd.jsonl").write_text(f"no JSON: {TOKEN}\n")
    out = terminal.root / "mine"
    assert terminal.process("export", "data", "--all", str(out)).code == 0
    texts = {p: p.read_text() for p in out.rglob("*") if p.is_file()}
    assert [p for p, text in texts.items() if TOKEN in text] == []
    assert sum("[REDACTED:github-token:" in text for text in texts.values()) >= 3


def test_a_directory_that_holds_something_is_refused(terminal: Terminal) -> None:
    said = terminal.process("export", "data", "--all", str(terminal.root))
    assert said.code == 1
    assert "holds something already" in said.err
    assert terminal.process("export", "data", str(terminal.root / "new")).code == 2
    both = ("export", "data", "--all", "--format", "jsonl", str(terminal.root / "new"))
    assert terminal.process(*both).code == 2
    assert not (terminal.root / "new").exists()
    (terminal.root / "file").touch()
    said = terminal.process("export", "data", "--all", str(terminal.root / "file"))
    assert (said.code, "could not be written" in said.err) == (1, True)


def test_a_home_without_a_database(tmp_path: Path) -> None:
    terminal = Terminal(tmp_path, OFFLINE)
    said = terminal.process("export", "data", "--all", str(tmp_path / "mine"))
    assert said.code == 0
    assert sorted(p.name for p in (tmp_path / "mine").iterdir()) == ["README.md"]
    assert not terminal.paths.data.exists()


def test_every_table_has_words_and_every_json_column_is_known(tmp_path: Path) -> None:
    paths = Paths.under(tmp_path).ensure()
    with open_store(paths.database) as store:
        assert set(tables(store)) == set(WORDS)
        for table, columns in JSON_COLUMNS.items():
            there = {row["name"] for row in store.rows(f'PRAGMA table_info("{table}")')}
            assert columns <= there


def test_what_is_written_meanwhile_is_not_half_in_it(terminal: Terminal) -> None:
    path = terminal.paths.database
    with open_store(path) as writer:
        with open_store(path, readonly=True) as store, one_moment(store):
            before = list(rows_of(store, "turns"))
            writer.execute("UPDATE turns SET endpoint = '/another'")
            writer.execute("DELETE FROM suggestions")
            assert list(rows_of(store, "turns")) == before
            assert len(list(rows_of(store, "suggestions"))) > 0
        with open_store(path, readonly=True) as store, one_moment(store):
            assert {row["endpoint"] for row in rows_of(store, "turns")} == {"/another"}
            assert list(rows_of(store, "suggestions")) == []


def test_a_damaged_text_and_bytes_are_shown(terminal: Terminal) -> None:
    with open_store(terminal.paths.database) as store:
        store.execute("UPDATE turns SET project = CAST(x'ff41' AS TEXT), context = '{oops'")
        with one_moment(store):
            row = next(rows_of(store, "turns"))
    assert (row["project"], row["context"]) == ("\ufffdA", "{oops")
