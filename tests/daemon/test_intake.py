"""Rounds of the intake: what cannot be understood is set aside, and what is not due costs nothing.

Real files, a real repository, a real database; the watcher is the operating system's.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from qi_learn.daemon.following import follow_save
from qi_learn.daemon.intake import Intake
from qi_learn.paths import Paths
from qi_learn.records import CommandResult, Message, Suggestion, Turn
from qi_learn.settings import CaptureSettings, Settings
from qi_learn.store import command_results, feedback, score_queue, turns
from qi_learn.store.database import Store, open_store
from qi_learn.track.suggestions import suggestions_of
from qi_learn.track.waiting import CLOSELY
from qi_learn.workspace.changes import FileSaved
from qi_learn.workspace.clock_watch import ClockWatch
from qi_learn.workspace.file_history import FileHistory
from qi_learn.workspace.registry import add_project
from qi_learn.workspace.watcher import Watcher
from tests.support.command_line import wait_until
from tests.support.redacted import as_before, as_redacted
from tests.support.repository import Repository

CODE = (
    "def mean(values):\n    total = 0\n    for value in values:\n        total += value\n"
    "    return total / len(values)\n"
)
DEEP = {
    "sum.py": "x = (\n" + "    a0 +\n" * 3000 + "    1)\n",
    "terms.py": "x = " + " + ".join(['"a"'] * 1000) + "\n",
    "calls.py": "x = a" + ".f()" * 500 + "\n",
    "blocks.py": "".join(" " * i + "if a:\n" for i in range(1000)) + " " * 1000 + "pass\n",
}


class Home:
    """A home with one project under watch."""

    def __init__(self, root: Path, store: Store, watcher: Watcher) -> None:
        self.store = store
        self.repo = Repository(root / "project")
        self.repo.write("main.py", "import os\n")
        self.repo.commit("Begin")
        self.paths = Paths.under(root / "home")
        add_project(self.paths, self.repo.root)
        self.intake = Intake(self.paths, Settings(capture=CaptureSettings(settle=0.1)), watcher)
        self.intake.tick(store, time.time())

    def ask(self, id: str, code: str = CODE, stored: Callable[[Any], Any] = as_redacted) -> str:
        now = time.time()
        turn = Turn(
            *(id, "/api/chat", "m", "m", (Message("user", "Write it."),)),
            f"```python\n{code}```",
            started=now - 1,
            ended=now - 0.5,
            project=str(self.repo.root),
        )
        turns.save_turn(self.store, stored(turn))
        feedback.save_suggestions(self.store, stored(suggestions_of(turn)))
        self.restart()
        return id

    def restart(self) -> None:
        """As after a restart, the next round takes up what the database has."""
        self.intake._begun = False

    def ticked_until(self, holds: Callable[[], bool]) -> None:
        wait_until(lambda: self.intake.tick(self.store, time.time()) >= 0 and holds())

    def fate(self, turn: str) -> Suggestion:
        return feedback.suggestions_of(self.store, turn)[0]


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    paths = Paths.under(tmp_path / "home").ensure()
    with open_store(paths.database) as store, Watcher() as watcher:
        made = Home(tmp_path, store, watcher)
        yield made
        made.intake.close()


@pytest.mark.parametrize("name", DEEP)
def test_deep_sources_are_followed(home: Home, name: str) -> None:
    home.ask("T1")
    home.repo.write(name, f"{DEEP[name]}\n\n{CODE}")
    home.ticked_until(lambda: home.fate("T1").state != "waiting")
    assert (home.fate("T1").file, home.intake.set_aside) == (name, ())


def test_a_file_that_cannot_be_understood_keeps_no_other_waiting(home: Home) -> None:
    home.ask("T1")
    with open(os.fsencode(home.repo.root) + b"/caf\xe9.py", "w") as file:
        file.write(CODE)
    home.ticked_until(lambda: any(state.set_aside for state in home.intake.watching()))
    home.ask("T2", CODE.replace("mean", "average"))
    home.repo.write("other.py", CODE.replace("mean", "average"))
    home.ticked_until(lambda: home.fate("T2").state == "settled")


def test_a_row_that_cannot_be_read_is_set_aside_once(home: Home) -> None:
    home.ask("T1")
    home.ask("T2")
    home.store.execute("UPDATE suggestions SET before = 'no json' WHERE turn_id = 'T1'")
    home.ticked_until(lambda: feedback.dirty_turns(home.store) == [])
    assert feedback.load_score(home.store, "T2").signals != ()  # type: ignore[union-attr]
    assert "could not be scored" in feedback.load_score(home.store, "T1").target_reasons[0]  # type: ignore[union-attr]
    assert [(s.kind, s.count, s.name) for s in home.intake.set_aside] == [("score", 1, "T1")]


def test_facts_are_found_once_and_a_result_scores_only_what_it_changes(home: Home) -> None:
    now = time.time()
    for id in ("T1", "T2"):
        home.ask(id, CODE.replace("mean", f"mean_{id}"))
        placed = feedback.suggestions_of(home.store, id)[0]
        feedback.save_suggestions(
            home.store,
            as_redacted(
                [
                    Suggestion(
                        *(id, 0, placed.text, placed.start, placed.end, "python", "settled"),
                        file="main.py",
                        region="x" if id == "T1" else None,
                        placed_at=now,
                        touched_at=now,
                        settled_at=now,
                    )
                ]
            ),
        )
    home.ticked_until(lambda: feedback.dirty_turns(home.store) == [])
    facts = score_queue.load_facts(home.store, "T1")
    scores = [feedback.load_score(home.store, id) for id in ("T1", "T2")]
    root = str(home.repo.root)
    for n in (1, 2):
        ran = CommandResult(f"C{n}", now + n, root, "test", "pytest", 0, 0.5, cwd=root)
        command_results.save_command(home.store, as_redacted(ran))
        home.restart()
        home.ticked_until(lambda: not home.intake.pending)
        again = [feedback.load_score(home.store, id) for id in ("T1", "T2")]
        assert again[1] == scores[1], "it has no text there: no result speaks for it"
        if n == 1:
            assert feedback.load_outcome(home.store, "T1").tests_pass is True
            assert again[0] != scores[0]
            scores = again
        assert again[0] == scores[0], "the second pass changes nothing"
    assert score_queue.load_facts(home.store, "T1") == facts


def test_a_round_with_nothing_due_asks_the_database_nothing(home: Home) -> None:
    home.ask("T1")
    home.restart()
    home.ticked_until(lambda: not home.intake.pending)
    asked: list[str] = []
    home.store.conn.set_trace_callback(asked.append)
    for _ in range(5):
        assert home.intake.tick(home.store, time.time()) == 0
    assert asked == []
    assert home.intake.next_due(time.time()) > 30  # leftovers in the spool are swept each minute


def test_a_turn_of_a_directory_that_is_not_registered_has_no_context(home: Home) -> None:
    assert home.intake._projects.hold(str(home.repo.root / "below"))
    assert not home.intake._projects.hold(str(home.repo.root.parent))


@pytest.mark.parametrize("jump", [-7200.0, 7200.0])
def test_a_clock_that_is_set_changes_no_age(home: Home, jump: float) -> None:
    """By two hours, both ways, after an answer was pasted and before it is settled."""
    clock = [time.time(), 0.0]
    home.intake.clock = ClockWatch(lambda: clock[1])

    def tick(seconds: float) -> None:
        clock[0], clock[1] = clock[0] + seconds, clock[1] + seconds
        home.intake.tick(home.store, clock[0])

    home.intake.settings = Settings(capture=CaptureSettings(settle=600))
    home.ask("T1")
    home.ask("T2", CODE.replace("mean", "average"))
    placed = feedback.suggestions_of(home.store, "T2")[0]
    at = clock[0]
    standing = replace(
        placed, state="placed", file="main.py", region="x", placed_at=at, touched_at=at
    )
    feedback.save_suggestions(home.store, as_redacted([standing]))
    tick(1)
    clock[0] += jump
    tick(1)
    head = turns.load_head(home.store, "T1")
    assert clock[0] - head.ended == pytest.approx(2.5, abs=1)
    history = FileHistory("", window=7200)
    path = home.repo.write("new.py", CODE)
    saved = FileSaved(str(home.repo.root), path, CODE, history.record(clock[0], CODE))
    follow_save(home.store, saved, history, home.intake.settings.capture, clock[0])
    assert home.fate("T1").state == "placed"
    tick(300)
    assert home.fate("T2").state == "placed", "not settled early"
    tick(310)
    assert home.fate("T2").state == "settled", "nor late"


def test_answers_in_the_future_at_the_start_count_as_new(home: Home) -> None:
    home.ask("T1")
    home.store.execute("UPDATE turns SET started = started + 7200, ended = ended + 7200")
    now = time.time()
    home.intake.tick(home.store, now)
    assert turns.load_head(home.store, "T1").ended == pytest.approx(now, abs=1)


def test_what_waits_is_known_by_what_it_says_after_a_look_through(home: Home) -> None:
    """It was stored before its secret was known, and said more then than the file says."""
    secret = "ghp_" + "aB3dE5fG7hJ9kL1mN2pQ4rS6tU8vW0xY1zA2"
    codes = [f'key_{n} = "{secret}"\nuse(key_{n}, "{secret}")\n' for n in range(CLOSELY + 20)]
    watched = time.time()
    home.ticked_until(home.paths.redaction_rules.exists)
    wait_until(lambda: time.time() > watched + 1.5)  # all is asked while it is watched
    for n, code in enumerate(codes):
        home.ask(f"T{n}", code, stored=as_before)
    home.repo.write("other.py", "import os\nimport sys\nimport json\nimport time\n")
    home.ticked_until(lambda: home.store.row("SELECT 1 FROM saves") is not None)  # not in it
    home.paths.redaction_rules.unlink()
    home.ticked_until(home.paths.redaction_rules.exists)
    assert secret not in home.fate("T5").text
    home.ticked_until(lambda: not feedback.dirty_turns(home.store))  # and is scored by that
    home.repo.write("keys.py", codes[5])
    home.ticked_until(lambda: home.fate("T5").state != "waiting")
    assert home.fate("T5").file == "keys.py"
