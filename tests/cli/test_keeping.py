"""`forget`, `backup` and `restore` as they are typed."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from qi_learn.commands.forget import parse_when
from qi_learn.errors import EXIT_DONE, EXIT_FAILED, EXIT_REFUSED, EXIT_TRY_AGAIN, EXIT_USAGE
from qi_learn.spool import Spool
from qi_learn.store.database import open_store
from qi_learn.store.turns import save_turn
from tests.support import forgotten_home as home
from tests.support.command_line import Terminal
from tests.support.forgotten_home import WORD, files_with
from tests.support.recorded_home import RUN, a_turn
from tests.support.redacted import as_redacted

NOON = 1795867200.0
"""A day in November 2026."""


@pytest.fixture
def filled(tmp_path: Path) -> Terminal:
    terminal = Terminal(tmp_path)
    home.make(terminal.paths)
    return terminal


def test_a_dry_run_then_the_real_one_then_a_search(filled: Terminal) -> None:
    planned = filled.qi("forget", "--grep", WORD, "--dry-run")
    assert planned.code == EXIT_DONE
    assert "2 answers would be forgotten" in planned.out
    assert "v1.2.0 (live)" in planned.out
    (goes,) = (line for line in planned.out.splitlines() if line.startswith("  goes: "))
    assert "_" not in goes, "no table's own name"
    assert re.search(r"\b1 \w+s\b", goes) is None, goes
    done = filled.qi("forget", "--grep", WORD, "--json")
    assert (done.code, done.json["state"], done.json["found"]) == (EXIT_DONE, "done", [])
    assert WORD not in done.out
    assert files_with(filled.paths) == []
    assert "saw 1 answer that was forgotten" in filled.qi("versions").out
    assert "1 answer that was forgotten" in filled.qi("explain", "v1.1.0").out


def test_last_is_the_last_answer_of_this_project(filled: Terminal) -> None:
    planned = filled.qi("forget", "last", "--dry-run", "--json").json
    assert planned["turns"] == ["T5"]
    filled.paths.projects.write_text(json.dumps([str(filled.root)]))
    with open_store(filled.paths.database) as store:
        store.execute("UPDATE turns SET project = ? WHERE id = 'T4'", (str(filled.root),))
    assert filled.qi("forget", "last", "--dry-run", "--json").json["turns"] == ["T4"]


def test_what_is_kept_from_learning_is_marked_in_the_log(filled: Terminal) -> None:
    said = filled.qi("forget", "T2", "--keep-record", "--retrain")
    assert "never learned from" in said.out
    assert "the next cycle starts from v1.0.0" in said.out
    assert filled.qi("log").out.count("(never learned)") == 2
    assert "kept from learning" in filled.qi("explain", "T2").out


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("T1", "--since", "2h"),
        ("--grep", ""),
        ("--since", "soon"),
        ("--project", "/x", "--grep", "y"),
    ],
)
def test_it_has_to_be_said_what(filled: Terminal, words: tuple[str, ...]) -> None:
    said = filled.qi("forget", *words)
    assert said.code == EXIT_USAGE
    assert len(json.loads(filled.qi("log", "--json").out)["turns"]) == 5


@pytest.mark.parametrize("pattern", [" ", "\t \n", ".*", "x*", "(falcon)?", "^"])
def test_a_pattern_that_is_found_everywhere_forgets_nothing(filled: Terminal, pattern: str) -> None:
    before = files_with(filled.paths)
    said = filled.qi("forget", "--grep", pattern)
    assert said.code == EXIT_USAGE
    assert "is found in every text" in said.err
    assert files_with(filled.paths) == before


def test_what_is_found_by_words_is_listed_before_it_goes(filled: Terminal) -> None:
    for words in (("--dry-run",), ()):
        said = filled.qi("forget", "--grep", WORD, *words).out.splitlines()
        assert said[0] == f'T2  "Now say {WORD} in it, please, as a comment."'
        assert said[1] == 'T3  "Thanks."'


def test_a_person_is_asked_before_what_words_find_goes(filled: Terminal) -> None:
    assert _at_a_terminal(filled, b"n\n")[-1].endswith("Nothing was forgotten.")
    assert len(filled.qi("log", "--json").json["turns"]) == 5
    assert "2 answers forgotten" in _at_a_terminal(filled, b"", "--yes")
    assert len(filled.qi("log", "--json").json["turns"]) == 3


def _at_a_terminal(home: Terminal, typed: bytes, *words: str) -> list[str]:
    return home.screen("forget", "--grep", WORD, *words, typed=typed)


def test_an_answer_that_is_kept_is_told_in_words_for_one(filled: Terminal) -> None:
    said = filled.qi("forget", "T5", "--keep-record").out
    assert "1 answer is kept for `qi-learn log`" in said


def test_what_goes_is_told_in_words_for_one(filled: Terminal) -> None:
    assert "1 copy of an older schema" in filled.qi("forget", "--grep", WORD).out


def test_an_unknown_id(filled: Terminal) -> None:
    said = filled.qi("forget", "01NOSUCHTURN")
    assert said.code == EXIT_FAILED
    assert "No answer with the id 01NOSUCHTURN was recorded.\n" in said.err


@pytest.mark.parametrize(
    "words", [("rate", "{}", "4"), ("forget", "{}"), ("forget", "{}", "--dry-run")]
)
def test_an_id_that_is_none_is_told_alike(filled: Terminal, words: tuple[str, ...]) -> None:
    """Too short, unknown, or of something that is no answer: with what it is."""
    for id, told in (
        ("01ABC", "No answer with the id 01ABC was recorded, and it is too short for the"),
        ("01NOSUCHTURN", "No answer with the id 01NOSUCHTURN was recorded.\n"),
        (RUN[:9].lower(), f"{RUN[:9].lower()} is a run of learning, and no answer.\n"),
        ("v1.0.0", "v1.0.0 is a version of the model, and no answer.\n"),
    ):
        said = filled.qi(*(word.format(id) for word in words))
        assert (said.code, told in said.err) == (EXIT_FAILED, True), said.err
        assert "`qi-learn log` lists" in said.err


def test_a_backup_that_has_no_place_names_the_place(filled: Terminal, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for place, why in (("no/x.tar", "No such file or directory"), ("file/x", "Not a directory")):
        said = filled.qi("backup", str(tmp_path / place))
        assert (said.code, said.err) == (
            EXIT_FAILED,
            f"qi-learn: {tmp_path / place} cannot be written: {why}.\n"
            "  -> Name a file in a directory that is there.\n",
        )


def test_a_project_that_is_none_is_told_as_by_the_log(filled: Terminal) -> None:
    for words in (("log",), ("forget", "--dry-run"), ("forget",)):
        said = filled.qi(*words, "--project", "/no/such/place")
        assert (said.code, said.err) == (
            EXIT_FAILED,
            "qi-learn: /no/such/place is no directory, and no answer was recorded in it.\n"
            "  -> `qi-learn status` lists the projects.\n",
        )


def test_a_home_in_a_file_and_back(filled: Terminal, tmp_path: Path) -> None:
    file = tmp_path / "b"
    assert "5 turns, v1.2.0 live" in filled.qi("backup", str(file)).out
    assert filled.qi("backup", str(file)).code == EXIT_REFUSED
    assert filled.qi("restore", str(file)).code == EXIT_REFUSED
    filled.qi("forget", "T5")
    said = filled.qi("restore", str(file), "--force", "--json")
    assert (said.code, said.json["turns"], said.json["forgotten"]) == (EXIT_DONE, 5, 1)
    assert len(filled.qi("log", "--json").json["turns"]) == 4


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("2h", 7200), ("30m", 1800), ("7d", 604800), ("1.5 h", 5400), ("1w", 604800)],
)
def test_a_span_is_counted_back(text: str, seconds: float) -> None:
    assert parse_when(text, NOON) == NOON - seconds


def test_days_and_dates() -> None:
    today = parse_when("today", NOON)
    assert 0 <= NOON - today < 86400 + 7200
    assert today - parse_when("yesterday", NOON) == 86400
    assert parse_when("2026-11-28T14:00:00+00:00", NOON) == 1795874400.0
    for text in ("soon", "", "2x", "-3h"):
        with pytest.raises(ValueError, match="isoformat"):
            parse_when(text, NOON)


# --- `last`, while a newer answer waits -----------------------------------------------------------


def answer_waits(terminal: Terminal) -> None:
    spool = Spool(terminal.paths.spool, "gateway")
    spool.append("turn", {"request": "{}"})
    spool.close()


@pytest.mark.parametrize("dry", [(), ("--dry-run",)])
def test_last_is_not_forgotten_while_a_newer_answer_waits(
    tmp_path: Path, dry: tuple[str, ...]
) -> None:
    terminal = Terminal(tmp_path)
    with open_store(terminal.paths.ensure().database) as store:
        save_turn(store, as_redacted(a_turn("01M8GSZE0V00X38Y19461HZM3N", at=100.0)))
    answer_waits(terminal)
    said = terminal.qi("forget", "last", *dry)
    assert (said.code, said.out) == (EXIT_TRY_AGAIN, "")
    assert "1 answer waits and is newer" in said.err
    assert "`qi-learn daemon start`" in said.err
    assert len(terminal.qi("log", "--json").json["turns"]) == 1
    assert terminal.qi("forget", "01M8GSZE", "--dry-run").code == EXIT_DONE


def test_what_is_about_to_go_is_named(tmp_path: Path) -> None:
    terminal = Terminal(tmp_path)
    id = "01M8GSZE0V00X38Y19461HZM3N"
    with open_store(terminal.paths.ensure().database) as store:
        save_turn(store, as_redacted(a_turn(id, at=100.0, question="Write\nadd.")))
    named = f'{id}  "Write add."\n'
    for words in (("last", "--dry-run"), (id[:9], "--dry-run"), ("last",)):
        assert terminal.qi("forget", *words).out.startswith(named)
