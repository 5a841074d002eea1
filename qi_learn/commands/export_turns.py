"""`qi-learn export data --format jsonl FILE`: every turn as one line, to keep or to bring back.

`qi-learn import jsonl FILE` makes the same turns of it, with their ids and ratings, in this home or
another. What became of suggestions, and scores, stand there to be read: where the turns come back
they are found out anew. The project's context of then comes along with its turn. Turns whose texts
have gone are left out. Every text goes once more through the rules that take secrets out.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from qi_learn.codec import plain
from qi_learn.commands.export import write_lines
from qi_learn.errors import NotFound
from qi_learn.importers.exported import FORMAT
from qi_learn.paths import Paths
from qi_learn.records import Survival
from qi_learn.redact import Redactor, load_redactor
from qi_learn.store.database import Store, open_store
from qi_learn.store.everything import one_moment
from qi_learn.store.feedback import load_interaction
from qi_learn.store.lines_left import survivals_of


def export_turns(paths: Paths, file: Path) -> int:
    """Write all turns that have their texts, oldest first; how many.

    Raises NotFound if nothing was recorded or the file is there already, StoreError if the database
    cannot be read, OSError if there is no room.
    """
    redactor = refuse_nothing(paths, file)
    with open_store(paths.database, readonly=True) as store, one_moment(store):
        return write_lines(file, _lines(store, redactor))


def refuse_nothing(paths: Paths, file: Path) -> Redactor:
    """The redactor of a home with a database. Raises NotFound if there is none, or the file is."""
    if not paths.database.exists():
        raise NotFound("Nothing was recorded yet.", "`qi-learn status` says whether it records.")
    if file.exists():
        raise NotFound(f"{file} is there already.", "Name a file that is new.")
    return load_redactor(paths.redaction_key)


def as_line(value: Any, redactor: Redactor) -> str:
    """A value without secrets, as a line of JSON."""
    text = json.dumps(redactor.value(plain(value)), ensure_ascii=False, separators=(",", ":"))
    return text.encode("utf-8", "replace").decode() + "\n"


def _lines(store: Store, redactor: Redactor) -> Iterator[str]:
    sql = "SELECT id FROM turns WHERE texts_gone IS NULL ORDER BY started, id"
    for row in store.rows(sql):
        one, left = load_interaction(store, row["id"]), survivals_of(store, row["id"])
        line = {
            "format": FORMAT,
            "turn": one.turn,
            "ratings": list(_ratings(store, one.turn.id)),
            "suggestions": [
                {
                    "text": s.text,
                    "file": s.file,
                    "fate": s.fate,
                    "final_text": s.final_text,
                    "left": _left(left.get(s.ordinal)),
                }
                for s in one.suggestions
            ],
            "outcome": one.outcome,
            "score": None if one.score is None else one.score.target_score,
        }
        yield as_line(line, redactor)


def _left(survival: Survival | None) -> Mapping[str, float | None] | None:
    """The share of a suggestion's lines that are from its commit; None if it was not counted."""
    if survival is None or survival.at_commit is None:
        return None
    return {name: getattr(survival, name) for name in ("at_commit", "after_day", "after_week")}


def _ratings(store: Store, turn: str) -> Iterable[dict[str, Any]]:
    sql = """
        SELECT ts, rating, correction, comment FROM ratings WHERE turn_id = ?
            AND coalesce(rating, correction, comment) IS NOT NULL ORDER BY ts, id
    """
    return (dict(row) for row in store.rows(sql, (turn,)))
