"""What waits to be scored: turns whose answer was not looked at yet, and those that were.

A turn with changed evidence (`dirty`) is first looked at, once and beside the loop, and its facts
are kept (`AnswerFacts`); then it is scored from them, again and again. The invariant: facts are of
the project that the turn has now, and of those of its suggestions that were placed (of all if none
or all were). If that changes (an answer was found in a file), they do not count any more.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from qi_learn.errors import NotFound
from qi_learn.records import AnswerFacts, AnswerSource, Scorable
from qi_learn.store.database import Store
from qi_learn.store.feedback import load_feedback, load_outcome, suggestions_of
from qi_learn.store.reply_turns import reply_to
from qi_learn.store.rows import columns, record, values

_DIRTY = """
    SELECT t.id FROM turns t LEFT JOIN answer_facts f ON f.turn_id = t.id
    WHERE t.dirty AND t.learning_type IS NOT NULL AND {which} ORDER BY t.started, t.id LIMIT ?
"""
"""One without its classes is not scored yet: its domain is a part of its score."""
_ABOUT = """
    (SELECT CASE WHEN count(placed_at) IN (0, count(*)) THEN '' ELSE
            group_concat(iif(placed_at IS NULL, NULL, ordinal), ' ') END
     FROM (SELECT placed_at, ordinal FROM suggestions WHERE turn_id = t.id ORDER BY ordinal))
"""
_UNKNOWN = f"(f.turn_id IS NULL OR f.project IS NOT t.project OR f.about IS NOT {_ABOUT})"


def waiting_for_facts(store: Store, *, limit: int) -> list[str]:
    """Turns to be scored whose answer is to be looked at first, oldest first."""
    return _ids(store, _DIRTY.format(which=_UNKNOWN), limit)


def ready_to_score(store: Store, *, limit: int) -> list[str]:
    """Turns to be scored whose answer was looked at, oldest first."""
    return _ids(store, _DIRTY.format(which=f"NOT {_UNKNOWN}"), limit)


def _ids(store: Store, sql: str, limit: int) -> list[str]:
    return [row["id"] for row in store.rows(sql, (limit,))]


def load_source(store: Store, turn_id: str) -> AnswerSource:
    """What is looked at of a turn's answer. Raises NotFound if there is no such turn."""
    sql = f"""
        SELECT t.project, t.started, a.content AS answer, {_ABOUT} AS about
        FROM turns t JOIN messages a ON a.hash = t.answer WHERE t.id = ?
    """
    if (row := store.row(sql, (turn_id,))) is None:
        raise _no_turn(turn_id)
    texts = store.rows(
        "SELECT text, language FROM suggestions WHERE turn_id = ? AND (placed_at IS NOT NULL OR ?) "
        "ORDER BY ordinal",
        (turn_id, not row["about"]),
    )
    suggested = tuple((text["text"], text["language"]) for text in texts)
    return AnswerSource(
        turn_id, row["project"], row["started"], row["answer"], suggested, row["about"]
    )


def save_facts(store: Store, facts: Sequence[AnswerFacts]) -> None:
    """Store what was found out about answers; of a turn that is gone nothing is kept."""
    names = columns(AnswerFacts)
    marks = ", ".join("?" * len(names))
    sql = (
        f"INSERT OR REPLACE INTO answer_facts ({', '.join(names)}) "
        f"SELECT {marks} WHERE EXISTS (SELECT 1 FROM turns WHERE id = ?)"
    )
    with store.transaction():
        for each in facts:
            store.execute(sql, (*values(each), each.turn_id))


def load_facts(store: Store, turn_id: str) -> AnswerFacts | None:
    """What was found out about a turn's answer; None if it was not looked at."""
    row = store.row("SELECT * FROM answer_facts WHERE turn_id = ?", (turn_id,))
    return None if row is None else record(AnswerFacts, row)


def load_scorable(store: Store, turn_id: str) -> Scorable:
    """Everything that a turn's scores are made of.

    Raises NotFound if there is no such turn, or its answer was not looked at.
    """
    sql = """
        SELECT t.project, coalesce(t.domain, '') AS domain, a.content AS answer
        FROM turns t JOIN messages a ON a.hash = t.answer WHERE t.id = ?
    """
    row, facts = store.row(sql, (turn_id,)), load_facts(store, turn_id)
    if row is None or facts is None:
        raise _no_turn(turn_id)
    return Scorable(
        turn_id,
        row["project"],
        row["domain"],
        row["answer"],
        suggestions_of(store, turn_id),
        load_feedback(store, turn_id),
        load_outcome(store, turn_id),
        facts,
        reply_to(store, turn_id),
    )


def placed_turns(store: Store, turn_ids: Sequence[str]) -> dict[str, list[str]]:
    """Those of the turns with a suggestion that was found in a file, by project."""
    sql = """
        SELECT DISTINCT t.project, t.id FROM json_each(?) j JOIN turns t ON t.id = j.value
               JOIN suggestions s ON s.turn_id = t.id
        WHERE s.placed_at IS NOT NULL AND t.project IS NOT NULL
    """
    found: dict[str, list[str]] = {}
    for row in store.rows(sql, (json.dumps(list(turn_ids)),)):
        found.setdefault(row["project"], []).append(row["id"])
    return found


def _no_turn(turn_id: str) -> NotFound:
    return NotFound(
        f"No answer with the id {turn_id} was recorded.", "`qi-learn log` lists the ids."
    )
