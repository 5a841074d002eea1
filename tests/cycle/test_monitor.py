"""After shipping: the live version and the one before it are read side by side at night, on what
was kept since; killed anywhere it goes on, and each text is read once.
"""

from __future__ import annotations

import itertools
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from qi_learn.cycle.monitor import Terms, compare_versions
from qi_learn.cycle.monitored_texts import (
    SessionTexts,
    for_a_night,
    load_sessions,
    rendered,
)
from qi_learn.cycle.night import Night, last_night, night_at, read_night, write_night
from qi_learn.dataset.examples import RenderCache, Serving, example_of
from qi_learn.dataset.select import select_learnables
from qi_learn.deploy.journal import load_deployment, require_live, update
from qi_learn.errors import Deferred
from qi_learn.gate.reading import FileReader
from qi_learn.outside.llama_cpp import load_vocabulary
from qi_learn.outside.ollama import Ollama, served_file
from qi_learn.records import Example
from qi_learn.rundir.recording_pause import begin_pause
from qi_learn.settings_file import load_settings
from qi_learn.spool import Spool
from qi_learn.store.database import open_store
from qi_learn.store.learnables import LearnableTurns
from qi_learn.store.monitored import DueSession
from tests.support.engine_server import Server
from tests.support.shipped_home import known, shipped, zone_at
from tests.support.world import World

NIGHT = "2026-11-30"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, base: Path, server: Server) -> World:
    world = World.make(tmp_path_factory.mktemp("shipped"), base, server, "monitored:latest")
    return shipped(world, server)


@pytest.fixture
def own(home: World, tmp_path: Path) -> World:
    """That home for one test alone."""
    shutil.copytree(home.root, tmp_path / "home")
    return World(tmp_path / "home", home.base, home.server, home.alias, home.tables)


def compare(
    world: World, *, night: str = NIGHT, give_way: Callable[[], None] = lambda: None, **gate: Any
) -> None:
    paths = world.paths
    if gate:
        world.change("gate", **gate)
    spool = Spool(paths.spool, "cycle")
    try:
        with Ollama(world.url) as ollama:
            terms = Terms(
                paths, load_settings(paths.settings_file, {}), ollama, spool, time.time, night,
                give_way,
            )  # fmt: skip
            compare_versions(terms)
    finally:
        spool.close()


def texts(world: World) -> dict[str, tuple[int, float, float]]:
    with open_store(world.paths.database, readonly=True) as store:
        rows = store.rows("SELECT * FROM monitored_texts")
    return {row["turn_id"]: (row["tokens"], row["live_nll"], row["previous_nll"]) for row in rows}


@pytest.fixture(scope="module")
def undisturbed(home: World, tmp_path_factory: pytest.TempPathFactory) -> World:
    """That home after a night in which nothing happened."""
    root = tmp_path_factory.mktemp("quiet") / "home"
    shutil.copytree(home.root, root)
    world = World(root, home.base, home.server, home.alias, home.tables)
    compare(world)
    assert known(world) is not None
    return world


def test_a_night_reads_every_session_under_both_files(undisturbed: World) -> None:
    world = undisturbed
    found = known(world)
    assert found is not None
    assert (found.pair.live, found.pair.previous) == ("1.1.0", "1.0.0")
    assert (found.sessions, found.texts) == (3, 6)
    assert found.tokens == sum(tokens for tokens, _, _ in texts(world).values()) > 6
    assert found.difference is not None
    assert found.worse != 1 != found.better
    night = last_night(world.paths.night)
    assert night is not None
    assert (night.done, night.untold, night.why) == (True, 0, "")
    assert found.tokens_read == night.tokens_read > 500


def test_the_numbers_are_those_of_the_gates_own_reading(undisturbed: World) -> None:
    """At the temperatures that are stored with the pair; the previous version is the base here."""
    world = undisturbed
    found = known(world)
    assert found is not None
    with Ollama(world.url) as ollama, load_vocabulary(world.base) as vocabulary:
        release = load_deployment(world.paths).live_release
        live = served_file(ollama, release.model)
        assert live is not None
        serving = Serving(ollama, release.model, release.base_digest, vocabulary, RenderCache())
        with open_store(world.paths.database, readonly=True) as store:
            due = [DueSession("any", tuple(texts(world)))]
            evidence = list(load_sessions(store, due))
        examples = rendered(evidence[0], serving, context=512).examples
        turns = [
            example_of(e, serving)
            for e in select_learnables(
                LearnableTurns(fresh=evidence[0].turns, learned=())
            ).learnables
        ]
    masks = {e.id: e.person_mask for e in turns if isinstance(e, Example)}
    for example in examples:
        parts = sum(own and not before for before, own in pairwise((False, *masks[example.id])))
        assert sum(example.person_mask) == sum(masks[example.id]) - parts
    for file, at, column in (
        (live, found.live_temperature, 1),
        (world.base, found.previous_temperature, 2),
    ):
        with FileReader(file, context=512) as reader:
            numbers = reader.nll("again", examples, at)
        read = dict(zip(numbers.ids, numbers.person_nll, strict=True))
        assert read == {id: text[column] for id, text in texts(world).items()}


def test_each_text_is_read_once(undisturbed: World, tmp_path: Path) -> None:
    shutil.copytree(undisturbed.root, tmp_path / "home")
    world = World(
        tmp_path / "home", undisturbed.base, undisturbed.server, undisturbed.alias,
        undisturbed.tables,
    )  # fmt: skip
    before = known(world)
    compare(world, night="2026-12-01")
    night = last_night(world.paths.night)
    assert known(world) == before
    assert night is not None
    assert (night.night, night.tokens_read, night.done) == ("2026-12-01", 0, True)


def test_what_a_night_may_read_goes_to_the_oldest_sessions(own: World, undisturbed: World) -> None:
    whole = last_night(undisturbed.paths.night)
    assert whole is not None
    for number in range(1, 9):
        compare(own, night=f"2026-12-0{number}", night_tokens=5000)
        night, found = last_night(own.paths.night), known(own)
        assert night is not None
        assert night.tokens_read <= 5000
        if found is not None and found.sessions == 3:
            break
    assert texts(own) == texts(undisturbed)


def test_it_gives_way_and_reads_nothing_twice(own: World, undisturbed: World) -> None:
    """At every text once, for a request; the texts of the fit are read again, which is one go."""
    calls = itertools.count()
    stops = iter(range(2, 400, 7))
    stop = next(stops)

    def give_way() -> None:
        nonlocal stop
        if next(calls) >= stop:
            stop = next(stops) + stop
            raise Deferred("A request was answered just now.")

    for _ in range(60):
        try:
            compare(own, give_way=give_way, night_tokens=400000)
            break
        except Deferred:
            continue
    assert known(own) is not None
    assert texts(own) == texts(undisturbed)


def process(world: World, *, at: int = 3) -> subprocess.Popen[bytes]:
    """The process itself, on a machine where it is `at` o'clock."""
    command = [sys.executable, "-m", "qi_learn.cycle.monitor_process", "--server", world.url]
    with (world.root / "monitor.log").open("ab") as log:
        return subprocess.Popen(
            command,
            env={**world.env, "TZ": zone_at(at)},
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


def killed_when(world: World, holds: Callable[[], bool]) -> bool:
    """Start it and kill it as soon as something holds; False if it ended first."""
    running = process(world)
    while running.poll() is None:
        if holds():
            os.killpg(running.pid, signal.SIGKILL)
            running.wait()
            return True
        time.sleep(0.001)
    assert running.returncode == 0, (world.root / "monitor.log").read_text()
    return False


def read_in(world: World) -> int:
    night = last_night(world.paths.night)
    return 0 if night is None else night.tokens_read


def reads(world: World, tokens: int) -> bool:
    return read_in(world) >= tokens


def told_in(world: World) -> bool:
    """Whether a session was reported that the store does not know yet."""
    return any(b"monitored" in file.read_bytes() for file in world.paths.spool.glob("*.jsonl"))


def test_killed_anywhere_it_goes_on_to_the_same_numbers(own: World, undisturbed: World) -> None:
    """While temperatures are fitted, between texts, and between two reports."""
    for further in (1, 500, 1000, 1500):
        before = read_in(own)
        assert killed_when(own, partial(reads, own, before + further))
    killed_when(own, partial(told_in, own))
    assert process(own).wait(60) == 0
    found, quiet = known(own), known(undisturbed)
    assert found is not None
    assert quiet is not None
    assert texts(own) == texts(undisturbed)
    assert (found.worse, found.better) == (quiet.worse, quiet.better)
    assert found.tokens_read >= quiet.tokens_read


def test_nothing_is_read_by_day_or_in_a_pause(own: World) -> None:
    assert process(own, at=12).wait(60) == 75
    begin_pause(own.paths.pause, time.time(), None)
    assert process(own).wait(60) == 75
    assert last_night(own.paths.night) is None
    assert known(own) is None


def test_nor_just_after_a_request(own: World) -> None:
    own.change("idle", quiet=10.0)
    own.paths.activity.touch()
    assert process(own).wait(60) == 75
    assert last_night(own.paths.night) is None


def test_it_is_said_why_versions_are_not_compared(own: World) -> None:
    update(own.paths, lambda now: replace(require_live(now), retired=("1.0.0",)))
    compare(own)
    night = last_night(own.paths.night)
    assert night is not None
    assert (night.done, night.why) == (True, "the model of v1.0.0 was deleted")
    assert known(own) is None


# --- the parts ------------------------------------------------------------------------------------


def a_session(name: str, *lengths: int) -> SessionTexts:
    examples = (
        Example(f"{name}{n}", "", "", "", (), tuple(range(length)), (True,) * length)
        for n, length in enumerate(lengths)
    )
    return SessionTexts(name, tuple(examples), ("gone",))


def chosen(*sessions: SessionTexts, left: int, whole: bool = True) -> list[tuple[str, int]]:
    def cost(examples: Any) -> int:
        return sum(len(e.prompt_ids) + len(e.target_ids) for e in examples)

    found = for_a_night(sessions, cost, left=left, whole=whole)
    return [(each.session, len(each.examples)) for each in found]


def test_a_night_takes_whole_sessions_in_their_order() -> None:
    a, b, c = a_session("a", 40, 40), a_session("b", 30), a_session("c", 1)
    assert chosen(a, b, c, left=200) == [("a", 2), ("b", 1), ("c", 1)]
    assert chosen(a, b, c, left=100) == [("a", 2)]  # c waits behind b
    assert chosen(a, b, c, left=70, whole=False) == []


def test_a_session_too_long_for_any_night_is_cut_to_what_one_is_enough_for() -> None:
    whole = a_session("a", *[10] * 20)
    (cut,) = for_a_night([whole], lambda es: 10 * len(es), left=100, whole=True)
    assert 5 <= len(cut.examples) <= 10
    assert len(cut.examples) + len(cut.unread) == 21


@pytest.mark.parametrize(
    ("clock", "night"),
    [("00:59", ""), ("01:00", "2026-11-30"), ("05:59", "2026-11-30"), ("06:00", ""), ("15:00", "")],
)
def test_it_is_night_between_one_and_six(clock: str, night: str) -> None:
    at = time.mktime(time.strptime(f"2026-11-30 {clock}", "%Y-%m-%d %H:%M"))
    assert night_at(at) == night


def test_what_was_read_and_not_told_is_told_in_the_next_night(tmp_path: Path) -> None:
    file = tmp_path / "night.json"
    assert read_night(file, "a") == Night("a")
    write_night(file, Night("a", tokens_read=100, told=70, done=True))
    assert read_night(file, "a").done
    following = read_night(file, "b")
    assert (following.tokens_read, following.untold, following.done) == (0, 30, False)
    file.write_text("{")  # a full disk
    assert read_night(file, "b") == Night("b")
