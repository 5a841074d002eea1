"""A home filled by a version that knew no secret, looked through again by the rules of today."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from qi_learn.daemon.look_through import RedactAgain, look_through, read_receipt
from qi_learn.paths import Paths
from qi_learn.records import CommandResult, Event, Feedback, Message, Score, Suggestion, TurnChange
from qi_learn.redact import Redactor, has_placeholder, rules_version
from qi_learn.rundir.directory import RunDirectory
from qi_learn.store import (
    audit,
    command_results,
    events,
    expiry,
    feedback,
    ratings,
    redact_again,
    turns,
)
from qi_learn.store import runs as cycles
from qi_learn.store.backups import copy_aside
from qi_learn.store.database import Store, open_store
from qi_learn.store.followed import save_changes
from tests.support.daemon_process import daemon, free_port
from tests.support.redacted import as_before
from tests.support.secret_sweep import Bundle, bundles, search, secrets_of
from tests.support.stored_turns import a_turn
from tests.support.world import World

KEPT = {
    *("id", "turn_id", "run_id", "hash", "parent", "tip", "previous", "shape", "key", "head"),
    *("project", "cwd", "file", "name", "version", "commit", "repaired_by", "session"),
    *("kind", "author", "state", "endpoint", "learning_type", "complexity", "domain", "split"),
    *("said", "sign", "inferred", "fate", "mark", "command_id", "reply", "lines"),
    *("action", "what", "digest", "model_digest", "base_digest", "adapter_digest"),
    *("live", "pair_id"),
}
"""Columns that are not looked at: ids, hashes, places and words of this program."""


def fill(store: Store, bundle: Bundle) -> None:
    """Rows of every kind with the secrets of a bundle."""
    text, n = bundle.text, bundle.number
    history = (
        Message("system", "Be brief."),
        Message("user", text, {"name": text}),
        Message("assistant", f"Answer {n}."),
        Message("user", f"And {n} then?"),
    )
    turn = a_turn(
        f"T{n}",
        messages=history,
        answer=f"Here:\n{text}",
        project="/p",
        at=100.0 + n,
        options={"stop": [text]},
        request={"system": text, "suffix": text, "tools": [{"description": text}]},
        context={"files": [text]},
    )
    turns.save_turn(store, as_before(turn))
    again = replace(
        turn, id=f"U{n}", messages=history[:2], answer=f"Answer {n}.", started=200.0 + n
    )
    turns.save_turn(store, as_before(again))
    one = Suggestion(turn.id, 0, text, 6, 6 + len(text), "python")
    feedback.save_suggestions(store, as_before([one]))
    kept = replace(
        one, state="placed", file="a.py", region=text, before=(text,), after=(text,), placed_at=5.0
    )
    seen = Feedback(accepted=True, final_version=text)
    save_changes(store, [as_before(TurnChange(turn.id, (replace(kept, final_text=text),), seen))])
    score = Score(turn.id, 0.9, 0.9, 0.9, text, (), (text,), 1.0)
    feedback.save_score(store, as_before(score))
    body = {"turn": turn.id, "rating": 4, "comment": text, "correction": text}
    ratings.save_rating(store, as_before(Event(f"R{n}", "rating", 1.0, "cli", body)))
    told = Event(f"H{n}", "hook", 1.0, "x", {"text": text, text: [text]})
    events.save_event(store, as_before(told), taken=1.0)
    command_results.save_command(
        store, as_before(CommandResult(f"C{n}", 1.0, "/p", "test", bundle.line, 0, 1.0))
    )
    reported = {"run": f"run-{n}", "state": "failed", "reason": text}
    cycles.apply_cycle(store, as_before(Event(f"E{n}", "cycle", 1.0, "cycle", reported)))


def damage_journal(store: Store, text: str) -> None:
    """An entry as a version without redaction wrote it, sealed well."""
    last = store.row("SELECT hash FROM audit ORDER BY number DESC LIMIT 1")
    assert last is not None
    body = json.dumps({"reason": text})
    seal = audit.seal_of(last["hash"], 9.0, "cycle failed", body)
    columns = ("ts", "what", "body", "previous", "hash")
    store.insert("audit", columns, (9.0, "cycle failed", body, last["hash"], seal))


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    return Paths.under(tmp_path / "home").ensure()


@pytest.fixture
def filled(paths: Paths) -> Iterator[Store]:
    """The older home: database, a copy of an older schema, bad lines, a data set, logs."""
    with open_store(paths.database) as store:
        for bundle in bundles(6):
            fill(store, bundle)
        damage_journal(store, bundles(6)[0].text)
        audit.append(store, 10.0, "after it", {})
        copy_aside(store.conn, paths.database.with_name("qi-learn.db.schema-3.backup"))
        bad = paths.spool / "bad"
        bad.mkdir()
        kept = {"at": 0, "problem": bundles(6)[1].text, "sha256": "ab", "text": bundles(6)[1].line}
        (bad / "hook-1-1.jsonl.abcd").write_text(f"{json.dumps(kept)}\nno JSON\n")
        run = RunDirectory(paths.runs / "01RUN")
        run.snapshot.mkdir(parents=True)
        (run.path / "run.json").write_text("{}")
        run.outcome.write_text("{}")
        (run.path / "rendered.jsonl").write_text(json.dumps(["k", bundles(6)[2].text]) + "\n")
        (run.snapshot / "train.jsonl").write_text(json.dumps({"prompt": bundles(6)[3].text}) + "\n")
        (run.snapshot / "manifest.json").write_text("{}")
        for name in ("daemon.log", "daemon.log.1", "gateway.log.2"):
            (paths.logs / name).write_text(f"begins\n{bundles(6)[4].text}\nends\n")
        yield store


def test_what_an_older_version_stored_is_found_nowhere_afterwards(
    paths: Paths, filled: Store
) -> None:
    assert set(search(paths.data.parent, secrets_of(bundles(6)))) >= {
        *("data/qi-learn.db-wal", "data/qi-learn.db.schema-3.backup", "state/logs/daemon.log"),
        *("data/runs/01RUN/rendered.jsonl", "state/spool/bad/hook-1-1.jsonl.abcd"),
    }
    for _ in look_through(paths, filled, time.time()):
        pass
    assert search(paths.data.parent, secrets_of(bundles(6))) == {}
    assert turns.verify(filled) == audit.verify(filled) == []
    receipt = read_receipt(paths)
    assert receipt is not None
    assert receipt.rules == rules_version()
    assert set(receipt.rewritten) >= {
        *("messages", "shapes", "turns", "suggestions", "feedback", "ratings", "scores"),
        *("commands", "events", "runs", "audit", "lines of logs", "lines of spool/bad"),
    }
    assert set(receipt.removed) == {
        *("qi-learn.db.schema-3.backup", "01RUN/rendered.jsonl", "01RUN/train.jsonl"),
    }
    assert (paths.logs / "daemon.log").read_text() == ""
    assert (paths.logs / "daemon.log.1").read_text().startswith("begins\n")


def test_a_turn_is_the_same_conversation_with_placeholders(paths: Paths, filled: Store) -> None:
    before = {f"T{b.number}": turns.load_turn(filled, f"T{b.number}") for b in bundles(6)}
    for _ in look_through(paths, filled, time.time()):
        pass
    for bundle in bundles(6):
        turn, short = (turns.load_turn(filled, f"{x}{bundle.number}") for x in "TU")
        old = before[turn.id]
        assert [m.role for m in turn.messages] == [m.role for m in old.messages]
        assert turn.messages[0] == old.messages[0]
        assert turn.messages[2:] == old.messages[2:]
        assert has_placeholder(turn.messages[1].content)
        assert has_placeholder(turn.answer)
        assert turn.messages[:2] == short.messages
        assert turns.was_redacted(filled, turn.id)
        assert turns.was_redacted(filled, short.id)
        assert has_placeholder(json.dumps(dict(turn.request)))
        assert has_placeholder(json.dumps(dict(turn.context)))
    assert {f"T{b.number}" for b in bundles(6)} <= set(feedback.dirty_turns(filled))


def test_two_that_differed_in_their_secret_alone_become_one(filled: Store, paths: Paths) -> None:
    """Messages and shared values are stored once for each text: two may come to be the same."""
    secret = "ghp_" + "aB3dE5fG7hJ9kL1mN2pQ4rS6tU8vW0xY1zA2"
    text = f"use {secret} " + "x" * 300
    clean = Redactor((paths.data / "redaction.key").read_bytes()).text(text)
    for id, said in (("A", text), ("B", clean)):
        turn = a_turn(id, messages=(Message("user", said),), request={"tools": [said]}, at=900.0)
        turns.save_turn(filled, as_before(replace(turn, context={"files": [said]})))
    for _ in look_through(paths, filled, time.time()):
        pass
    a, b = (turns.load_turn(filled, id) for id in "AB")
    assert (a.messages, a.request, a.context) == (b.messages, b.request, b.context)
    assert turns.verify(filled) == []
    assert filled.rows("PRAGMA foreign_key_check") == []


def test_every_column_with_a_text_is_looked_at_or_named_here(filled: Store) -> None:
    """A new column is one or the other."""
    looked = {(t.name, c) for t in redact_again.TABLES for c in (*t.texts, *t.json)}
    looked |= {("messages", "content"), ("messages", "extra"), ("messages", "role")}
    looked |= {("shapes", "value"), ("audit", "body")}
    found = {
        (table, column["name"])
        for (table,) in filled.rows("SELECT name FROM sqlite_master WHERE type = 'table'")
        for column in filled.rows(f'PRAGMA table_info("{table}")')
        if column["type"] == "TEXT" and not table.startswith(("sqlite_", "_sqlite"))
    }
    rest = {(table, column) for table, column in found - looked if column not in KEPT}
    assert rest <= {("turns", "answer"), ("candidates", "reason"), ("answer_facts", "about")}


def test_what_has_none_is_not_touched(paths: Paths) -> None:
    with open_store(paths.database) as store:
        turns.save_turn(store, as_before(a_turn("T1")))
        before = store.row("SELECT dirty, redacted FROM turns")
        for _ in look_through(paths, store, 5.0):
            pass
        assert tuple(store.row("SELECT dirty, redacted FROM turns") or ()) == tuple(before or ())
    receipt = read_receipt(paths)
    assert receipt is not None
    assert (receipt.rewritten, receipt.removed, receipt.at) == ({}, (), 5.0)


def test_one_that_is_stopped_half_way_is_begun_again(paths: Paths, filled: Store) -> None:
    work = look_through(paths, filled, time.time())
    for _ in range(3):
        next(work)
    del work
    assert turns.verify(filled) == []
    assert read_receipt(paths) is None
    look_until_done(RedactAgain(paths), filled)
    assert search(paths.data.parent, secrets_of(bundles(6))) == {}
    paths.redaction_rules.write_text(json.dumps({"rules": "older", "at": 1.0}))
    look_until_done(RedactAgain(paths), filled)  # another version's rules
    known = read_receipt(paths)
    assert known is not None
    assert known.rules == rules_version()


def test_a_turn_whose_texts_are_gone_is_not_scored_again(paths: Paths, filled: Store) -> None:
    expiry.expire_texts(filled, ["T0", "U0"], 5.0)
    for _ in look_through(paths, filled, time.time()):
        pass
    assert {"T0", "U0"} & set(feedback.dirty_turns(filled)) == set()
    assert "T1" in feedback.dirty_turns(filled)


def test_what_is_damaged_holds_nothing_up(paths: Paths, filled: Store) -> None:
    """Texts that are no UTF-8, with a secret and without, and a copy that is no database."""
    secret = "ghp_" + "aB3dE5fG7hJ9kL1mN2pQ4rS6tU8vW0xY1zA2"
    for text in (f"use {secret} \xff", "nothing of it \xff"):
        raw = text.encode("latin-1")
        for sql in (
            "INSERT INTO messages (hash, role, content) VALUES (?1, 'user', CAST(?2 AS TEXT))",
            "INSERT INTO shapes (hash, value) VALUES (?1, CAST(?2 AS TEXT))",
            "INSERT INTO events (id, kind, ts, source, author, body, taken) "
            "VALUES (?1, 'hook', 1.0, 'x', 'agent', CAST(?2 AS TEXT), 1.0)",
        ):
            filled.execute(sql, (f"damaged {text[:3]}", raw))
    paths.database.with_name("qi-learn.db.schema-4.backup").write_bytes(b"SQLite format 3\0" * 99)
    for _ in look_through(paths, filled, time.time()):
        pass
    assert search(paths.data.parent, {*secrets_of(bundles(6)), secret}) == {}
    assert read_receipt(paths) is not None
    kept = "SELECT 1 FROM shapes WHERE hash = 'damaged not'"
    assert len(filled.rows(kept)) == 1
    assert not list(paths.data.glob("*.backup"))


def test_it_waits_for_what_is_being_forgotten(paths: Paths, filled: Store) -> None:
    """That goes by the hashes of messages that it wrote down, and renumbers rows in the end."""
    again = RedactAgain(paths)
    again.step(filled, time.time())
    paths.forgetting.write_text("{}")
    before = turns.load_turn(filled, f"T{bundles(6)[-1].number}")
    again.step(filled, time.time())
    assert not again.left, "and the daemon sleeps meanwhile"
    assert turns.load_turn(filled, before.id) == before
    paths.forgetting.unlink()
    for _ in look_through(paths, filled, time.time()):
        pass
    assert search(paths.data.parent, secrets_of(bundles(6))) == {}


def look_until_done(again: RedactAgain, store: Store) -> None:
    """Idle rounds until nothing is left."""
    until = time.monotonic() + 120
    while again.left:
        assert time.monotonic() < until
        again.step(store, time.time())


def qi(home: Path, *words: str) -> Any:
    done = subprocess.run(
        [sys.executable, "-m", "qi_learn", "redact", *words, "--json"],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
        env={**os.environ, "QI_LEARN_HOME": str(home)},
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_the_command_alone_and_by_the_daemon(tmp_path: Path) -> None:
    world = World.make(
        tmp_path / "home",
        tmp_path / "none.gguf",
        None,
        serve={"backend": "ollama", "base": "base:latest", "ollama": "http://127.0.0.1:9"},
        gateway={"port": free_port()},
    )
    world.tables["keep"] = {"raw_days": 0, "scores_days": 0}  # the rows are of 1970
    world.change("keep")
    with open_store(world.paths.database) as store:
        fill(store, bundles(6)[0])
    alone = qi(world.root, "--again")["receipt"]
    assert alone["rewritten"]["messages"] >= 2
    assert search(world.root, bundles(6)[0].secrets) == {}
    with open_store(world.paths.database) as store:
        fill(store, bundles(6)[1])
    with daemon(world):
        asked = qi(world.root, "--again")["receipt"]
        assert asked["rewritten"]["messages"] >= 2
        assert search(world.root, [s for b in bundles(2) for s in b.secrets]) == {}
        assert qi(world.root, "--again")["receipt"]["rewritten"] == {}
