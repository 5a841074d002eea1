"""`qi-learn export data --format jsonl FILE`: every turn as one line, to keep or to bring back.

`qi-learn import jsonl FILE` makes the same turns of it, in this home or another: with their ids,
sessions, projects and contexts, and with what became of them (`records.Became`: suggestions and
their fates, ratings and marks, outcomes, scores). The results of commands stand in lines of their
own before the turns: outcomes are found out from them whenever something changes. Turns whose texts
have gone are left out. Every text goes once more through the rules that take secrets out.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from qi_learn.codec import plain
from qi_learn.commands.export import write_lines
from qi_learn.errors import NotFound
from qi_learn.importers.exported import COMMAND, FORMAT
from qi_learn.paths import Paths
from qi_learn.redact import Redactor, load_redactor
from qi_learn.store.database import Store, open_store
from qi_learn.store.everything import one_moment
from qi_learn.store.returning import load_became, told_commands
from qi_learn.store.turns import load_turn


def export_turns(paths: Paths, file: Path) -> int:
    """Write all turns that have their texts, oldest first; how many.

    Raises NotFound if nothing was recorded or the file is there already, StoreError if the database
    cannot be read, OSError if there is no room.
    """
    redactor = refuse_nothing(paths, file)
    with open_store(paths.database, readonly=True) as store, one_moment(store):
        write_lines(file, _lines(store, redactor))
        return len(_turns(store))


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
    for result, joined in told_commands(store):
        yield as_line({"format": COMMAND, "command": result, "joined": joined}, redactor)
    for id in _turns(store):
        turn, became = load_turn(store, id), load_became(store, id)
        yield as_line({"format": FORMAT, "turn": turn, "became": became}, redactor)


def _turns(store: Store) -> list[str]:
    sql = "SELECT id FROM turns WHERE texts_gone IS NULL ORDER BY started, id"
    return [row["id"] for row in store.rows(sql)]
