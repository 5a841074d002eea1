"""`qi-learn import SOURCE PATH`: other programs' logs into the spool, and nowhere else.

So secrets are taken out, what was forgotten stays forgotten, and each turn counts once, all by the
intake that every other event goes through. A turn has an id made of its source and its key there:
what is read again, or comes in a file that grew, adds what is new.

Left out, counted and said: turns of a pause, of no registered project (unless `--project` or
`capture.unregistered` says otherwise), and those older than texts are kept (`keep.raw_days`). What
the gateway recorded itself is not imported a second time; a tool's signs are told of that turn.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from qi_learn.capture.wire import decode
from qi_learn.commands.import_cursors import ImportCursors, read_cursors
from qi_learn.commands.import_events import (
    command_event,
    imported_id,
    producer,
    returning_event,
    told_event,
    turn_event,
)
from qi_learn.commands.import_places import ImportPlaces, registered_project
from qi_learn.commands.import_request import ImportReport, ImportRequest
from qi_learn.commands.import_rules import ImportRules, known_here
from qi_learn.commands.import_sources import SOURCES, ImportSource
from qi_learn.daemon.lock import locked
from qi_learn.errors import NotFound
from qi_learn.importers.json_lines import unreadable
from qi_learn.outside.disk_room import refuse_full_home
from qi_learn.paths import Paths
from qi_learn.records import (
    Event,
    EventKind,
    ImportedItem,
    ImportedTurn,
    NotUnderstood,
    ReadTo,
    ReturningCommand,
    ReturningRating,
    ReturningTurn,
    ToolRating,
    ToolSign,
)
from qi_learn.settings import Settings
from qi_learn.spool import Spool, frame
from qi_learn.store.returning import rating_event, without_files

QUIET_SECONDS = 600.0
"""A file to which nothing was written for so long is at its end."""
EXAMPLES = 5
"""How many of the parts that were not understood are shown."""
COMMAND = "the result of a command"
"""How the reason begins for which one was not taken."""


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
    project = request.project and registered_project(paths, request.project)
    places = ImportPlaces(paths, project or None, request.moved)
    cursors = read_cursors(paths)
    spool = None if request.dry_run else Spool(paths.ensure().spool, f"import-{request.source}")
    rules = ImportRules(paths, settings, places, now)
    done = _Import(request, source, places, rules, cursors, spool, now)
    try:
        with known_here(paths) as rules.recorded:
            for file in files:
                done.guarded(file, tell, alone=len(files) == 1)
    finally:
        if spool is not None:
            spool.close()
            cursors.write()
    return done.report(len(files), waits=not locked(paths))


@dataclass(slots=True)
class _Import:
    """One import under way."""

    request: ImportRequest
    source: ImportSource
    places: ImportPlaces
    rules: ImportRules
    cursors: ImportCursors
    spool: Spool | None
    now: float
    counts: Counter[str] = field(default_factory=Counter)
    left_out: Counter[str] = field(default_factory=Counter)
    examples: list[str] = field(default_factory=list)
    meant: dict[str, str | None] = field(default_factory=dict)
    """By key of a turn: the id under which it is stored; None if it was left out."""

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
            case ReturningCommand():
                self._command(item)
            case ReturningRating():
                self._rating(item)
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
        if reason := self.rules.left_out(item, by_person=self.source.author == "person"):
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
        if isinstance(item, ImportedTurn) and not item.timed and self.rules.was_forgotten(turn):
            self.left_out["forgotten before"] += 1
            self.meant[item.key] = None
            return
        if (known := self.rules.recorded_turn(item, turn)) is not None:
            self.counts["recorded"] += 1
            # a preference of examples from here says nothing new of the turn it was made of
            timed = isinstance(item, ImportedTurn) and item.timed
            self.meant[item.key] = known if timed else None
            return
        self.meant[item.key] = event.id
        self._write("turns", event)

    def _event(self, item: ImportedTurn | ReturningTurn) -> Event:
        name, project = self.request.source, self.places.project_of(item.directory)
        if isinstance(item, ImportedTurn):
            return turn_event(item, name, self.source, project, local=self.request.local)
        files = [s.file for s in item.became.suggestions if s.file is not None]
        if self.places.leaves_out(project, files):
            item = replace(item, became=without_files(item.became))
        return returning_event(item, name, project)

    # --- what is said of turns, and beside them ---

    def _command(self, item: ReturningCommand) -> None:
        result = item.result
        if not self.rules.can_be(result.ts):
            self._set_aside(f"{result.id}: run at a time that cannot be")
            return
        if reason := self.rules.not_from_here(result.project or None, result.ts):
            self.left_out[f"{COMMAND}, {reason}"] += 1
            return
        project = self.places.project_of(result.project or None)
        cwd = result.cwd and self.places.now(result.cwd)
        self._write("commands", command_event(item, self.request.source, project, cwd))

    def _rating(self, item: ReturningRating) -> None:
        if (turn := self.meant.get(item.key, item.key)) is None:
            return
        if not self.rules.can_be(item.given.ts):
            self._set_aside(f"{item.key}: rated at a time that cannot be")
            return
        self._write("ratings", rating_event(turn, item.given, producer(self.request.source)))

    def _about(
        self, item: ToolSign | ToolRating, kind: EventKind, counted: str, body: Mapping[str, Any]
    ) -> None:
        turn = self.meant.get(item.key, self._id(item.key))
        if turn is None:
            return
        if not self.rules.can_be(item.ts):
            self._set_aside(f"{item.key}: said at a time that cannot be")
            return
        self._write(counted, told_event(item, kind, self.request.source, turn, body))

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
            commands=counts["commands"],
            recorded=counts["recorded"],
            left_out=dict(self.left_out),
            not_understood=counts["not understood"],
            examples=tuple(self.examples),
            waits=waits,
            dry_run=self.request.dry_run,
        )
