"""The daemon with everything it starts: engine and gateway. Evidence comes in through the gateway,
files and commits.

All of it real: the processes, the traffic, a git repository. Only the model is tiny.
"""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from qi_learn.daemon import client
from qi_learn.daemon.daemon import Daemon
from qi_learn.daemon.intake import Intake
from qi_learn.deploy.journal import load_deployment
from qi_learn.errors import DaemonError, StoreError
from qi_learn.paths import Paths
from qi_learn.store import feedback, turn_lines, turns
from qi_learn.store.database import Store, open_store
from qi_learn.workspace.registry import add_project
from qi_learn.workspace.watcher import Watcher
from tests.support.command_line import wait_until
from tests.support.daemon_process import free_port, qi, record_turns
from tests.support.repository import Repository
from tests.support.world import World, steps


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory, base: Path) -> Iterator[tuple[World, Daemon]]:
    """The daemon in this process, ticked by the tests."""
    with pytest.MonkeyPatch.context() as patch:
        world = World.make(
            tmp_path_factory.mktemp("here"), base, None, gateway={"port": free_port()}
        )
        patch.setenv("QI_LEARN_HOME", str(world.root))
        with Daemon(world.paths, world.settings) as opened:
            yield world, opened


def ticked_until(opened: Daemon, holds: Callable[[], bool]) -> None:
    def tick() -> bool:
        opened.tick()
        return holds()

    wait_until(tick)


def test_it_makes_version_one_and_says_where_it_is(here: tuple[World, Daemon]) -> None:
    world, _ = here
    state = client.running(world.paths)
    assert state is not None
    assert (state.pid, state.engine) == (os.getpid(), True)
    assert load_deployment(world.paths).chain == ("1.0.0",)
    assert world.names() == ["qi-agent:latest", "qi-agent:v1.0.0"]
    assert world.assert_answers(state.gateway).headers["x-qi-learn-model"] == "qi-agent:v1.0.0"


def test_a_second_one_is_turned_away(here: tuple[World, Daemon]) -> None:
    world, _ = here
    with (
        pytest.raises(DaemonError, match="Another daemon runs"),
        Daemon(world.paths, world.settings),
    ):
        pass
    said = qi(world, "daemon")
    assert (said.returncode, "Another daemon runs" in said.stderr) == (3, True)
    assert client.running(world.paths) is not None  # the first one is none the worse


def test_what_passes_the_gateway_becomes_a_turn_a_rating_and_a_score(
    here: tuple[World, Daemon],
) -> None:
    world, opened = here
    gateway = opened.gateway_url
    assert gateway is not None
    body = {
        "model": "qi-agent",
        "messages": [{"role": "user", "content": "Add."}],
        "options": {"num_predict": 8, "temperature": 0},
    }
    told = httpx.post(
        f"{gateway}/api/chat", json=body, headers={"x-qi-learn-session": "one"}, timeout=60
    )
    said = "".join(json.loads(line)["message"]["content"] for line in told.text.splitlines())
    ticked_until(opened, lambda: any(t.session == "one" for t in everything(opened.store)))
    turn = next(t for t in everything(opened.store) if t.session == "one")
    assert (turn.answer, turn.model_answered, turn.status, turn.messages[-1].content) == (
        said,
        "qi-agent:v1.0.0",
        200,
        "Add.",
    )

    assert qi(world, "rate", turn.id, "5").returncode == 0
    (world.paths.spool / "shell-1-1.jsonl").write_text(
        '{"kind": "hook", "bo\n'
    )  # torn: set aside, and it keeps no other waiting
    ticked_until(
        opened,
        lambda: bool((known := feedback.load_score(opened.store, turn.id)) and known.target_score),
    )
    assert feedback.load_feedback(opened.store, turn.id).rating == 5
    assert list((world.paths.spool / "bad").glob("shell-1-1.jsonl.*"))
    assert not opened.decision.due
    assert "of 12 new examples" in opened.decision.reason


def test_a_gateway_that_is_killed_comes_back_where_it_was(here: tuple[World, Daemon]) -> None:
    world, opened = here
    before = opened.gateway_url
    assert before is not None
    os.kill(json.loads((world.paths.state / "gateway.ready").read_text())["pid"], signal.SIGKILL)
    wait_until(lambda: opened.gateway_url is None)
    ticked_until(opened, lambda: opened.gateway_url is not None)
    assert opened.gateway_url == before
    world.assert_answers(before)


def test_an_engine_that_is_killed_comes_back_where_it_was(here: tuple[World, Daemon]) -> None:
    world, opened = here
    os.kill(json.loads((world.paths.state / "engine.json").read_text())["pid"], signal.SIGKILL)
    wait_until(lambda: not answers(world.url))
    ticked_until(opened, lambda: answers(world.url))
    world.assert_answers(opened.gateway_url)


def test_a_watcher_whose_reader_died_is_made_anew(
    here: tuple[World, Daemon], tmp_path: Path
) -> None:
    world, opened = here
    project = Repository(tmp_path / "project")
    project.write("a.py", "x = 1\n")
    add_project(world.paths, project.root)
    mode = "starting"

    def watched() -> bool:
        nonlocal mode
        told = client.call(world.paths.socket, {"do": "status"})
        modes = {p["project"]: p["mode"] for p in told["projects"]}
        mode = modes.get(str(project.root), mode)
        return bool(mode == "watched" and not told["faults"])

    ticked_until(opened, watched)
    dead = opened._intake.watcher
    dead.close()
    faults = client.call(world.paths.socket, {"do": "status"})["faults"]
    assert [f["part"] for f in faults] == ["watching"]
    edited = opened._intake.edited
    ticked_until(opened, watched)
    assert opened._intake.watcher is not dead
    project.write("a.py", "x = 2\n")
    ticked_until(opened, lambda: opened._intake.edited > edited)


def test_a_part_that_fails_keeps_no_other_waiting(
    here: tuple[World, Daemon], caplog: pytest.LogCaptureFixture
) -> None:
    """The journal of versions is damaged for a while: what needs it fails, the rest goes on."""
    world, opened = here
    journal = world.paths.deploy.read_bytes()
    turns_before = len(everything(opened.store))
    world.paths.deploy.write_text("{")
    try:
        project = Repository(world.root / "elsewhere")
        record_turns(world, project, [1], "meanwhile")
        ticked_until(opened, lambda: len(everything(opened.store)) > turns_before)
        said = "the base version failed and is tried again"
        ticked_until(opened, lambda: said in caplog.text)
        opened.tick()
        assert caplog.text.count(said) == 1
        assert client.call(world.paths.socket, {"do": "ping"})["pid"] == os.getpid()
        world.assert_answers(opened.gateway_url)
    finally:
        world.paths.deploy.write_bytes(journal)
    ticked_until(opened, lambda: not opened.condition.faults)


def test_an_engine_outlives_a_killed_daemon(tmp_path: Path, base: Path) -> None:
    world = World.make(tmp_path, base, None, gateway={"port": free_port()})
    assert qi(world, "daemon", "start").returncode == 0
    state = client.running(world.paths)
    assert state is not None
    there = client.listening(world.paths)
    assert sorted(there) == ["engine", "gateway"]
    os.kill(state.pid, signal.SIGKILL)
    wait_until(lambda: not client.locked(world.paths))
    world.assert_answers(state.gateway)
    started = qi(world, "daemon", "start")
    assert (started.returncode, client.listening(world.paths)) == (0, there)
    world.assert_answers(state.gateway)
    assert qi(world, "daemon", "stop").returncode == 0
    assert client.listening(world.paths) == {}


def answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/api/version", timeout=10).status_code == 200
    except httpx.TransportError:
        return False


def everything(store: Store) -> list[Any]:
    return [turns.load_turn(store, line.id) for line in turn_lines.list_turns(store, limit=100)]


def test_a_save_that_comes_while_the_database_is_locked_is_taken_in_later(tmp_path: Path) -> None:
    paths, project = Paths.under(tmp_path / "home").ensure(), Repository(tmp_path / "project")
    project.write("steps.py", "import audit\n")
    project.commit()
    add_project(paths, project.root)
    world = World(
        tmp_path / "home", tmp_path / "none", None, "qi-agent:latest", {"capture": {"settle": 0.1}}
    )
    world.change("capture")
    with (
        Watcher() as watcher,
        open_store(paths.database, timeout=0.1) as store,
        open_store(paths.database) as other,
    ):
        intake = Intake(paths, world.settings, watcher)
        record_turns(world, project, [1], "s")
        intake.tick(store, time.time())
        with pytest.raises(StoreError, match="lock"), other.transaction():  # noqa: PT012 - the lock is what makes it fail
            other.execute("UPDATE turns SET session = session")
            project.write("steps.py", f"import audit\n\n\n{steps(1)}")
            until = time.monotonic() + 10
            while time.monotonic() < until:
                intake.tick(store, time.time())
                time.sleep(0.05)
        wait_until(lambda: intake.tick(store, time.time()) >= 0 and everything_kept(store) == 1)


def everything_kept(store: Store) -> int:
    found = [
        s
        for line in turn_lines.list_turns(store, limit=100)
        for s in feedback.suggestions_of(store, line.id)
    ]
    return sum(s.state == "settled" and s.final_text is not None for s in found)
