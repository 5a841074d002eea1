"""The log as a table, and ids by their beginning wherever an id is typed."""

from __future__ import annotations

import threading
from pathlib import Path
from unicodedata import east_asian_width

import pytest

from qi_learn.errors import EXIT_DONE, EXIT_FAILED
from qi_learn.records import EventKind, Fate, Feedback, Suggestion, SuggestionState
from qi_learn.report.turn_table import turn_table
from qi_learn.spool import Spool, spool_files
from qi_learn.store import feedback, turns
from qi_learn.store.database import open_store
from qi_learn.store.turn_lines import TurnLine, list_turns
from tests.support.command_line import Terminal
from tests.support.fake_daemon import holding_the_lock
from tests.support.recorded_home import a_turn, spool_events
from tests.support.redacted import as_redacted

TURNS = {
    "01M8GSZE0V00X38Y19461HZM3N": ("kept", Feedback(accepted=True, modified=False)),
    "01M8GSZE0VAAX38Y19461HZM3N": ("edited", Feedback(accepted=True, modified=True)),
    "01M8GT7JXP7B4BRS6S3S1XZDDR": ("rejected", Feedback(accepted=False)),
    "01M8GV09VAFDHQR44YVH5QFAS6": ("waiting", None),
    "01M8GW09VAFDHQR44YVH5QFAS7": ("-", None),
}
"""By turn: what became of it, and what was seen of that. The first two came in one second."""
LONG = "Write a function that copies a table, 日本語を含む, and one that prints it for a person."


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Terminal:
    made = Terminal(tmp_path_factory.mktemp("home"))
    made.paths.ensure()
    with open_store(made.paths.database) as store:
        for number, (id, (fate, seen)) in enumerate(TURNS.items()):
            turns.save_turn(store, as_redacted(a_turn(id, at=100.0 * number, question=LONG)))
            if fate != "-":
                state: SuggestionState = "waiting" if seen is None else "settled"
                known = None if seen is None else fate
                suggested = Suggestion(
                    *(id, 0, "x = 1", 0, 5),
                    state=state,
                    file="a.py",
                    fate=known,  # type: ignore[arg-type]  # the words of the table are fates
                )
                feedback.save_suggestions(store, as_redacted([suggested]))
            if seen is not None:
                feedback.save_implicit(store, id, as_redacted(seen))
    return made


def test_the_log_fits_a_terminal_and_has_a_heading(home: Terminal) -> None:
    lines = home.screen("log", columns=80)
    assert len(lines) == 1 + len(TURNS)
    assert lines[0].split() == ["ID", "WHEN", "FATE", "RATED", "SCORE", "QUESTION"]
    assert all(len(line) <= 80 for line in lines)
    assert "MODEL" in home.screen("log", columns=120)[0]


@pytest.mark.parametrize("columns", [44, 50, 63, 64, 79, 80, 100, 109, 110, 160])
def test_no_terminal_cuts_an_id_or_a_fate(home: Terminal, columns: int) -> None:
    turns = home.qi("log", "--json").json["turns"]
    shown = [line.split() for line in turn_table(_lines(home), columns)]
    assert all(_cells(line) <= columns for line in turn_table(_lines(home), columns))
    assert [words[0] for words in shown] == ["ID", *(turn["short"] for turn in turns)]
    fates = [fate for fate, _ in TURNS.values()]
    assert [words[2] for words in shown[1:]] == list(reversed(fates))
    assert all(len(words) > 3 for words in shown), "some of the question is there"


def _lines(home: Terminal) -> list[TurnLine]:
    with open_store(home.paths.database, readonly=True) as store:
        return list_turns(store, limit=20)


def _cells(line: str) -> int:
    return sum(2 if east_asian_width(sign) in "WF" else 1 for sign in line)


def test_a_question_without_words_is_not_left_blank(tmp_path: Path) -> None:
    terminal = Terminal(tmp_path)
    with open_store(terminal.paths.ensure().database) as store:
        turn = a_turn(next(iter(TURNS)), at=100.0, question="\n")
        turns.save_turn(store, as_redacted(turn))
    assert terminal.qi("log").out.splitlines()[1].endswith("(no words)")


def test_the_log_says_what_became_of_each_answer(home: Terminal) -> None:
    listed = home.qi("log", "--json").json["turns"]
    assert [(t["id"], t["fate"], t["state"]) for t in reversed(listed)] == [
        (id, (seen and fate) or ("unknown" if fate == "waiting" else None), state)
        for (id, (fate, seen)), state in zip(
            TURNS.items(), ("settled", "settled", "settled", "waiting", None), strict=True
        )
    ]
    shown = [line.split() for line in home.qi("log").out.splitlines()[1:]]
    assert [words[2] for words in reversed(shown)] == [fate for fate, _ in TURNS.values()]


def test_the_ids_that_are_listed_name_their_turns(home: Terminal) -> None:
    short = [turn["short"] for turn in home.qi("log", "--json").json["turns"]]
    assert [len(id) for id in short] == [8, 8, 8, 11, 11]
    for id, given in zip(reversed(TURNS), short, strict=True):
        for form in (given, given.lower()):
            assert home.qi("explain", form).out.startswith(f"turn {id}\n")
    assert home.qi("explain", "last").out.startswith(f"turn {list(TURNS)[-1]}\n")


def test_the_beginning_of_several_ids_names_none(home: Terminal) -> None:
    for words in (["explain", "01M8GSZE"], ["rate", "01M8GSZE", "4"]):
        said = home.qi(*words)
        assert (said.code, said.out) == (EXIT_FAILED, "")
        assert all(id in said.err for id in list(TURNS)[:2])
        assert "Give one more letter" in said.err
    for words in (["rate", "01M8GT7", "4"], ["forget", "--dry-run", "01M8GT7"]):
        said = home.qi(*words)
        assert said.code == EXIT_FAILED
        assert "the first 8 letters of one are enough, fewer are not" in said.err
    said = home.qi("explain", "01M8GS")
    assert (said.code, "eight letters" in said.err) == (EXIT_FAILED, True)
    assert spool_events(home.paths) == []


def test_a_rating_takes_the_beginning_of_an_id(tmp_path: Path) -> None:
    terminal = Terminal(tmp_path)
    spool = Spool(terminal.paths.ensure().spool, "gateway")
    waiting = spool.append("turn", {"request": "{}"})
    spool.close()
    with open_store(terminal.paths.database) as store:
        turns.save_turn(store, as_redacted(a_turn(next(iter(TURNS)), at=100.0)))
    for given, id in ((waiting[:12].lower(), waiting), ("01m8gszE", next(iter(TURNS)))):
        assert terminal.qi("rate", given, "4").out.startswith(f"Rated {id}: 4 of 5.")
    assert [e["body"]["turn"] for e in spool_events(terminal.paths)[1:]] == [
        waiting,
        next(iter(TURNS)),
    ]


def test_answers_that_wait_for_the_daemon_are_told(tmp_path: Path) -> None:
    terminal = Terminal(tmp_path)
    with open_store(terminal.paths.ensure().database):
        pass
    spool = Spool(terminal.paths.spool, "gateway")
    kinds: tuple[EventKind, ...] = ("turn", "hook", "turn")
    for kind in kinds:
        spool.append(kind, {"request": '{"kind":"turn"}'})
    spool.close()
    told = "2 answers wait and are listed once the daemon runs: `qi-learn daemon start`.\n"
    assert terminal.qi("log").out == told
    assert terminal.qi("log", "--json").json["waiting"] == 2
    with holding_the_lock(terminal.paths):  # a daemon is at work on them
        assert terminal.qi("log").out == "2 answers are taken in now.\n"
    terminal.paths.database.unlink()
    said = terminal.qi("log")
    assert (said.code, "2 answers wait" in said.err) == (EXIT_FAILED, True)


def test_the_log_waits_a_moment_for_an_answer_that_is_just_taken_in(tmp_path: Path) -> None:
    """`qi-learn log` right after the answer: what was asked a second ago is in it."""
    terminal = Terminal(tmp_path)
    with open_store(terminal.paths.ensure().database):
        pass
    spool = Spool(terminal.paths.spool, "gateway")
    spool.append("turn", {"request": '{"kind":"turn"}'})
    spool.close()

    def take_in() -> None:
        with open_store(terminal.paths.database) as store:
            turns.save_turn(store, as_redacted(a_turn("T1", at=100.0, question="What is it?")))
        for file in spool_files(terminal.paths.spool):
            file.unlink()

    with holding_the_lock(terminal.paths):
        taking = threading.Timer(0.5, take_in)
        taking.start()
        told = terminal.qi("log").out
        taking.join()
    assert "What is it?" in told
    assert "taken in" not in told


def test_with_a_database_and_no_answer_there_is_nothing_to_rate(tmp_path: Path) -> None:
    terminal = Terminal(tmp_path)
    with open_store(terminal.paths.ensure().database):
        pass
    said = terminal.qi("rate", "5")
    assert (said.code, said.out, "nothing to rate" in said.err) == (EXIT_FAILED, "", True)
    assert spool_events(terminal.paths) == []


@pytest.mark.parametrize("stars", ["-1", "-5"])
def test_a_number_below_one_is_a_rating_that_is_wrong(tmp_path: Path, stars: str) -> None:
    said = Terminal(tmp_path).qi("rate", stars)
    assert (said.code, "a rating is a whole number from 1 to 5" in said.err) == (2, True)


def test_the_question_that_is_rated_is_named(home: Terminal) -> None:
    said = home.qi("rate", "4")
    assert (said.code, '("Write a function that' in said.out) == (EXIT_DONE, True)


def test_an_explanation_of_the_last_answer_says_that_a_newer_one_waits(tmp_path: Path) -> None:
    terminal = Terminal(tmp_path)
    with open_store(terminal.paths.ensure().database) as store:
        turns.save_turn(store, as_redacted(a_turn(next(iter(TURNS)), at=100.0)))
    assert "newer" not in terminal.qi("explain", "last").out
    spool = Spool(terminal.paths.spool, "gateway")
    spool.append("turn", {"request": "{}"})
    spool.close()
    said = terminal.qi("explain", "last").out.splitlines()
    assert said[:2] == [
        f"turn {next(iter(TURNS))}",
        "  newer       1 answer waits and is newer than this: `qi-learn daemon start`",
    ]
    assert terminal.qi("explain", "last", "--json").json["records"]["waiting"] == 1
    assert "newer" not in terminal.qi("explain", next(iter(TURNS))).out


def test_without_an_answer_there_is_no_last_one_to_explain(tmp_path: Path) -> None:
    terminal = Terminal(tmp_path)
    terminal.paths.ensure()
    for _ in range(2):  # without a database, and with an empty one
        said = terminal.qi("explain", "last")
        assert (said.code, said.out) == (EXIT_FAILED, "")
        assert "No answer was recorded yet: there is nothing to explain." in said.err
        with open_store(terminal.paths.database):
            pass
    assert "An empty word is no turn, run or version." in terminal.qi("explain", "").err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("log", "--project", "/nowhere/at-all"), "/nowhere/at-all is no directory, and no answer"),
        (("log", "-n", "x"), "'x' is not a whole number from 1 on."),
        (("log", "-n", "0"), "'0' is not a whole number from 1 on."),
        (
            ("rate", "5", "--correction", "nofile.py"),
            "nofile.py cannot be read: No such file or directory.\n",
        ),
    ],
)
def test_what_cannot_be_meant_is_said_in_words(
    home: Terminal, words: tuple[str, ...], told: str
) -> None:
    said = home.qi(*words)
    assert (said.code != EXIT_DONE, said.out) == (True, "")
    assert told in said.err
    assert "Errno" not in said.err


def _fate(state: SuggestionState, seen: Feedback) -> Fate | None:
    """What became of a suggestion in this state, of an answer of which that was seen."""
    if state != "settled":
        return "unknown" if state == "unknown" else None
    return ("edited" if seen.modified else "kept") if seen.accepted else "rejected"


@pytest.mark.parametrize(
    ("states", "seen", "word", "explained"),
    [
        (("placed", "waiting"), Feedback(), "placed", "not known yet"),
        (("waiting", "waiting"), Feedback(), "waiting", "not known yet"),
        (("unknown", "waiting"), Feedback(), "waiting", "not known yet"),
        (("settled", "placed"), Feedback(accepted=False), "placed", "not known yet"),
        (("settled", "waiting"), Feedback(accepted=True, modified=False), "kept", "kept as it was"),
        (("settled", "placed"), Feedback(accepted=True, modified=True), "edited", "and edited"),
        (("settled", "waiting"), Feedback(accepted=False), "unknown", "not known yet"),
        (("settled", "unknown"), Feedback(accepted=False), "rejected", "not kept"),
        (("unknown", "unknown"), Feedback(), "unknown", "not known\n"),
    ],
)
def test_of_several_blocks_the_log_and_the_explanation_say_the_same(
    tmp_path: Path,
    states: tuple[SuggestionState, ...],
    seen: Feedback,
    word: str,
    explained: str,
) -> None:
    terminal, id = Terminal(tmp_path), next(iter(TURNS))
    with open_store(terminal.paths.ensure().database) as store:
        turns.save_turn(store, as_redacted(a_turn(id, at=100.0)))
        blocks = [
            Suggestion(
                *(id, n, f"x = {n}", n, n + 1),
                state=state,
                file="a.py",
                fate=_fate(state, seen),
            )
            for n, state in enumerate(states)
        ]
        feedback.save_suggestions(store, as_redacted(blocks))
        feedback.save_implicit(store, id, as_redacted(seen))
    assert terminal.qi("log").out.splitlines()[1].split()[2] == word
    fate = terminal.qi("explain", id).out.split("\n  fate ")[1].split("\n")[0] + "\n"
    assert explained in fate
