"""One project under watch: its areas, what was found in them, and what is told of it."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from qi_learn.records import LeftOut, WatchState
from qi_learn.records.watching import Stood
from qi_learn.workspace.area import Area
from qi_learn.workspace.area_look import Look, Moved, NewText, written_at
from qi_learn.workspace.changes import Committed, FileSaved
from qi_learn.workspace.file_history import Blob, FileHistory
from qi_learn.workspace.qi_learn_ignore import QiLearnIgnore

UNREAD_SECONDS = 5.0
"""Seconds within which a change that the system told of is read: up to so long ago all is known."""


@dataclass(slots=True)
class TextBudget:
    """The bytes that the kept texts of all projects may take. Any thread may count."""

    limit: int
    used: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def take(self, count: int) -> None:
        """Count bytes that are kept from now on; below 0 those that are let go."""
        with self._lock:
            self.used += count

    @property
    def full(self) -> bool:
        """Whether no more texts are kept than must be."""
        return self.used >= self.limit


@dataclass(slots=True)
class WatchedProject:
    """The state of a project under watch."""

    root: str
    added: float
    """When watching began."""
    window: float
    """Seconds of texts kept per file."""
    budget: TextBudget
    areas: dict[str, Area] = field(default_factory=dict)
    """By their tops."""
    own_rules: QiLearnIgnore = field(init=False)
    starting: bool = True
    failed: str | None = None
    """Why watching could not begin."""
    tried_at: float = 0.0
    """When it was tried, by the monotonic clock."""
    last_event: float | None = None
    stood: Stood | None = None
    """Up to where it was watched before: what came since is caught up when watching begins."""
    not_seen: str | None = None
    """What a person should know if that could not be done."""
    identity: tuple[int, int] | None = None
    """Which directory its root is: device and number."""
    begun: set[tuple[tuple[int, int] | None, float, str]] = field(default_factory=set)
    """The repositories that appeared meanwhile: directory of each, time and commit of its start."""
    set_aside: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.own_rules = QiLearnIgnore(self.root)

    def state(self, why_polled: str | None) -> WatchState:
        """How it is watched, as a person is told."""
        main = self.areas.get(self.root)
        blind = self.failed or (None if main is None else main.refused)
        counts = sum((area.set_aside for area in tuple(self.areas.values())), self.set_aside)
        return WatchState(
            self.root,
            "blind"
            if blind
            else "starting"
            if self.starting
            else "polled"
            if why_polled
            else "watched",
            tuple(
                dict.fromkeys(
                    note for note in (blind, why_polled, self.not_seen, *self._notes()) if note
                )
            ),
            self.last_event,
            tuple(LeftOut(reason, n) for reason, n in sorted(counts.items()) if n),
        )

    def _notes(self) -> list[str | None]:
        areas = tuple(self.areas.values())
        return [
            *(area.refused for area in areas),
            *(area.repository.note for area in areas if area.repository is not None),
        ]

    def stands(self, now: float) -> Stood | None:
        """Up to where it was watched; None while something of it is still to be read."""
        areas = tuple(self.areas.items())
        if (
            self.starting
            or self.failed
            or any(a.pending or a.appeared or a.refused for _, a in areas)
        ):
            return None
        heads = {
            top: area.repository.head.commit
            for top, area in areas
            if area.repository is not None and area.repository.head.commit
        }
        logs = {
            top: area.repository.head.log_read
            for top, area in areas
            if area.repository is not None and top in heads
        }
        saved = {top: tuple(sorted(area.saved)) for top, area in areas if area.saved}
        return Stood(now - UNREAD_SECONDS, heads, self.last_event, logs, saved)

    def around(self, path: str) -> Area:
        """The innermost area that holds a directory within the project."""
        above = map(str, Path(path).parents)
        return next(self.areas[top] for top in above if top in self.areas)

    def shift(self, seconds: float) -> None:
        """Go by a clock that was set by so many seconds, as what came before it does."""
        self.added += seconds
        if self.last_event is not None:
            self.last_event += seconds
        for area in tuple(self.areas.values()):
            area.shift(seconds)

    def begin_file(self, area: Area, name: str, text: str | None) -> None:
        """Know a file by the text that it has when watching begins."""
        if text is not None:
            kept = None if self.budget.full else text
            history = FileHistory(kept, window=self.window, began=self.added)
            self.budget.take(history.size)
            area.files.put(name, history)

    def begin_missed(self, area: Area, names: Iterable[str]) -> None:
        """Have files read of which it is not known what they had before."""
        for name in names:
            area.files.put(name, FileHistory(None, window=self.window, began=self.added))
            area.missed.add(name)
            area.pending.add(name)

    def history(self, area: Area, name: str) -> FileHistory:
        """The history of a file; that of a file which git has or nobody wrote, if none is kept."""
        kept = area.files.get(name)
        if kept is not None or area.repository is None:
            return kept or FileHistory("", window=self.window, began=self.added)
        return self._from_git(area.repository.known([name]).get(name, []))

    def apply(self, area: Area, found: Look, now: float) -> list[FileSaved | Committed]:
        """Take over what a look found; returns what is to be told of it."""
        told: list[FileSaved | Committed] = []
        early = [new for new in found.texts if new.ts is not None]
        for new in early:
            told += self._record(area, found, new, new.ts or now, now)
        for moved in found.moves:
            self._note_written(area, moved, now)
        for new in found.texts:
            if new.ts is None:
                missed = new.name in area.missed
                ts = written_at(area.path_of(new.name), now, missed=missed)
                told += self._record(area, found, new, ts, now)
        area.missed.difference_update({new.name for new in found.texts})
        self._keep_committed(area, found)
        told += [self._committed(area, moved) for moved in found.moves]
        if area.repository is not None:
            area.repository.head.accept()
            for moved in found.moves:
                if moved.move.old != moved.move.new:
                    area.repository.advance(moved.move.new, moved.move.ts, wrote=moved.writes)
        return told

    def _record(
        self, area: Area, found: Look, new: NewText, ts: float, now: float
    ) -> list[FileSaved | Committed]:
        history = area.files.get(new.name)
        if history is None:
            history = self._from_git(found.known.get(new.name, []))
            area.files.put(new.name, history)
        self.budget.take(-history.size)
        ts = history.record(ts, new.text, now=now)
        self.budget.take(history.size)
        if self.budget.used > self.budget.limit:
            self.budget.take(-history.size)
            history.shorten()
            self.budget.take(history.size)
        if not new.told:
            return []
        area.note_save(new.name, new.text)
        top = area.top if area.outside else ""
        path = Path(area.path_of(new.name))
        back, partly = new.taken_back, self.own_rules.any
        return [FileSaved(self.root, path, new.text, ts, top, taken_back=back, partly=partly)]

    def _note_written(self, area: Area, moved: Moved, now: float) -> None:
        """Note what git wrote into the files that something is kept of."""
        if not moved.writes or area.repository is None:
            return
        for name, blob in moved.blobs.items():
            history = area.files.get(name)
            if history is not None:
                self.budget.take(-history.size)
                text = "" if blob is None else Blob(area.repository.top, blob)
                history.record(moved.move.ts, text, now=now)
                self.budget.take(history.size)

    def _keep_committed(self, area: Area, found: Look) -> None:
        """Keep what is known of files whose text a commit has otherwise than the tree."""
        for moved in found.moves:
            for name in () if moved.writes else moved.blobs:
                if name in found.known and area.files.get(name) is None:
                    area.files.put(name, self._from_git(found.known[name]))

    def _committed(self, area: Area, moved: Moved) -> Committed:
        prefix = "" if area.outside or area.top == self.root else area.top[len(self.root) + 1 :]
        files = tuple(f"{prefix}/{name}" if prefix else name for name in moved.blobs)
        move = moved.move
        top = "" if area.top == self.root else area.top
        return Committed(self.root, move.new, files, move.action, move.ts, move.old, top)

    def _from_git(self, versions: Sequence[tuple[float, Blob | None]]) -> FileHistory:
        """A history of what git had of a file; one that is not known if git could not say."""
        if not versions:
            return FileHistory(None, window=self.window, began=self.added)
        texts: list[tuple[float, Blob | str]] = [(ts, blob or "") for ts, blob in versions]
        history = FileHistory(texts[0][1], window=self.window, began=self.added)
        for (_, before), (ts, text) in pairwise(texts):
            if text != before:
                history.record(ts, text)
        return history
