"""Answers of which one piece of code stands in a commit: what a project's tests can judge."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import NamedTuple

from qi_learn.store.database import Store

_COMMITTED = """
    SELECT s.turn_id, t.endpoint, t.project, s.file, s.name, s.before, s.final_text, s."commit",
           s.placed_at
    FROM json_each(?) j JOIN suggestions s ON s.turn_id = j.value JOIN turns t ON t.id = s.turn_id
    WHERE s.state = 'settled' AND s."commit" IS NOT NULL AND s.final_text IS NOT NULL
          AND s.file IS NOT NULL AND s.start >= 0 AND NOT s.reverted AND s.placed_at IS NOT NULL
          AND t.project IS NOT NULL
          AND (SELECT count(*) FROM suggestions o
               WHERE o.turn_id = s.turn_id AND o.placed_at IS NOT NULL) = 1
    ORDER BY j.key
"""


class CommittedCode(NamedTuple):
    """What settled of a turn's one suggestion that was placed, and the commit that settled it."""

    turn_id: str
    endpoint: str
    project: str
    file: str
    """Relative to the project."""
    name: str | None
    before: tuple[str, ...]
    text: str
    commit: str
    placed_at: float


def committed_code(store: Store, turn_ids: Sequence[str]) -> list[CommittedCode]:
    """What settled of the turns, in their order; edits by tools, and what was taken back, are not.

    Nor is a turn of which several pieces were placed.
    """
    found = []
    for row in store.rows(_COMMITTED, (json.dumps(list(turn_ids)),)):
        code = CommittedCode(*row)
        try:
            before = tuple(map(str, json.loads(row["before"] or "[]")))
        except (ValueError, TypeError):
            before = ()
        found.append(code._replace(before=before))
    return found
