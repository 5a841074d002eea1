"""What became of a turn: suggestions, feedback, outcomes and scores.

Also R2's record of all of it (`load_interaction`).

The invariant: whatever changes the evidence of a turn marks the turn dirty in the same transaction,
and only a new score takes the mark away. So a killed process never leaves a score older than its
evidence without the mark that says so. Unknown stays NULL, never "no".
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from qi_learn.errors import NotFound
from qi_learn.fates import EXPLICIT, fate_of
from qi_learn.records import (
    Complexity,
    Feedback,
    LearningInteraction,
    LearningType,
    Outcome,
    Score,
    Suggestion,
)
from qi_learn.store.database import Store
from qi_learn.store.named_fates import said_of, with_fates
from qi_learn.store.rows import columns, record, values
from qi_learn.store.turns import load_turn

if TYPE_CHECKING:
    from qi_learn.redact import Redacted

IMPLICIT = (
    *("accepted", "modified", "final_version", "time_to_accept", "correction"),
    *("match_method", "match_confidence"),
)
"""The fields of `Feedback` that come from what was seen, not from what a person said."""
LAST_LOOK = 7 * 86400.0
"""Seconds after its placement from which on a suggestion is not looked at again (contracts 5)."""
ROUND = 1000
"""The most turns that one round classifies or scores; the next round goes on with the next ones."""
_UPDATABLE = columns(Suggestion)[2:]
_UPDATE = f"""
    UPDATE suggestions SET {", ".join(f'"{c}" = ?{n}' for n, c in enumerate(_UPDATABLE, 4))},
                           since = iif(?{_UPDATABLE.index("state") + 4} = 'waiting', since, ?3)
    WHERE turn_id = ?1 AND ordinal = ?2
          AND ({" OR ".join(f'"{c}" IS NOT ?{n}' for n, c in enumerate(_UPDATABLE, 4))})
"""
"""Changes no row if the suggestion is stored as it is."""


# --- suggestions ----------------------------------------------------------------------------------


def save_suggestions(store: Store, suggestions: Redacted[Sequence[Suggestion]]) -> None:
    """Store suggestions of stored turns, in place of those that were there already."""
    with store.transaction():
        for suggestion in suggestions.value:
            since = _since(suggestion)
            if suggestion.state == "waiting":
                ended = store.row("SELECT ended FROM turns WHERE id = ?", (suggestion.turn_id,))
                since = None if ended is None else ended[0]
            store.insert(
                "suggestions",
                (*columns(Suggestion), "since"),
                (*values(suggestion), since),
                replace=True,
            )


def suggestions_of(store: Store, turn_id: str) -> tuple[Suggestion, ...]:
    """A turn's suggestions in the order of the answer."""
    return _suggestions(
        store.rows("SELECT * FROM suggestions WHERE turn_id = ? ORDER BY ordinal", (turn_id,))
    )


def update_suggestion(store: Store, clean: Redacted[Suggestion]) -> bool:
    """Store what became of a suggestion and mark its turn; False if nothing changed.

    Its fate is named by what was inferred and what was said of the turn. Another look that found
    nothing new, and the end of a wait, are no evidence: they mark nothing.
    Raises NotFound if the suggestion was never saved.
    """
    suggestion = clean.value
    key = (suggestion.turn_id, suggestion.ordinal)
    with store.transaction():
        old = store.row("SELECT * FROM suggestions WHERE turn_id = ? AND ordinal = ?", key)
        if old is None:
            raise NotFound(f"The turn {suggestion.turn_id} has no suggestion {suggestion.ordinal}.")
        fate = fate_of(suggestion.inferred, said_of(store, suggestion.turn_id))
        suggestion = replace(suggestion, fate=fate)
        if not store.execute(_UPDATE, (*key, _since(suggestion), *values(suggestion)[2:])):
            return False
        before = record(Suggestion, old)
        if replace(before, looked_at=suggestion.looked_at) != suggestion and not (
            before.state == "waiting" and suggestion.state == "unknown"
        ):
            mark_dirty(store, suggestion.turn_id)
    return True


def _since(suggestion: Suggestion) -> float | None:
    """From when time alone counts for a suggestion that no longer waits; None if it does not."""
    if suggestion.state == "placed":
        return suggestion.touched_at or 0.0
    if suggestion.state == "settled" and suggestion.commit is not None:
        last = suggestion.looked_at or suggestion.settled_at
        if last is not None and last - (suggestion.placed_at or last) < LAST_LOOK:
            return last
    return None


def _suggestions(rows: Iterable[sqlite3.Row]) -> tuple[Suggestion, ...]:
    return tuple(record(Suggestion, row) for row in rows)


# --- what was said and seen -----------------------------------------------------------------------


def save_implicit(store: Store, turn_id: str, feedback: Redacted[Feedback]) -> bool:
    """Store what was seen of a turn (the fields in `IMPLICIT`) and mark the turn.

    False if nothing changed. Rating and comment are a person's, and not stored here.
    """
    seen = [getattr(feedback.value, name) for name in IMPLICIT]
    return _save_evidence(store, "feedback", turn_id, IMPLICIT, seen)


def load_feedback(store: Store, turn_id: str) -> Feedback:
    """What was seen and the ratings, together.

    Of several ratings the newest number, correction, comment and mark. A person's correction wins
    over a seen one, and what was said over what was inferred.
    """
    seen = store.row("SELECT * FROM feedback WHERE turn_id = ?", (turn_id,))
    feedback = Feedback()
    if seen is not None:
        values = {name: seen[name] for name in IMPLICIT}
        values |= {name: _yes(seen[name]) for name in ("accepted", "modified")}
        feedback = Feedback(**values)
    said = said_of(store, turn_id)
    given = {name: value for name in EXPLICIT if (value := getattr(said, name)) is not None}
    if feedback.match_method is None and said.match_method is not None:
        given |= {"match_method": said.match_method, "match_confidence": said.match_confidence}
    fates = store.rows("SELECT fate FROM suggestions WHERE turn_id = ?", (turn_id,))
    return with_fates(replace(feedback, **given), [row["fate"] for row in fates])


# --- outcomes -------------------------------------------------------------------------------------


def save_outcome(store: Store, turn_id: str, outcome: Outcome) -> bool:
    """Store a turn's outcome and mark the turn; False if nothing changed."""
    return _save_evidence(store, "outcomes", turn_id, columns(Outcome), values(outcome))


def load_outcome(store: Store, turn_id: str) -> Outcome:
    """A turn's outcome; all of it unknown if nothing was stored."""
    row = store.row("SELECT * FROM outcomes WHERE turn_id = ?", (turn_id,))
    return Outcome() if row is None else record(Outcome, row)


def _save_evidence(
    store: Store, table: str, turn_id: str, names: Sequence[str], new: Sequence[Any]
) -> bool:
    with store.transaction():
        old = store.row(f"SELECT {', '.join(names)} FROM {table} WHERE turn_id = ?", (turn_id,))
        if (tuple(old) if old is not None else (None,) * len(names)) == tuple(new):
            return False
        mark_dirty(store, turn_id)
        store.insert(table, ("turn_id", *names), (turn_id, *new), replace=True)
    return True


# --- scores ---------------------------------------------------------------------------------------


def mark_dirty(store: Store, turn_id: str) -> None:
    """Mark a turn as one to be scored again, unless its texts are gone: then its score stays.

    Raises NotFound if there is no such turn.
    """
    if not store.execute("UPDATE turns SET dirty = texts_gone IS NULL WHERE id = ?", (turn_id,)):
        raise NotFound(f"No answer with the id {turn_id} was recorded.")


def dirty_turns(store: Store, *, limit: int = ROUND) -> list[str]:
    """Turns with evidence newer than their score, new ones included, oldest first.

    In the same order and number as `unclassified_turns`: what a round scores, it has classified.
    """
    sql = "SELECT id FROM turns WHERE dirty ORDER BY started, id LIMIT ?"
    return [row["id"] for row in store.rows(sql, (limit,))]


def save_score(store: Store, clean: Redacted[Score]) -> None:
    """Store a turn's scores and take its mark away. Raises NotFound if there is no such turn.

    Whether it may be an example is to be looked at anew (`store/candidates.py`).
    """
    score = clean.value
    with store.transaction():
        if not store.execute("UPDATE turns SET dirty = 0 WHERE id = ?", (score.turn_id,)):
            raise NotFound(f"No answer with the id {score.turn_id} was recorded.")
        names = (*columns(Score), "judged")
        store.insert("scores", names, (*values(score), 0), replace=True)
        store.execute("DELETE FROM candidates WHERE turn_id = ?", (score.turn_id,))


def load_score(store: Store, turn_id: str) -> Score | None:
    """A turn's scores; None if it has not been scored."""
    row = store.row("SELECT * FROM scores WHERE turn_id = ?", (turn_id,))
    return None if row is None else record(Score, row)


def scored_turns(store: Store, *, threshold: float) -> list[str]:
    """Turns with a target score of `threshold` or more, oldest first.

    Only those answered with status 200. Whether one that was cancelled can be learned is for the
    data set to say (`dataset.target.taken_early`).
    """
    sql = """
        SELECT t.id FROM scores s JOIN turns t ON t.id = s.turn_id
        WHERE s.target_score >= ? AND t.status = 200 AND NOT t.never_learn
              AND t.texts_gone IS NULL
        ORDER BY t.started, t.id
    """
    return [row["id"] for row in store.rows(sql, (threshold,))]


def rejected_turns(store: Store, *, rating: int = 2) -> list[str]:
    """Turns with something that was rejected, or that were rated `rating` or less, oldest first.

    Only those answered with status 200 and not cancelled.
    """
    sql = """
        SELECT t.id FROM turns t
        WHERE t.status = 200 AND NOT t.cancelled AND NOT t.never_learn AND t.texts_gone IS NULL
              AND (t.id IN (SELECT turn_id FROM suggestions WHERE fate = 'rejected')
                   OR t.id IN (SELECT turn_id FROM ratings WHERE rating <= ? OR mark = 'rejected'))
        ORDER BY t.started, t.id
    """
    return [row["id"] for row in store.rows(sql, (rating,))]


# --- classes, and everything together -------------------------------------------------------------


def save_classes(
    store: Store,
    turn_id: str,
    learning_type: LearningType,
    complexity: Complexity,
    domain: str,
    tools: Redacted[Sequence[str]],
) -> None:
    """Store what kind of turn it is; `tools`: names of the tools it used.

    Derived from the turn itself, so it marks nothing. Raises NotFound if there is no such turn.
    """
    sql = "UPDATE turns SET learning_type = ?, complexity = ?, domain = ?, tools = ? WHERE id = ?"
    if not store.execute(
        sql, (learning_type, complexity, domain, json.dumps(list(tools.value)), turn_id)
    ):
        raise NotFound(f"No answer with the id {turn_id} was recorded.")


def unclassified_turns(store: Store, *, limit: int = ROUND) -> list[str]:
    """Turns without classes, oldest first.

    New ones, and those of a process that was killed before it came to them.
    """
    sql = "SELECT id FROM turns WHERE learning_type IS NULL ORDER BY started, id LIMIT ?"
    return [row["id"] for row in store.rows(sql, (limit,))]


def domain_share(store: Store, project: str | None, domain: str) -> float:
    """Share of the project's classified turns that are in the domain, 0..1.

    0 if none is classified.
    """
    counts = store.rows("SELECT domain, turns FROM domains WHERE project = ?", (project or "",))
    total = sum(int(row["turns"]) for row in counts)
    return sum(int(row["turns"]) for row in counts if row["domain"] == domain) / max(1, total)


def load_interaction(store: Store, turn_id: str) -> LearningInteraction:
    """Everything known of a turn. Raises NotFound if there is no such turn.

    One that is not classified yet counts as simple code generation of no domain.
    """
    turn = load_turn(store, turn_id)
    classes = store.row(
        "SELECT learning_type, complexity, domain, tools FROM turns WHERE id = ?", (turn_id,)
    )
    if classes is None:
        raise NotFound(f"No answer with the id {turn_id} was recorded.")
    return LearningInteraction(
        turn=turn,
        suggestions=suggestions_of(store, turn_id),
        feedback=load_feedback(store, turn_id),
        outcome=load_outcome(store, turn_id),
        learning_type=classes["learning_type"] or "code_generation",
        complexity=classes["complexity"] or "simple",
        domain=classes["domain"] or "",
        tools_used=tuple(json.loads(classes["tools"] or "[]")),
        score=load_score(store, turn_id),
    )


def _yes(value: int | None) -> bool | None:
    return None if value is None else bool(value)
