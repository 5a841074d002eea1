"""`qi-learn forget`: by the daemon, or as the daemon for that while; then the home is searched."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from qi_learn.codec import plain
from qi_learn.commands.wrong_ids import refuse_other_kind
from qi_learn.daemon import client
from qi_learn.daemon.forget_job import new_job
from qi_learn.daemon.forget_receipt import (
    read_receipt,
    receipt_of,
    weigh_all,
    write_receipt,
)
from qi_learn.daemon.hung import refuse_hung
from qi_learn.daemon.untaken import waiting_answers
from qi_learn.errors import Busy, DaemonError, NotFound, SettingsError
from qi_learn.paths import Paths, refuse_unusable_home
from qi_learn.records import ForgetRequest, Receipt
from qi_learn.store.database import Store, open_store
from qi_learn.store.forget_choice import choose, says, turn_named
from qi_learn.store.seen_turns import newest_stray, newest_turn
from qi_learn.store.short_ids import turns_named
from qi_learn.store.turns import load_turn
from qi_learn.workspace.registry import place_of

LOOK_SECONDS = 0.2
WAIT_SECONDS = 300.0
"""How long the command waits for the daemon: a cycle that is cancelled may take a minute or two."""
PIECE = 16 << 20
OVERLAP = 1 << 16
WEIGHTS = (".gguf", ".safetensors")

MOST_TOLD = 20
"""The number of answers found by their words whose questions are said."""
TAKEN_IN_SECONDS = 5.0
"""How long `last` waits for a daemon that is just taking in what came."""

Found = Callable[[str], bool]
Tell = Callable[[str], object]
Agree = Callable[[int], object]


def forget(
    paths: Paths,
    request: ForgetRequest,
    *,
    dry_run: bool = False,
    directory: Path | None = None,
    tell: Tell = lambda words: None,
    agree: Agree = lambda answers: None,
) -> Receipt:
    """Forget what the request means, or say what would go.

    `directory`: `last` is the last answer of its project, as for `rate`; `tell` is told id and
    question of each answer that was asked for by its id or is found by its words (of many the
    first), before anything goes. `agree` is called with the number of answers that are found by
    their words, before they go, and raises if they are not to.

    Raises NotFound if nothing was recorded or an id names no turn, SettingsError for a pattern that
    is found everywhere, DaemonError, Busy, StoreError; Busy too if a newer answer waits than the
    `last` that is known.
    """
    if not paths.database.exists():
        raise NotFound("Nothing was recorded yet.", "`qi-learn status` says whether it records.")
    if not dry_run:
        refuse_unusable_home(paths)
    if directory is not None and "last" in request.ids:
        request = replace(request, ids=_named(paths, request.ids, directory))
    _refuse_everything(request.grep)
    _refuse_no_project(paths, request.project)
    _tell_questions(paths, request.ids, tell)
    if dry_run:
        with open_store(paths.database, readonly=True) as store:
            receipt = _planned(paths, store, request)[0]
            _tell_found(store, request, receipt.turns, tell)
        return receipt
    if request.grep:
        with open_store(paths.database, readonly=True) as store:
            turns = choose(store, request).turns
            _tell_found(store, request, turns, tell)
        if turns:
            agree(len(turns))
    if client.locked(paths):
        refuse_hung(paths)
        with open_store(paths.database, readonly=True) as store:
            choice = choose(store, request)
        texts = choice.texts
        if request.ids:  # `last` is what it was when it was asked
            request = replace(request, ids=choice.meant)
        receipt = _by_daemon(paths, request)
    else:
        from qi_learn.daemon.alone import forget_alone

        receipt, texts = forget_alone(paths, request)
    return _searched(paths, receipt, request, texts)


def _named(paths: Paths, ids: Sequence[str], directory: Path) -> tuple[str, ...]:
    """The ids with the last answer of this place for `last`.

    Raises NotFound if it has none, Busy if a newer one may wait.
    """
    if (waiting := waiting_answers(paths, seconds=TAKEN_IN_SECONDS)).count:
        todo = "Try again in a moment" if waiting.runs else f"Have it taken in ({waiting.todo})"
        raise Busy(
            f"{waiting.newer}: which is the last one is not known, so nothing is forgotten.",
            f"{todo}, or name the answer by its id (`qi-learn log`).",
        )
    project, now = place_of(paths, directory), time.time()
    with open_store(paths.database, readonly=True) as store:
        last = newest_turn(store, str(project) if project else None, before=now)
        last = last or newest_stray(store, before=now)
    if last is None:
        within = f" in {project}" if project else ""
        raise NotFound(f"No answer was recorded{within} yet.", "`qi-learn log` lists the ids.")
    return tuple(last if id == "last" else id for id in ids)


def _tell_questions(paths: Paths, ids: Sequence[str], tell: Tell) -> None:
    """Say id and question of each answer; of one that only the spool has the daemon knows more."""
    with open_store(paths.database, readonly=True) as store:
        for named in ids:
            if named != "last" and not turns_named(store, named):
                refuse_other_kind(paths, named)
            with suppress(NotFound):
                tell(question_line(store, turn_named(store, named)))


def _tell_found(store: Store, request: ForgetRequest, turns: Sequence[str], tell: Tell) -> None:
    """Say id and question of the answers that were found by their words, of many the first."""
    if not request.grep:
        return
    for turn in turns[:MOST_TOLD]:
        tell(question_line(store, turn))
    if (more := len(turns) - MOST_TOLD) > 0:
        tell(f"and {more} more")


def _refuse_everything(pattern: str) -> None:
    """Raise SettingsError for a pattern that is found in a text of no words, and so in all."""
    if pattern and (not pattern.strip() or says(pattern)("")):
        raise SettingsError(
            f"{pattern!r} is found in every text.",
            "Name words that are to go; everything goes with --since 1970-01-01.",
        )


def _refuse_no_project(paths: Paths, project: str) -> None:
    """Raise NotFound for a directory that is not there and of which nothing was recorded."""
    if not project or os.path.isdir(project):
        return
    with open_store(paths.database, readonly=True) as store:
        if store.row("SELECT 1 FROM turns WHERE project = ? LIMIT 1", (project,)) is None:
            raise NotFound(
                f"{project} is no directory, and no answer was recorded in it.",
                "`qi-learn status` lists the projects.",
            )


def _planned(paths: Paths, store: Store, request: ForgetRequest) -> tuple[Receipt, tuple[str, ...]]:
    choice = choose(store, request)
    job = new_job(request, choice, weigh_all(paths, store, request, choice))
    return receipt_of(paths, store, job, "dry run"), choice.texts


def _by_daemon(paths: Paths, request: ForgetRequest) -> Receipt:
    answer = client.call(
        paths.socket, {"do": "forget", "request": plain(request)}, timeout=WAIT_SECONDS
    )
    id, deadline = str(answer["receipt"]), time.monotonic() + WAIT_SECONDS
    while True:
        receipt = read_receipt(paths, id)
        if receipt is not None and (receipt.state == "done" or time.monotonic() > deadline):
            return receipt
        if time.monotonic() > deadline:
            raise NotFound(f"There is no receipt {id}.", "See `qi-learn doctor`.")
        if not client.locked(paths) and read_receipt(paths, id) == receipt:
            raise DaemonError(
                "The daemon ended before all of it was forgotten; the next one completes that.",
                "`qi-learn daemon start`",
            )
        time.sleep(LOOK_SECONDS)


# --- is it gone? ----------------------------------------------------------------------------------


def _searched(
    paths: Paths, receipt: Receipt, request: ForgetRequest, texts: Sequence[str]
) -> Receipt:
    """The receipt with what a search of every file of the home finds, weights aside."""
    if receipt.keep_record or receipt.state != "done":
        return receipt
    found = says(request.grep) if request.grep else _any_of(texts)
    if found is None:
        return receipt
    files = sorted(_files(paths))
    holding = tuple(str(path) for path in files if _holds(path, found))
    receipt = replace(receipt, searched=len(files), found=holding)
    write_receipt(paths, receipt)
    return receipt


def _any_of(texts: Sequence[str]) -> Found | None:
    """Whether a file says one of the texts, as it is or as JSON writes it; None without a text."""
    written = {text: (text, json.dumps(text)[1:-1]) for text in texts}
    spelled = tuple({each for ways in written.values() for each in ways})
    return (lambda content: any(text in content for text in spelled)) if spelled else None


def _files(paths: Paths) -> Iterator[Path]:
    """Every file of the home but the models and adapters, which are weights."""
    for root in {paths.config, paths.data, paths.state, paths.runtime}:
        for directory, names, files in os.walk(root):
            names[:] = [n for n in names if Path(directory, n) != paths.models]
            for name in files:
                path = Path(directory, name)
                if path.suffix not in WEIGHTS and path.is_file():
                    yield path


def _holds(path: Path, found: Found) -> bool:
    try:
        with path.open("rb") as file:
            before = b""
            while piece := file.read(PIECE):
                if found((before + piece).decode("utf-8", "replace")):
                    return True
                before = piece[-OVERLAP:]
    except OSError:
        return False  # it went meanwhile
    return False


# --- words ----------------------------------------------------------------------------------------

_AGO = re.compile(r"(\d+(?:\.\d+)?)\s*(s|min|m|h|d|w)")
_SECONDS = {"s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}


def parse_when(text: str, now: float) -> float:
    """The time that is meant: `2h` (ago), `today`, `yesterday`, or a date with or without a time.

    Raises ValueError.
    """
    if match := _AGO.fullmatch(text.strip()):
        return now - float(match[1]) * _SECONDS[match[2]]
    midnight = datetime.fromtimestamp(now).replace(hour=0, minute=0, second=0, microsecond=0)
    if text in ("today", "yesterday"):
        return midnight.timestamp() - (86400.0 if text == "yesterday" else 0.0)
    return datetime.fromisoformat(text.strip()).timestamp()


def question_line(store: Store, id: str) -> str:
    """An answer's id and what was asked. Raises NotFound."""
    messages = load_turn(store, id).messages
    asked = " ".join(messages[-1].content.split()) if messages else ""
    return f'{id}  "{asked:.60}"' if asked else f"{id}  (no words)"


def as_text(receipt: Receipt) -> str:
    """A receipt for a person."""
    return "\n".join(_lines(receipt))


WORDS = {
    "candidates": "marks of what may be learned",
    "answer_facts": "facts about answers",
    "monitored_texts": "measurements after shipping",
    "feedback": "observations",
    "shapes": "shapes of requests",
}
"""What a person is told of the database's tables whose name says nothing."""


def _counted(kind: str, count: int) -> str:
    words = WORDS.get(kind, kind.replace("_", " "))
    if count != 1:
        return f"{count} {words}"
    first, *rest = words.split(" ")
    one = f"{first[:-3]}y" if first.endswith("ies") else first.removesuffix("s")
    return " ".join((str(count), one, *rest))


def _lines(receipt: Receipt) -> Iterator[str]:
    count = len(receipt.turns)
    turns = f"{count} answer{'' if count == 1 else 's'}"
    dry, done = receipt.state == "dry run", receipt.state == "done"
    if receipt.keep_record:
        are = "is" if count == 1 else "are"
        yield f"{turns} {'would be' if dry else are} kept for `qi-learn log`, never learned from"
    else:
        yield f"{turns} {'would be forgotten' if dry else 'forgotten' if done else 'to go'}"
    if receipt.along:
        yield (
            f"  {receipt.along} of them because they send the same text again, as history of "
            "their conversation"
        )
    went = ", ".join(_counted(kind, n) for kind, n in receipt.went.items() if kind != "turns")
    if went and not receipt.keep_record:
        yield f"  {'goes' if dry else 'went'}: {went}"
    for version in receipt.versions:
        yield (
            f"  v{version.version}{' (live)' if version.live else ''} learned from "
            f"{version.turns} of them, or saw them: it is marked"
        )
    yield from (f"  stays: {what}" for what in receipt.stays)
    if receipt.starts_from:
        yield f"  the next cycle starts from v{receipt.starts_from}"
    elif any(v.live for v in receipt.versions):
        yield "  --retrain lets the next cycle start from a version that saw none of it"
    if receipt.searched:
        named = ", ".join(receipt.found) or "in none of them"
        yield f"  searched {receipt.searched} files of the home afterwards: found {named}"
    if not dry and not done:
        yield f"  it goes on in the daemon; it waits for {receipt.waits_for or 'its turn'}"
    if not dry:
        yield f"  receipt {receipt.id}"
