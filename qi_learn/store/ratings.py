"""Ratings as a person gave them, and the turns they are about.

A rating may come before its turn, and it may say `last`. So it is kept as it came, and given to its
turn when that is there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, get_args

from qi_learn.records import Event, Mark
from qi_learn.store.database import Store
from qi_learn.store.feedback import mark_dirty
from qi_learn.store.named_fates import name_fates_anew
from qi_learn.store.seen_turns import newest_stray, newest_turn

if TYPE_CHECKING:
    from qi_learn.redact import Redacted

_PROJECT_UNKNOWN = 0.6
"""Confidence of a `last` that found no turn of its project and took the newest of an unknown one.

A guess; only shown, never a weight.
"""
MATCHED_AT_ONCE = 500
"""The most ratings without a turn that one round looks for: the newest."""


def save_rating(store: Store, clean: Redacted[Event]) -> str | None:
    """Store a rating and give it to its turn; returns its id, None if it is not known yet.

    Raises ValueError as `keep_rating` does.
    """
    with store.transaction():
        keep_rating(store, clean)
        event = clean.value
        asked = event.body.get("turn", "last")
        return _match(store, event.id, asked, event.project, event.ts, None)


def keep_rating(store: Store, clean: Redacted[Event], *, known: int | None = None) -> None:
    """Store a `rating` event without looking for its turn.

    `match_ratings` does that, when all turns that came with it are stored. `known`: how many were
    before (`turns.turns_known`).

    Raises ValueError if it is not a rating. Body: `{"turn": id | "last", "rating": 1..5 | None,
    "correction": text | None, "comment": text | None, "mark": word | None}`, the word one of
    `records.Mark`. One that comes back says how its turn was found (`match_method`,
    `match_confidence`).
    """
    event, body = clean.value, clean.value.body
    asked, rating = body.get("turn", "last"), body.get("rating")
    if not isinstance(asked, str) or not asked:
        raise ValueError(f"a rating of {asked!r}, which is no turn")
    if rating is not None and (
        not isinstance(rating, int) or isinstance(rating, bool) or not 1 <= rating <= 5
    ):
        raise ValueError(f"the rating {rating!r} is not a whole number from 1 to 5")
    mark = body.get("mark")
    if mark is not None and mark not in get_args(Mark):
        raise ValueError(f"the mark {mark!r} is none of {', '.join(get_args(Mark))}")
    texts = [body.get(name) for name in ("correction", "comment")]
    if not all(text is None or isinstance(text, str) for text in texts) or (
        rating is None and mark is None and not any(texts)
    ):
        raise ValueError("a rating without a number, a correction, a comment or a mark")
    names = (
        *("id", "ts", "asked", "project", "rating", "correction", "comment", "known", "mark"),
        *("match_method", "match_confidence"),
    )
    found = (body.get("match_method"), body.get("match_confidence"))
    values = (event.id, event.ts, asked, event.project, rating, *texts, known, mark, *found)
    store.insert("ratings", names, values)


def newest_rating(store: Store, turn_id: str) -> int | None:
    """The newest number that a turn was rated with; None if it has none."""
    row = store.row(
        "SELECT rating FROM ratings WHERE turn_id = ? AND rating IS NOT NULL "
        "ORDER BY ts DESC, id DESC LIMIT 1",
        (turn_id,),
    )
    return None if row is None else int(row[0])


def match_ratings(store: Store) -> tuple[str, ...]:
    """Give the ratings that wait to the turns that have come; returns the ids of those turns."""
    waiting = store.rows(
        "SELECT id, asked, project, ts, known FROM ratings WHERE turn_id IS NULL "
        "ORDER BY ts DESC, id DESC LIMIT ?",
        (MATCHED_AT_ONCE,),
    )
    if not waiting:
        return ()
    with store.transaction():
        rated = [_match(store, *row) for row in reversed(waiting)]
    return tuple(turn for turn in rated if turn is not None)


def match_rating(store: Store, rating: str) -> None:
    """Give one rating to its turn, if it waits for one."""
    sql = "SELECT id, asked, project, ts, known FROM ratings WHERE id = ? AND turn_id IS NULL"
    for row in store.rows(sql, (rating,)):
        _match(store, *row)


def drop_ratings_of(store: Store, turn: str) -> None:
    """Delete what was said of a turn that is not stored; that it was said stays known."""
    which = "asked = ? AND turn_id IS NULL"
    sql = f"UPDATE events SET body = NULL WHERE id IN (SELECT id FROM ratings WHERE {which})"
    store.execute(sql, (turn,))
    store.execute(f"DELETE FROM ratings WHERE {which}", (turn,))


def unmatched_ratings(store: Store) -> int:
    """How many ratings wait for a turn that was not recorded, or not yet."""
    row = store.row("SELECT count(*) FROM ratings WHERE turn_id IS NULL")
    return int(row[0]) if row else 0


def _match(
    store: Store, rating: str, asked: str, project: str | None, ts: float, known: int | None
) -> str | None:
    turn, method, confidence = _rated_turn(store, asked, project, ts, known)
    if turn is not None:
        store.execute(
            "UPDATE ratings SET turn_id = ?, match_method = coalesce(match_method, ?), "
            "match_confidence = coalesce(match_confidence, ?) WHERE id = ?",
            (turn, method, confidence, rating),
        )
        name_fates_anew(store, turn)
        mark_dirty(store, turn)
    return turn


def _rated_turn(
    store: Store, asked: str, project: str | None, ts: float, known: int | None
) -> tuple[str | None, str, float]:
    if asked != "last":
        row = store.row("SELECT id FROM turns WHERE id = ?", (asked,))
        return (asked if row else None), "id", 1.0
    if turn := newest_turn(store, project, before=ts, known=known):
        return turn, "last of its project" if project else "last of all", 1.0
    return (
        newest_stray(store, before=ts, known=known),
        "last of an unknown project",
        _PROJECT_UNKNOWN,
    )
