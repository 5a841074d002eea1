"""`qi-learn status`: is it recording, what is waiting, and which version answers.

It also says what is missing before it learns.

What runs is asked what it does (running.py), the rest is read from files. What is missing or
damaged becomes a line under `problems`, never an error.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import field, replace
from pathlib import Path
from typing import Any, TypeVar

from qi_learn.deploy.journal import load_deployment
from qi_learn.errors import QiError, SettingsError
from qi_learn.paths import Paths
from qi_learn.record_class import dataclass
from qi_learn.records import Decision
from qi_learn.report import keeping, running, shipped, status_counts, status_lines
from qi_learn.report.gpu_use import gpu_text
from qi_learn.report.run_line import RunLine as RunLine  # a part of what is printed
from qi_learn.report.run_line import dropped_by, newest_run
from qi_learn.report.words import counted, one_line
from qi_learn.rundir.lost_turns import Lost
from qi_learn.rundir.lost_turns import acknowledge_lost as acknowledge_lost  # for the face
from qi_learn.settings import Settings
from qi_learn.settings_file import load_settings
from qi_learn.spool import bad_lines
from qi_learn.store.client_rates import ClientRates
from qi_learn.workspace.registry import load_projects

T = TypeVar("T")
_SILENT = " (does not answer)"
UNKNOWN = Decision(False, "unknown: the database cannot be read")


@dataclass(frozen=True, slots=True)
class Status:
    """What `qi-learn status --json` prints; listed in docs/reference/json.md."""

    recording: bool
    recording_reason: str
    daemon: bool
    gateway: str
    server: str
    engine: bool
    spool_files: int
    spool_bytes: int
    turns: int
    rated: int
    fresh: int
    """New examples of which the person wrote or changed something: what a cycle needs."""
    decision: str
    due: bool
    waiting: str
    """The reason why a cycle that could start or go on does not: the user is not idle.

    Empty if none waits for that.
    """
    missing: Mapping[str, float]
    live: str
    """Version that answers for the alias; empty before `qi-learn init`."""
    alias: str
    chain: tuple[str, ...]
    run: RunLine | None
    projects: tuple[str, ...]
    problems: tuple[str, ...]
    gateway_answers: bool
    """Whether the gateway said just now what it does; it may do so without the daemon."""
    requests: int
    """What passed the gateway since it started."""
    recorded: int
    """The turns of it that were recorded; one that waits in the spool is taken for one."""
    passed_by: tuple[str, ...]
    """What passed and was not treated as it should be, in words."""
    lost: Lost
    """Turns that could not be recorded and were not acknowledged (`status --seen`)."""
    faults: tuple[str, ...]
    """What does not do its work, and is mended or tried again."""
    watching: tuple[Mapping[str, Any], ...]
    """Every registered project: `mode` (`starting`, `watched`, `polled`, `blind`), `why`,
    `last_event`.
    """
    set_aside: tuple[Mapping[str, Any], ...]
    """What could not be understood since the daemon started: `kind`, `count`, `ts`, `name`,
    `reason`.
    """
    unmatched_ratings: int
    """Ratings that are for a turn which was not recorded, or not yet."""
    bad_lines: int
    """Lines of the spool that could not be understood and were set aside, kept in `spool/bad`."""
    daemon_answers: bool
    """Whether the daemon said just now what it does; one that hangs does not."""
    server_answers: bool
    """Whether the server behind the gateway answers; true if it is not known which one that is."""
    longest_round: float
    """The longest of the last rounds of the daemon's loop, seconds."""
    not_recorded: Mapping[str, int] = field(default_factory=dict)
    """Requests that passed the gateway since it started and were not to be recorded, by reason:
    `asked` (their header), `paused`, `off`, `other_user`, `unknown_user`, `unregistered`,
    `unknown_projects`, `no_answer`, and `history` (they sent again what was left out before).
    """
    paused: str = ""
    """Until when the recording is paused, in words; empty if it is not."""
    metadata_only: bool = False
    """Whether the gateway records no texts (`gateway.record = "metadata"`)."""
    daemon_starting: bool = False
    """Whether a daemon has begun and does not say yet where it is, or a command holds the home."""
    kept: keeping.KeptState | None = None
    """How long what was recorded is kept, and how that stands; None without a database."""
    clients: tuple[ClientRates, ...] = ()
    """What became of the suggestions of the newest turns, by the program that asked."""
    fresh_kept: int = 0
    """New examples that were kept as they were: they train too, and no cycle starts for them."""
    left_out: Mapping[str, int] = field(default_factory=dict)
    """Turns over the quality threshold that can be no example, by reason."""
    shipped: shipped.ShippedState | None = None
    """How the live version does beside the one before it; None if nothing is live."""


def gather(paths: Paths, settings: Settings | None = None) -> Status:
    """Everything that `status` shows; a part that cannot be read is a problem, not an error.

    Settings that cannot be used are one too: what runs goes on with those it has.
    """
    problems = running.odd_home(paths)
    no_home = bool(problems) and not os.path.exists(paths.database)
    usable = True
    if settings is None:
        try:
            settings = load_settings(paths.settings_file)
        except SettingsError as error:
            settings, usable = Settings(), False
            problems.append(status_lines.unusable_settings(error))

    def attempt(read: Callable[[], T], otherwise: T) -> T:
        try:
            return read()
        except QiError as error:
            found = f"{error.what} {error.hint}".strip()
        except (OSError, ValueError) as error:
            found = str(error)
        problems.extend([] if no_home else [found])  # the home's own fault explains it
        return otherwise

    no_answer: Mapping[str, Any] = {}
    no_projects: tuple[Path, ...] = ()
    no_clients: tuple[ClientRates, ...] = ()
    no_reasons: dict[str, int] = {}
    now = running.look(paths, settings, lambda read: attempt(read, no_answer))
    daemon, waiting = now.daemon, str(now.told.get("waiting") or "")
    deployment = attempt(lambda: load_deployment(paths), None)
    turns, rated, unmatched, decision = attempt(
        lambda: status_counts.learning(paths, settings, deployment), (0, 0, 0, UNKNOWN)
    )
    projects = attempt(lambda: load_projects(paths), no_projects)
    run = attempt(lambda: newest_run(paths, waiting), None)
    if run is not None:
        newest = run.id
        run = replace(run, dropped=attempt(lambda: dropped_by(paths, newest), no_reasons))
    again = attempt(lambda: status_counts.left_out_again(paths, now.gateway.get("started")), 0)
    left_out = dict(now.gateway.get("not_recorded") or {}) | ({"history": again} if again else {})
    files, size = status_counts.waiting_files(paths.spool)
    said = now.gateway or now.last_said
    told = ("routes_problem", "settings_problem") if usable else ("routes_problem",)
    problems += [str(said[key]) for key in told if said.get(key)]
    problems += now.changed if usable else ()
    problems += running.taken_port(now, paths, settings)
    problems += running.silent_manager(now, paths)
    problems += [] if no_home else running.full_disk(paths)
    return Status(
        recording=not now.not_recording,
        recording_reason=now.not_recording,
        daemon=daemon is not None,
        gateway=now.gateway_at,
        server=daemon.server if daemon else "",
        engine=daemon.engine if daemon else False,
        spool_files=files,
        spool_bytes=size,
        turns=turns,
        rated=rated,
        fresh=decision.fresh,
        decision=decision.reason,
        due=decision.due,
        waiting=waiting,
        missing=decision.missing,
        live=deployment.live if deployment else "",
        alias=settings.serve.alias,
        chain=deployment.chain if deployment else (),
        run=run,
        projects=tuple(str(p) for p in projects),
        problems=tuple(problems),
        gateway_answers=now.serves,
        requests=int(now.gateway.get("requests") or 0),
        recorded=max(0, int(now.gateway.get("recorded") or 0) - again),
        passed_by=tuple(status_lines.passed_by(now.gateway)),
        lost=now.lost,
        faults=now.faults,
        watching=tuple(now.told.get("projects") or ()),
        set_aside=tuple(now.told.get("set_aside") or ()),
        unmatched_ratings=unmatched,
        bad_lines=attempt(lambda: bad_lines(paths.spool), 0),
        daemon_answers=now.daemon_answers,
        server_answers=now.silent_server is None,
        daemon_starting=now.starting,
        longest_round=float(now.told.get("longest_round") or 0.0),
        not_recorded=left_out,
        paused=now.paused,
        metadata_only=bool(now.gateway.get("metadata_only")),
        kept=attempt(lambda: keeping.gather(paths.database, settings.keep), None),
        clients=attempt(lambda: status_counts.known_clients(paths), no_clients),
        fresh_kept=decision.kept,
        left_out=attempt(lambda: status_counts.turns_left_out(paths, settings), no_reasons),
        shipped=attempt(
            lambda: shipped.gather(paths, deployment, settings.gate.night_tokens), None
        ),
    )


def learning_text(s: Status) -> str:
    """The reason why it does not learn just now, or that it does."""
    return f"waiting until you are idle: {s.waiting}" if s.waiting else s.decision


def as_text(s: Status) -> str:
    """The status for a person: recording first."""
    lines = [
        f"recording   {_recording_text(s)}",
        f"daemon      {_daemon_text(s)}",
        *status_lines.requests(s.gateway_answers, s.requests, s.recorded),
        *status_lines.not_recorded(s.not_recorded),
        *(f"passed by   {one_line(words)}" for words in s.passed_by),
        f"waiting     {s.spool_files} spool file{'s' if s.spool_files != 1 else ''}, "
        f"{math.ceil(s.spool_bytes / 1024)} KiB",
        f"recorded    {counted(s.turns, 'turn')}, {counted(s.rated, 'rating')}"
        + (f" ({s.unmatched_ratings} more of no answer here)" if s.unmatched_ratings else ""),
        *((f"kept        {keeping.as_text(s.kept)}",) if s.kept else ()),
        f"learning    {learning_text(s)}",
        *status_lines.examples(s.fresh, s.fresh_kept, s.left_out),
        f"live        {s.alias} is {'v' + s.live if s.live else 'not there yet'}"
        + (f" (chain: {' -> '.join(s.chain)})" if len(s.chain) > 1 else ""),
        *shipped.status_lines(s.shipped),
    ]
    if s.run is not None:
        told = s.run.progress or s.run.reason
        if s.run.refused_by:
            lines += status_lines.refused_run(s.run.short, s.run.refused_by, s.run.held)
        else:
            lines += status_lines.last_run(s.run.short, s.run.state, s.run.step, told)
        lines += status_lines.dropped(s.run.dropped)
        lines += status_lines.would_have_helped(s.run.helps)
        lines += [f"trains on   {gpu_text(gpu)}" for gpu in s.run.gpus]
        lines += [f"its gate    {s.run.cost}"] if s.run.cost else []
    lines += status_lines.projects(s.projects, s.watching, time.time())
    lines += status_lines.clients(s.clients)
    lines += status_lines.lost(s.lost)
    lines += status_lines.set_aside(s.set_aside, s.bad_lines)
    lines += [f"fault       {one_line(fault)}" for fault in s.faults]
    lines += [f"problem     {one_line(problem)}" for problem in s.problems]
    return "\n".join(lines)


def _recording_text(s: Status) -> str:
    if not s.recording:
        return f"OFF ({s.recording_reason})"
    return "ON, without texts (gateway.record)" if s.metadata_only else "ON"


def _daemon_text(s: Status) -> str:
    if s.daemon_starting:
        return "is starting, or another command of qi-learn is at work on this home"
    if not s.daemon:
        alone = f"; the gateway serves at {s.gateway} without it" if s.gateway_answers else ""
        return f"not running: `qi-learn daemon start`{alone}"
    server = f"{'embedded engine' if s.engine else 'Ollama'} {s.server}"
    runs = "running" if s.daemon_answers else "does not answer: `qi-learn daemon restart`"
    gateway = (
        f"gateway {s.gateway or 'down'}{_SILENT if s.gateway and not s.gateway_answers else ''}"
    )
    return f"{runs}, {gateway}, {server}{'' if s.server_answers else _SILENT}"
