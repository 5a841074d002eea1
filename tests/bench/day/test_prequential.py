"""A history played from end to end, with the product's own cycles on a tiny model."""

from __future__ import annotations

import json
import math
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from qi_learn.bench.cells import Cell, FinishedCells, code_version
from qi_learn.bench.day.day_command import DEPENDS_ON, DayOptions, run_day
from qi_learn.bench.day.day_figures import (
    CodeFigures,
    CycleFigures,
    DayFigures,
    DayReport,
    curve_of,
    difference,
    learned_from_history,
    point_of,
)
from qi_learn.bench.day.day_tables import day_summary, day_table
from qi_learn.errors import SettingsError
from tests.support.histories import releases
from tests.support.tiny_models import write_tiny_model

PACKAGE = Path(__file__).parents[3] / "qi_learn"


def code(n: int, live: float, *, tokens: int = 10, version: str = "1.0.0") -> CodeFigures:
    nll = {"live": live * tokens, "base": 2.0 * tokens, "few_shot": 1.5 * tokens}
    return CodeFigures(f"day {n // 4}", "chat", "edited", version, tokens, tokens, nll, nll)


def cycle(state: Any, after: float | None) -> CycleFigures:
    shipped = state == "deployed"
    made = CycleFigures(20, state, "", "1.0.0", 30, 1.0, ("superiority",), shipped)
    if after is None:
        return made
    codes = [
        replace(code(n, 0.0), person={"before": 10.0, "candidate": 10.0 + after}) for n in range(8)
    ]
    return made.seen(difference(codes, "candidate", "before"))


def run_of(*cycles: CycleFigures, live: float = 1.0) -> DayFigures:
    codes = [code(n, live + n / 1000) for n in range(60)]
    whole = point_of(codes)
    over = difference(codes, "live", "base"), difference(codes, "live", "few_shot")
    drawn = {"edited": 60}
    return DayFigures(
        *("small", "usual", 0, 60, 15, 0, 100, drawn, {"chat": 60}, {"python": 60}),
        *(curve_of(codes), whole, *over, None, None, cycles, "12 of 100", 1.0),
    )


def test_a_point_of_the_curve_counts_every_token_alike() -> None:
    point = point_of([code(0, 1.0, tokens=30), code(1, 2.0, tokens=10), code(2, 9.0, tokens=0)])
    assert point.person_tokens == 40
    assert point.nll["live"] == pytest.approx((30 * 1.0 + 10 * 2.0) / 40)
    assert math.isnan(point.distance["live"])
    assert [p.first for p in curve_of([code(n, 1.0) for n in range(60)])] == [1, 26, 51]


def test_what_is_learned_of_the_history_is_the_accepted_part_of_what_is_not_rejected() -> None:
    """No model wrote it: learned from, it is easier than what a person's day gives."""
    draws = {"accepted": 30, "edited": 10, "by_hand": 8, "rejected": 50}
    codes = [replace(code(0, 1.0, tokens=tokens), draw=draw) for draw, tokens in draws.items()]
    assert learned_from_history(codes) == pytest.approx(30 / 48)
    assert math.isnan(learned_from_history(codes[-1:]))
    run = replace(run_of(), learned_from_history=30 / 48)
    told = "62% of what can be learned is the history's text, accepted as an answer"
    assert told in day_table(DayReport(runs=[run]))


def test_a_difference_is_over_sessions_and_unknown_without_the_persons_tokens() -> None:
    found = difference([code(n, 1.0 + 0.01 * (n // 4)) for n in range(12)], "live", "base")
    assert found is not None
    assert (found.sessions, found.tokens) == (3, 120)
    assert found.mean == pytest.approx(-0.99)
    assert found.low < found.mean < found.high < 0
    assert difference([code(0, 1.0, tokens=0)], "live", "base") is None


def test_the_oracle_agrees_where_what_shipped_was_better_and_what_was_refused_was_not() -> None:
    report = DayReport(
        runs=[
            run_of(cycle("deployed", -1.0), cycle("refused", 1.0)),
            run_of(cycle("deployed", 1.0), cycle("refused", -1.0), cycle("refused", None)),
        ]
    )
    figures = report.figures()
    assert (figures["cycles"], figures["shipped"], figures["oracle_knows"]) == (5, 2, 4)
    assert (figures["oracle_agrees"], figures["shipped_worse"], figures["refused_better"]) == (
        *(2, 1, 1),
    )
    assert figures["better_than_both"] == 2
    assert figures["over_base_worst"] == pytest.approx(-0.97, abs=0.01)


def test_the_table_shows_the_curve_the_cycles_and_the_oracle() -> None:
    report = DayReport(runs=[run_of(cycle("refused", -1.0), cycle("refused", None))])
    text = day_table(report) + day_summary(report.figures())
    assert "26-50" in text
    assert "refused by superiority, 30 examples" in text
    assert "an oracle would ship" in text
    assert "what an oracle would do is not known" in text
    assert "oracle_agrees: 0" in text
    assert max(map(len, text.splitlines())) <= 140


def test_a_finished_run_comes_back_as_it_was(tmp_path: Path) -> None:
    alone = difference([code(0, 1.0)], "live", "base")
    made = replace(run_of(cycle("deployed", -1.0), cycle("refused", None)), over_base=alone)
    cell = Cell("small", "usual", 0, 0)
    FinishedCells(tmp_path / "days", {"code": "1"}).put(cell, made)
    found = FinishedCells(tmp_path / "days", {"code": "1"}).get(cell, DayFigures)
    assert found is not None
    assert found.cycles == made.cycles
    assert day_table(DayReport(runs=[found])) == day_table(DayReport(runs=[made]))
    assert math.isnan(found.whole.distance["live"])


def versions_with(changed: str, tmp_path: Path) -> tuple[str, str]:
    """The versions of the other benchmarks and of the day, once a file has another line."""
    copy = tmp_path / "qi_learn"
    shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    with (copy / changed).open("a") as out:
        out.write("\n# changed\n")
    told = (
        "from qi_learn.bench.cells import Cell, FinishedCells, code_version\n"
        f"print(code_version(), code_version({DEPENDS_ON!r}, day=True))"
    )
    done = subprocess.run(
        [sys.executable, "-c", told], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    learning, day = done.stdout.split()
    return learning, day


@pytest.mark.parametrize(
    ("changed", "others"),
    [
        ("bench/day/play.py", False),
        ("gate/ledger.py", False),
        ("settings.py", False),
        ("gate/temperature.py", True),
        ("dataset/suites/go.toml", True),
        ("outside/llama_cpp_nll.py", True),
    ],
)
def test_figures_outlive_what_they_do_not_depend_on(
    tmp_path: Path, changed: str, others: bool
) -> None:
    """The other benchmarks what plays a day and the gate's rules; none what measures."""
    learning, day = versions_with(changed, tmp_path)
    assert (learning != code_version()) is others
    assert day != code_version(DEPENDS_ON, day=True)


@pytest.fixture(scope="module")
def options(tmp_path_factory: pytest.TempPathFactory) -> DayOptions:
    directory = tmp_path_factory.mktemp("day")
    base = write_tiny_model(
        directory / "tiny.gguf", layers=3, width=64, feed=128, context=2048, tensor_type="Q8_0"
    )
    return DayOptions(
        repositories=[releases(directory / "small", 20)],
        fates=["usual"],
        seeds=(0,),
        most=24,
        answers=1,
        every=7,
        base=base,
        cache=directory / "cache",
        resume=None,
        part=None,
        quick=True,
    )


def test_a_history_is_played_learned_from_judged_and_not_played_again(
    options: DayOptions, capsys: pytest.CaptureFixture[str]
) -> None:
    printed: list[Any] = []
    run_day(options, printed.append, as_json=True)
    (figures,) = printed
    (run,) = figures["runs"]
    assert isinstance(run, DayFigures)
    assert (run.history, run.definitions, run.sessions) == ("small", 24, 6)
    assert sum(run.drawn.values()) == 24
    assert run.whole.person_tokens > 0
    assert all(math.isfinite(value) for value in run.whole.nll.values())
    assert run.whole.answers == 1
    assert run.cycles, run.not_yet
    first = run.cycles[0]
    assert first.state in ("deployed", "refused"), first.reason
    assert first.refused_by or first.shipped, first.reason
    assert first.oracle is not None
    before = [point for point in run.curve if point.versions == ("1.0.0",)]
    assert all(point.nll["live"] == point.nll["base"] for point in before)
    json.dumps(figures, default=str)

    assert "a cycle starts" in capsys.readouterr().err
    run_day(options, printed.append, as_json=False)
    assert "a cycle starts" not in capsys.readouterr().err, "it was played again"
    assert "small, fates usual, seed 0: 24 definitions" in printed[1]


@pytest.mark.parametrize(
    ("change", "words"),
    [({"fates": ["kind"]}, "no mix of fates `kind`"), ({"part": "7"}, "no part of a whole")],
)
def test_wrong_options_are_said_before_anything_is_played(
    options: DayOptions, change: dict[str, Any], words: str
) -> None:
    with pytest.raises(SettingsError, match=words):
        run_day(replace(options, **change), print, as_json=False)
