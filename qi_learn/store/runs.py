"""Learning cycles as their events reported them.

How far each came, what it learned from, and why it ended as it did.

A cycle resumes from its own directory. This is the record of it that stays, and that says which
turns a version has learned.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection
from typing import TYPE_CHECKING, Any, get_args

from qi_learn import codec
from qi_learn.errors import NotFound
from qi_learn.record_class import dataclass
from qi_learn.records import RunState
from qi_learn.store.database import Store

if TYPE_CHECKING:
    from qi_learn.records import Event, Plan, TrainResult, Verdict
    from qi_learn.redact import Redacted

_RECORDS = {"plan": "Plan", "train": "TrainResult", "verdict": "Verdict"}
"""By column: the record that it holds. A reader without cycles loads none of them."""
_REPORTED = ("state", "reason", "started", "parent", "fresh", *_RECORDS)


@dataclass(frozen=True, slots=True)
class Run:
    """One learning cycle."""

    id: str
    state: RunState
    reason: str | None
    """Why it was started, and after its end, why it ended so."""
    started: float
    updated: float
    parent: str | None
    """The version that was live when it started."""
    fresh: int | None
    """Examples that no live version had learned when it started."""
    examples: int
    """Size of its data set (0 before it is frozen)."""
    plan: Plan | None = None
    train: TrainResult | None = None
    verdict: Verdict | None = None


def apply_cycle(store: Store, clean: Redacted[Event]) -> None:
    """Store a `cycle` event: what it reports overwrites what an earlier one reported.

    Raises ValueError if its body is not as follows.

    Body: `{"run", "state", "reason"?, "started"?, "parent"?, "fresh"?, "examples"?: [{"turn",
    "hash", "split"}], "plan"?, "train"?, "verdict"?}`.
    """
    event = clean.value
    run, reported = _reported(event)
    examples = _examples(event.body.get("examples") or [])
    with store.transaction():
        stored = store.row("SELECT updated FROM runs WHERE id = ?", (run,))
        if stored is None:
            first = {"started": event.ts, **reported}
            store.insert("runs", ("id", "updated", *first), (run, event.ts, *first.values()))
        elif event.ts >= stored["updated"]:
            changes = ", ".join(f"{name} = ?" for name in reported)
            store.execute(
                f"UPDATE runs SET updated = ?, {changes} WHERE id = ?",
                (event.ts, *reported.values(), run),
            )
        else:  # a late line: it may only add what no later one has reported
            changes = ", ".join(f"{name} = coalesce({name}, ?)" for name in reported)
            store.execute(f"UPDATE runs SET {changes} WHERE id = ?", (*reported.values(), run))
        for turn, digest, split in examples:
            store.insert(
                "run_examples", ("run_id", "turn_id", "hash", "split"), (run, turn, digest, split)
            )
        details = {
            "run": run,
            "state": reported["state"],
            "reason": reported.get("reason"),
            "examples": len(examples),
        }
        from qi_learn.store import audit  # readers of the cycles need no seals

        audit.append(
            store,
            event.ts,
            f"cycle {reported['state']}",
            {name: value for name, value in details.items() if value},
        )


def load_run(store: Store, id: str) -> Run:
    """A cycle. Raises NotFound if there is no such cycle."""
    row = store.row(f"{_SELECT} WHERE id = ?", (id,))
    if row is None:
        raise NotFound(
            f"There is no learning cycle {id}.", "`qi-learn status` lists the last ones."
        )
    return _run(row)


def list_runs(store: Store, *, limit: int = 50) -> list[Run]:
    """The newest cycles first."""
    return [
        _run(row)
        for row in store.rows(f"{_SELECT} ORDER BY started DESC, id DESC LIMIT ?", (limit,))
    ]


def learned(store: Store, run_ids: Collection[str]) -> set[str]:
    """Ids of the turns in the data sets of these cycles."""
    sql = (
        "SELECT DISTINCT turn_id FROM run_examples WHERE run_id IN (SELECT value FROM json_each(?))"
    )
    return {row["turn_id"] for row in store.rows(sql, (json.dumps(sorted(run_ids)),))}


def runs_of(store: Store, turn_id: str) -> list[str]:
    """The cycles with the turn in their data set, oldest first: their versions have learned it."""
    sql = """
        SELECT DISTINCT r.id, r.started FROM run_examples e JOIN runs r ON r.id = e.run_id
        WHERE e.turn_id = ? ORDER BY r.started, r.id
    """
    return [row["id"] for row in store.rows(sql, (turn_id,))]


_SELECT = (
    "SELECT *, (SELECT count(*) FROM run_examples WHERE run_id = runs.id) AS examples FROM runs"
)


def _reported(event: Event) -> tuple[str, dict[str, Any]]:
    body = event.body
    run, state = body.get("run"), body.get("state")
    if not isinstance(run, str) or not run:
        raise ValueError("a cycle event without a run")
    if state not in get_args(RunState):
        raise ValueError(f"{state!r} is not a state of a cycle")
    reported = {name: body[name] for name in _REPORTED if body.get(name) is not None}
    for name in _RECORDS:
        if name in reported:
            reported[name] = codec.dumps(codec.build(_kind(name), reported[name]))
    return run, reported


def _examples(listed: Any) -> list[tuple[str, str, str]]:
    from qi_learn.records import Split

    try:
        examples = [(e["turn"], e["hash"], e["split"]) for e in listed]
    except (TypeError, KeyError) as error:
        raise ValueError(f"an example of the cycle lacks {error}") from error
    if wrong := [split for _, _, split in examples if split not in get_args(Split)]:
        raise ValueError(f"{wrong[0]!r} is not a split")
    return examples


def _run(row: sqlite3.Row) -> Run:
    return Run(
        id=row["id"],
        state=row["state"],
        reason=row["reason"],
        started=row["started"],
        updated=row["updated"],
        parent=row["parent"],
        fresh=row["fresh"],
        examples=row["examples"],
        **{name: _record(name, row[name]) for name in _RECORDS},
    )


def _record(name: str, text: str | None) -> Any:
    return None if text is None else codec.loads(_kind(name), text)


def _kind(name: str) -> type:
    from qi_learn import records

    kind: type = getattr(records, _RECORDS[name])
    return kind
