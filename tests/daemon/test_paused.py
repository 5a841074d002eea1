"""What happens in a pause is unknown: not kept, never a rejection; after it all goes on."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from qi_learn.ids import new_id
from qi_learn.paths import Paths
from qi_learn.records import Event, EventKind
from qi_learn.rundir.recording_pause import begin_pause, end_pause
from qi_learn.settings import CaptureSettings, Settings
from qi_learn.spool import Spool, frame
from qi_learn.store import feedback
from qi_learn.store.database import open_store
from qi_learn.store.events import events_of
from qi_learn.workspace.watcher import Watcher
from tests.daemon.test_intake import CODE, Home
from tests.support.command_line import wait_until

OTHER = "".join(f"def other_{n}(values):\n    return values[{n}] - {n}\n" for n in range(4))


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    paths = Paths.under(tmp_path / "home").ensure()
    with open_store(paths.database) as store, Watcher() as watcher:
        made = Home(tmp_path, store, watcher)
        yield made
        made.intake.close()


def seen_in_a_pause(home: Home, file: str, text: str) -> None:
    """Save a file in a pause, and wait until the daemon has passed over it."""
    begin_pause(home.paths.pause, time.time(), None)
    time.sleep(0.01)
    before = home.intake.edited
    home.repo.write(file, text)
    home.ticked_until(lambda: home.intake.edited > before and not home.intake._seen)
    time.sleep(0.01)
    end_pause(home.paths.pause, time.time())


def test_code_deleted_in_a_pause_is_unknown(home: Home) -> None:
    home.intake.settings = Settings(capture=CaptureSettings(settle=600))
    home.ask("T1")
    home.repo.write("a.py", CODE)
    home.ticked_until(lambda: home.fate("T1").state == "placed")
    seen_in_a_pause(home, "a.py", OTHER)
    assert home.fate("T1").state == "unknown"
    home.repo.write("a.py", OTHER + "x = 1\n")
    home.ask("T2", OTHER)
    home.repo.write("b.py", OTHER)
    home.ticked_until(lambda: home.fate("T2").state in ("placed", "settled"))
    found = feedback.load_feedback(home.store, "T1")
    assert (home.fate("T1").state, found.accepted) == ("unknown", None)


def test_what_was_kept_before_a_pause_stays_kept(home: Home) -> None:
    home.ask("T1")
    home.repo.write("a.py", CODE)
    home.ticked_until(lambda: home.fate("T1").state == "settled")
    seen_in_a_pause(home, "a.py", OTHER)
    home.repo.commit("After the pause")
    home.ask("T2", OTHER)
    home.repo.write("b.py", OTHER)
    home.ticked_until(lambda: home.fate("T2").state == "settled")
    assert feedback.load_feedback(home.store, "T1").accepted is True


def test_an_answer_pasted_in_a_pause_is_not_passed_by(home: Home) -> None:
    home.ask("T1")
    seen_in_a_pause(home, "a.py", CODE)
    assert home.fate("T1").state == "unknown"
    assert home.fate("T1").placed_at is None


def test_lines_of_a_pause_are_not_kept(home: Home) -> None:
    spool = Spool(home.paths.spool, "test")
    outcome = {"kind": "test", "command": "pytest", "exit_code": 0, "seconds": 1.0}
    begin_pause(home.paths.pause, time.time(), None)
    time.sleep(0.01)
    for kind in ("git", "hook", "edit"):
        spool.append(kind, {"n": 1})
    spool.append("outcome", outcome)
    spool.append("rating", {"turn": "T", "rating": 4})
    time.sleep(0.01)
    end_pause(home.paths.pause, time.time())
    time.sleep(0.01)
    spool.append("git", {"n": 2})
    spool.close()
    wait_until(
        lambda: (
            home.intake.tick(home.store, time.time()) >= 0 and bool(events_of(home.store, "git"))
        )
    )
    assert [event.body for event in events_of(home.store, "git")] == [{"n": 2}]
    expected: dict[EventKind, int] = {"hook": 0, "edit": 0, "outcome": 0, "rating": 1}
    for kind, count in expected.items():
        assert len(events_of(home.store, kind)) == count, kind


def test_a_command_of_which_a_part_was_in_a_pause_is_not_kept(home: Home) -> None:
    """It began in it, held a whole one, or ended in it: shells tell when it began."""
    now = time.time()
    for since, until in ((now - 300, now - 280), (now - 200, now - 190), (now - 100, now - 60)):
        begin_pause(home.paths.pause, since, None)
        end_pause(home.paths.pause, until)
    spool = Spool(home.paths.spool, "test")
    spans = {"begun in it": (290, 270), "around it": (205, 185), "ended in it": (110, 90)}
    spans |= {"before it": (320, 310), "between them": (250, 210), "after it": (50, 40)}
    for name, (begun, ended) in spans.items():
        spool.append_event(outcome_of(name, now - ended, float(begun - ended)), frame)
        spool.append_event(line_of_zsh(name, now - ended, float(begun - ended)), frame)
        spool.append_event(line_of_bash(name, now - begun, now - ended), frame)
    spool.close()
    wait_until(lambda: home.intake.tick(home.store, time.time()) == 9)
    kept = Counter(event.body["command"] for event in events_of(home.store, "outcome"))
    names = ("before it", "between them", "after it")
    assert kept == {f"pytest {name}": 3 for name in names}


def outcome_of(name: str, ts: float, seconds: float) -> Event:
    body = {"kind": "test", "command": f"pytest {name}", "exit_code": 0, "seconds": seconds}
    return Event(new_id(ts), "outcome", ts, "run", body, "person")


def line_of_zsh(name: str, ts: float, seconds: float) -> Event:
    body = {"line": f"pytest {name}", "code": 0, "seconds": seconds, "cwd": "/"}
    return Event(new_id(ts), "outcome", ts, "zsh", body, "person")


def line_of_bash(name: str, begin: float, end: float) -> Event:
    raw = {"begin": f"{begin:.6f}", "end": f"{end:.6f}", "code": "0", "pipes": "0", "from": "/"}
    raw |= {"to": "/", "options": "him", "shopt": "", "number": "7", "count": "1", "alone": ""}
    raw |= {"first": f"pytest {name}", "line": f"    7  pytest {name}\n", "names": "\n"}
    body = {"cwd": "/", "raw": raw}
    # its event's own time is that of the file
    return Event(new_id(end), "outcome", time.time(), "bash", body, "person")
