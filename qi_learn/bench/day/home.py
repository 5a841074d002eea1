"""The product that is worked with: a throw-away home with its store, engine, versions and cycles.

Everything is the product's own: what the gateway records is drained into a database, turns are
scored, the trigger decides, a cycle freezes, trains, packs, is judged by the gate and ships or not.
Two things are played: the time, which is the history's, and what becomes of an answer, which is
told (`play`) and not found in a working copy. There is no daemon, so nothing else happens between.

The candidate of a cycle is kept aside until the next one, shipped or not, so that it can be seen
later what it would have done. The user's own home is not touched.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from qi_learn.bench.day.play import Played
from qi_learn.capture.wire import decode
from qi_learn.cycle import learn
from qi_learn.cycle.context import Cycle
from qi_learn.cycle.trigger import decide
from qi_learn.daemon.base import ensure_base
from qi_learn.daemon.run_request import run_request
from qi_learn.daemon.supervisor import python
from qi_learn.deploy.journal import load_deployment
from qi_learn.deploy.model_server import ModelServer
from qi_learn.deploy.taint import runs_trained_on
from qi_learn.errors import ModelError, QiError, Refused, Stopped
from qi_learn.outside.listening import read_listening
from qi_learn.outside.ollama import Ollama, served_file
from qi_learn.paths import Paths
from qi_learn.records import Decision, Feedback, RunState, Verdict
from qi_learn.rundir.directory import RunDirectory
from qi_learn.score.answer_facts import no_facts
from qi_learn.score.classify import classify
from qi_learn.score.suggestion_score import score_turn
from qi_learn.settings import Settings
from qi_learn.settings_file import load_settings
from qi_learn.spool import Spool
from qi_learn.store import feedback, score_queue
from qi_learn.store.database import Store, open_store
from qi_learn.store.ingest import drain
from qi_learn.store.own_redactor import redactor_of
from qi_learn.track.suggestions import suggestions_of

START_SECONDS = 60.0
"""How long the engine may take to listen."""
_ALWAYS: Mapping[str, Mapping[str, object]] = {
    "serve": {"backend": "embedded"},
    "gateway": {"port": 0},
    "idle": {"minutes": 0.0, "quiet": 0.0, "battery": True},
}
"""The machine is the benchmark's: nobody is waited for."""


@dataclass(frozen=True, slots=True)
class CycleEnd:
    """What came of one cycle."""

    run: str
    state: RunState
    reason: str
    examples: int
    seconds: float
    verdict: Verdict | None
    before: Path
    """The file of the version that was live."""
    candidate: Path | None
    """The packed file; None if it did not come to that."""


@dataclass(frozen=True, slots=True)
class DayHome:
    """One home; time comes in with every call."""

    root: Path
    paths: Paths
    settings: Settings
    server: ModelServer
    store: Store

    @property
    def live(self) -> str:
        """The number of the live version."""
        return load_deployment(self.paths).live

    @property
    def live_file(self) -> Path:
        """The file that the live version is served from."""
        release = load_deployment(self.paths).live_release
        with Ollama(self.server.url) as server:
            found = served_file(server, release.model)
        if found is None:
            raise ModelError(f"The engine does not say where it has {release.model}.")
        return found

    @property
    def live_model(self) -> str:
        """The live version's name on the server."""
        return load_deployment(self.paths).live_release.model

    # --- work -------------------------------------------------------------------------------------

    def take_in(self, played: Sequence[Played]) -> None:
        """Record what was asked and answered, and tell what became of it."""
        spool = Spool(self.paths.spool, "gateway")
        for one in played:
            event = one.event
            spool.append(
                *("turn", event.body),
                author=event.author,
                project=event.project,
                id=event.id,
                ts=event.ts,
            )
        spool.close()
        self._drain(max(one.turn.ended for one in played))
        for one in played:
            self._tell(one)

    def _drain(self, now: float) -> None:
        drain(self.store, self.paths.spool, decode=decode, suggest=suggestions_of, now=now)

    def _tell(self, one: Played) -> None:
        store, turn_id = self.store, one.turn.id
        redactor = redactor_of(store)
        for suggestion in one.suggestions:
            feedback.update_suggestion(store, redactor.clean(suggestion))
        if one.correction is not None:
            told = Feedback(correction=one.correction)
            feedback.save_implicit(store, turn_id, redactor.clean(told))
        kind = classify(one.turn)
        tools = redactor.clean(kind.tools)
        feedback.save_classes(
            store, turn_id, kind.learning_type, kind.complexity, kind.domain, tools
        )
        facts = no_facts(score_queue.load_source(store, turn_id), one.turn.ended)
        score_queue.save_facts(store, [facts])
        scorable = score_queue.load_scorable(store, turn_id)
        score = score_turn(scorable, self.settings.score, one.turn.ended)
        feedback.save_score(store, redactor.clean(score))

    # --- learning ---------------------------------------------------------------------------------

    def decide(self, now: float) -> Decision:
        """Whether the daemon would start a cycle now."""
        learned = runs_trained_on(load_deployment(self.paths))
        return decide(self.store, self.settings, learned_runs=learned, now=now, busy=False)

    def learn(self, number: int, decision: Decision, now: float) -> CycleEnd:
        """Run the cycle that is due. Raises Stopped if it was interrupted."""
        began, before = time.monotonic(), self._aside(self.live_file, "before.gguf")
        fresh = decision.fresh
        request = run_request(
            *(self.paths, self.settings, self.server),
            now=now,
            reason=decision.reason,
            fresh=fresh,
            asked=False,
        )
        # the same in every run: a draw may depend on it
        request = replace(request, run_id=f"{10_000_000 + number:026d}")
        run = RunDirectory(self.paths.runs / request.run_id)
        run.path.mkdir(mode=0o700, parents=True)
        run.write(run.request, request)
        lock = run.hold()
        if lock is None:
            raise Stopped(f"Another process works on the run {run.run_id}.")
        spool = Spool(self.paths.spool, "cycle", clock=lambda: now)
        try:
            with Ollama(request.server) as server:
                cycle = Cycle(
                    run, request, self.paths, self.settings, server, spool, lambda: now, lock
                )
                candidate = self._steps(cycle)
        finally:
            spool.close()
            os.close(lock)
        self._drain(now)
        return self._end(run, time.monotonic() - began, before, candidate)

    def _steps(self, cycle: Cycle) -> Path | None:
        """The steps of `cycle.learn`, with the packed file kept before the gate judges it."""
        cycle.tell(
            "planned",
            started=cycle.request.started,
            reason=cycle.request.reason,
            fresh=cycle.request.fresh,
            parent=cycle.request.parent,
        )
        candidate: Path | None = None
        try:
            snapshot = learn.freeze(cycle)
            learn.make_plan(cycle, snapshot)
            learn.train(cycle)
            packed = learn.pack(cycle, snapshot)
            candidate = self._aside(Path(packed.path), "candidate.gguf")
            learn.deploy(cycle, packed, learn.gate(cycle, snapshot, packed))
        except Refused as refused:
            learn.end(cycle, "refused", str(refused))
        except Stopped:
            raise
        except QiError as error:
            learn.end(cycle, "failed", str(error))
        return candidate

    def _end(
        self, run: RunDirectory, seconds: float, before: Path, candidate: Path | None
    ) -> CycleEnd:
        ended = json.loads(run.outcome.read_text())
        verdict = run.read(run.verdict, Verdict) if run.verdict.exists() else None
        row = self.store.row("SELECT count(*) FROM run_examples WHERE run_id = ?", (run.run_id,))
        return CycleEnd(
            run.run_id,
            ended["state"],
            ended["reason"],
            0 if row is None else int(row[0]),
            seconds,
            verdict,
            before,
            candidate,
        )

    def _aside(self, file: Path, name: str) -> Path:
        """A second name for a file that may be deleted, in place of the one of the last cycle."""
        aside = self.root / "aside" / name
        aside.parent.mkdir(exist_ok=True)
        aside.unlink(missing_ok=True)
        try:
            os.link(file, aside)
        except OSError:
            shutil.copyfile(file, aside)  # the base lies on another disk, or is not ours
        return aside


@contextmanager
def day_home(
    base: Path, overrides: Mapping[str, Mapping[str, object]], fisher: Path | None
) -> Iterator[DayHome]:
    """A home that is gone afterwards, with version 1.0.0 live.

    `fisher`: where the base's Fisher is kept between runs. Raises QiError if the base cannot be
    served.
    """
    root = Path(tempfile.mkdtemp(prefix="qi-day-"))
    try:
        paths = Paths.under(root).ensure()
        if fisher is not None:
            fisher.mkdir(parents=True, exist_ok=True)
            paths.fisher.symlink_to(fisher.resolve())
        settings = _settings(paths, base, overrides)
        with _engine(root, paths, settings) as server, open_store(paths.database) as store:
            ensure_base(paths, settings, server, now=0.0)
            yield DayHome(root, paths, settings, server, store)
    finally:
        shutil.rmtree(root, ignore_errors=True)


def _settings(paths: Paths, base: Path, overrides: Mapping[str, Mapping[str, object]]) -> Settings:
    tables: dict[str, dict[str, object]] = {name: dict(table) for name, table in _ALWAYS.items()}
    for name, table in overrides.items():
        tables.setdefault(name, {}).update(table)
    tables["serve"]["base_gguf"] = str(base)
    lines: list[str] = []
    for name, table in tables.items():
        lines += [f"[{name}]", *(f"{key} = {json.dumps(value)}" for key, value in table.items())]
    paths.settings_file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return load_settings(paths.settings_file, {})


@contextmanager
def _engine(root: Path, paths: Paths, settings: Settings) -> Iterator[ModelServer]:
    ready, log = paths.state / "engine.ready", paths.logs / "engine.log"
    command = python(
        "qi_learn.engine",
        *("--models", str(paths.models), "--ready", str(ready)),
        *("--context", str(settings.serve.context), "--parent", str(os.getpid())),
    )
    environment = {**os.environ, "QI_LEARN_HOME": str(root)}
    with log.open("wb") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out, env=environment)
    try:
        until = time.monotonic() + START_SECONDS
        while (listening := read_listening(ready)) is None:
            if process.poll() is not None or time.monotonic() > until:
                raise ModelError(f"The engine does not start: {log.read_text()[-500:]}")
            time.sleep(0.05)
        yield ModelServer(listening.url, True, paths.models)
    finally:
        process.terminate()
        process.wait(15)
