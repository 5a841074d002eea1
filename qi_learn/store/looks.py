"""Every look that the gate took: the verdicts of all cycles, and what fresh work each was on.

A verdict counts however its cycle came about, and whether it shipped or not; a cycle has several if
another version went live before its own could. What was forgotten since is no longer among a look's
examples and sessions; the look itself stays in the account.
"""

from __future__ import annotations

import json
from dataclasses import replace

from qi_learn import codec
from qi_learn.records import PastLook, Verdict
from qi_learn.store.database import Store


def past_looks(store: Store, *, but: str = "") -> list[PastLook]:
    """The looks of all cycles except the run `but`, oldest first."""
    rows = store.rows(
        """
        SELECT r.verdict, (
            SELECT version FROM releases WHERE run_id = r.id ORDER BY created DESC LIMIT 1
        ) AS version, (
            SELECT json_group_array(turn_id) FROM run_examples
            WHERE run_id = r.id AND split = 'gate'
        ) AS examples, (
            SELECT json_group_array(DISTINCT t.session)
            FROM run_examples e JOIN turns t ON t.id = e.turn_id
            WHERE e.run_id = r.id AND e.split = 'gate' AND t.session <> ''
        ) AS sessions
        FROM runs r WHERE r.verdict IS NOT NULL AND r.id <> ? ORDER BY r.started, r.id
        """,
        (but,),
    )
    return [
        PastLook(
            verdict,
            tuple(json.loads(row["examples"])),
            tuple(json.loads(row["sessions"])),
            row["version"] or "" if is_last else "",
        )
        for row in rows
        for verdict, is_last in _in_order(codec.loads(Verdict, row["verdict"]))
    ]


def _in_order(last: Verdict) -> list[tuple[Verdict, bool]]:
    """All verdicts of one cycle, oldest first, and which the last is: no other led anywhere."""
    return [*((verdict, False) for verdict in last.earlier), (replace(last, earlier=()), True)]
