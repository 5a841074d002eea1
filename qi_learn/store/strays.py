"""Turns that are of no project and that nobody rated: after a day their texts go.

They came from a directory that says nothing (an editor's own), and may have been anything. What is
found in a registered project within the day gets that project, and stays; so does what was rated.
"""

from __future__ import annotations

from qi_learn.store.database import Store

STRAY_SECONDS = 86400.0
"""How long a turn may be of no project before its texts go."""
_STRAYS = """
    SELECT t.id FROM turns t JOIN events e ON e.id = t.id
    WHERE t.project IS NULL AND t.texts_gone IS NULL AND t.ended < ?1
        AND e.kind = 'turn' AND e.source = 'gateway' AND e.taken < ?1
        AND NOT EXISTS (SELECT 1 FROM ratings WHERE turn_id = t.id)
        AND NOT EXISTS (SELECT 1 FROM run_examples WHERE turn_id = t.id)
    ORDER BY t.ended LIMIT ?2
"""
"""Of those alone that came through the gateway, and were in the database for as long."""


def stray_turns(store: Store, before: float, limit: int) -> list[str]:
    """Turns with texts of no project that were taken in before then and not rated, oldest first."""
    return [row["id"] for row in store.rows(_STRAYS, (before, limit))]
