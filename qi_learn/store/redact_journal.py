"""The audit journal looked through again, the only time that an entry of it changes.

An entry says what was done, never what a person wrote; but an error that it quotes may. If one
does, the journal is sealed anew from there on. A new entry tells so, with the seal it had before.
"""

from __future__ import annotations

from collections import Counter

from qi_learn.redact import Redactor
from qi_learn.store import audit
from qi_learn.store.database import Store
from qi_learn.store.redact_columns import clean_text, readable

_TRIGGERS = "SELECT name, sql FROM sqlite_master WHERE type = 'trigger' AND tbl_name = 'audit'"


def redact_journal(store: Store, redactor: Redactor, now: float) -> Counter[str]:
    """Look through the journal, in one transaction; how many entries were rewritten."""
    rows = store.rows("SELECT * FROM audit ORDER BY number")
    clean = {row["number"]: clean_text(redactor, row["body"]) for row in rows}
    changed = [row["number"] for row in rows if clean[row["number"]] != row["body"]]
    if not changed:
        return Counter()
    with store.transaction():
        triggers = store.rows(_TRIGGERS)
        for trigger in triggers:
            store.execute(f"DROP TRIGGER {trigger['name']}")
        previous = next((r["previous"] for r in rows if r["number"] == changed[0]), "")
        for row in rows:
            if row["number"] >= changed[0]:
                body = readable(clean[row["number"]])
                seal = audit.seal_of(previous, row["ts"], row["what"], body)
                store.execute(
                    "UPDATE audit SET body = ?, previous = ?, hash = ? WHERE number = ?",
                    (body, previous, seal, row["number"]),
                )
                previous = seal
        for trigger in triggers:
            store.execute(trigger["sql"])
        told = {"entries": len(changed), "first": changed[0], "sealed_before": rows[-1]["hash"]}
        audit.append(store, now, "audit redacted", told)
    return Counter(audit=len(changed))
