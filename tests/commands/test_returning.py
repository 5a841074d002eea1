"""`import jsonl` in homes that are not as the export's was: moved, left out, forgotten, paused."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from qi_learn.commands.export_turns import export_turns
from qi_learn.commands.pause import pause, resume
from qi_learn.daemon.alone import forget_alone
from qi_learn.paths import Paths
from qi_learn.records import (
    CommandResult,
    Event,
    ForgetRequest,
    LearningInteraction,
    Message,
    Suggestion,
    Turn,
)
from qi_learn.settings import CaptureSettings
from qi_learn.spool import Spool
from qi_learn.store import feedback
from qi_learn.store.command_results import save_command
from qi_learn.store.database import open_store
from qi_learn.store.events import save_event
from qi_learn.store.ratings import save_rating
from qi_learn.store.turns import save_turn
from qi_learn.workspace.registry import add_project
from tests.commands.test_import import LOGS
from tests.support.command_line import OFFLINE, Terminal
from tests.support.imported_home import ImportedHome
from tests.support.redacted import as_redacted

ASKED = Message("user", "Where does the quokka sleep, and how long does it?")
SAID = Message("assistant", "```python\nquokka = 'under a bush'\n```")
OTHER = "/gone/shop"
"""The project as the export names it."""


@pytest.fixture
def home(tmp_path: Path) -> Iterator[ImportedHome]:
    made = ImportedHome(tmp_path / "here")
    made.take_in()
    yield made
    made.close()


class Elsewhere:
    """Another home: turns of a project that was placed there, and their export."""

    def __init__(self, root: Path, project: str, at: float) -> None:
        self.root, self.project, self.at = root, project, at
        self.paths = Paths.under(root / "elsewhere").ensure()

    def turn(self, id: str, *messages: Message, answer: str = SAID.content) -> Turn:
        """A turn with a placed suggestion."""
        times = (self.at, self.at + 2.0)
        turn = Turn(id, "/api/chat", "m", "m", messages, answer, *times, project=self.project)
        with open_store(self.paths.database) as store:
            event = Event(id, "turn", turn.ended, "gateway", {}, "model", self.project)
            save_event(store, as_redacted(event), taken=self.at)
            save_turn(store, as_redacted(replace(turn, session="s")))
            placed = Suggestion(
                *(id, 0, answer, -1, -1),
                state="settled",
                file="src/a.py",
                placed_at=self.at + 9,
                settled_at=self.at + 700,
                region="quokka = 'under a bush'",
                final_text="quokka = 'under a bush'",
                similarity=1.0,
                inferred="kept",
                fate="kept",
            )
            feedback.save_suggestions(store, as_redacted([placed]))
        return turn

    def rating(self, id: str, turn: str, comment: str) -> None:
        with open_store(self.paths.database) as store:
            body = {"turn": turn, "rating": 5, "comment": comment}
            event = as_redacted(Event(id, "rating", self.at + 60, "cli", body, "person"))
            save_event(store, event, taken=self.at)
            save_rating(store, event)

    def command(self, id: str) -> None:
        with open_store(self.paths.database) as store:
            event = Event(id, "outcome", self.at + 30, "cli", {"kind": "test"}, "person")
            save_event(store, as_redacted(event), taken=self.at)
            when, where = self.at + 30, f"{self.project}/tests"
            ran = "pytest -k bush"
            result = CommandResult(id, when, self.project, "test", ran, 0, 1.0, cwd=where)
            save_command(store, as_redacted(result))

    def export(self, name: str = "turns.jsonl") -> Path:
        export_turns(self.paths, self.root / name)
        return self.root / name


@pytest.fixture
def elsewhere(tmp_path: Path, home: ImportedHome) -> Elsewhere:
    made = Elsewhere(tmp_path, OTHER, home.began)
    made.turn("T1", ASKED)
    made.rating("R1", "T1", "Good quokka.")
    made.command("C1")
    return made


def only(home: ImportedHome) -> LearningInteraction:
    (one,) = home.interactions()
    return one


def all_rows(home: ImportedHome) -> str:
    """Every row of every table."""
    with home.store() as store:
        tables = [r[0] for r in store.rows("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return repr([[tuple(r) for r in store.rows(f"SELECT * FROM {t}")] for t in tables])


def test_what_moved_is_of_the_project_where_it_lies_now(
    home: ImportedHome, elsewhere: Elsewhere
) -> None:
    file = elsewhere.export()
    said = home.bring("jsonl", file)
    assert (said.turns, said.ratings, said.commands) == (0, 0, 0)
    assert said.left_out == {
        "from no registered project": 1,
        "the result of a command, from no registered project": 1,
    }
    moved = ((Path("/gone"), home.root),)
    said = home.bring("jsonl", file, moved=moved, again=True)
    assert (said.turns, said.ratings, said.commands, said.left_out) == (1, 1, 1, {})
    home.take_in()
    one = only(home)
    assert (one.turn.project, one.turn.session) == (str(home.project), "s")
    assert (one.suggestions[0].fate, one.suggestions[0].file) == ("kept", "src/a.py")
    assert one.feedback.comment == "Good quokka."
    with home.store() as store:
        (row,) = store.rows("SELECT project, cwd FROM commands")
    assert tuple(row) == (str(home.project), str(home.project / "tests"))


def test_a_rating_given_since_comes_with_the_next_export(
    home: ImportedHome, elsewhere: Elsewhere
) -> None:
    home.bring("jsonl", elsewhere.export(), project=home.project)
    home.take_in()
    elsewhere.rating("R2", "T1", "The best.")
    home.bring("jsonl", elsewhere.export("next.jsonl"), project=home.project)
    assert home.take_in().count == 1
    assert only(home).feedback.comment == "The best."
    with home.store() as store:
        assert [r["id"] for r in store.rows("SELECT id FROM ratings ORDER BY id")] == ["R1", "R2"]


def test_of_a_file_that_is_not_to_be_looked_at_nothing_is_told(
    home: ImportedHome, elsewhere: Elsewhere
) -> None:
    (home.project / ".qi-learn-ignore").write_text("src/\n")
    home.bring("jsonl", elsewhere.export(), project=home.project)
    home.take_in()
    one = only(home)
    assert [s.state for s in one.suggestions] == ["waiting"]
    assert [s.text for s in one.suggestions] == ["quokka = 'under a bush'\n"]
    assert (one.feedback.rating, one.feedback.accepted) == (5, None)


def test_what_was_said_in_a_pause_does_not_come_by_an_export(
    home: ImportedHome, elsewhere: Elsewhere
) -> None:
    elsewhere.at = home.now + 5
    elsewhere.turn("T2", ASKED)
    pause(home.paths, None)
    said = home.bring("jsonl", elsewhere.export(), project=home.project)
    resume(home.paths)
    assert said.left_out == {"in a pause": 1}
    home.take_in()
    assert [one.turn.id for one in home.interactions()] == ["T1"]


@pytest.mark.parametrize("way", ["id", "grep", "since", "project"])
def test_what_was_forgotten_does_not_come_by_an_export_made_before(
    home: ImportedHome, elsewhere: Elsewhere, way: str
) -> None:
    elsewhere.project = str(home.project)
    elsewhere.turn("T2", replace(ASKED, content=f"{ASKED.content} And where?"))
    theirs = elsewhere.export()
    home.bring("jsonl", theirs, project=home.project)
    home.take_in()
    export_turns(home.paths, home.root / "turns.jsonl")
    assert "quokka" in all_rows(home)
    forget(home, way)
    for file in (theirs, home.root / "turns.jsonl"):
        home.bring("jsonl", file, project=home.project, again=True)
        home.take_in()
        assert home.interactions() == []
        assert "quokka" not in all_rows(home)


def forget(home: ImportedHome, way: str) -> None:
    asked = home.now + 60
    request = {
        "id": ForgetRequest(asked, ids=tuple(one.turn.id for one in home.interactions())),
        "grep": ForgetRequest(asked, grep="quokka"),
        "since": ForgetRequest(asked, since=home.began - 60),
        "project": ForgetRequest(asked, project=str(home.project)),
    }[way]
    forget_alone(home.paths, request)


@pytest.mark.parametrize("source", LOGS)
@pytest.mark.parametrize("way", ["id", "grep", "since", "project"])
def test_nor_by_its_log_whatever_it_is_said_to_be_of(
    home: ImportedHome, source: str, way: str
) -> None:
    log = home.log_of(source)
    home.bring(source, log, project=home.project)
    home.take_in()
    export_turns(home.paths, home.root / "turns.jsonl")
    forget(home, way)
    other = home.root / "other"
    other.mkdir()
    add_project(home.paths, other)
    moved = ((home.project, other),)
    for again in ({}, {"moved": moved}, {"project": other}, {"project": home.project}):
        home.bring(source, log, again=True, **again)
        home.bring("jsonl", home.root / "turns.jsonl", again=True, **again)
        home.take_in()
        assert home.interactions() == []
        assert "quokka" not in all_rows(home)


def test_a_directory_that_was_forgotten_stays_so_under_another_name(home: ImportedHome) -> None:
    forget(home, "project")
    other = home.root / "other"
    other.mkdir()
    add_project(home.paths, other)
    (home.project / "inner").mkdir()
    add_project(home.paths, home.project / "inner")
    log = home.log_of("claude")
    for again in ({}, {"moved": ((home.project, other),)}, {"project": other}):
        said = home.bring("claude", log, again=True, **again)
        assert said.left_out == {"from a project that was forgotten": 1}
    inner = Elsewhere(home.root, str(home.project / "inner"), home.began)
    inner.turn("T1", ASKED)
    home.bring("jsonl", inner.export())
    home.take_in()
    assert home.interactions() == []


@pytest.mark.parametrize("first", ["turn", "rating"])
def test_a_turn_that_sends_what_was_forgotten_leaves_no_rating_either(
    home: ImportedHome, elsewhere: Elsewhere, first: str
) -> None:
    home.bring("jsonl", elsewhere.export(), project=home.project)
    home.take_in()
    forget(home, "id")
    elsewhere.turn("T2", ASKED, SAID, Message("user", "And then?"), answer="Then it eats.")
    elsewhere.rating("R2", "T2", "A good quokka again.")
    if first == "rating":
        spool = Spool(home.paths.spool, "cli")
        spool.append("rating", {"turn": "T2", "comment": "What a quokka."}, author="person")
        spool.close()
        home.take_in()
        assert "What a quokka." in all_rows(home)
    home.bring("jsonl", elsewhere.export("next.jsonl"), project=home.project)
    assert home.take_in().forgotten > 0
    assert home.interactions() == []
    assert "quokka" not in all_rows(home)


def test_without_a_registered_project_it_may_come_as_one_of_none(
    home: ImportedHome, elsewhere: Elsewhere
) -> None:
    home.settings = replace(home.settings, capture=CaptureSettings(unregistered=True))
    assert home.bring("jsonl", elsewhere.export()).turns == 1
    home.take_in()
    assert only(home).turn.project is None


def test_a_line_whose_evidence_cannot_be_read_is_counted(
    home: ImportedHome, elsewhere: Elsewhere
) -> None:
    command, turn = map(json.loads, elsewhere.export().read_text().splitlines())
    turn["became"]["suggestions"][0]["fate"] = "loved"
    command["command"] = [1]
    file = home.root / "odd.jsonl"
    file.write_text(f"{json.dumps(command)}\n{json.dumps(turn)}\n")
    said = home.bring("jsonl", file, project=home.project)
    assert (said.turns, said.commands, said.not_understood) == (0, 0, 2)
    assert "'loved' is not one of" in said.examples[1]


def test_a_commit_that_is_an_option_of_git_does_not_come_in(
    home: ImportedHome, elsewhere: Elsewhere
) -> None:
    _, turn = map(json.loads, elsewhere.export().read_text().splitlines())
    turn["became"]["suggestions"][0]["commit"] = "--output=/tmp/written"
    file = home.root / "odd.jsonl"
    file.write_text(f"{json.dumps(turn)}\n")
    said = home.bring("jsonl", file, project=home.project)
    assert (said.turns, said.not_understood) == (0, 1)
    assert "a commit whose id is none" in said.examples[0]


def test_on_the_command_line(home: ImportedHome, elsewhere: Elsewhere) -> None:
    terminal = Terminal(home.root, OFFLINE)
    file = str(elsewhere.export())
    said = terminal.qi("import", "jsonl", file)
    assert "left out   1: from no registered project" in said.out
    said = terminal.qi("import", "jsonl", file, "--again", "--moved", OTHER, str(home.project))
    assert "told   1 result of commands" in said.out
    assert "imported   1 turn" in said.out
