"""A disk that is full, or a database that cannot be written, is not tried again and again."""

from __future__ import annotations

import contextlib
import itertools
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from qi_learn.daemon.daemon import Daemon
from qi_learn.daemon.intake import Intake
from qi_learn.errors import DiskFull, StoreError
from qi_learn.paths import Paths
from qi_learn.settings import ServeSettings, Settings
from qi_learn.spool import Spool
from qi_learn.store import events, turns
from qi_learn.store.database import Store, open_store
from qi_learn.workspace.registry import add_project
from qi_learn.workspace.watcher import Watcher
from tests.support.command_line import wait_until
from tests.support.repository import Repository
from tests.support.turn_events import turn_event

NOW = 1_800_000_000.0
SETTINGS = Settings(
    serve=ServeSettings(backend="ollama", base="base:latest", ollama="http://127.0.0.1:9")
)


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    return Paths.under(tmp_path / "home").ensure()


def send(paths: Paths, *, lines: int = 300, bad: bytes = b"") -> None:
    """Events that need more room than a page, and lines that are none."""
    spool = Spool(paths.spool, "test")
    for n in range(lines):
        spool.append("git", {"n": n, "text": f"what was said {n} " * 20})
    spool.close()
    if bad:
        (file,) = paths.spool.glob("test-*.jsonl")
        with file.open("ab") as out:
            out.write(bad)


@contextmanager
def no_room(store: Store) -> Iterator[None]:
    """Let the database not grow by a page: SQLite itself says that the disk is full."""
    (pages,) = store.conn.execute("PRAGMA page_count").fetchone()
    store.conn.execute(f"PRAGMA max_page_count = {pages}")
    yield
    store.conn.execute("PRAGMA max_page_count = 1000000000")


@contextmanager
def counted(store: Store) -> Iterator[Callable[[], int]]:
    """How often writing was begun, by SQLite's own trace."""
    begun: list[str] = []
    store.conn.set_trace_callback(
        lambda sql: begun.append(sql) if sql.startswith("BEGIN") else None
    )
    yield lambda: len(begun)
    store.conn.set_trace_callback(None)


class Clock:
    """Time that passes when it is told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def fails(intake: Intake, store: Store) -> bool:
    with contextlib.suppress(DiskFull, StoreError):
        intake.tick(store, NOW)
        return False
    return True


def test_attempts_that_fail_are_further_and_further_apart(paths: Paths) -> None:
    clock = Clock()
    with (
        Watcher() as watcher,
        open_store(paths.database, timeout=0.0) as store,
        open_store(paths.database) as other,
    ):
        intake = Intake(paths, SETTINGS, watcher, monotonic=clock)
        intake.tick(store, NOW)
        send(paths)
        with other.transaction(), counted(store) as attempts:
            seen = []
            for _ in range(1000):  # a quarter of a second each
                before = attempts()
                assert fails(intake, store), "the failure stays told in the pause"
                if attempts() > before:
                    seen.append(clock.now - 1000.0)
                clock.now += 0.25
        gaps = [after - before for before, after in itertools.pairwise(seen)]
        assert gaps[:7] == [0.25, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0]
        assert set(gaps[7:]) == {30.0}
        assert 0 < intake.next_due(NOW) <= 30.0
        clock.now += 30.0
        assert intake.tick(store, NOW) >= 300
        assert len(events.events_of(store, "git")) == 300
        assert not intake.look(NOW)


def test_the_daemon_rests_on_a_full_disk_and_goes_on_after_it(
    small_disk: Path, tmp_path: Path
) -> None:
    """On a disk of its own, because room that others make would count."""
    paths = Paths.under(small_disk / "home").ensure()
    project = Repository(tmp_path / "project")
    project.write("steps.py", "import audit\n")
    project.commit()
    add_project(paths, project.root)
    with Daemon(paths, SETTINGS, gateway=False) as daemon:
        wait_until(lambda: _round(daemon) and _watched(daemon), 60)
        with no_room(daemon.store), counted(daemon.store) as attempts:
            send(paths)
            project.write("steps.py", "import audit\n\naudit.begin()\n")
            until = time.monotonic() + 4.0
            while time.monotonic() < until:
                _round(daemon)
            assert 0 < attempts() <= 4, "at once, again, after 1 s and after 2 s more"
        wait_until(lambda: _round(daemon) and bool(events.events_of(daemon.store, "git")), 120)
        assert len(events.events_of(daemon.store, "git")) == 300


def _watched(daemon: Daemon) -> bool:
    return [each.mode for each in daemon.condition.projects] == ["watched"]


def _round(daemon: Daemon) -> bool:
    daemon.tick()
    daemon.sleep()
    return True


def test_room_on_the_disk_ends_the_pause(
    small_disk: Path, caplog: pytest.LogCaptureFixture
) -> None:
    paths = Paths.under(small_disk / "home").ensure()
    ballast = small_disk / "ballast"
    with Watcher() as watcher, open_store(paths.database) as store:
        intake = Intake(paths, SETTINGS, watcher, monotonic=Clock())  # no time passes
        intake.tick(store, NOW)
        send(paths, lines=3, bad=b"no event\n" * 2000)
        with contextlib.suppress(OSError), ballast.open("wb", buffering=0) as file:
            while file.write(b"\0" * 4096):
                pass
        with counted(store) as attempts:
            assert [fails(intake, store) for _ in range(10)] == [True] * 10
            assert attempts() == 2
            assert "set aside in bad" not in caplog.text, "it was not, so it is not said so"
            ballast.unlink()
            assert intake.next_due(NOW) == 0.0
            assert not fails(intake, store)
        assert len(events.events_of(store, "git")) == 3
        assert caplog.text.count("set aside in bad") == 2000


def test_what_was_found_out_meanwhile_is_stored_when_it_can_be(
    paths: Paths, tmp_path: Path
) -> None:
    """The context of a turn's project, found while another process has the database."""
    project = Repository(tmp_path / "project")
    project.write("steps.py", "import audit\n")
    project.commit()
    add_project(paths, project.root)
    woken = threading.Event()
    with (
        Watcher() as watcher,
        open_store(paths.database, timeout=0.1) as store,
        open_store(paths.database) as other,
    ):
        intake = Intake(paths, SETTINGS, watcher, wake=woken.set)
        asked = {"messages": [{"role": "user", "content": "Explain it."}]}
        said = '{"message": {"role": "assistant", "content": "No."}, "done": true}'
        body = turn_event("/api/chat", asked, said).body
        spool = Spool(paths.spool, "gateway")
        spool.append("turn", body, project=str(project.root))
        spool.close()
        intake.tick(store, time.time())
        assert woken.wait(60), "git was asked"
        with other.transaction(), pytest.raises(StoreError, match="locked"):
            intake.tick(store, time.time())
        (row,) = store.rows("SELECT id FROM turns")
        wait_until(lambda: intake.tick(store, time.time()) >= 0 and not intake.pending)
        assert turns.load_turn(store, row["id"]).commit == project.git("rev-parse", "HEAD").strip()
