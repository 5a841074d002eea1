"""The fates of suggestions of an older home, which called rejected what it had not found.

A rejection without a positive sign becomes unknown, and its turn is scored anew, so that no data
set has it any more as something not to say. So does what was found in a notebook: its place there
was lines of JSON, which no version looks for any more, and they would seem to be gone.
"""

from __future__ import annotations

import sqlite3

from qi_learn.fates import ACCEPTED_SIMILARITY, BAD_RATING, GOOD_RATING, KEPT_SIMILARITY

_IN_NOTEBOOKS = """
    UPDATE suggestions SET state = 'unknown', since = NULL, file = NULL, name = NULL,
        before = '[]', after = '[]', region = NULL, final_text = NULL, similarity = NULL,
        placed_at = NULL, touched_at = NULL, settled_at = NULL, looked_at = NULL, "commit" = NULL,
        reverted = 0, match_method = NULL, match_confidence = NULL
    WHERE turn_id = :turn AND file LIKE '%.ipynb'
"""
_SEEN_IN_NOTEBOOKS = """
    UPDATE feedback SET accepted = NULL, modified = NULL, final_version = NULL,
        time_to_accept = NULL, match_method = NULL, match_confidence = NULL
    WHERE turn_id = :turn
"""
_NOT_FOUND = """
    UPDATE suggestions SET state = 'unknown', settled_at = NULL, since = NULL
    WHERE turn_id = :turn AND state = 'settled' AND placed_at IS NULL
"""
_INFERRED = f"""
    UPDATE suggestions SET inferred = CASE
        WHEN state = 'unknown' THEN 'unknown'
        WHEN state <> 'settled' THEN NULL
        WHEN final_text IS NULL OR reverted THEN 'rejected'
        WHEN similarity IS NULL THEN 'unknown'
        WHEN similarity >= {KEPT_SIMILARITY} THEN 'kept'
        WHEN similarity >= {ACCEPTED_SIMILARITY} THEN 'edited' ELSE 'rejected' END
    WHERE turn_id = :turn
"""
_NEWEST_RATING = """
    SELECT rating FROM ratings WHERE turn_id = :turn AND rating IS NOT NULL
    ORDER BY ts DESC, id DESC LIMIT 1
"""
_FATE = f"""
    UPDATE suggestions SET fate = CASE
        WHEN ({_NEWEST_RATING}) <= {BAD_RATING} THEN 'rejected'
        WHEN EXISTS (SELECT 1 FROM ratings WHERE turn_id = :turn AND correction <> '')
            THEN 'edited'
        WHEN inferred = 'rejected' AND ({_NEWEST_RATING}) >= {GOOD_RATING} THEN 'unknown'
        ELSE inferred END
    WHERE turn_id = :turn
"""
_TAKEN_BACK = """
    UPDATE feedback SET accepted = NULL, modified = NULL WHERE turn_id = :turn AND accepted = 0
        AND NOT EXISTS (SELECT 1 FROM suggestions
                        WHERE turn_id = :turn AND inferred IN ('kept', 'edited', 'rejected'))
"""
_SCORED_ANEW = "UPDATE turns SET dirty = texts_gone IS NULL WHERE id = :turn"


def name_fates(conn: sqlite3.Connection, turn: str) -> None:
    """Name what became of a turn's suggestions, as far as what was stored has a sign of it.

    Its turn is scored anew if a verdict went, or the person's word now decides.
    """
    values = {"turn": turn}
    if lost := conn.execute(_IN_NOTEBOOKS, values).rowcount > 0:
        conn.execute(_SEEN_IN_NOTEBOOKS, values)
    conn.execute(_NOT_FOUND, values)
    if not conn.execute(_INFERRED, values).rowcount:
        return
    conn.execute(_FATE, values)
    taken_back = conn.execute(_TAKEN_BACK, values).rowcount
    said = "SELECT 1 FROM suggestions WHERE turn_id = :turn AND fate IS NOT inferred"
    if lost or taken_back or conn.execute(said, values).fetchone() is not None:
        conn.execute(_SCORED_ANEW, values)
