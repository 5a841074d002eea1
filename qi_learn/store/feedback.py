"""What became of a turn: suggestions, ratings, outcomes, commands, scores; and R2's record of all
of it, `load_interaction`.

The invariant: whatever changes the evidence of a turn marks the turn dirty in the same transaction,
and only a new score takes the mark away; so a killed process never leaves a score that is older
than its evidence without the mark that says so. Unknown stays NULL, never "no".
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from qi_learn.errors import NotFound
from qi_learn.records import (
    CommandResult,
    Complexity,
    Event,
    Feedback,
    LearningInteraction,
    LearningType,
    Outcome,
    Score,
    Suggestion,
)
from qi_learn.store.database import Store
from qi_learn.store.rows import columns, record, values
from qi_learn.store.turns import load_turn, newest_stray, newest_turn

COMMAND_REACH = 7 * 86400.0
"""A command's result is evidence for suggestions placed at most this many seconds before it: the
last look at them is after 7 days (contracts 5).
"""
IMPLICIT = (
    "accepted",
    "modified",
    "final_version",
    "time_to_accept",
    "correction",
    "match_method",
    "match_confidence",
)
_UPDATABLE = columns(Suggestion)[2:]
_UPDATE = f"""
    UPDATE suggestions SET {", ".join(f'"{c}" = ?{n}' for n, c in enumerate(_UPDATABLE, 3))}
    WHERE turn_id = ?1 AND ordinal = ?2
          AND ({" OR ".join(f'"{c}" IS NOT ?{n}' for n, c in enumerate(_UPDATABLE, 3))})
"""
"""Changes nothing, and says so by the number of rows, if the row is already so."""
_PROJECT_UNKNOWN = 0.6
"""How sure a `last` is that found no turn of its project and took the newest of an unknown one.

A guess; only shown, never a weight.
"""


# --- suggestions ----------------------------------------------------------------------------------


def save_suggestions(store: Store, suggestions: Iterable[Suggestion]) -> None:
    """Stores suggestions of turns that are stored; those that were there already are overwritten."""
    with store.transaction():
        for suggestion in suggestions:
            store.insert("suggestions", columns(Suggestion), values(suggestion), replace=True)


def suggestions_of(store: Store, turn_id: str) -> tuple[Suggestion, ...]:
    """A turn's suggestions in the order of the answer."""
    return _suggestions(
        store.rows("SELECT * FROM suggestions WHERE turn_id = ? ORDER BY ordinal", (turn_id,))
    )


def placed_suggestions(store: Store, project: str, *, since: float = 0.0) -> tuple[Suggestion, ...]:
    """Suggestions found in files of a project at `since` or later, settled or not: what a save or a
    commit may change, oldest first.
    """
    sql = """
        SELECT s.* FROM suggestions s JOIN turns t ON t.id = s.turn_id
        WHERE s.placed_at >= ? AND t.project = ? AND s.state IN ('placed', 'settled') ORDER BY s.placed_at, t.id, s.ordinal
    """
    return _suggestions(store.rows(sql, (since, project)))


def update_suggestion(store: Store, suggestion: Suggestion) -> bool:
    """Store what became of a suggestion and mark its turn; False if nothing changed.

    Raises NotFound if it was never saved.
    """
    key = (suggestion.turn_id, suggestion.ordinal)
    with store.transaction():
        if store.execute(_UPDATE, (*key, *values(suggestion)[2:])):
            mark_dirty(store, suggestion.turn_id)
            return True
        if store.row("SELECT 1 FROM suggestions WHERE turn_id = ? AND ordinal = ?", key) is None:
            raise NotFound(f"The turn {suggestion.turn_id} has no suggestion {suggestion.ordinal}.")
    return False


def _suggestions(rows: Iterable[sqlite3.Row]) -> tuple[Suggestion, ...]:
    return tuple(record(Suggestion, row) for row in rows)


# --- ratings and what was seen --------------------------------------------------------------------


def save_rating(store: Store, event: Event) -> str | None:
    """Keeps a rating and gives it to its turn; returns that, None while it is not known.

    Raises ValueError as `keep_rating`.
    """
    with store.transaction():
        keep_rating(store, event)
        return _match(store, event.id, event.body.get("turn", "last"), event.project, event.ts)


def keep_rating(store: Store, event: Event) -> None:
    """Keeps a `rating` event without looking for its turn: `match_ratings` does, when all turns
    that came with it are stored.

    Raises ValueError where it is not a rating. Body: `{"turn": id | "last", "rating": 1..5 | None,
    "correction": text | None, "comment": text | None}`.
    """
    body = event.body
    asked, rating = body.get("turn", "last"), body.get("rating")
    if not isinstance(asked, str) or not asked:
        raise ValueError(f"a rating of {asked!r}, which is no turn")
    if rating is not None and (
        not isinstance(rating, int) or isinstance(rating, bool) or not 1 <= rating <= 5
    ):
        raise ValueError(f"the rating {rating!r} is not a whole number from 1 to 5")
    texts = [body.get(name) for name in ("correction", "comment")]
    if not all(text is None or isinstance(text, str) for text in texts) or (
        rating is None and not any(texts)
    ):
        raise ValueError("a rating without a number, a correction or a comment")
    names = ("id", "ts", "asked", "project", "rating", "correction", "comment")
    store.insert("ratings", names, (event.id, event.ts, asked, event.project, rating, *texts))


def match_ratings(store: Store) -> tuple[str, ...]:
    """Gives the ratings that wait for their turn to it, where it has come; the turns that got one."""
    waiting = store.rows(
        "SELECT id, asked, project, ts FROM ratings WHERE turn_id IS NULL ORDER BY ts, id"
    )
    if not waiting:
        return ()
    with store.transaction():
        found = [
            _match(store, row["id"], row["asked"], row["project"], row["ts"]) for row in waiting
        ]
    return tuple(turn for turn in found if turn is not None)


def unmatched_ratings(store: Store) -> int:
    """How many ratings wait for a turn that was not recorded (yet)."""
    row = store.row("SELECT count(*) FROM ratings WHERE turn_id IS NULL")
    return int(row[0]) if row else 0


def _match(store: Store, rating: str, asked: str, project: str | None, ts: float) -> str | None:
    turn, method, sure = _rated_turn(store, asked, project, ts)
    if turn is not None:
        store.execute(
            "UPDATE ratings SET turn_id = ?, match_method = ?, match_confidence = ? WHERE id = ?",
            (turn, method, sure, rating),
        )
        mark_dirty(store, turn)
    return turn


def _rated_turn(
    store: Store, asked: str, project: str | None, ts: float
) -> tuple[str | None, str, float]:
    if asked != "last":
        known = store.row("SELECT id FROM turns WHERE id = ?", (asked,))
        return (asked if known else None), "id", 1.0
    if turn := newest_turn(store, project, before=ts):
        return turn, "last of its project" if project else "last of all", 1.0
    return newest_stray(store, before=ts), "last of an unknown project", _PROJECT_UNKNOWN


def save_implicit(store: Store, turn_id: str, feedback: Feedback) -> bool:
    """Stores what was seen of a turn (the fields named in `IMPLICIT`; rating and comment are a
    person's); False where nothing changed.
    """
    return _save_evidence(
        store, "feedback", turn_id, IMPLICIT, [getattr(feedback, name) for name in IMPLICIT]
    )


def load_feedback(store: Store, turn_id: str) -> Feedback:
    """Ratings and what was seen, together; of several ratings the newest number, correction and
    comment. A person's correction wins over a seen one.
    """
    seen = store.row("SELECT * FROM feedback WHERE turn_id = ?", (turn_id,))
    feedback = Feedback()
    if seen is not None:
        found = {name: seen[name] for name in IMPLICIT} | {
            name: _yes(seen[name]) for name in ("accepted", "modified")
        }
        feedback = Feedback(**found)
    for row in store.rows("SELECT * FROM ratings WHERE turn_id = ? ORDER BY ts, id", (turn_id,)):
        said = {
            name: row[name] for name in ("rating", "correction", "comment") if row[name] is not None
        }
        feedback = replace(feedback, **said)
        if seen is None or feedback.match_method is None:
            feedback = replace(
                feedback, match_method=row["match_method"], match_confidence=row["match_confidence"]
            )
    return feedback


# --- commands and outcomes ------------------------------------------------------------------------


def save_command(store: Store, command: CommandResult) -> None:
    """Keeps the result of a command and marks every turn whose suggestion may stand in what it ran
    over.
    """
    sql = """
        UPDATE turns SET dirty = 1 WHERE project = ? AND id IN (SELECT turn_id FROM suggestions WHERE state != 'waiting' AND placed_at BETWEEN ? AND ?)
    """
    with store.transaction():
        store.insert("commands", columns(CommandResult), values(command))
        store.execute(sql, (command.project, command.ts - COMMAND_REACH, command.ts))


def commands_of(store: Store, project: str, *, since: float = 0.0) -> tuple[CommandResult, ...]:
    """The commands run in a project, oldest first."""
    rows = store.rows(
        "SELECT * FROM commands WHERE project = ? AND ts >= ? ORDER BY ts, id", (project, since)
    )
    return tuple(record(CommandResult, row) for row in rows)


def save_outcome(store: Store, turn_id: str, outcome: Outcome) -> bool:
    """Stores a turn's outcome; False where nothing changed."""
    return _save_evidence(store, "outcomes", turn_id, columns(Outcome), values(outcome))


def load_outcome(store: Store, turn_id: str) -> Outcome:
    """A turn's outcome; all unknown where nothing is."""
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
    """The turn must be scored again. Raises NotFound."""
    if not store.execute("UPDATE turns SET dirty = 1 WHERE id = ?", (turn_id,)):
        raise NotFound(f"No answer with the id {turn_id} was recorded.")


def dirty_turns(store: Store) -> list[str]:
    """Turns whose evidence changed since they were scored, new ones included; oldest first."""
    return [
        row["id"] for row in store.rows("SELECT id FROM turns WHERE dirty ORDER BY started, id")
    ]


def save_score(store: Store, score: Score) -> None:
    """Stores a turn's scores and takes its mark away. Raises NotFound."""
    with store.transaction():
        mark_dirty(store, score.turn_id)
        store.insert("scores", columns(Score), values(score), replace=True)
        store.execute("UPDATE turns SET dirty = 0 WHERE id = ?", (score.turn_id,))


def load_score(store: Store, turn_id: str) -> Score | None:
    """A turn's scores, None where it has not been scored."""
    row = store.row("SELECT * FROM scores WHERE turn_id = ?", (turn_id,))
    return None if row is None else record(Score, row)


def scored_turns(store: Store, *, threshold: float) -> list[str]:
    """Turns whose target score is `threshold` or more, answered with status 200 and not cancelled;
    oldest first.
    """
    sql = """
        SELECT t.id FROM scores s JOIN turns t ON t.id = s.turn_id
        WHERE s.target_score >= ? AND t.status = 200 AND NOT t.cancelled ORDER BY t.started, t.id
    """
    return [row["id"] for row in store.rows(sql, (threshold,))]


def rejected_turns(store: Store, *, rating: int = 2) -> list[str]:
    """Turns that were seen not to be kept or were rated `rating` or less, answered with status 200
    and not cancelled; oldest first.
    """
    sql = """
        SELECT t.id FROM turns t LEFT JOIN feedback f ON f.turn_id = t.id
        WHERE t.status = 200 AND NOT t.cancelled AND (f.accepted = 0 OR t.id IN (SELECT turn_id FROM ratings WHERE rating <= ?)) ORDER BY t.started, t.id
    """
    return [row["id"] for row in store.rows(sql, (rating,))]


# --- classes, and everything together -------------------------------------------------------------


def save_classes(
    store: Store,
    turn_id: str,
    learning_type: LearningType,
    complexity: Complexity,
    domain: str,
    tools: Sequence[str],
) -> None:
    """What kind of turn it is; `tools`: names of the tools it used.

    Derived from the turn itself, so it marks nothing. Raises NotFound.
    """
    sql = "UPDATE turns SET learning_type = ?, complexity = ?, domain = ?, tools = ? WHERE id = ?"
    if not store.execute(
        sql, (learning_type, complexity, domain, json.dumps(list(tools)), turn_id)
    ):
        raise NotFound(f"No answer with the id {turn_id} was recorded.")


def unclassified_turns(store: Store) -> list[str]:
    """Turns that `save_classes` was never called for, oldest first: also those of a process that
    was killed before it came to it.
    """
    return [
        row["id"]
        for row in store.rows(
            "SELECT id FROM turns WHERE learning_type IS NULL ORDER BY started, id"
        )
    ]


def domain_share(store: Store, project: str | None, domain: str) -> float:
    """Share of the project's classified turns that are in the domain, 0..1; 0 where none is
    classified.
    """
    sql = "SELECT avg(domain = ?) FROM turns WHERE project IS ? AND domain IS NOT NULL"
    row = store.row(sql, (domain, project))
    return float(row[0]) if row is not None and row[0] is not None else 0.0


def load_interaction(store: Store, turn_id: str) -> LearningInteraction:
    """Everything known of a turn.

    A turn not yet classified counts as simple code generation of no domain. Raises NotFound.
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
