"""What was played is recorded as the product records it, and counts as it would count."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from qi_learn.bench.day.forms import ServedForms
from qi_learn.bench.day.home import DayHome
from qi_learn.bench.day.play import MIXES, Played, plan, play
from qi_learn.cycle.trigger import judge
from qi_learn.dataset.select import select_learnables
from qi_learn.deploy.model_server import ModelServer
from qi_learn.paths import Paths
from qi_learn.settings import Settings
from qi_learn.store.candidates import fresh_count
from qi_learn.store.database import open_store
from qi_learn.store.feedback import rejected_turns
from qi_learn.store.learnables import learnable_turns
from qi_learn.store.turns import load_turn
from tests.support.histories import written


@pytest.fixture
def home(tmp_path: Path) -> Iterator[DayHome]:
    paths = Paths.under(tmp_path).ensure()
    with open_store(paths.database) as store:
        yield DayHome(tmp_path, paths, Settings(), ModelServer("", True, None), store)


@pytest.fixture
def played() -> list[Played]:
    codes = [written(n, before=True) for n in range(40)]
    made = plan(codes, MIXES["usual"], ServedForms(False, True), seed=0)
    return [play(one, "qi-agent:v1.0.0", lambda _: "") for one in made]


def test_edited_and_written_by_hand_is_the_persons_accepted_is_kept_and_rejected_is_nothing(
    home: DayHome, played: list[Played]
) -> None:
    home.take_in(played)
    judge(home.store, home.settings)
    counted = fresh_count(home.store, threshold=0.7, learned_runs=())
    draws = Counter(one.draw for one in played)
    assert counted.own == draws["edited"] + draws["by_hand"] == 14
    assert counted.kept == draws["accepted"] == 20
    rejected = {one.turn.id for one in played if one.draw == "rejected"}
    assert set(rejected_turns(home.store)) == rejected


def test_what_is_learned_of_each_is_the_historys_text(home: DayHome, played: list[Played]) -> None:
    home.take_in(played)
    turns = learnable_turns(home.store, threshold=0.7, learned=set())
    found = {one.id: one for one in select_learnables(turns).learnables}
    for one in played:
        if one.draw == "rejected":
            assert one.turn.id not in found
            continue
        target = found[one.turn.id].target
        assert one.planned.truth.strip() in (target.text, *target.arguments)[-1]
        assert found[one.turn.id].own == (one.draw in ("edited", "by_hand"))


def test_a_turn_is_of_the_historys_time_and_session(home: DayHome, played: list[Played]) -> None:
    home.take_in(played)
    for one in played:
        turn = load_turn(home.store, one.turn.id)
        assert (turn.started, turn.session) == (one.planned.at, one.planned.code.session)
