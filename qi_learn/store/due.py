"""When time alone changes something for a suggestion next: until then there is nothing to do."""

from __future__ import annotations

import math

from qi_learn.store.database import Store

_NEXT = """
    SELECT min(touched_at) + ?2 FROM suggestions WHERE state = 'placed' AND touched_at > ?1 - ?2
    UNION ALL
    SELECT min(t.ended) + ?3 FROM suggestions s JOIN turns t ON t.id = s.turn_id
    WHERE s.state = 'waiting' AND s.touched_at IS NOT NULL AND t.ended > ?1 - ?3
    UNION ALL
    SELECT min(settled_at) + ?4 FROM suggestions
    WHERE state = 'settled' AND "commit" IS NOT NULL AND settled_at > ?1 - ?4
          AND placed_at >= settled_at + ?4 - ?5
"""


def next_due(
    store: Store, now: float, *, settle: float, window: float, look: float, followed: float
) -> float:
    """The first time after `now` at which a suggestion is due; infinite if none will be.

    A placed one is due `settle` seconds after it was touched, a waiting one that a save passed by
    `window` seconds after its turn, a committed one `look` seconds after it was looked at, if it
    was placed no longer than `followed` seconds before that.
    """
    times = [row[0] for row in store.rows(_NEXT, (now, settle, window, look, followed))]
    return min((t for t in times if t is not None), default=math.inf)
