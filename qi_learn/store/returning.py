"""What became of a turn, out of one database and into another, as an export carries it.

The invariant: what comes back is stored as it was, with its score, in the transaction that stores
its turn. So nothing is found out anew, and nothing is told twice: a turn that is there has its own
evidence, which is as old or newer. A rating counts by its own id, whichever way it comes first.

Not carried: which versions learned a turn, and whether it was looked at as an example; the daemon
looks again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from qi_learn import codec
from qi_learn.records import Became, CommandResult, Event, Feedback, GivenRating
from qi_learn.store.database import Store
from qi_learn.store.feedback import (
    IMPLICIT,
    load_outcome,
    load_score,
    save_implicit,
    save_outcome,
    save_score,
    suggestions_of,
)
from qi_learn.store.lines_left import save_survivals, survivals_of
from qi_learn.store.rows import record
from qi_learn.store.score_queue import load_facts, save_facts
from qi_learn.store.turns import kept_back, was_redacted

if TYPE_CHECKING:
    from qi_learn.redact import Redacted

KEY = "became"
"""Where the body of a turn's event has it."""
JOINED = "joined"
"""The field of a command's event that says that its result is in outcomes already."""


def load_became(store: Store, turn_id: str) -> Became:
    """What became of a turn. Raises NotFound if there is no such turn."""
    row = store.row("SELECT * FROM feedback WHERE turn_id = ?", (turn_id,))
    seen = Feedback()
    if row is not None:
        values = {name: row[name] for name in IMPLICIT}
        values |= {n: None if row[n] is None else bool(row[n]) for n in ("accepted", "modified")}
        seen = Feedback(**values)
    dirty = store.row("SELECT dirty FROM turns WHERE id = ?", (turn_id,))
    return Became(
        ratings=tuple(_ratings(store, turn_id)),
        suggestions=suggestions_of(store, turn_id),
        seen=seen,
        outcome=load_outcome(store, turn_id),
        facts=load_facts(store, turn_id),
        left=tuple(survivals_of(store, turn_id).values()),
        score=load_score(store, turn_id) if dirty is not None and not dirty["dirty"] else None,
        redacted=was_redacted(store, turn_id),
        never_learn=kept_back(store, turn_id)[0],
    )


def _ratings(store: Store, turn_id: str) -> Iterator[GivenRating]:
    sql = "SELECT * FROM ratings WHERE turn_id = ? ORDER BY ts, id"
    return (record(GivenRating, row) for row in store.rows(sql, (turn_id,)))


def told_commands(store: Store) -> Iterator[tuple[CommandResult, bool]]:
    """The results that came as events, oldest first, and whether they are in outcomes.

    Those that a turn's request told are found in it again.
    """
    sql = """
        SELECT * FROM commands WHERE id IN (SELECT id FROM events WHERE kind = 'outcome')
        ORDER BY ts, id
    """
    return ((record(CommandResult, row), bool(row["joined"])) for row in store.rows(sql))


def became_of(event: Event) -> Became | None:
    """What a turn's event says became of it; None if it is no turn that returns.

    Raises ValueError if it is not of its form.
    """
    told = event.body.get(KEY) if event.kind == "turn" else None
    return codec.build(Became, dict(told)) if isinstance(told, Mapping) else None


def of_turn(became: Became, turn_id: str, project: str | None) -> Became:
    """The same, as that of a turn in a project: it may have moved."""
    facts, score = became.facts, became.score
    return replace(
        became,
        suggestions=tuple(replace(s, turn_id=turn_id) for s in became.suggestions),
        left=tuple(replace(s, turn_id=turn_id) for s in became.left),
        facts=facts and replace(facts, turn_id=turn_id, project=project),
        score=score and replace(score, turn_id=turn_id),
    )


def without_files(became: Became) -> Became:
    """Of what became of a turn that which no file told: for one that is not to be looked at."""
    return Became(became.ratings, redacted=became.redacted, never_learn=became.never_learn)


def keep_became(store: Store, turn_id: str, clean: Redacted[Became]) -> None:
    """Store what was seen of a turn, and its score; its suggestions and ratings are there.

    A turn without a score stays marked. Raises NotFound if there is no such turn.
    """
    became = clean.value
    with store.transaction():
        save_implicit(store, turn_id, clean.part("seen"))
        save_outcome(store, turn_id, became.outcome)
        if became.facts is not None:
            save_facts(store, [became.facts])
        save_survivals(store, list(became.left))
        if became.never_learn:
            store.execute("UPDATE turns SET never_learn = 1 WHERE id = ?", (turn_id,))
        if became.score is not None:
            save_score(store, clean.part("score"))


def rating_event(turn_id: str, given: GivenRating, source: str) -> Event:
    """The event of a rating, with its own id."""
    told = codec.plain(given)
    body = {"turn": turn_id, **{n: v for n, v in told.items() if n not in ("id", "ts")}}
    return Event(given.id, "rating", given.ts, source, body, "person")
