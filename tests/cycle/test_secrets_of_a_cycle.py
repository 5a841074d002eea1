"""A cycle over a home in which a third of the answers wrote secrets down: none of its files holds
one.
"""

from __future__ import annotations

import time

from qi_learn.capture.wire import decode
from qi_learn.rundir.snapshot import load_snapshot
from qi_learn.spool import spool_files
from qi_learn.store.event_intake import DrainMemory
from qi_learn.store.ingest import drain
from qi_learn.track.suggestions import suggestions_of
from tests.support.command_line import wait_until
from tests.support.cycles import DONE, REFUSED
from tests.support.secret_sweep import bundles, search, secrets_of
from tests.support.world import World, steps

SESSIONS = {f"s{n}": 6 for n in range(6)}


def code(n: int) -> str:
    if n % 3:
        return steps(n)
    return "\n\n".join(bundle.code for bundle in bundles(24)[n // 3 :: 12])


def test_no_file_holds_a_secret_after_a_cycle(world: World) -> None:
    secrets = secrets_of(bundles(24))
    assert len(secrets) >= 300
    world.work(SESSIONS, code)
    run = world.request()
    assert world.cycle(run) in (DONE, REFUSED), run.log.read_text()
    with world.store() as store:
        memory = DrainMemory(store)

        def all_taken_in() -> bool:
            now, spool = time.time(), world.paths.spool
            drain(store, spool, decode=decode, suggest=suggestions_of, now=now, memory=memory)
            return not spool_files(spool)

        wait_until(all_taken_in, 240)
        assert store.rows("SELECT count(*) FROM turns WHERE redacted")[0][0] == 12
    assert len(load_snapshot(run.snapshot).examples) >= 12
    assert search(world.root, secrets) == {}
