"""What is left of committed lines is shown: of one answer, of a client, in an export."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from qi_learn.commands.export_turns import export_turns
from qi_learn.paths import Paths
from qi_learn.records import Suggestion, Survival
from qi_learn.report import why as report
from qi_learn.report.status_lines import clients
from qi_learn.report.why import LinesLeft
from qi_learn.settings import Settings
from qi_learn.store import feedback, turns
from qi_learn.store.client_rates import client_rates
from qi_learn.store.database import open_store
from qi_learn.store.lines_left import save_survivals
from tests.support.recorded_home import a_turn
from tests.support.redacted import as_redacted

ID = "01M8GSZE0VAAX38Y19461HZM3N"


def _with(paths: Paths, survival: Survival | None, id: str = ID, client: str = "aider/1") -> None:
    with open_store(paths.ensure().database) as store:
        turns.save_turn(store, as_redacted(a_turn(id, at=100.0, client=client)))
        made = Suggestion(id, 0, "x = 1", 3, 8, state="settled", placed_at=108.0, commit="c" * 40)
        feedback.save_suggestions(store, as_redacted([made]))
        if survival is not None:
            save_survivals(store, [survival])


def _counted(id: str = ID, after_week: float | None = None) -> Survival:
    return Survival(id, 0, "c" * 40, "a.py", 8, (), 200.0, 1.0, 0.75, after_week)


def test_why_says_what_is_left_of_its_lines(paths: Paths) -> None:
    _with(paths, _counted())
    told = report.why(paths, Settings(), ID)
    assert told.blocks[0].left == LinesLeft(8, 1.0, 0.75, None)
    assert "  left        of 8 lines 100% at its commit, 75% a day later" in report.as_text(told)


@pytest.mark.parametrize("survival", [None, Survival(ID, 0)])
def test_why_says_nothing_of_lines_that_were_not_counted(
    paths: Paths, survival: Survival | None
) -> None:
    _with(paths, survival)
    told = report.why(paths, Settings(), ID)
    assert told.blocks[0].left is None
    assert "  left" not in report.as_text(told)


def test_the_export_has_what_is_left(paths: Paths, tmp_path: Path) -> None:
    _with(paths, _counted(after_week=0.5))
    export_turns(paths, tmp_path / "out.jsonl")
    (line,) = map(json.loads, (tmp_path / "out.jsonl").read_text().splitlines())
    (left,) = line["became"]["left"]
    assert (left["at_commit"], left["after_day"], left["after_week"]) == (1.0, 0.75, 0.5)


def test_a_clients_median_is_of_what_was_counted_after_a_week(paths: Paths) -> None:
    for n, share in enumerate((0.2, 0.9, 1.0, None)):
        id = f"{ID[:-1]}{n}"
        _with(paths, _counted(id, share), id)
    _with(paths, None, f"{ID[:-1]}X", "goose/2")
    with open_store(paths.database, readonly=True) as store:
        rates = client_rates(store)
    assert [(each.client, each.left) for each in rates] == [("aider", 0.9), ("goose", None)]
    aider, goose = clients(rates)
    assert aider.endswith("; 90% of their lines left a week after the commit")
    assert "left a week" not in goose
