"""`qi-learn import SOURCE PATH`: other programs' logs into the spool, and nowhere else.

So secrets are taken out, what was forgotten stays forgotten, and each turn counts once, all by the
intake that every other event goes through. A turn has an id made of its source and its key there:
what is read again, or comes in a file that grew, adds what is new.

Left out, counted and said: turns of a pause, of no registered project (unless `--project` or
`capture.unregistered` says otherwise), and those older than texts are kept (`keep.raw_days`). What
the gateway recorded itself is not imported a second time; a tool's signs are told of that turn.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from qi_learn.capture.wire import decode
from qi_learn.commands.import_cursors import ImportCursors, read_cursors
from qi_learn.commands.import_sources import SOURCES, ImportSource
from qi_learn.daemon.lock import locked
from qi_learn.errors import NotFound, SettingsError
from qi_learn.importers.json_lines import unreadable
from qi_learn.outside.boot_clock import boot_clock
from qi_learn.outside.disk_room import refuse_full_home
from qi_learn.paths import Paths
from qi_learn.records import (
    Event,
    EventKind,
    ImportedItem,
    ImportedTurn,
    NotUnderstood,
    ReadTo,
    ReturningTurn,
    ToolRating,
    ToolSign,
    Turn,
)
from qi_learn.redact import Redactor, load_redactor
from qi_learn.rundir.recording_pause import PauseFile
from qi_learn.settings import Settings
from qi_learn.spool import Spool, frame
from qi_learn.store.database import Store, open_store
from qi_learn.store.same_answers import committed_answer, recorded_answer
from qi_learn.workspace.registry import place_of, project_of

QUIET_SECONDS = 600.0
"""A file to which nothing was written for so long is at its end."""
DAY = 86400.0
EXAMPLES = 5
"""How many of the parts that were not understood are shown."""


@dataclass(frozen=True, slots=True)
class ImportRequest:
    """What is to be imported."""

    source: str
    path: Path
    project: Path | None = None
    """The project of all that it says; None: as the log says."""
    local: bool = False
    """The person says that models on this machine gave the answers."""
    again: bool = False
    """Read everything from the beginning."""
    dry_run: bool = False


@dataclass(frozen=True, slots=True)
class ImportReport:
    """What was imported, or would be."""

    source: str
    files: int
    """That were looked at."""
    unchanged: int
    """Of those, the ones that were read to their end before."""
    turns: int
    signs: int
    """What a tool said of an edit: applied, failed, declined."""
    ratings: int
    recorded: int
    """Turns that the gateway has recorded itself."""
    left_out: Mapping[str, int]
    """Turns that were not taken, by reason."""
    not_understood: int
    examples: tuple[str, ...]
    """Where, and why; the first few."""
    waits: bool
    """Whether no daemon runs that takes it in."""
    dry_run: bool


def bring_in(
    paths: Paths,
    settings: Settings,
    request: ImportRequest,
    *,
    now: float,
    tell: Callable[[str], object] = lambda words: None,
) -> ImportReport:
    """Import what is new; a dry run says what that is and writes nothing.

    `tell` is told each file before it is read. Raises NotFound if there is nothing to read or it
    cannot be read, SpoolError if there is no room: what was read till then is imported, and the
    rest comes with the next import.
    """
    source = SOURCES[request.source]
    files = source.files(request.path)
    if not files or not all(file.exists() for file in files[:1]):
        raise NotFound(
            f"{request.path} has nothing that `import {request.source}` reads.", source.hint
        )
    if not request.dry_run:
        refuse_full_home(paths)
    project = None if request.project is None else _project(paths, request.project)
    cursors = read_cursors(paths)
    spool = None if request.dry_run else Spool(paths.ensure().spool, f"import-{request.source}")
    done = _Import(paths, settings, request, source, project, cursors, spool, now)
    try:
        with done.store():
            for file in files:
                done.guarded(file, tell, alone=len(files) == 1)
    finally:
        if spool is not None:
            spool.close()
            cursors.write()
    return done.report(len(files), waits=not locked(paths))


def _project(paths: Paths, directory: Path) -> str:
    """The project that a directory means. Raises SettingsError if it is not registered."""
    project = project_of(paths, directory)
    if project is None:
        meant = place_of(paths, directory) or directory
        raise SettingsError(
            f"{directory} lies in no registered project.", f"Run `qi-learn init {meant}` first."
        )
    return str(project)


@dataclass(slots=True)
class _Import:
    """One import under way."""

    paths: Paths
    settings: Settings
    request: ImportRequest
    source: ImportSource
    project: str | None
    cursors: ImportCursors
    spool: Spool | None
    now: float
    counts: Counter[str] = field(default_factory=Counter)
    left_out: Counter[str] = field(default_factory=Counter)
    examples: list[str] = field(default_factory=list)
    meant: dict[str, str | None] = field(default_factory=dict)
    """By key of a turn: the id under which it is stored; None if it was left out."""
    recorded: tuple[Store, Redactor] | None = None
    _places: dict[str, str | None] = field(default_factory=dict)

    @contextmanager
    def store(self) -> Iterator[None]:
        """Look what the gateway recorded, if there is a database."""
        if not self.paths.database.exists():
            yield
            return
        with open_store(self.paths.database, readonly=True) as store:
            self.recorded = store, load_redactor(self.paths.redaction_key)
            yield
            self.recorded = None

    def guarded(self, file: Path, tell: Callable[[str], object], *, alone: bool) -> None:
        """Import what is new in a file; one of several that cannot be read is set aside.

        Raises NotFound if it is the only one.
        """
        try:
            self.file(file, tell)
        except (NotFound, OSError) as error:
            if alone and isinstance(error, OSError):
                raise unreadable(file, error) from error
            if alone:
                raise
            self._set_aside(str(error))

    def file(self, file: Path, tell: Callable[[str], object]) -> None:
        """Import what is new in a file."""
        name, again = self.request.source, self.request.again
        if not again and self.cursors.unchanged(name, file):
            self.counts["unchanged"] += 1
            return
        tell(str(file))
        after = "" if again else self.cursors.of(name, file)
        ended = self.now - file.stat().st_mtime > QUIET_SECONDS
        cursor = after
        try:
            for item in self.source.read(file, after, ended=ended):
                self._take(item)
                cursor = item.cursor
        except BaseException:
            self._keep(file, cursor, whole=False)
            raise
        self._keep(file, cursor, whole=ended)

    def _keep(self, file: Path, cursor: str, *, whole: bool) -> None:
        if self.spool is not None:
            self.cursors.keep(self.request.source, file, cursor, whole=whole)

    def _take(self, item: ImportedItem) -> None:
        match item:
            case ReadTo():
                pass
            case NotUnderstood():
                self._set_aside(f"{item.where}: {item.why}")
            case ImportedTurn() | ReturningTurn():
                self._turn(item)
            case ToolSign():
                told = {"said": item.said, "call": item.call, "by": self.request.source}
                self._about(item, "sign", "signs", told)
            case ToolRating():
                body = {
                    "rating": item.rating,
                    "correction": item.correction,
                    "comment": item.comment,
                    "by": self.request.source,
                }
                self._about(item, "rating", "ratings", body)

    def _set_aside(self, words: str) -> None:
        self.counts["not understood"] += 1
        if len(self.examples) < EXAMPLES:
            self.examples.append(words)

    # --- turns ---

    def _turn(self, item: ImportedTurn | ReturningTurn) -> None:
        if reason := self._not_wanted(item):
            self.left_out[reason] += 1
            self.meant[item.key] = None
            return
        event = self._event(item)
        try:
            turn = decode(event)
            frame(event)
        except (ValueError, TypeError) as error:
            self._set_aside(f"{item.key}: {error}")
            self.meant[item.key] = None
            return
        if (known := self._recorded(item, turn)) is not None:
            self.counts["recorded"] += 1
            self.meant[item.key] = known
            return
        self.meant[item.key] = event.id
        self._write("turns", event)

    def _not_wanted(self, item: ImportedTurn | ReturningTurn) -> str:
        """Why a turn is not imported; empty if it is."""
        if not (math.isfinite(item.started) and math.isfinite(item.ended)) or item.ended <= 0:
            return "without a time"
        if item.ended > self.now + DAY:
            return "of a time to come"
        days = self.settings.keep.raw_days
        if days and item.ended < self.now - days * DAY:
            return "older than texts are kept (keep.raw_days)"
        if PauseFile(self.paths.pause, mark=boot_clock).between(item.started, item.ended):
            return "in a pause"
        if self.project is None and item.directory is not None:
            registered = self._registered(item.directory)
            if registered is None and not self.settings.capture.unregistered:
                return "from no registered project"
        if self.source.author == "person" and self._has_an_answer(item.key):
            return "an answer was found in that commit"
        return ""

    def _has_an_answer(self, key: str) -> bool:
        """Whether a commit, with whose id a key begins, holds what a model suggested."""
        if self.recorded is None:
            return False
        return committed_answer(self.recorded[0], key.partition(":")[0])

    def _registered(self, directory: str) -> str | None:
        if directory not in self._places:
            found = None
            with suppress(
                ValueError, RuntimeError
            ):  # no name that a file can have; links in a ring
                if Path(directory).is_absolute():  # else it counts from where somebody else stood
                    found = project_of(self.paths, Path(directory))
            self._places[directory] = None if found is None else str(found)
        return self._places[directory]

    def _event(self, item: ImportedTurn | ReturningTurn) -> Event:
        project = self.project
        if project is None and item.directory is not None:
            project = self._registered(item.directory)
        name = f"import-{self.request.source}"
        if isinstance(item, ReturningTurn):
            body: dict[str, Any] = {"turn": dict(item.turn)}
            return Event(item.key, "turn", item.ended, name, body, "model", project)
        local = True if self.request.local and item.local is None else item.local
        body = {
            "endpoint": item.endpoint,
            "request": json.dumps(item.request, default=str),
            "response": json.dumps(item.response, default=str),
            "content_type": "application/json",
            "model_asked": item.model,
            "status": 200,
            "cancelled": item.cancelled,
            "session": item.session,
            "started": item.started,
            "ended": item.ended,
            "client": self.source.client,
            "imported": {"from": self.request.source, "local": local, "whole": item.whole},
        }
        id = imported_id(self.request.source, item.key)
        return Event(id, "turn", item.ended, name, body, self.source.author, project)

    def _recorded(self, item: ImportedTurn | ReturningTurn, turn: Turn) -> str | None:
        """The turn that the gateway recorded of this exchange."""
        if self.recorded is None or isinstance(item, ReturningTurn):
            return None
        store, redactor = self.recorded
        calls = turn.answer_extra.get("tool_calls") or ()
        return recorded_answer(
            store,
            redactor.text(turn.answer),
            [str(call["id"]) for call in calls if call.get("id")],
            started=turn.started,
            ended=turn.ended,
            shown=turn.endpoint == "/v1/completions",
        )

    # --- what is said of turns ---

    def _about(
        self, item: ToolSign | ToolRating, kind: EventKind, counted: str, body: Mapping[str, Any]
    ) -> None:
        own = self.source.returns
        turn = self.meant.get(item.key, item.key if own else self._id(item.key))
        if turn is None:
            return
        if not 0 < item.ts <= self.now + DAY:
            self._set_aside(f"{item.key}: said at a time that cannot be")
            return
        name = f"import-{self.request.source}"
        told = f"{item.key}\0{json.dumps(body, sort_keys=True)}\0{item.ts}"
        id = imported_id(f"{self.request.source} {kind}", told)
        said = {"turn": turn, **body}
        self._write(counted, Event(id, kind, item.ts, name, said, "person"))

    def _id(self, key: str) -> str:
        return imported_id(self.request.source, key)

    def _write(self, counted: str, event: Event) -> None:
        if self.spool is not None:
            self.spool.append_event(event, frame)
        self.counts[counted] += 1

    def report(self, files: int, *, waits: bool) -> ImportReport:
        """What was done."""
        counts = self.counts
        return ImportReport(
            source=self.request.source,
            files=files,
            unchanged=counts["unchanged"],
            turns=counts["turns"],
            signs=counts["signs"],
            ratings=counts["ratings"],
            recorded=counts["recorded"],
            left_out=dict(self.left_out),
            not_understood=counts["not understood"],
            examples=tuple(self.examples),
            waits=waits,
            dry_run=self.request.dry_run,
        )


_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


def imported_id(source: str, key: str) -> str:
    """The id of what another program tells: the same each time, in the form of all ids."""
    text = f"qi-learn import\0{source}\0{key}".encode("utf-8", "surrogatepass")
    value = int.from_bytes(hashlib.sha256(text).digest()[:16])
    return "".join(_CROCKFORD[value >> shift & 31] for shift in range(125, -1, -5))
