"""How long what was recorded is kept, and what has gone: the line of `status`."""

from __future__ import annotations

import math
from pathlib import Path

from qi_learn.record_class import dataclass
from qi_learn.report.words import clock, counted
from qi_learn.settings import KeepSettings
from qi_learn.store.database import Store, open_store
from qi_learn.store.disk_use import used_bytes


@dataclass(frozen=True, slots=True)
class KeptState:
    """What `[keep]` says, and how it stands."""

    raw_days: int
    scores_days: int
    size_gb: float
    oldest_text: float | None
    """When the oldest turn ended that still has its texts; None if there is none."""
    expired: int
    """Turns whose texts have gone."""
    used: int
    """Bytes of the database that are in use."""
    limited: bool
    """Whether texts go before their time, because of `size_gb`."""


def gather(database: Path, keep: KeepSettings) -> KeptState | None:
    """How it stands; None if there is no database. Raises StoreError."""
    if not database.exists():
        return None
    with open_store(database, readonly=True) as store:
        oldest = store.row("SELECT min(ended) FROM turns WHERE texts_gone IS NULL")
        gone = expired(store, oldest[0] if oldest else None)
        used = used_bytes(store)
    return KeptState(
        keep.raw_days,
        keep.scores_days,
        keep.size_gb,
        oldest[0] if oldest else None,
        gone,
        used,
        bool(keep.size_gb) and used > 0.95 * keep.size_gb * 1e9,
    )


def expired(store: Store, oldest: float | None) -> int:
    """How many turns have no texts any more; `oldest`: when the oldest ended that has.

    The oldest go first, so those are the ones before it: an index says how many, where one look at
    each turn that has its texts would take longer than all the rest of `status`.
    """
    if oldest is None:
        return _count(store, "SELECT count(*) FROM turns")
    with_texts = "SELECT count(*) FROM turns WHERE texts_gone IS NULL AND ended = ?"
    before = _count(store, "SELECT count(*) FROM turns WHERE ended <= ?", oldest)
    return before - _count(store, with_texts, oldest)


def _count(store: Store, sql: str, *values: float) -> int:
    row = store.row(sql, values)
    return int(row[0]) if row else 0


def as_text(kept: KeptState) -> str:
    """One line for a person."""
    texts = f"texts {kept.raw_days} days" if kept.raw_days else "texts for good"
    scores = f"scores {kept.scores_days} days" if kept.scores_days else "scores for good"
    used = f"{math.ceil(kept.used / 1e6)} MB" if kept.used < 1e8 else f"{kept.used / 1e9:.2f} GB"
    size = used + (f" of {kept.size_gb:g} GB" if kept.size_gb else "")
    parts = [
        f"{texts}, {scores}; {size}",
        *((f"oldest text {clock(kept.oldest_text)}",) if kept.oldest_text is not None else ()),
        *((f"expired: the texts of {counted(kept.expired, 'turn')}",) if kept.expired else ()),
        *(("the size is the limit now",) if kept.limited else ()),
    ]
    return ", ".join(parts)
