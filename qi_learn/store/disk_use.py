"""How much room the database takes."""

from __future__ import annotations

from qi_learn.store.database import Store


def used_bytes(store: Store) -> int:
    """How much of the database file is in use: what was deleted leaves room for what comes."""
    pages, free, size = (
        int(store.rows(f"PRAGMA {name}")[0][0])
        for name in ("page_count", "freelist_count", "page_size")
    )
    return (pages - free) * size
