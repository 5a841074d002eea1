"""Completions of which an editor says that they were taken, or taken and undone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from qi_learn.capture.wire import decode
from qi_learn.records import Message
from qi_learn.settings import CaptureSettings
from qi_learn.store.event_intake import DrainMemory
from qi_learn.store.ingest import Drained, drain
from qi_learn.track.suggestions import suggestions_of
from tests.support.editor_lines import taken_line, write_lines
from tests.support.tracked_code import FILE, MARK, World

BEFORE, AFTER = FILE.split(MARK)
HEAD = "def mean(values):\n"
SHORT = "sum(values)"


def ask(world: World, answer: str, *, typed: str = "    return ", **more: Any) -> str:
    prompt = f"<|fim_prefix|>{BEFORE}{HEAD}{typed}<|fim_suffix|>\n{AFTER}<|fim_middle|>"
    given: dict[str, Any] = {
        "fenced": False,
        "endpoint": "/api/generate",
        "messages": (Message("prompt", prompt),),
        "request": {"raw": True},
    }
    return world.ask(answer, **{**given, **more})


def with_line(line: str) -> str:
    return f"{BEFORE}{HEAD}{line}\n{AFTER}"


class Editor:
    """An editor that writes to a spool, and the daemon's end of it."""

    def __init__(self, world: World, spool: Path) -> None:
        self.world, self.spool = world, spool
        self.memory = DrainMemory(world.store)

    def take(self, text: str, *, lead: str = "    return ", **more: Any) -> Drained:
        file = self.world.repo.root / "stats.py"
        given = {"lead": lead, "above": HEAD, "ts": self.world.now, **more}
        write_lines(self.spool, taken_line(file, text, **given))
        return self.drain()

    def drain(self) -> Drained:
        return drain(
            self.world.store,
            self.spool,
            decode=decode,
            suggest=suggestions_of,
            now=self.world.now,
            memory=self.memory,
        )


@pytest.fixture
def editor(world: World, tmp_path: Path) -> Editor:
    return Editor(world, tmp_path / "spool")


def test_a_completion_of_three_tokens_is_found_in_the_file_in_which_it_was_taken(
    world: World, editor: Editor
) -> None:
    turn = ask(world, SHORT)
    drained = editor.take(SHORT)
    assert (drained.count, drained.bad, drained.heard) == (1, 0, (turn,))
    assert (world.fate(turn).said, world.fate(turn).fate) == ("accepted", None)
    world.save("stats.py", with_line(f"    return {SHORT}"))
    placed = world.fate(turn)
    assert (placed.match_method, placed.region) == ("path", f"    return {SHORT}")
    world.commit()
    assert (world.fate(turn).fate, world.fate(turn).final_text) == ("kept", SHORT)


LONG = "math.fsum(map(abs, values)) / max(1, len(values))"


def test_what_was_taken_in_one_file_is_not_looked_for_in_another(
    world: World, editor: Editor
) -> None:
    turn = ask(world, LONG)
    editor.take(LONG)
    world.begin("other.py", FILE)
    world.save("other.py", with_line(f"    return {LONG}"))
    assert world.fate(turn).placed_at is None
    world.save("stats.py", with_line(f"    return {LONG}"))
    assert world.fate(turn).file == "stats.py"


def test_what_the_person_went_on_with_on_the_line_is_found_by_likeness(
    world: World, editor: Editor
) -> None:
    turn = ask(world, LONG)
    editor.take(LONG)
    world.save("stats.py", with_line(f"    return {LONG} + 1"))
    world.commit()
    assert (world.fate(turn).fate, world.fate(turn).final_text) == ("edited", f"{LONG} + 1")


def test_a_turn_that_cannot_be_read_holds_no_sign_up(world: World, editor: Editor) -> None:
    damaged = ask(world, "max(values)")
    world.store.execute("UPDATE turns SET request = '{' WHERE id = ?", (damaged,))
    turn = ask(world, SHORT)
    assert editor.take(SHORT).heard == (turn,)


def test_without_the_editor_it_is_too_short_to_be_found(world: World) -> None:
    turn = ask(world, SHORT)
    world.save("stats.py", with_line(f"    return {SHORT}"))
    assert world.fate(turn).placed_at is None


def test_what_was_taken_is_kept_if_no_file_says_otherwise(world: World, editor: Editor) -> None:
    turn = ask(world, SHORT)
    editor.take(SHORT)
    world.work(CaptureSettings().window + 61)
    assert (world.fate(turn).state, world.fate(turn).fate) == ("unknown", "kept")


def test_what_was_taken_and_undone_in_the_file_is_rejected(world: World, editor: Editor) -> None:
    turn = ask(world, SHORT)
    editor.take(SHORT)
    world.save("stats.py", with_line(f"    return {SHORT}"))
    world.save("stats.py", with_line("    raise NotImplementedError"))
    world.commit()
    assert world.fate(turn).fate == "rejected"


def test_one_that_was_undone_in_the_editor_is_rejected_and_taken_again_is_open(
    world: World, editor: Editor
) -> None:
    turn = ask(world, SHORT)
    editor.take(SHORT)
    editor.take(SHORT, said="declined")
    assert world.fate(turn).fate == "rejected"
    editor.take(SHORT)
    assert (world.fate(turn).said, world.fate(turn).fate) == ("accepted", None)


def test_the_part_that_the_person_did_not_type_is_enough(world: World, editor: Editor) -> None:
    turn = ask(world, SHORT)
    assert editor.take(SHORT[3:], lead="    return sum").heard == (turn,)


def test_of_two_that_fit_the_one_that_was_asked_for_there_is_meant(
    world: World, editor: Editor
) -> None:
    early = ask(world, SHORT)
    late = ask(world, SHORT[2:], typed="    return su")
    assert editor.take(SHORT[2:], lead="    return su").heard == (late,)
    assert world.fate(early).said is None


@pytest.mark.parametrize(
    ("text", "more"),
    [
        ("max(values)", {}),
        (SHORT, {"lead": "    total = "}),
        (SHORT, {"above": "def median(values):"}),
    ],
)
def test_another_text_or_place_says_nothing(
    world: World, editor: Editor, text: str, more: dict[str, str]
) -> None:
    turn = ask(world, SHORT)
    assert editor.take(text, **more).heard == ()
    assert world.fate(turn).said is None


def test_what_fits_two_questions_says_nothing(world: World, editor: Editor) -> None:
    prompt = f"<|fim_prefix|># other\n{HEAD}    return <|fim_suffix|>\n<|fim_middle|>"
    ask(world, SHORT)
    ask(world, SHORT, messages=(Message("prompt", prompt),))
    assert editor.take(SHORT).heard == ()


def test_of_one_question_asked_twice_the_newest_answer_is_meant(
    world: World, editor: Editor
) -> None:
    ask(world, SHORT)
    newest = ask(world, SHORT)
    assert editor.take(SHORT).heard == (newest,)


def test_a_sign_that_comes_before_its_turn_waits_for_it(world: World, editor: Editor) -> None:
    world.now += 1
    assert editor.take(SHORT, ts=world.now - 1).heard == ()
    turn = ask(world, SHORT)
    assert editor.drain().heard == (turn,)
    assert editor.drain().heard == ()


def test_a_sign_does_not_wait_for_ever(world: World, editor: Editor) -> None:
    editor.take(SHORT)
    world.now += 61
    editor.drain()
    world.now -= 61
    ask(world, SHORT)
    assert editor.drain().heard == ()


def test_one_that_was_cut_while_it_was_read_ends_where_it_was_taken(
    world: World, editor: Editor
) -> None:
    turn = ask(world, f"{SHORT}  # of all\n    # and mo", cancelled=True, complete=False)
    editor.take(SHORT)
    assert world.fate(turn).text == SHORT
    world.save("stats.py", with_line(f"    return {SHORT}"))
    world.commit()
    assert (world.fate(turn).fate, world.fate(turn).final_text) == ("kept", SHORT)


def test_no_text_and_no_file_of_a_sign_stays_in_the_event(world: World, editor: Editor) -> None:
    ask(world, SHORT)
    editor.take(SHORT)
    (row,) = world.store.rows("SELECT body FROM events WHERE kind = 'sign'")
    assert row["body"] == '{"said":"accepted","by":"minuet"}'


@pytest.mark.parametrize(
    "wrong",
    [
        {"said": "kept"},
        {"file": None},
        {"text": "sum(values)"},
        {"bytes": 2},
        {"lead": None},
    ],
)
def test_a_line_of_another_form_is_set_aside(
    world: World, editor: Editor, wrong: dict[str, Any]
) -> None:
    ask(world, SHORT)
    assert editor.take(SHORT, wrong=wrong).bad == 1


def test_what_is_told_of_a_pause_is_not_kept(world: World, tmp_path: Path) -> None:
    editor = Editor(world, tmp_path / "spool")
    editor.memory = DrainMemory(world.store, paused=lambda _first, _last: True)
    turn = ask(world, SHORT)
    assert editor.take(SHORT).count == 0
    assert world.fate(turn).said is None
