"""Taking turns out of the database, so that nothing of their text is left in its files.

Every function may be run again after a kill, and does then what is still to do. What is deleted is
overwritten (`secure_delete`), and at the end the file is written anew (`compact`): a page may keep
the remains of a row that moved, from before too.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence, Set
from contextlib import contextmanager

from qi_learn.store.chains import count_unneeded, drop_chain, ends_of
from qi_learn.store.database import Store
from qi_learn.store.forget_choice import ForgetChoice, own_messages
from qi_learn.store.monitored import pairs_with, recount, take_out
from qi_learn.store.tombstones import Tombstones

AT_ONCE = 200
"""The number of turns that go in one transaction."""
READER_MS = 200
"""How long a reader of the database is waited for at once, ms."""
HANGING = (
    *("suggestions", "ratings", "feedback", "outcomes", "scores", "candidates", "answer_facts"),
    "monitored_texts",
)
"""Tables whose rows go with their turn."""
_UNNEEDED_SHAPES = """
    FROM shapes WHERE id NOT IN (SELECT context_id FROM turns WHERE context_id IS NOT NULL {stays})
        AND id NOT IN (SELECT part.value FROM turns, json_each(turns.shape) part {where})
"""


def weigh(store: Store, choice: ForgetChoice, *, keep_record: bool) -> dict[str, int]:
    """How much goes, by kind; what is 0 is left out."""
    going = (json.dumps(choice.turns),)
    if keep_record:
        return {"kept from learning": len(choice.turns)} if choice.turns else {}
    stays = "id NOT IN (SELECT value FROM json_each(?1))"
    shapes = _UNNEEDED_SHAPES.format(stays=f"AND {stays}", where=f"WHERE turns.{stays}")
    counted = {
        "turns": len(choice.turns),
        **{
            table: _count(
                store,
                f"FROM {table} WHERE turn_id IN (SELECT value FROM json_each(?1))",
                going,
            )
            for table in HANGING
        },
        "messages": count_unneeded(store, choice.turns),
        "shapes": _count(store, shapes, going),
        "contexts": len(choice.contexts),
        "events": len(choice.events),
        "commands": len(choice.commands),
        "ratings of other turns": len(_ratings_apart(store, choice)),
    }
    return {kind: count for kind, count in counted.items() if count}


def _count(store: Store, which: str, values: tuple[str, ...]) -> int:
    row = store.row(f"SELECT count(*) {which}", values)
    return int(row[0]) if row is not None else 0


def forget_turns(
    store: Store, tombstones: Tombstones, turns: Sequence[str], said: Set[str], at: float
) -> None:
    """Delete turns with all that hangs on them, and put up their tombstones, in one transaction.

    `said`: the hashes of messages that may not come back.
    """
    with store.transaction():
        measured = pairs_with(store, turns)
        tombstones.bury_messages(sorted(said))
        for turn in turns:
            own = own_messages(store, turn)
            if not own:
                continue  # it went before
            question = own[-2][1] if len(own) > 1 else ""
            tombstones.bury_turn(turn, question, own[-1][1], at)
            _note_runs(store, turn)
            ends = ends_of(store, turn)
            store.execute("DELETE FROM turns WHERE id = ?", (turn,))
            drop_chain(store, ends)
        recount(store, measured)


def keep_from_learning(store: Store, turns: Sequence[str]) -> None:
    """Mark turns as such that no data set may have, and note which runs had them."""
    with store.transaction():
        measured = pairs_with(store, turns)
        for turn in turns:
            store.execute("UPDATE turns SET never_learn = 1 WHERE id = ?", (turn,))
            store.execute("DELETE FROM candidates WHERE turn_id = ?", (turn,))
            take_out(store, turn)
            _note_runs(store, turn)
        recount(store, measured)


def note_runs(store: Store, run_id: str, turns: Set[str]) -> None:
    """Store that the run's data set had turns that are forgotten."""
    with store.transaction():
        for turn in sorted(turns):
            store.insert("forgotten_runs", ("run_id", "turn_id"), (run_id, turn))


def _note_runs(store: Store, turn: str) -> None:
    store.execute(
        "INSERT OR IGNORE INTO forgotten_runs "
        "SELECT DISTINCT run_id, turn_id FROM run_examples WHERE turn_id = ?",
        (turn,),
    )


def forgotten_in_runs(store: Store) -> dict[str, list[str]]:
    """By run: the turns (ids) in its data set that were forgotten since, or may not be learned."""
    found: dict[str, list[str]] = {}
    for row in store.rows("SELECT run_id, turn_id FROM forgotten_runs ORDER BY run_id, turn_id"):
        found.setdefault(row["run_id"], []).append(row["turn_id"])
    return found


def runs_with(store: Store, turns: Sequence[str]) -> dict[str, set[str]]:
    """By run: those of the turns that were in its data set, as its events told."""
    sql = """
        SELECT DISTINCT run_id, turn_id FROM run_examples
        WHERE turn_id IN (SELECT value FROM json_each(?))
    """
    found: dict[str, set[str]] = {}
    for row in store.rows(sql, (json.dumps(list(turns)),)):
        found.setdefault(row["run_id"], set()).add(row["turn_id"])
    return found


def forget_rest(store: Store, choice: ForgetChoice) -> None:
    """Take away what hangs on no turn that goes: contents of events, commands, contexts, ratings.

    The row of an event stays without content: by it a line that comes again is known.
    """
    with store.transaction():
        for event in (*choice.events, *choice.turns, *choice.commands, *choice.ratings):
            store.execute("UPDATE events SET body = NULL, project = NULL WHERE id = ?", (event,))
        for command in choice.commands:
            store.execute("DELETE FROM commands WHERE id = ?", (command,))
        for turn in choice.turns:  # what its request told of commands: `<turn>.<number>`
            names = (f"{turn}.", f"{turn}/")
            store.execute("DELETE FROM commands WHERE id > ? AND id < ?", names)
        for context in choice.contexts:
            store.execute("UPDATE turns SET context_id = NULL WHERE context_id = ?", (context,))
        for rating in _ratings_apart(store, choice):
            store.execute("DELETE FROM ratings WHERE id = ?", (rating,))


def _ratings_apart(store: Store, choice: ForgetChoice) -> list[str]:
    """The chosen ratings that do not hang on a turn that goes."""
    sql = """
        SELECT id FROM ratings WHERE id IN (SELECT value FROM json_each(?1))
            AND (turn_id IS NULL OR turn_id NOT IN (SELECT value FROM json_each(?2)))
    """
    values = (json.dumps(choice.ratings), json.dumps(choice.turns))
    return [row["id"] for row in store.rows(sql, values)]


def drop_unneeded(store: Store) -> None:
    """Delete parts of requests and contexts that no turn needs any more."""
    store.execute(f"DELETE {_UNNEEDED_SHAPES.format(stays='', where='')}")


@contextmanager
def on_the_disk(store: Store) -> Iterator[None]:
    """What is committed in the block survives a power failure too, not only a dying process."""
    store.execute("PRAGMA synchronous = FULL")
    try:
        yield
    finally:
        store.execute("PRAGMA synchronous = NORMAL")


def compact(store: Store) -> bool:
    """Write the database file anew, without any remains, and empty its WAL.

    False if a reader is in the way of the WAL: then try again later. Raises DiskFull if there is no
    room for the new file.
    """
    store.execute("VACUUM")
    return empty_wal(store)


def empty_wal(store: Store, wait_ms: int = READER_MS) -> bool:
    """Bring the WAL into the database file and cut it to nothing.

    False if a reader is in the way: it is not waited for long, the daemon has other things to do.
    """
    before = int(store.rows("PRAGMA busy_timeout")[0][0])
    store.rows(f"PRAGMA busy_timeout = {wait_ms}")
    try:
        row = store.row("PRAGMA wal_checkpoint(TRUNCATE)")
    finally:
        store.rows(f"PRAGMA busy_timeout = {before}")
    return row is not None and not row[0]
