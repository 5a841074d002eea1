"""A large database is looked through beside the work: a damaged one is told, and not written to."""

from __future__ import annotations

import time
from contextlib import closing
from pathlib import Path

import pytest

from qi_learn.daemon.daemon import Daemon
from qi_learn.errors import StoreError
from qi_learn.paths import Paths
from qi_learn.settings import ServeSettings, Settings
from qi_learn.spool import Spool, spool_files
from qi_learn.store.database import CHECKED_AT_ONCE, open_store
from qi_learn.store.soundness import Soundness
from tests.support.command_line import wait_until


def _large(path: Path) -> Path:
    """A database over the bound, made whole."""
    with open_store(path) as store:
        store.execute("CREATE TABLE filler (value BLOB)")
        for _ in range(CHECKED_AT_ONCE // 2_000_000 + 1):
            store.execute("INSERT INTO filler VALUES (zeroblob(2000000))")
    return path


def _damage(path: Path) -> None:
    """Write over the last pages."""
    with path.open("r+b") as file:
        for page in (-2, -3, -4):
            file.seek(page * 4096, 2)
            file.write(b"\xff" * 4096)


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _large(tmp_path_factory.mktemp("sound") / "qi-learn.db")


@pytest.fixture
def damaged(tmp_path: Path, sound: Path) -> Path:
    paths = Paths.under(tmp_path).ensure()
    paths.database.write_bytes(sound.read_bytes())
    _damage(paths.database)
    return paths.database


def _damage_of(soundness: Soundness) -> StoreError | None:
    try:
        soundness.require()
    except StoreError as error:
        return error
    return None


def test_damage_of_a_large_one_is_found_after_it_was_opened(damaged: Path) -> None:
    with open_store(damaged), closing(Soundness(damaged)) as soundness:
        wait_until(lambda: _damage_of(soundness) is not None)
        error = _damage_of(soundness)
        assert error is not None
        assert "is damaged" in error.what
        assert _damage_of(soundness) is not None  # again, to whoever asks


def test_a_sound_one_is_looked_through_once(sound: Path) -> None:
    with open_store(sound), closing(Soundness(sound)) as soundness:
        wait_until(lambda: not soundness.busy)
        soundness.require()


def test_a_look_under_way_is_broken_off_and_is_no_damage(sound: Path) -> None:
    for pause in (0.0, 0.002, 0.01, 0.05):
        with open_store(sound):
            soundness = Soundness(sound)
            time.sleep(pause)
            soundness.close()
            assert not soundness.busy
            soundness.require()


def test_the_daemon_writes_nothing_more_into_a_damaged_one(
    damaged: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    settings = Settings(
        serve=ServeSettings(backend="ollama", base="b", ollama="http://127.0.0.1:9")
    )
    paths = Paths.under(tmp_path)
    spool = Spool(paths.spool, "test")
    with Daemon(paths, settings, gateway=False) as opened:
        wait_until(lambda: not opened._soundness.busy)
        body = {"kind": "test", "command": "pytest", "exit_code": 0, "seconds": 1.0}
        spool.append("outcome", body, project="", ts=time.time())
        spool.close()
        opened.tick()
        (told,) = [fault for fault in opened.condition.faults if fault.part == "the database"]
        assert "is damaged" in told.what  # in the first round, not after a minute
        for _ in range(2):
            opened.tick()
        assert opened.store.rows("SELECT count(*) FROM commands")[0][0] == 0
        assert spool_files(paths.spool)  # it waits, and is lost to nothing
        assert "the database failed" in caplog.text
