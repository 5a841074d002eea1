"""Conversations that lose turns: which of their messages nothing needs any more.

A message is needed while a turn ends in it or a message follows it. So what goes is found from the
ends of conversations upwards, however large the rest is.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence, Set

from qi_learn.store.database import Store

_FREE = """
    DELETE FROM messages WHERE hash = ?1 AND NOT EXISTS (
        SELECT 1 FROM messages WHERE parent = ?1
        UNION ALL SELECT 1 FROM turns WHERE tip = ?1
        UNION ALL SELECT 1 FROM turns WHERE answer = ?1
    )
"""


def ends_of(store: Store, turn_id: str) -> list[str]:
    """The hashes of a turn's answer and of the last message of its request; none if it is gone."""
    row = store.row("SELECT answer, tip FROM turns WHERE id = ?", (turn_id,))
    return [] if row is None else [hash for hash in (row["answer"], row["tip"]) if hash]


def drop_chain(store: Store, ends: Iterable[str], keep: str = "") -> None:
    """Delete messages from the ends of conversations upwards, as far as nothing needs them."""
    for end in ends:
        at: str | None = end
        while at and at != keep:
            row = store.row("SELECT parent FROM messages WHERE hash = ?", (at,))
            if row is None or not store.execute(_FREE, (at,)):
                break
            at = row["parent"]


def count_unneeded(store: Store, turns: Sequence[str]) -> int:
    """The number of messages that would go with these turns."""
    going, gone = set(turns), set[str]()
    looked = [end for turn in turns for end in ends_of(store, turn)]
    while looked:
        at = looked.pop()
        if at in gone or not _free(store, at, going, gone):
            continue
        gone.add(at)
        row = store.row("SELECT parent FROM messages WHERE hash = ?", (at,))
        if row is not None and row["parent"]:
            looked.append(row["parent"])  # it is looked at again when its last child goes
    return len(gone)


def _free(store: Store, at: str, going: Set[str], gone: Set[str]) -> bool:
    below = store.rows("SELECT hash FROM messages WHERE parent = ?", (at,))
    if any(row["hash"] not in gone for row in below):
        return False
    sql = "SELECT id FROM turns WHERE tip = ?1 UNION ALL SELECT id FROM turns WHERE answer = ?1"
    return all(row["id"] in going for row in store.rows(sql, (at,)))
