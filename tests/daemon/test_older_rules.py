"""Before what is stored was looked through by new rules, it is compared by them all the same."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from qi_learn.paths import Paths
from qi_learn.redact import has_placeholder
from qi_learn.store import feedback
from qi_learn.store.database import open_store
from qi_learn.track.waiting import CLOSELY
from qi_learn.workspace.watcher import Watcher
from tests.daemon.test_intake import CODE, Home
from tests.support.command_line import wait_until
from tests.support.drained_spool import SECRET
from tests.support.redacted import BEFORE, as_before

KEYED = CODE + f'KEY = "{SECRET}"\n'
IN_FILE = f"import os\n\n{KEYED}\nprint(os)\n"
OTHER = "def last(values):\n    return sorted(values)[-1]\n"


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    """A home whose look through what is stored is put off: something is being forgotten."""
    paths = Paths.under(tmp_path / "home").ensure()
    paths.forgetting.write_text("{}")
    with open_store(paths.database) as store, Watcher() as watcher:
        made = Home(tmp_path, store, watcher)
        yield made
        made.intake.close()


@pytest.mark.parametrize("others", [0, CLOSELY + 1])
def test_code_with_what_is_a_secret_by_now_is_found(home: Home, others: int) -> None:
    home.ask("T1", KEYED, as_before)
    for n in range(others):
        home.ask(f"U{n}", OTHER.replace("last", f"last_{n}"), as_before)
    home.repo.write("a.py", KEYED)
    home.ticked_until(lambda: home.fate("T1").state in ("placed", "settled"))
    assert home.fate("T1").match_confidence == 1.0
    assert has_placeholder(home.fate("T1").region or "")


def test_what_was_placed_by_the_older_rules_is_not_gone(home: Home) -> None:
    home.ask("T1", KEYED, as_before)
    known = home.store.redactor
    home.store.redactor, home.intake._seen.texts = BEFORE, None
    home.repo.write("a.py", IN_FILE)
    home.ticked_until(lambda: home.fate("T1").state == "settled")
    assert SECRET in (home.fate("T1").region or "")
    home.store.redactor, home.intake._seen.texts = known, None  # the version of today
    home.ask("T2", OTHER)
    home.repo.write("a.py", f"{IN_FILE}\n{OTHER}")
    home.ticked_until(lambda: home.fate("T2").state == "settled")
    home.repo.commit("All of it")
    wait_until(lambda: home.intake.tick(home.store, time.time()) >= 0 and committed(home))
    found = feedback.load_feedback(home.store, "T1")
    assert (found.accepted, found.modified, home.fate("T1").reverted) == (True, False, False)


def committed(home: Home) -> bool:
    return all(home.fate(turn).commit is not None for turn in ("T1", "T2"))
