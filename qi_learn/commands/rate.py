"""Ratings and hand-made events into the spool: no daemon, no database needed.

The daemon finds out which turn is meant when it takes the line in.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qi_learn.daemon.lock import locked
from qi_learn.errors import NotFound, SettingsError, StoreError
from qi_learn.paths import Paths
from qi_learn.records import AUTHORS, EVENT_KINDS, Mark
from qi_learn.spool import Spool, frame, parse, read_from, spool_files
from qi_learn.workspace.registry import place_of

if TYPE_CHECKING:
    from qi_learn.store.database import Store

USAGE = "Say `qi-learn rate 5`, `qi-learn rate last 2` or `qi-learn rate ID 4 --correction FILE`."
_OUR_OWN = ("cycle", "release", "left_out")
KINDS = tuple(kind for kind in EVENT_KINDS if kind not in _OUR_OWN)
"""The kinds that a hook may write; the others come from the processes that make them."""
EVENT = (
    'An event is one JSON object such as {"kind": "hook", "source": "my-editor", "body": {...}}. '
    f"Kinds: {', '.join(KINDS)}. Authors (optional): {', '.join(AUTHORS)}."
)
_LOCK_SECONDS = 0.2
"""How long to wait for a locked database, only to see whether it has an id."""


def parse_words(words: Sequence[str]) -> tuple[str, int]:
    """`["5"]`, `["last", "5"]` or `[ID, "5"]` -> (turn, rating). Raises SettingsError (usage)."""
    match words:
        case [stars]:
            turn = "last"
        case [turn, stars]:
            pass
        case _:
            turn = stars = ""
    if stars not in ("1", "2", "3", "4", "5"):
        raise SettingsError(
            f"`{' '.join(words)}` is not a rating: a rating is a whole number from 1 to 5.", USAGE
        )
    return turn, int(stars)


def rate(
    paths: Paths,
    turn: str,
    stars: int,
    *,
    correction: str | None,
    comment: str | None,
    directory: Path,
) -> str:
    """Write the rating to the spool, and return the sentence that confirms it.

    Raises NotFound if no turn with the id was recorded, or no turn at all; SettingsError for an
    empty correction.
    """
    if correction is not None and not correction.strip():
        raise SettingsError(
            "The correction is empty.", "Give a file with the code that the answer should have had."
        )
    body = {"rating": stars, "correction": correction, "comment": comment}
    return _say(paths, turn, body, "Rated", f"{stars} of 5", directory=directory)


def mark(paths: Paths, turn: str, word: Mark, *, directory: Path) -> str:
    """Write what became of an answer to the spool; returns the sentence that confirms it.

    It beats whatever is inferred. Raises NotFound as `rate` does.
    """
    means = "one to ignore" if word == "ignore" else word
    return _say(paths, turn, {"mark": word}, "Marked", means, directory=directory)


def _say(
    paths: Paths, turn: str, said: dict[str, Any], verb: str, what: str, *, directory: Path
) -> str:
    """Write what a person says of a turn; the sentence names the turn and what was said."""
    if turn != "last":
        turn = _recorded(paths, turn)
    project = place_of(paths, directory)
    runs, rated = locked(paths), turn
    told = "" if turn == "last" else _told_of(paths, turn)
    if turn == "last":
        rated = "the last answer" + (f" in {project}" if project else "")
        rated += _last_question(paths, None if project is None else str(project), runs=runs)
    body = {"turn": turn, **said}
    spool = Spool(paths.ensure().spool, "cli")
    try:
        spool.append(
            "rating", body, author="person", project=None if project is None else str(project)
        )
    finally:
        spool.close()
    return f"{verb} {rated}: {what}.{told}{_counts_once(paths, turn, runs=runs)}"


def _told_of(paths: Paths, turn: str) -> str:
    """Which answer that is and what it was rated before, as sentences; empty if it is not known."""
    from qi_learn.commands.rated import answer_text, rated_before

    try:
        with _store(paths) as store:
            about, before = answer_text(store, turn), rated_before(paths, store, turn)
    except (StoreError, NotFound):
        return ""
    sentences = (about, "" if before is None else f"It was rated {before} of 5 before.")
    return "".join(f" {sentence}" for sentence in sentences if sentence)


def _counts_once(paths: Paths, turn: str, *, runs: bool) -> str:
    """What has to be done for it to count, or where to see it if a daemon takes it in."""
    if not runs:
        return " It counts once the daemon runs: `qi-learn daemon start`."
    from qi_learn.daemon.client import hung

    if hung(paths) is None:
        return f" It is taken in now: `qi-learn explain {turn}` shows what it is worth."
    return " It counts once the daemon is well again: `qi-learn daemon restart`."


def record_event(paths: Paths, text: str) -> str:
    """Write one event to the spool as hooks do, and return its id.

    The text is `{"kind", "body", "source"?, "author"?, "project"?, "id"?, "ts"?}`. Raises
    SettingsError if it is not.
    """
    try:
        event = parse(text.strip().encode(), default_ts=time.time(), default_source="hook")
        if event.kind not in KINDS:
            raise ValueError(f"the kind {event.kind!r} is not told from outside")
        frame(event)  # numbers that are none (NaN) pass as JSON in Python, and nowhere else
        spool = Spool(paths.ensure().spool, event.source)
    except ValueError as error:
        raise SettingsError(f"The event cannot be taken in: {error}.", EVENT) from error
    try:
        return spool.append(
            event.kind,
            event.body,
            author=event.author,
            project=event.project,
            id=event.id or None,
            ts=event.ts,
        )
    finally:
        spool.close()


def _last_question(paths: Paths, project: str | None, *, runs: bool) -> str:
    """The project of the answer that would be rated, if none was meant, and its question.

    Empty if the daemon decides: it has not taken in everything, or the database cannot be read.
    Without a daemon that is asked of the spool alone, which is quick. Raises NotFound if there is
    no answer that could be meant.
    """
    if not runs:
        if next(_waiting(paths), None) is not None:
            return ""
        if not paths.database.exists():  # said without loading what reads a database
            raise _nothing_recorded(project)
    from qi_learn.store import seen_turns, turns
    from qi_learn.store.waiting_turns import count_waiting

    try:
        with _store(paths) as store:
            if count_waiting(store, paths.spool):
                return ""
            if store is None:
                raise _nothing_recorded(project)
            now = time.time()
            newest = seen_turns.newest_turn(store, project, before=now)
            newest = newest or seen_turns.newest_stray(store, before=now)
            turn = None if newest is None else turns.load_turn(store, newest)
    except StoreError:
        return ""
    if turn is None:
        raise _nothing_recorded(project)
    of = f" in {turn.project}" if project is None and turn.project else ""
    asked = turn.messages
    return of + (f' ("{" ".join(asked[-1].content.split()):.60}")' if asked else "")


@contextmanager
def _store(paths: Paths) -> Iterator[Store | None]:
    """The database, to read; None if there is none yet. Raises StoreError if it cannot be read."""
    if not paths.database.exists():
        yield None
        return
    from qi_learn.store.database import open_store

    with open_store(paths.database, readonly=True, timeout=_LOCK_SECONDS) as store:
        yield store


def _waiting(paths: Paths) -> Iterator[str]:
    """The ids of the turns that are still in the spool, taken in or not."""
    for file in spool_files(paths.spool):
        with suppress(FileNotFoundError):  # just taken in and deleted: then the store has them
            for line in read_from(file):
                if line.event is not None and line.event.kind == "turn":
                    yield line.event.id


def _nothing_recorded(project: str | None) -> NotFound:
    within = f" in {project}" if project else ""
    return NotFound(
        f"No answer was recorded{within} yet: there is nothing to rate or mark.",
        "Point a tool at the gateway; `qi-learn status` says where it is.",
    )


def _recorded(paths: Paths, turn: str) -> str:
    """The id of a turn in the spool or in the store, given whole or by its beginning.

    As it was given if the database cannot be read (damaged, locked): that must not stop a rating,
    and the daemon decides. Raises NotFound if there is no such turn, or more than one.
    """
    from qi_learn.store.short_ids import names, only_one, turns_named

    found = {id for id in _waiting(paths) if names(turn, id)}
    try:
        with _store(paths) as store:
            found |= set(() if store is None else turns_named(store, turn))
    except StoreError:
        return turn
    id = only_one(turn, found)
    if id is None:
        from qi_learn.commands.wrong_ids import no_answer

        raise no_answer(paths, turn)
    return id
