"""The live version and the one before it, on what was kept since: their files read side by side.

Only what the person wrote counts, by session, and each text once for a pair of versions. Both are
read as the gate reads them, each at the temperature that was fitted for it when the pair began. A
session is measured once it has rested for a day. What a night may read (`gate.night_tokens`) goes
to the oldest sessions; the others wait. Every number that was read is kept (`gate/cache.py`), so
that a process that was killed anywhere goes on.

The first token of each part that the person wrote is left out, as the gate does
(`gate/compared_tokens.py`).

It runs in a process of its own (`monitor_process.py`), which reports to the daemon a session at a
time, and writes nothing but numbers.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from qi_learn import codec
from qi_learn.cycle.monitored_texts import SessionTexts, for_a_night, load_sessions, rendered
from qi_learn.cycle.night import Night, end_night, read_night, write_night
from qi_learn.cycle.version_pair import pair_to_compare, runs_learned
from qi_learn.dataset import reference_code
from qi_learn.dataset.examples import RenderCache, Serving, Tokenizer, generic_examples
from qi_learn.deploy.journal import Deployment, load_deployment
from qi_learn.errors import StoreError
from qi_learn.gate.budget import shortened
from qi_learn.gate.prompt_cut import PromptMarks, marks_of
from qi_learn.gate.read_files import ORDINARY_TEXTS
from qi_learn.gate.reading import FileReader
from qi_learn.outside.llama_cpp import load_vocabulary
from qi_learn.outside.ollama import Ollama, served_file
from qi_learn.paths import Paths
from qi_learn.plan.base_model import read_base
from qi_learn.records import (
    Example,
    Monitored,
    MonitoredSession,
    MonitoredText,
    SuiteNll,
    VersionPair,
)
from qi_learn.rundir.directory import RunDirectory
from qi_learn.rundir.snapshot import load_snapshot
from qi_learn.settings import Settings
from qi_learn.spool import Spool
from qi_learn.store.database import open_store
from qi_learn.store.monitored import ACTION, DueSession, due_sessions, load_monitored

logger = logging.getLogger(__name__)
REST = 86400.0
"""Seconds since the last answer of a session after which it is over, and what became of its answers
is known.
"""
FITTED = 0.2
"""Of what a night may read, the most that goes to texts of dev on which temperatures are fitted."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What a night's comparison works with."""

    paths: Paths
    settings: Settings
    server: Ollama
    spool: Spool
    clock: Callable[[], float]
    night: str
    give_way: Callable[[], None]
    """Called before each text; raises Deferred if this is no time to read."""


@dataclass(frozen=True, slots=True)
class _Work:
    """What is to be done."""

    pair: VersionPair
    known: Monitored | None
    due: tuple[DueSession, ...]
    deployment: Deployment
    files: tuple[Path, Path]
    """Of the live version, and of the previous one."""


def compare_versions(terms: Terms) -> None:
    """Measure what is due, as far as this night goes.

    Raises Deferred (see `Terms.give_way`), ServerError, ModelError, StoreError, OSError.
    """
    night, file = read_night(terms.paths.night, terms.night), terms.paths.night
    if night.done:
        return
    work = _work(terms)
    if isinstance(work, str):
        return end_night(file, night, work)
    meter = _Meter(terms, night)
    for told in _measured(terms, work, meter):
        body = {"action": ACTION, "version": work.pair.live, ACTION: codec.plain(told)}
        terms.spool.append("release", body)
        meter.tell()
    end_night(file, meter.night)


def _work(terms: Terms) -> _Work | str:
    """What is to be done; or why versions cannot be compared, in words."""
    deployment = load_deployment(terms.paths)
    with open_store(terms.paths.database, readonly=True) as store:
        pair = pair_to_compare(store, deployment)
        if isinstance(pair, str):
            return pair
        due = due_sessions(
            store,
            pair,
            threshold=terms.settings.train.quality_threshold,
            learned_runs=runs_learned(deployment, pair),
            before=terms.clock() - REST,
        )
        known = load_monitored(store, pair.id)
    files: list[Path] = []
    for version in (pair.live, pair.previous):
        path = served_file(terms.server, deployment.release(version).model)
        if path is None:
            return f"the file of v{version} cannot be read here"
        files.append(path)
    return _Work(pair, known, due, deployment, (files[0], files[1]))


def _measured(terms: Terms, work: _Work, meter: _Meter) -> list[MonitoredSession]:
    """The sessions that this night is enough for, read under both files."""
    if not work.due:
        return []
    readers = [FileReader(p, cache=terms.paths.known, pause=meter.pause) for p in work.files]
    meter.readers = readers

    def cost(examples: Sequence[Example]) -> int:
        return sum(reader.to_read(examples) for reader in readers)

    sessions, fitted_on = _texts_to_read(terms, work, meter, readers, cost)
    examples = tuple(example for session in sessions for example in session.examples)
    read: list[SuiteNll] = []
    for reader, known in zip(readers, _temperatures(work.known), strict=True):
        with reader:
            reader.context = max(
                (len(e.prompt_ids) + len(e.target_ids) for e in (*examples, *fitted_on)), default=1
            )
            at = reader.temperature(fitted_on) if known is None else known
            read.append(reader.nll("kept", examples, at))
    meter.write()
    return _sessions(work.pair, sessions, read[0], read[1], meter)


def _texts_to_read(
    terms: Terms,
    work: _Work,
    meter: _Meter,
    readers: Sequence[FileReader],
    cost: Callable[..., int],
) -> tuple[list[SessionTexts], tuple[Example, ...]]:
    """The sessions of this night, and what temperatures are fitted on if they are not known."""
    live = work.deployment.release(work.pair.live)
    vocabulary, context = load_vocabulary(work.files[0]), read_base(work.files[0]).context
    with vocabulary:
        serving = Serving(
            terms.server,
            model=live.model,
            digest=live.base_digest,
            vocabulary=vocabulary,
            rendered=RenderCache(None),
        )
        marks = marks_of(vocabulary)
        fitted_on = () if work.known else _fitted_on(terms, live.run_id, vocabulary, marks, cost)
        new = [r for r in readers if fitted_on and r.known_temperature(fitted_on) is None]
        fitting = sum(reader.to_read(fitted_on) for reader in new)
        with open_store(terms.paths.database, readonly=True) as store:
            evidence = list(load_sessions(store, work.due))
        texts = (
            rendered(each, serving, context=context, marks=marks, give_way=terms.give_way)
            for each in evidence
        )
        left, whole = meter.left - fitting, not meter.night.tokens_read
        return list(for_a_night(texts, cost, left=left, whole=whole, marks=marks)), fitted_on


def _fitted_on(
    terms: Terms,
    run_id: str | None,
    vocabulary: Tokenizer,
    marks: PromptMarks,
    cost: Callable[..., int],
) -> tuple[Example, ...]:
    """The dev set of the live version's run, and a little ordinary code.

    If that data set cannot be read any more, ordinary code alone.
    """
    dev: tuple[Example, ...] = ()
    if run_id is not None:
        try:
            dev = load_snapshot(RunDirectory(terms.paths.runs / run_id).snapshot).split("dev")
        except StoreError as error:
            logger.warning("temperatures are fitted without dev: %s", error.what)
    ordinary = generic_examples(reference_code.library_texts()[:ORDINARY_TEXTS], vocabulary)
    most = int(FITTED * terms.settings.gate.night_tokens)
    return (*shortened(dev, most, cost, marks), *ordinary)


def _temperatures(known: Monitored | None) -> tuple[float | None, float | None]:
    return (known.live_temperature, known.previous_temperature) if known else (None, None)


def _sessions(
    pair: VersionPair,
    sessions: Sequence[SessionTexts],
    live: SuiteNll,
    previous: SuiteNll,
    meter: _Meter,
) -> list[MonitoredSession]:
    """What was read, by session; the first also has what it cost to read all of it."""
    texts = {
        id: MonitoredText(id, tokens, a, b)
        if math.isfinite(a) and math.isfinite(b)
        else MonitoredText(id, 0)
        for id, tokens, a, b in zip(
            live.ids, live.person_tokens, live.person_nll, previous.person_nll, strict=True
        )
    }
    told = [
        MonitoredSession(
            pair,
            each.session,
            (
                *(texts[example.id] for example in each.examples),
                *(MonitoredText(turn, 0) for turn in each.unread),
            ),
            live.temperature,
            previous.temperature,
            0,
        )
        for each in sessions
    ]
    return [replace(one, tokens_read=0 if n else meter.night.untold) for n, one in enumerate(told)]


class _Meter:
    """Counts what is read in this night, and keeps the count."""

    def __init__(self, terms: Terms, night: Night) -> None:
        self._terms, self._before = terms, night.tokens_read
        self.night = night
        self.readers: Sequence[FileReader] = ()

    @property
    def left(self) -> int:
        """What may still be read in this night."""
        return self._terms.settings.gate.night_tokens - self.night.tokens_read

    def pause(self) -> None:
        """Before each text: keep what was read, and look whether this is the time for the next."""
        self.write()
        self._terms.give_way()

    def write(self) -> None:
        """Keep what was read so far."""
        read = self._before + sum(reader.evaluated for reader in self.readers)
        if read != self.night.tokens_read:
            self.night = replace(self.night, tokens_read=read)
            write_night(self._terms.paths.night, self.night)

    def tell(self) -> None:
        """Note that what was read was told."""
        self.night = replace(self.night, told=self.night.tokens_read)
        write_night(self._terms.paths.night, self.night)
