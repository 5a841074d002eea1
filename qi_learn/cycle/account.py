"""The account of looks as a cycle sees it: what its gate may take for chance, and what it books.

A verdict is a look for good. If another version goes live before the candidate could, the verdict
on it is set aside, not deleted: the next one carries it with it (`Verdict.earlier`), so that the
version it was against is not asked again for nothing.
"""

from __future__ import annotations

from dataclasses import replace

from qi_learn.cycle.context import Cycle
from qi_learn.gate.ledger import NextLook, next_look
from qi_learn.records import PastLook, Release, Snapshot, Verdict
from qi_learn.store.database import open_store
from qi_learn.store.looks import past_looks


def look_at(cycle: Cycle, snapshot: Snapshot, live: Release) -> NextLook:
    """The terms of this cycle's look, from every verdict that was given before.

    Raises StoreError if they cannot be read: without the account nothing is sure.
    """
    with open_store(cycle.paths.database, readonly=True) as store:
        past = past_looks(store, but=cycle.run.run_id)
    gate = snapshot.split("gate")
    examples = tuple(example.id for example in gate)
    sessions = tuple({example.session for example in gate if example.session})
    own = [PastLook(verdict, examples, sessions) for verdict in earlier_verdicts(cycle)]
    return next_look([*past, *own], live.version)


def earlier_verdicts(cycle: Cycle) -> tuple[Verdict, ...]:
    """Those of this cycle that were set aside, oldest first.

    Raises StoreError if they cannot be read.
    """
    if not cycle.run.outdated.exists():
        return ()
    last = cycle.run.read(cycle.run.outdated, Verdict)
    return (*last.earlier, replace(last, earlier=()))


def set_aside(cycle: Cycle) -> None:
    """Set the cycle's verdict aside: the next try compares with the version live by then."""
    cycle.run.verdict.replace(cycle.run.outdated)
