"""How long a person has worked since an answer: time without a sign of work does not count.

Requests and saves are the signs. So lunch, a machine that was suspended and a clock that was set
ahead let no suggestion grow old.
"""

from __future__ import annotations

from collections.abc import Iterator

from qi_learn.store.database import Store

STEP = 10
"""Seconds: of several saves within them one is remembered."""
IDLE = 300.0
"""The longest time between two signs of work that counts as work; of a longer one as much."""
LONGEST = 8 * 86400.0
"""Seconds by the clock after which a suggestion is too old, however little was worked since."""
AT_ONCE = 200
"""Signs that are read at once."""
_SIGNS = f"""
    SELECT at FROM (SELECT at * {STEP}.0 AS at FROM saves
                    WHERE at > :since / {STEP} - 1 AND at * {STEP}.0 < :until
                    ORDER BY saves.at DESC LIMIT {AT_ONCE})
    UNION ALL
    SELECT at FROM (SELECT ended AS at FROM turns WHERE ended > :since AND ended < :until
                    ORDER BY ended DESC LIMIT {AT_ONCE})
    ORDER BY 1 DESC LIMIT {AT_ONCE}
"""


def note_save(store: Store, ts: float) -> None:
    """Remember that a person saved a file then, and let go what is too old to count."""
    at = int(ts // STEP)
    if store.row("SELECT 1 FROM saves WHERE at = ?", (at,)) is None:
        with store.transaction():
            store.execute("INSERT OR IGNORE INTO saves VALUES (?)", (at,))
            store.execute("DELETE FROM saves WHERE at < ?", (int((ts - 2 * LONGEST) // STEP),))


def window_start(store: Store, at: float, window: float) -> float:
    """The time from which on `window` seconds were worked until `at`; at most `LONGEST` before."""
    left, later = window, at
    for sign in _signs(store, at - LONGEST, at):
        worked = min(later - sign, IDLE)
        if worked >= left:
            return later - left
        left -= worked
        later = sign
    return at - LONGEST


def worked_since(store: Store, since: float, until: float) -> float:
    """Seconds that were worked between two times."""
    total, later = 0.0, until
    for sign in (*_signs(store, since, until), since):
        total += min(later - sign, IDLE)
        later = sign
    return total


def over_at(store: Store, since: float, now: float, window: float) -> float:
    """When the window of an answer that ended at `since` is over, if no sign of work comes."""
    worked = worked_since(store, since, now)
    last = next(_signs(store, since, now), since)
    more = IDLE - min(now - last, IDLE)
    return now + max(1.0, window - worked) if window - worked <= more else since + LONGEST


def _signs(store: Store, since: float, until: float) -> Iterator[float]:
    """When there were signs of work, newest first."""
    while True:
        rows = store.rows(_SIGNS, {"since": since, "until": until})
        for row in rows:
            until = max(since, float(row[0]))
            yield until
        if len(rows) < AT_ONCE:
            return
