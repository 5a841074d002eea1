"""A person's word on what became of an answer goes through the spool and beats what was seen."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import get_args

import pytest

from qi_learn.commands import rate as command
from qi_learn.errors import NotFound
from qi_learn.paths import Paths
from qi_learn.records import Event, Fate, Feedback, Mark, Suggestion, Turn
from qi_learn.report import why as report
from qi_learn.settings import Settings
from qi_learn.store import feedback, turns
from qi_learn.store.database import open_store
from qi_learn.store.ingest import drain
from tests.support.command_line import Terminal
from tests.support.recorded_home import a_turn, record, spool_events
from tests.support.redacted import as_redacted

FATES: dict[Mark, tuple[Fate, bool | None]] = {
    "kept": ("kept", True),
    "edited": ("edited", True),
    "rejected": ("rejected", False),
    "ignore": ("unknown", None),
}
ID = "01M8GSZE0VAAX38Y19461HZM3N"
HELD = Suggestion(
    *(ID, 0, "x = 1\n", 3, 9, "python"),
    state="settled",
    file="a.py",
    similarity=1.0,
    placed_at=108.0,
    settled_at=800.0,
    final_text="x = 1\n",
    match_method="lines",
    match_confidence=1.0,
    inferred="kept",
    fate="kept",
)


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    return Paths.under(tmp_path / "home")


def no_turns(event: Event) -> Turn:
    raise ValueError(event.id)


def taken_in(paths: Paths) -> None:
    with open_store(paths.database) as store:
        drain(store, paths.spool, decode=no_turns, suggest=lambda _: (), now=time.time())


def with_answer(paths: Paths) -> None:
    with open_store(paths.ensure().database) as store:
        turns.save_turn(store, as_redacted(a_turn(ID, at=100.0)))
        feedback.save_suggestions(store, as_redacted([HELD]))
        seen = Feedback(accepted=True, modified=False, match_method="lines")
        feedback.save_implicit(store, ID, as_redacted(seen))


@pytest.mark.parametrize("word", get_args(Mark))
def test_a_mark_beats_what_was_seen(paths: Paths, tmp_path: Path, word: Mark) -> None:
    with_answer(paths)
    said = command.mark(paths, ID[:10].lower(), word, directory=tmp_path)
    means = "one to ignore" if word == "ignore" else word
    assert said.startswith(f"Marked {ID}: {means}.")
    assert spool_events(paths)[0]["body"] == {"turn": ID, "mark": word}
    taken_in(paths)
    with open_store(paths.database, readonly=True) as store:
        (found,) = feedback.suggestions_of(store, ID)
        told = feedback.load_feedback(store, ID)
        assert (found.inferred, found.fate, told.accepted) == ("kept", *FATES[word])
        assert told.mark == word
        assert feedback.dirty_turns(store) == [ID]
    why = report.why(paths, Settings(), ID[:9])
    assert why.blocks[0].sign == f"you marked it: {word}"


def test_last_is_marked_as_it_is_rated(paths: Paths, tmp_path: Path) -> None:
    record(paths, tmp_path / "project")
    said = command.mark(paths, "last", "kept", directory=tmp_path / "project")
    assert f"Marked the last answer in {tmp_path / 'project'}" in said
    taken_in(paths)
    with open_store(paths.database, readonly=True) as store:
        assert feedback.load_feedback(store, "T1").mark == "kept"


def test_what_was_not_recorded_cannot_be_marked(paths: Paths, tmp_path: Path) -> None:
    with_answer(paths)
    with pytest.raises(NotFound):
        command.mark(paths, "01ZZZZZZZZ", "kept", directory=tmp_path)
    assert spool_events(paths) == []


# --- why ------------------------------------------------------------------------------------------


def test_why_says_how_it_was_found_by_which_sign_and_how_sure(paths: Paths) -> None:
    with_answer(paths)
    (block,) = report.why(paths, Settings(), ID).blocks
    assert (block.fate, block.sure) == ("kept", 1.0)
    assert block.found == (
        "in a.py, 6 s after the answer: its lines stand there word for word, 100% alike then"
    )
    assert block.sign == "it stands there, as it was suggested; nobody touched it for 10 min"


@pytest.mark.parametrize(
    ("changes", "sign"),
    [
        ({"state": "waiting", "placed_at": None}, "no save has it yet"),
        ({"state": "unknown", "placed_at": None}, "no save had it, which is no sign of anything"),
        ({"final_text": None, "similarity": 0.0}, "its lines were undone or deleted"),
        ({"reverted": True}, "the commit that had it was taken back"),
        ({"sign": "superseded"}, "another suggestion stands in its place"),
        (
            {"said": "declined", "final_text": None, "similarity": 0.0},
            "the client said that it was declined",
        ),
        (
            {"said": "declined"},
            "it stands there, as it was suggested; nobody touched it for 10 min",
        ),
        (
            {"sign": "left_out", "placed_at": None},
            "the place at which it was asked for was saved without it",
        ),
        (
            {"similarity": 0.3},
            "its lines were rewritten: 30% of it is left; nobody touched it for 10 min",
        ),
    ],
)
def test_each_sign_has_its_words(paths: Paths, changes: dict[str, object], sign: str) -> None:
    with_answer(paths)
    with open_store(paths.database) as store:
        changed = replace(HELD, **changes)  # type: ignore[arg-type]  # fields of the record
        feedback.save_suggestions(store, as_redacted([changed]))
    (block,) = report.why(paths, Settings(), ID).blocks
    assert block.sign == sign


def test_the_commands_say_it_on_a_terminal(tmp_path: Path) -> None:
    terminal = Terminal(tmp_path)
    with_answer(terminal.paths)
    said = terminal.qi("log", "--why", ID[:8])
    assert said.code == 0
    assert "it stands there, as it was suggested" in said.out
    told = terminal.qi("log", "--why", ID, "--json").json
    assert (told["id"], told["blocks"][0]["fate"]) == (ID, "kept")
    assert terminal.qi("mark", ID[:8], "REJECTED").out.startswith(f"Marked {ID}: rejected.")
    wrong = terminal.qi("mark", ID, "liked")
    assert (wrong.code, wrong.out) == (2, "")
    assert "no answer" in terminal.qi("log", "--why", "01ZZZZZZZZ").err.lower()
