"""A home with a version that went live some days ago, and work that was kept since."""

from __future__ import annotations

import time

from qi_learn.cycle.trigger import judge
from qi_learn.records import Monitored
from qi_learn.spool import Spool
from qi_learn.store.monitored import list_monitored
from tests.support.engine_server import Server
from tests.support.world import World, steps

DAY = 86400.0
SESSIONS = {"s1": 2, "s2": 3, "s3": 1}


def shipped(world: World, server: Server) -> World:
    """Version 1.1.0 went live four days ago, and there is work of two days ago."""
    world.release(server, seed=5)
    spool = Spool(world.paths.spool, "cycle")
    body = {"action": "released", "version": "1.1.0", "alias": world.alias, "from": "1.0.0"}
    spool.append("release", body, ts=time.time() - 4 * DAY)
    spool.close()
    world.work(SESSIONS, steps)
    with world.store() as store:
        store.execute(
            "UPDATE turns SET started = started - ?, ended = ended - ?", (2 * DAY, 2 * DAY)
        )
        judge(store, world.settings)
    return world


def known(world: World) -> Monitored | None:
    """What the store knows of the version, once all that was told is taken in."""
    with world.store() as store:
        world.take_in(store)
        return next(iter(list_monitored(store, "1.1.0")), None)


def zone_at(hour: int) -> str:
    """A time zone (TZ) in which it is that hour now."""
    ahead = (hour - time.gmtime().tm_hour) % 24
    return f"NIGHT{-(ahead if ahead <= 12 else ahead - 24):+d}"
