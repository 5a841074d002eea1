"""`deploy.json`: damaged, newer, written at the same time, on a full disk."""

from __future__ import annotations

import json
import resource
import threading
from dataclasses import replace
from functools import partial

import pytest

from qi_learn.deploy import journal
from qi_learn.deploy.journal import Deployment, load_deployment, require_live
from qi_learn.errors import Busy, DiskFull, StoreError
from tests.support.deploy_home import Home


@pytest.mark.parametrize("text", ["", "{}", "[]", "{", '{"alias": 1}', "null"])
def test_a_damaged_journal_is_not_guessed_at(home: Home, text: str) -> None:
    home.base()
    home.paths.deploy.write_text(text)
    with pytest.raises(StoreError, match="cannot be read"):
        load_deployment(home.paths)


def test_a_journal_that_contradicts_itself_or_is_newer_is_refused(home: Home) -> None:
    home.base()
    raw = json.loads(home.paths.deploy.read_text())
    for change, words in (
        ({"chain": ["1.0.0", "1.9.0"]}, "cannot be read"),
        ({"highest": "x"}, "cannot be read"),
        ({"format": 2}, "Update"),
    ):
        home.paths.deploy.write_text(json.dumps({**raw, **change}))
        with pytest.raises(StoreError, match=words):
            load_deployment(home.paths)


def test_two_processes_do_not_write_at_once(home: Home) -> None:
    home.base()
    with (
        journal.locked(home.paths.data / "deploy.lock", 0),
        pytest.raises(Busy),
        journal.locked(home.paths.data / "deploy.lock", 0.02),
    ):
        pytest.fail("the lock was given twice")


def test_changes_at_the_same_time_are_all_kept(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "STATE_WAIT", 60.0)  # however slow the disk is just now
    home.base()

    def with_name(current: Deployment | None, name: str) -> Deployment:
        deployment = require_live(current)
        return replace(deployment, answer_for=(*deployment.answer_for, name))

    def add(name: str) -> None:
        for i in range(20):
            journal.update(home.paths, partial(with_name, name=f"{name}{i}"))

    threads = [threading.Thread(target=add, args=(name,)) for name in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    kept = load_deployment(home.paths).answer_for
    assert sorted(kept) == sorted([f"{n}{i}" for n in "ab" for i in range(20)])
    assert home.routes()["answer_for"] == list(kept)


def test_a_full_disk_changes_nothing(home: Home) -> None:
    home.base()
    before = home.paths.deploy.read_text()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (64, limits[1]))
    try:
        with pytest.raises(DiskFull, match="disk is full"):
            journal.update(
                home.paths, lambda current: replace(require_live(current), answer_for=("x",))
            )
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert home.paths.deploy.read_text() == before
    assert [p.name for p in home.paths.data.iterdir() if p.suffix == ".tmp"] == []
