"""Ratings and hooks' events: into the spool whatever state the rest is in, and refused in words if
they mean nothing.
"""

from __future__ import annotations

import json
import os
import resource
import sqlite3
import time
from pathlib import Path

import pytest

from qi_learn.commands import rate as command
from qi_learn.commands.forget import forget
from qi_learn.commands.rate import parse_words, record_event
from qi_learn.daemon.lock import take_lock
from qi_learn.errors import EXIT_FAILED, EXIT_USAGE, NotFound, SettingsError, SpoolError
from qi_learn.paths import Paths
from qi_learn.records import Event, ForgetRequest, Suggestion, Turn
from qi_learn.report.explain import explain
from qi_learn.settings import Settings
from qi_learn.spool import Spool, frame
from qi_learn.store import feedback
from qi_learn.store.database import open_store
from qi_learn.store.ingest import drain
from qi_learn.store.seen_turns import newest_turn
from qi_learn.store.turns import load_turn
from qi_learn.workspace.registry import add_project, load_projects, project_of
from tests.support.fake_daemon import daemon
from tests.support.recorded_home import record, schema_from_the_future, spool_events
from tests.support.redacted import as_redacted
from tests.support.repository import Repository


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    return Paths.under(tmp_path / "home")


def rate(
    paths: Paths, turn: str, place: Path, stars: int = 4, correction: str | None = None
) -> str:
    return command.rate(paths, turn, stars, correction=correction, comment=None, directory=place)


def answered(paths: Paths) -> None:
    """Let an answer wait in the spool."""
    spool = Spool(paths.ensure().spool, "gateway", clock=lambda: 1.0)
    spool.append("turn", {"request": "{}"})
    spool.close()


def no_turns(event: Event) -> Turn:
    raise ValueError(event.id)


# --- ratings --------------------------------------------------------------------------------------


def test_words() -> None:
    assert parse_words(["5"]) == ("last", 5)
    assert parse_words(["last", "1"]) == ("last", 1)
    assert parse_words(["01HZ", "3"]) == ("01HZ", 3)


@pytest.mark.parametrize(
    "words",
    [["7"], ["0"], ["last"], ["4.5"], ["x", "y"], ["a", "b", "5"], [], ["5", "last"], ["٣"]],
)
def test_words_that_are_no_rating(words: list[str]) -> None:
    with pytest.raises(SettingsError, match="not a rating") as caught:
        parse_words(words)
    assert caught.value.exit_code == EXIT_USAGE
    assert "qi-learn rate" in caught.value.hint


def test_with_nothing_recorded_there_is_nothing_to_rate(paths: Paths, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="No answer was recorded yet") as caught:
        rate(paths, "last", tmp_path)
    assert caught.value.exit_code == EXIT_FAILED
    assert spool_events(paths) == []


def test_the_question_is_named_while_a_daemon_runs(paths: Paths, tmp_path: Path) -> None:
    record(paths, tmp_path / "project")
    lock = take_lock(paths)
    try:
        said = rate(paths, "last", tmp_path / "project")
    finally:
        os.close(lock)
    with open_store(paths.database) as store:
        newest = newest_turn(store, str(tmp_path / "project"), before=1e12)
        assert newest is not None
        question = load_turn(store, newest).messages[-1].content
    assert f'("{" ".join(question.split())}"): 4 of 5.' in said


def test_another_projects_answer_is_not_the_last_of_a_repository(
    paths: Paths, tmp_path: Path
) -> None:
    record(paths, tmp_path / "project")
    other, plain = Repository(tmp_path / "other"), tmp_path / "plain"
    (other.root / "deep").mkdir()
    plain.mkdir()
    lock = take_lock(paths)
    try:
        with open_store(paths.database) as store, store.transaction():
            store.execute("UPDATE turns SET project = ?", (str(tmp_path / "project"),))
        with pytest.raises(NotFound, match=f"No answer was recorded in {other.root} yet"):
            rate(paths, "last", other.root / "deep")
        with pytest.raises(NotFound):
            explain(paths, Settings(), "last", directory=other.root)
        with pytest.raises(NotFound):
            forget(
                paths, ForgetRequest(asked=1.0, ids=("last",)), dry_run=True, directory=other.root
            )
        assert f"Rated the last answer in {tmp_path / 'project'} (" in rate(paths, "last", plain)
    finally:
        os.close(lock)


def test_without_a_daemon_it_waits_in_the_spool(paths: Paths, tmp_path: Path) -> None:
    answered(paths)
    said = command.rate(
        paths, "last", 5, correction="x = 1\n", comment="ünïcode", directory=tmp_path
    )
    assert (
        said
        == "Rated the last answer: 5 of 5. It counts once the daemon runs: `qi-learn daemon start`."
    )
    _, event = spool_events(paths)
    assert (event["kind"], event["author"], event["project"]) == ("rating", "person", None)
    assert event["body"] == {
        "turn": "last",
        "rating": 5,
        "correction": "x = 1\n",
        "comment": "ünïcode",
    }


def test_events_come_in_the_order_in_which_their_files_began(paths: Paths) -> None:
    """By name, the file of the process 1000000000 would stand before that of 999999999."""
    paths.ensure()
    for start, pid, id in ((1, 999_999_999, "first"), (2, 1_000_000_000, "second")):
        line = frame(Event(id, "hook", 1.0, "cli", {}))
        (paths.spool / f"cli-{pid}-{start}.jsonl").write_bytes(line)
    assert [event["id"] for event in spool_events(paths)] == ["first", "second"]


def test_last_is_of_the_innermost_project_around(paths: Paths, tmp_path: Path) -> None:
    outer, inner = tmp_path / "outer", tmp_path / "outer" / "inner"
    (inner / "src").mkdir(parents=True)
    (tmp_path / "link").symlink_to(inner)
    paths.ensure()
    assert add_project(paths, outer)
    assert add_project(paths, inner)
    assert not add_project(paths, outer)
    assert load_projects(paths) == (outer, inner)
    places = [inner / "src", inner, outer, tmp_path / "link" / "src", tmp_path, outer / "absent"]
    assert [project_of(paths, place) for place in places] == [
        inner,
        inner,
        outer,
        inner,
        None,
        outer,
    ]
    answered(paths)
    assert f"the last answer in {inner}" in rate(paths, "last", tmp_path / "link" / "src")
    assert spool_events(paths)[1]["project"] == str(inner)


def test_the_rating_arrives_at_the_turn(paths: Paths, tmp_path: Path) -> None:
    record(paths, tmp_path / "project")
    rate(paths, "last", tmp_path / "project", stars=2)
    rate(paths, "T2", tmp_path, stars=5, correction="print('moon')\n")
    with open_store(paths.database) as store:
        drained = drain(store, paths.spool, decode=no_turns, suggest=lambda _: (), now=1e10)
        assert (drained.count, drained.bad) == (2, 0)
        assert feedback.load_feedback(store, "T1").rating == 2
        known = feedback.load_feedback(store, "T2")
    assert (known.rating, known.correction) == (5, "print('moon')\n")


def test_a_rating_by_id_says_which_answer_and_what_it_was_before(
    paths: Paths, tmp_path: Path
) -> None:
    record(paths, tmp_path / "project")
    with open_store(paths.database) as store:
        turn = load_turn(store, "T2")
    when = time.strftime("%Y-%m-%d %H:%M", time.localtime(turn.started))
    which = f'It is the answer to "{turn.messages[-1].content}", {when}, of {turn.model_answered}.'
    first, again = (rate(paths, "T2", tmp_path, stars=stars) for stars in (2, 5))
    once = "It counts once the daemon runs: `qi-learn daemon start`."
    assert first == f"Rated T2: 2 of 5. {which} {once}"
    assert again == f"Rated T2: 5 of 5. {which} It was rated 2 of 5 before. {once}", "it waits"
    with open_store(paths.database) as store:
        drain(store, paths.spool, decode=no_turns, suggest=lambda _: (), now=1e10)
    assert "It was rated 5 of 5 before. " in rate(paths, "T2", tmp_path, stars=1)
    waiting = Spool(paths.spool, "gateway").append("turn", {"request": "{}"})
    assert rate(paths, waiting, tmp_path) == f"Rated {waiting}: 4 of 5. {once}"


def test_a_rating_says_in_which_file_the_answer_stands(paths: Paths, tmp_path: Path) -> None:
    record(paths, tmp_path / "project")
    placed = Suggestion("T2", 9, "x = 1\n", 0, 6, state="placed", file="src/moon.py")
    with open_store(paths.database) as store:
        feedback.save_suggestions(store, as_redacted([placed]))
    assert '" in src/moon.py, ' in rate(paths, "T2", tmp_path)


def test_a_daemon_that_is_well_takes_a_rating_in(paths: Paths, tmp_path: Path) -> None:
    record(paths, tmp_path / "project")
    with daemon(paths):
        said = rate(paths, "T2", tmp_path)
        last = rate(paths, "last", tmp_path / "project")
    assert said.endswith(" It is taken in now: `qi-learn explain T2` shows what it is worth.")
    assert last.endswith("`qi-learn explain last` shows what it is worth.")


def test_an_id_still_in_the_spool_counts(paths: Paths, tmp_path: Path) -> None:
    spool = Spool(paths.ensure().spool, "gateway")
    turn, hook = spool.append("turn", {"request": "{}"}), spool.append("hook", {"turn": "T9"})
    assert rate(paths, turn, tmp_path).startswith(f"Rated {turn}: 4 of 5.")
    for other in (hook, "T9"):
        with pytest.raises(NotFound):
            rate(paths, other, tmp_path)
    spool.close()


def test_an_id_that_nobody_knows_is_refused(paths: Paths, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="No answer with the id T1"):
        rate(paths, "T1", tmp_path)
    record(paths, tmp_path / "project")
    rate(paths, "T1", tmp_path)
    with pytest.raises(NotFound, match="No answer with the id T99") as caught:
        rate(paths, "T99", tmp_path)
    assert (caught.value.exit_code, "qi-learn log" in caught.value.hint) == (EXIT_FAILED, True)
    assert len(spool_events(paths)) == 1


def test_a_database_that_cannot_be_read_stops_no_rating(paths: Paths, tmp_path: Path) -> None:
    record(paths, tmp_path / "project")
    sole = sqlite3.connect(paths.database, isolation_level=None)
    sole.execute("PRAGMA locking_mode = EXCLUSIVE")
    sole.execute("BEGIN EXCLUSIVE")
    rate(paths, "T99", tmp_path)
    sole.close()
    schema_from_the_future(paths)
    rate(paths, "T99", tmp_path)
    paths.database.write_bytes(b"no database" * 1000)
    rate(paths, "T99", tmp_path)
    assert [e["kind"] for e in spool_events(paths)] == ["rating"] * 3


@pytest.mark.parametrize("empty", ["", " \n\t\n"])
def test_an_empty_correction_corrects_nothing(paths: Paths, tmp_path: Path, empty: str) -> None:
    with pytest.raises(SettingsError, match="empty"):
        rate(paths, "last", tmp_path, correction=empty)
    assert not paths.spool.exists()


def test_a_full_disk_is_said(paths: Paths, tmp_path: Path) -> None:
    answered(paths)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    try:
        with pytest.raises(SpoolError, match="could not be written") as caught:
            rate(paths, "last", tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "Make room" in caught.value.hint
    assert [event["kind"] for event in spool_events(paths)] == ["turn"]


@pytest.mark.parametrize("damage", ["{", "{}", "[1]", '"x"', "\x00"])
def test_a_damaged_list_of_projects_says_what_to_do(
    paths: Paths, tmp_path: Path, damage: str
) -> None:
    paths.ensure().projects.write_text(damage)
    with pytest.raises(SettingsError, match="list of projects") as caught:
        rate(paths, "last", tmp_path)
    assert "qi-learn init" in caught.value.hint


# --- events ---------------------------------------------------------------------------------------


def test_an_event_is_taken_in_as_it_came(paths: Paths) -> None:
    told = {
        "kind": "edit",
        "source": "my-editor",
        "author": "agent",
        "project": "/p",
        "body": {"file": "ä.py", "n": [1, None]},
    }
    first = record_event(paths, json.dumps(told, indent=2) + "\n\n")
    (event,) = spool_events(paths)
    assert event["id"] == first
    assert {key: event[key] for key in told} == told


def test_an_events_own_id_and_time_are_kept(paths: Paths) -> None:
    assert (
        record_event(
            paths, '{"kind": "hook", "id": "mine", "ts": "2026-01-02T03:04:05.678Z", "body": {}}'
        )
        == "mine"
    )
    (event,) = spool_events(paths)
    assert (event["id"], event["ts"], event["source"], event["author"]) == (
        "mine",
        "2026-01-02T03:04:05.678Z",
        "hook",
        "unknown",
    )


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "bare line"),
        ("hello", "bare line"),
        ("{", "not JSON"),
        ("[]", "bare line"),
        ('{"body": {}}', "unknown kind None"),
        ('{"kind": "party", "body": {}}', "unknown kind 'party'"),
        ('{"kind": "cycle", "body": {}}', "not told from outside"),
        ('{"kind": "release", "body": {}}', "not told from outside"),
        ('{"kind": "hook", "body": []}', "body is not a JSON object"),
        ('{"kind": "hook", "author": "god", "body": {}}', "unknown author 'god'"),
        ('{"kind": "hook", "source": "../../etc/x", "body": {}}', "cannot be the source"),
        ('{"kind": "hook", "project": 3, "body": {}}', "project is not a text"),
        ('{"kind": "hook", "ts": "yesterday", "body": {}}', "not an ISO 8601 time"),
        ('{"kind": "hook", "body": {"n": NaN}}', "not JSON compliant"),
        ('{"kind": "hook", "body": ' + "[" * 100_000 + "}", "not JSON"),
    ],
    ids=lambda value: value[:40],
)
def test_what_is_no_event_is_refused_in_words(paths: Paths, text: str, words: str) -> None:
    with pytest.raises(SettingsError, match=words) as caught:
        record_event(paths, text)
    assert caught.value.exit_code == EXIT_USAGE
    assert '"kind": "hook"' in caught.value.hint
    assert spool_events(paths) == []
