"""What a person said of a turn, and the fates of its suggestions that follow from it.

The invariant: the stored fate of a suggestion is what was inferred with the newest word of the
person. So SQL can count fates, and whoever changes one of the two names the fate anew.
"""

from __future__ import annotations

from dataclasses import replace

from qi_learn.fates import accepted, fate_of, said_in, turn_fate
from qi_learn.records import Fate, Feedback, GivenRating
from qi_learn.store.database import Store
from qi_learn.store.rows import record


def said_of(store: Store, turn_id: str) -> Feedback:
    """What was said of a turn: of several ratings the newest of each field."""
    rows = store.rows("SELECT * FROM ratings WHERE turn_id = ?", (turn_id,))
    return said_in(record(GivenRating, row) for row in rows)


def name_fates_anew(store: Store, turn_id: str) -> bool:
    """Store the fates of a turn's suggestions by what was said of it now; whether one changed."""
    said = said_of(store, turn_id)
    sql = "SELECT ordinal, inferred, fate FROM suggestions WHERE turn_id = ?"
    fates = {row["ordinal"]: fate_of(row["inferred"], said) for row in store.rows(sql, (turn_id,))}
    changed = 0
    for ordinal, fate in fates.items():
        changed += store.execute(
            "UPDATE suggestions SET fate = ?3 WHERE turn_id = ?1 AND ordinal = ?2 "
            "AND fate IS NOT ?3",
            (turn_id, ordinal, fate),
        )
    return changed > 0


def with_fates(seen: Feedback, fates: list[Fate | None]) -> Feedback:
    """R2's `accepted` and `modified` as the fates of the turn's suggestions have them.

    As they were seen if no fate is known. What was rejected may have been modified before.
    """
    if not any(fates):
        return seen
    fate = turn_fate(fates)
    modified = fate == "edited" if fate in ("kept", "edited") else seen.modified
    if fate != "rejected" and not accepted(fate):
        modified = None
    return replace(seen, accepted=accepted(fate), modified=modified)
