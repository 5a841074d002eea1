"""What is said of an answer that is rated: its question, when and of which model, and before."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import suppress

from qi_learn.errors import NotFound
from qi_learn.paths import Paths
from qi_learn.spool import read_from, spool_files
from qi_learn.store.database import Store
from qi_learn.store.feedback import suggestions_of
from qi_learn.store.ratings import newest_rating
from qi_learn.store.turns import load_turn

WORDS = 60
"""How many letters of a question are shown."""


def answer_text(store: Store | None, id: str) -> str:
    """The answer with this id as a sentence; empty if it is not in the database yet."""
    if store is None:
        return ""
    try:
        turn = load_turn(store, id)
    except NotFound:
        return ""
    asked = " ".join(turn.messages[-1].content.split()) if turn.messages else ""
    files = dict.fromkeys(s.file for s in suggestions_of(store, id) if s.file)
    about = f'the answer to "{asked:.{WORDS}}"' if asked else "a completion"
    if files:
        about += f" in {next(iter(files))}"
    when = time.strftime("%Y-%m-%d %H:%M", time.localtime(turn.started))
    return f"It is {about}, {when}, of {turn.model_answered}."


def rated_before(paths: Paths, store: Store | None, id: str) -> int | None:
    """The rating that the answer had, taken in or waiting; None if it had none."""
    waiting = list(_waiting_ratings(paths, id))
    if waiting:
        return waiting[-1]
    return None if store is None else newest_rating(store, id)


def _waiting_ratings(paths: Paths, id: str) -> Iterator[int]:
    """The ratings of this answer that are still in the spool, by file, oldest first in each."""
    for file in sorted(spool_files(paths.spool), key=lambda file: file.name):
        with suppress(FileNotFoundError):  # just taken in and deleted
            for line in read_from(file):
                if (event := line.event) is not None and event.kind == "rating":
                    rating = event.body.get("rating")
                    if event.body.get("turn") == id and isinstance(rating, int):
                        yield rating
