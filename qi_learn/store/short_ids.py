"""Ids as a person types them: the beginning of one is enough where it means a single turn.

An id is 26 letters of which the first ten are its time, so eight of them tell two turns apart that
came a second or more after each other.
"""

from __future__ import annotations

from collections.abc import Collection

from qi_learn.errors import NotFound
from qi_learn.store.database import Store

SHORTEST = 8
"""Fewest letters that are taken for the beginning of an id."""
HOW_SHORT = f"the first {SHORTEST} letters of one are enough, fewer are not"
MOST = 5
"""How many ids are named of those that could be meant."""


def turns_named(store: Store, text: str) -> list[str]:
    """The turn with this id, else those whose id begins like this, upper and lower case alike."""
    if store.row("SELECT 1 FROM turns WHERE id = ?", (text,)) is not None:
        return [text]
    if len(text) < SHORTEST:
        return []
    sql = "SELECT id FROM turns WHERE id >= ? AND id < ? ORDER BY id LIMIT ?"
    forms = dict.fromkeys((text, text.upper(), text.lower()))
    return [
        str(row["id"])
        for form in forms
        for row in store.rows(sql, (form, f"{form}\U0010ffff", MOST))
    ]


def names(text: str, id: str) -> bool:
    """Whether a text names this id: whole, or by its beginning."""
    return text == id or (len(text) >= SHORTEST and id.lower().startswith(text.lower()))


def no_such_answer(text: str) -> NotFound:
    """The error for a text that names no turn."""
    short = ", and it is too short for the beginning of one" if len(text) < SHORTEST else ""
    return NotFound(
        f"No answer with the id {text or '(empty)'} was recorded{short}.",
        f"`qi-learn log` lists the ids: {HOW_SHORT}. `last` means the newest of this project.",
    )


def only_one(text: str, ids: Collection[str]) -> str | None:
    """The id that a text names; None if it names none. Raises NotFound if it names several."""
    if len(ids) > 1 and text not in ids:
        several = ", ".join(sorted(ids)[:MOST])
        raise NotFound(
            f"{text} is the beginning of more than one id: {several}.",
            "Give one more letter of the one that you mean.",
        )
    return text if text in ids else next(iter(ids), None)


def short_id(id: str, *beside: str | None) -> str:
    """The shortest beginning of an id that names it alone, `SHORTEST` letters at least.

    `beside`: the ids before and after it.
    """
    shared = max((_shared(id, other) for other in beside if other is not None), default=0)
    return id[: max(SHORTEST, shared + 1)]


def _shared(one: str, other: str) -> int:
    """How many letters two ids have in common at their beginning."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((at for at, (a, b) in pairs if a.lower() != b.lower()), min(len(one), len(other)))
