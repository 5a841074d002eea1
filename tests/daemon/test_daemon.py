"""The daemon with everything it starts: engine, gateway, cycles. Evidence comes in, a version comes
out, and a rollback takes it back.

All of it real: the processes, the traffic through the gateway, files and commits in a git
repository, a training worker. Only the model is tiny.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from qi_learn.daemon import client
from qi_learn.daemon import cycles as learning
from qi_learn.daemon.cycles import CycleRunner
from qi_learn.daemon.daemon import Daemon
from qi_learn.daemon.intake import Intake
from qi_learn.deploy.journal import load_deployment
from qi_learn.deploy.model_server import ModelServer
from qi_learn.errors import DaemonError, StoreError
from qi_learn.paths import Paths
from qi_learn.records import TrainResult
from qi_learn.rundir.directory import RunDirectory, RunRequest, run_directories
from qi_learn.spool import Spool
from qi_learn.store import feedback, turns
from qi_learn.store.database import Store, open_store
from qi_learn.store.releases import list_moves, rollback_seconds
from qi_learn.store.runs import load_run
from qi_learn.workspace.registry import add_project
from qi_learn.workspace.watcher import Watcher
from tests.support.command_line import wait_until
from tests.support.engine_server import running_engine
from tests.support.repository import Repository
from tests.support.world import World, steps, tiny_base, turn_body

SESSIONS = {f"s{n}": 4 for n in range(6)}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_base(tmp_path_factory.mktemp("base"))


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


def qi(world: World, *words: str, place: Path | None = None) -> subprocess.CompletedProcess[str]:
    """The command line in this home."""
    return subprocess.run(
        [sys.executable, "-m", "qi_learn", *words],
        env=world.env,
        cwd=place or world.root,
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )


@contextmanager
def daemon(world: World) -> Iterator[subprocess.Popen[bytes]]:
    """`qi-learn daemon` as a process of its own, up."""
    with (world.paths.logs / "daemon.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "qi_learn", "daemon"],
            env=world.env,
            cwd=world.root,
            stdout=log,
            stderr=log,
        )
    try:
        wait_until(
            lambda: client.running(world.paths) is not None or process.poll() is not None, 120
        )
        assert process.poll() is None, (world.paths.logs / "daemon.log").read_text()
        yield process
    finally:
        process.terminate()
        process.wait(90)


# --- evidence -------------------------------------------------------------------------------------


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
    )  # torn: set aside, and it keeps nobody waiting
    ticked_until(
        opened,
        lambda: bool((known := feedback.load_score(opened.store, turn.id)) and known.target_score),
    )
    assert feedback.load_feedback(opened.store, turn.id).rating == 5
    assert (world.paths.spool / "bad" / "shell-1-1.jsonl").exists()
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


def answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/api/version", timeout=10).status_code == 200
    except httpx.TransportError:
        return False


def everything(store: Store) -> list[Any]:
    return [turns.load_turn(store, line.id) for line in turns.list_turns(store, limit=100)]


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
        told(world, project, [1], "s")
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
        for line in turns.list_turns(store, limit=100)
        for s in feedback.suggestions_of(store, line.id)
    ]
    return sum(s.state == "settled" and s.final_text is not None for s in found)


def told(world: World, project: Repository, numbers: list[int], session: str) -> None:
    """Turns, as the gateway tells them."""
    spool = Spool(world.paths.spool, "gateway")
    for n in numbers:
        spool.append(
            "turn",
            turn_body(n, steps(n), session=session, at=time.time() - 5),
            author="model",
            project=str(project.root),
        )
    spool.close()


# --- a cycle by itself ----------------------------------------------------------------------------


def test_it_learns_by_itself_whatever_is_stopped_or_killed_meanwhile(
    tmp_path: Path, base: Path
) -> None:
    """Turns and commits -> thresholds -> a cycle; told to stop in the training, killed after it;
    finished by `train --now`.
    """
    world = World.make(
        tmp_path / "home", base, None, train={"max_steps": 120, "min_interactions": 24}
    )
    project = Repository(tmp_path / "project")
    project.write("README", "Steps.\n")
    project.commit("Begin")
    add_project(world.paths, project.root)

    with daemon(world) as process:
        for session, count in SESSIONS.items():
            numbers = [100 * int(session[1:]) + n for n in range(count)]
            told(world, project, numbers, session)
            for n in numbers:
                project.write(f"{session}.py", "\n\n".join(steps(m) for m in numbers if m <= n))
            project.commit(f"Work on {session}")
        wait_until(lambda: run_directories(world.paths.runs) != [], 120)
        run = run_directories(world.paths.runs)[0]
        wait_until(lambda: progress(run).get("step", 0) > 20 or run.ended, 120)
        process.terminate()
        assert process.wait(60) == 0
    assert not run.ended
    assert not run.held
    assert (run.history()[-1]["step"], run.history()[-1]["state"]) == ("cycle", "waits")
    saved = max(int(p.name.removeprefix("step-")) for p in (run.path / "checkpoints").iterdir())
    assert saved > 20

    with daemon(world) as process:
        wait_until(lambda: ("train", "done") in lines(run), 120)
        process.kill()
        process.wait()
        assert f"going on from step {saved}" in run.log.read_text()
        assert run.read(run.result, TrainResult).steps >= saved
        wait_until(lambda: not run.held)  # who was started by it leaves with it
    assert not client.locked(world.paths)

    finished = qi(world, "train", "--now")
    assert finished.returncode == 0, finished.stdout + finished.stderr + run.log.read_text()
    assert "version 1.1.0 is live" in finished.stdout
    assert [r.run_id for r in run_directories(world.paths.runs)] == [run.run_id]
    assert lines(run).count(("train", "begun")) == 2
    deployment = load_deployment(world.paths)
    assert (deployment.chain, deployment.live_release.run_id) == (("1.0.0", "1.1.0"), run.run_id)
    with open_store(world.paths.database, readonly=True) as store:
        known = load_run(store, run.run_id)
        assert (known.state, known.examples, known.fresh) == (
            "deployed",
            24,
            24,
        )  # all of the work, in however quick succession it came
        assert known.verdict is not None
        assert [(m.action, m.version) for m in list_moves(store) if m.action != "base"] == [
            ("released", "1.1.0")
        ]
    assert not (run.path / "tries").exists()  # stopped and cut off is not died


def lines(run: RunDirectory) -> list[tuple[str, str]]:
    return [(line["step"], line["state"]) for line in run.history()]


def progress(run: RunDirectory) -> dict[str, Any]:
    try:
        said = json.loads(run.progress.read_text())
    except (FileNotFoundError, ValueError):
        return {}
    return said if said.get("phase") == "training" else {}


def test_train_now_says_why_not(tmp_path: Path, base: Path) -> None:
    """With no daemon it is the daemon for that while, and leaves nobody behind."""
    world = World.make(tmp_path / "home", base, None)
    world.work({"a": 2}, steps)
    said = qi(world, "train", "--now")
    assert said.returncode == 4, said.stderr
    assert "2 examples come from one session" in said.stdout
    assert not client.locked(world.paths)
    with open_store(world.paths.database, readonly=True) as store:
        assert load_run(store, run_directories(world.paths.runs)[0].run_id).state == "refused"


def test_a_cycle_that_dies_is_given_up_one_that_waits_is_not(
    tmp_path: Path, base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(learning, "RETRY_SECONDS", (0.0,))
    world = World.make(tmp_path / "home", base, None)
    monkeypatch.setenv("QI_LEARN_HOME", str(world.root))
    with running_engine(tmp_path, "--models", str(world.paths.models)) as server:
        World.make(world.root, base, server)
        world.work(SESSIONS, steps)
    away = ModelServer("http://127.0.0.1:9", False, None)

    def request() -> RunRequest:
        return RunRequest(
            f"R{len(run_directories(world.paths.runs))}",
            "http://127.0.0.1:1",
            1.0,
            "a test",
            0,
            24,
            str(base),
            "1.0.0",
        )

    cycles = CycleRunner(world.paths, away)
    waiting = cycles.start(request())
    for tried in range(1, learning.MAX_TRIES + 2):
        wait_until(
            lambda tried=tried: (
                cycles.watch() is None and lines(waiting).count(("cycle", "waits")) >= tried
            )
        )  # type: ignore[misc]
    assert cycles.busy
    assert (
        "http://127.0.0.1:9" in waiting.history()[-1]["reason"]
    )  # the server that is up now, not the one it began with
    cycles.stop()
    waiting.write(waiting.outcome, {"state": "failed", "reason": "enough", "version": None})

    (world.paths.settings_file).write_text("[train]\nbanana = 1\n")
    cycles = CycleRunner(world.paths, away)
    assert not cycles.busy
    dying = cycles.start(request())
    wait_until(lambda: cycles.watch() is None and not cycles.busy)
    outcome = json.loads(dying.outcome.read_text())
    assert outcome["state"] == "failed"
    assert "died 3 times" in outcome["reason"]
    assert "banana" in outcome["reason"]
    with world.store() as store:
        world.take_in(store)
        assert load_run(store, dying.run_id).reason == outcome["reason"]


# --- back again -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory, base: Path) -> Path:
    """A home with three versions on top of the base, nothing running."""
    root = tmp_path_factory.mktemp("released")
    with running_engine(root, "--models", str(root / "home" / "data" / "models")) as server:
        own = type(server)(server.url, root / "home" / "data" / "models", server.process)
        world = World.make(root / "home", base, own)
        for seed in (1, 2, 3):
            world.release(own, seed)
    assert load_deployment(world.paths).chain == ("1.0.0", "1.1.0", "1.2.0", "1.3.0")
    return world.root


@pytest.fixture
def versions(tmp_path: Path, released: Path, base: Path) -> World:
    shutil.copytree(released, tmp_path / "home")
    return World.make(tmp_path / "home", base, None)


def live_route(world: World) -> str:
    return str(json.loads(world.paths.routes.read_text())["live"])


def back(world: World, *words: str) -> dict[str, Any]:
    said = qi(world, "rollback", "--json", *words)
    assert said.returncode == 0, said.stderr
    return dict(json.loads(said.stdout))


def test_back_while_the_daemon_runs(versions: World) -> None:
    with daemon(versions):
        state = client.running(versions.paths)
        assert state is not None
        assert (
            versions.assert_answers(state.gateway).headers["x-qi-learn-model"] == "qi-agent:v1.3.0"
        )
        done = back(versions)
        assert (done["before"], done["version"], done["alias_moved"]) == ("1.3.0", "1.2.0", True)
        assert live_route(versions) == "qi-agent:v1.2.0"
        assert versions.digest_of("qi-agent:latest") == versions.digest_of("qi-agent:v1.2.0")
        wait_until(
            lambda: (
                versions.assert_answers(state.gateway).headers["x-qi-learn-model"]
                == "qi-agent:v1.2.0"
            )
        )

        assert back(versions, "v1.1.0", "--dry-run")["dry_run"]
        assert live_route(versions) == "qi-agent:v1.2.0"
        assert back(versions, "v1.0.0")["version"] == "1.0.0"
        assert versions.digest_of("qi-agent:latest") == versions.digest_of("qi-agent:v1.0.0")
        nothing = qi(versions, "rollback")
        assert nothing.returncode == 1
        assert "nothing to roll back to" in nothing.stderr
        assert "v1.1.0, v1.2.0, v1.3.0" in nothing.stderr
        assert back(versions, "v1.3.0")["version"] == "1.3.0"  # and forward again
        assert versions.digest_of("qi-agent:latest") == versions.digest_of("qi-agent:v1.3.0")

        def moves() -> list[tuple[str, str, str | None]]:
            with open_store(versions.paths.database, readonly=True) as store:
                return [
                    (m.action, m.version, m.previous)
                    for m in list_moves(store)
                    if m.action != "base"
                ]

        wait_until(
            lambda: (
                moves()
                == [
                    ("rolled_back", v, before)
                    for v, before in (("1.3.0", "1.0.0"), ("1.0.0", "1.2.0"), ("1.2.0", "1.3.0"))
                ]
            )
        )
        with open_store(versions.paths.database, readonly=True) as store:
            assert 0 < (rollback_seconds(store) or 0) < 5


@pytest.mark.parametrize("damage", ["gone", "corrupt"])
def test_back_with_nothing_up_and_no_database(versions: World, damage: str) -> None:
    versions.paths.database.unlink(missing_ok=True)
    if damage == "corrupt":
        versions.paths.database.write_bytes(b"no database" * 1000)
    done = back(versions)
    assert (done["version"], done["alias_moved"]) == ("1.2.0", False)
    assert "follows" in done["remark"]
    assert back(versions)["version"] == "1.1.0"
    assert live_route(versions) == "qi-agent:v1.1.0"
    unknown = qi(versions, "rollback", "v7.0.0")
    assert (unknown.returncode, "no version v7.0.0" in unknown.stderr) == (1, True)
    if damage == "gone":
        with daemon(versions):  # it brings the server, and the alias follows
            assert versions.digest_of("qi-agent:latest") == versions.digest_of("qi-agent:v1.1.0")
            versions.assert_answers()


def test_a_rollback_that_reached_no_server_is_followed_by_the_daemon(versions: World) -> None:
    """The server was busy for longer than a rollback waits: routes at once, the alias within
    seconds.
    """
    with daemon(versions):
        engine = json.loads((versions.paths.state / "engine.json").read_text())["pid"]
        os.kill(engine, signal.SIGSTOP)
        try:
            done = back(versions)
            assert (done["version"], done["alias_moved"]) == ("1.2.0", False)
            assert live_route(versions) == "qi-agent:v1.2.0"
        finally:
            os.kill(engine, signal.SIGCONT)
        wait_until(
            lambda: versions.digest_of("qi-agent:latest") == versions.digest_of("qi-agent:v1.2.0")
        )
