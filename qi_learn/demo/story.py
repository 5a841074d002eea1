"""`qi-learn demo`: the real thing on real code, told as it goes.

A throw-away home, the daemon, a developer who is played (developer.py), and then only watching: the
daemon itself sees that the thresholds are met and runs the cycle. What is printed is read from what
the product wrote. A gate that refuses is a correct ending.
"""

from __future__ import annotations

import importlib.util
import json
import signal
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

import httpx
from rich.console import Console

from qi_learn import codec
from qi_learn.bench.functions import DemoSession, deal, package_functions, sessions
from qi_learn.bench.repositories import export, repository_functions
from qi_learn.daemon import client
from qi_learn.demo import measures
from qi_learn.demo.developer import Developer, Worked
from qi_learn.demo.home import ANSWER_TOKENS, DemoHome, make_home, overrides_text
from qi_learn.demo.repack import repack_live
from qi_learn.deploy import model_server
from qi_learn.errors import EXIT_DONE, EXIT_REFUSED, NotFound, QiError
from qi_learn.outside import git
from qi_learn.outside.llama_cpp import answers_at_once, load_vocabulary
from qi_learn.outside.ollama import Ollama
from qi_learn.records import Example, Verdict
from qi_learn.report import status
from qi_learn.rundir.directory import RunDirectory, run_directories
from qi_learn.rundir.progress import progress_text
from qi_learn.stats import evenly

PACKAGE = "rich"
"""The installed package whose functions are played: a dependency, so it is there; written by people
who never saw this program.
"""
CYCLE_SECONDS = 3600.0
MIN_SESSIONS, MIN_FUNCTIONS = 8, 60
"""What one cycle of the demonstration needs, at least."""
HELD_OUT = 24
"""Functions of a cycle's modules that are measured with, taken evenly: scoring one takes a second a
version.
"""
ASK_EVERY = 10.0
"""Seconds between two questions to the live model while a cycle runs; each takes the cores from the
cycle for a moment.
"""


@dataclass(slots=True)
class Figures:
    """What `--json` prints."""

    total_seconds: float = 0.0
    seconds: dict[str, float] = field(default_factory=dict)
    heldout_nll: measures.SuiteChange | None = None
    general_nll: dict[str, float] | None = None
    """Of base and last live version, as the gate measured them."""
    heldout_similarity: dict[str, float] = field(default_factory=dict)
    forgotten_nll: measures.SuiteChange | None = None
    """The first cycle's held-out functions, before and after the later cycles."""
    verdicts: list[dict[str, Any]] = field(default_factory=list)
    versions: list[str] = field(default_factory=list)
    rollback_seconds: float | None = None
    engine: str = "embedded"
    asked: int = 0
    live_answers: int = 0
    live_failures: int = 0


class Story:
    """One demonstration; `say` prints markup for people."""

    def __init__(
        self,
        home: DemoHome,
        console: Console,
        source: Path,
        groups: Sequence[Sequence[DemoSession]],
        base: Path,
    ) -> None:
        self._home = home
        self._console = console
        self._source = source
        self._groups = groups
        self._base = base
        self._played: list[list[DemoSession]] = []
        self._kept_back: list[tuple[Example, ...]] = []
        self._held = measures.HeldOut(base, home.settings.serve.context, home.root / "measured")
        self.figures = Figures(
            engine="ollama" if home.settings.serve.backend == "ollama" else "embedded"
        )

    def say(self, text: str = "") -> None:
        self._console.print(text, markup=False, highlight=False)

    @contextmanager
    def _stage(self, name: str, title: str) -> Iterator[None]:
        self._console.rule(title)
        began = time.monotonic()
        yield
        self.figures.seconds[name] = round(time.monotonic() - began, 2)

    def tell(self) -> int:
        """From first start to rollback; returns the exit code."""
        with self._stage("start", "The daemon starts"):
            self._start()
        base = f"{self._home.alias.split(':')[0]}:v1.0.0"
        live = base
        for number, group in enumerate(self._groups, 1):
            with self._stage(
                f"work_{number}", f"Work {number}: a developer asks, rewrites, commits"
            ):
                run = self._work(group)
            if run is None:
                self._not_enough()
                return EXIT_REFUSED
            with self._stage(f"cycle_{number}", f"Cycle {number}: the daemon learns"):
                self._watch(run)
            self._explain(run)
            before, live = live, self._live()
            with self._stage(
                f"measure_{number}", f"After cycle {number}: functions that were never asked for"
            ):
                self._measure(number, base, before, live)
        with self._stage("rollback", "Going back"):
            self._roll_back()
        return EXIT_DONE

    # --- the stages -------------------------------------------------------------------------------

    def _start(self) -> None:
        self.say(
            f"A throw-away home in {self._home.root}; your own data is not touched. Overrides: "
            f"{overrides_text()}; answers of at most {ANSWER_TOKENS} tokens."
        )
        self.say(self._home.qi_learn("init", ".").stdout.rstrip())
        self.say(self._home.qi_learn("daemon", "start").stdout.rstrip())

    def _work(self, group: Sequence[DemoSession]) -> RunDirectory | None:
        state = client.running(self._home.paths)
        if state is None:
            raise QiError(
                "The daemon of the demonstration has stopped.",
                f"See {self._home.paths.logs / 'daemon.log'}.",
            )
        developer = Developer(self._home, self._source, state.gateway)
        known = {r.run_id for r in run_directories(self._home.paths.runs)}
        self._played.append([])
        for session in group:
            done: list[Worked] = []
            developer.work_on(
                session, enough=lambda: self._new_run(known) is not None, seen=done.append
            )
            self._told_work(session, done)
            self._played[-1] += [session] if done else []
            if found := self._new_run(known):
                return found
        return self._wait_for_run(known)

    def _new_run(self, known: set[str]) -> RunDirectory | None:
        return next(
            (r for r in run_directories(self._home.paths.runs) if r.run_id not in known), None
        )

    def _wait_for_run(self, known: set[str], seconds: float = 15.0) -> RunDirectory | None:
        """Everything was played: the last suggestions settle within seconds."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if found := self._new_run(known):
                return found
            time.sleep(0.5)
        return None

    def _told_work(self, session: DemoSession, done: Sequence[Worked]) -> None:
        self.figures.asked += len(done)
        if done:
            alike = sum(w.similarity for w in done) / len(done)
            seconds = sum(w.seconds for w in done) / len(done)
            pasted = sum(w.pasted for w in done)
            self.say(
                f"  {session.module}: {len(done)} asked for, {pasted} pasted, on average "
                f"{alike:.2f} like the author's, {seconds:.1f} s each"
            )

    def _not_enough(self) -> None:
        self.say("The daemon did not start a cycle, and says why:")
        self.say(status.as_text(status.gather(self._home.paths, self._home.settings)))

    def _watch(self, run: RunDirectory) -> None:
        """Follows the run; a second client asks the live model all the while."""
        self.say(f"Run {run.run_id}: {json.loads(run.request.read_text())['reason']}")
        stop = threading.Event()
        asking = threading.Thread(target=self._keep_asking, args=(stop,), daemon=True)
        asking.start()
        said, deadline = 0, time.monotonic() + CYCLE_SECONDS
        with self._console.status("") as live:
            while not run.ended and time.monotonic() < deadline:
                history = run.history()
                for line in history[said:]:
                    if line["state"] != "begun":
                        self.say("  " + _journal_line(line))
                said = len(history)
                live.update(
                    f"{history[-1]['step'] if history else 'starting'}: {progress_text(run.path)}"
                )
                time.sleep(0.5)
        stop.set()
        asking.join()
        self.say(
            "  Meanwhile the live model was asked "
            f"{self.figures.live_answers + self.figures.live_failures} times; "
            f"{self.figures.live_failures} answers failed."
        )
        if not run.ended:
            raise QiError(
                f"The run {run.run_id} did not end within {CYCLE_SECONDS / 60:.0f} minutes.",
                f"Its log is {run.log}.",
            )

    def _keep_asking(self, stop: threading.Event) -> None:
        state = client.running(self._home.paths)
        body = {
            "model": self._home.alias,
            "messages": [{"role": "user", "content": "Say hi."}],
            "options": {"num_predict": 4},
            "stream": False,
        }
        while not stop.wait(ASK_EVERY):
            try:
                answer = httpx.post(
                    f"{state.gateway if state else ''}/api/chat",
                    json=body,
                    headers={"x-qi-learn-record": "0"},
                    timeout=60,
                    trust_env=False,
                )
                good = answer.status_code == 200
            except httpx.HTTPError:
                good = False
            if good:
                self.figures.live_answers += 1
            else:
                self.figures.live_failures += 1

    def _explain(self, run: RunDirectory) -> None:
        ended = json.loads(run.outcome.read_text())
        verdict = codec.loads(Verdict, run.verdict.read_text()) if run.verdict.exists() else None
        self.figures.verdicts.append(
            {
                "state": ended["state"],
                "version": ended["version"],
                "scale": verdict.scale if verdict else None,
                "reasons": list(verdict.reasons) if verdict else [ended["reason"]],
            }
        )
        if verdict is not None:
            after = "candidate" if ended["state"] == "deployed" else "live"
            self.figures.general_nll = {
                "before": verdict.numbers["general_nll_base"],
                "after": verdict.numbers[f"general_nll_{after}"],
            }
        if verdict is None:
            self.say(f"No model came of it: {ended['reason']}")
            return
        self.say("The gate said:")
        for check in verdict.checks:
            self.say(f"  {'yes' if check.passed else 'NO '} {check.name}: {check.reason}")
        for note in verdict.notes:
            self.say(f"      {note}")
        if ended["state"] == "deployed":
            self.say(f"Version {ended['version']} is live.")
        else:
            self.say(
                "The gate refused: the version before stays live. That is a correct ending: a model "
                ""
                "that is not shown to be better is not served."
            )

    def _live(self) -> str:
        return json.loads(self._home.paths.routes.read_text())["live"]  # type: ignore[no-any-return]

    def _measure(self, number: int, base: str, before: str, live: str) -> None:
        """Functions of the modules that were worked on, but never asked for."""
        with Ollama(self._server()) as server:
            with load_vocabulary(self._base) as vocabulary:
                functions = [f for session in self._played[-1] for f in session.held_out]
                self._kept_back.append(
                    measures.held_out_examples(
                        evenly(functions, HELD_OUT), server, base, vocabulary
                    )
                )
            everything = [e for group in self._kept_back for e in group]
            self.figures.heldout_nll = held = self._held.change(server, everything, base, live)
            self.say(
                f"  {len(everything)} functions of the modules worked on, never asked for: NLL per "
                f"token {_change(held)} (base to {live})"
            )
            if self.figures.general_nll is not None:
                self.say(
                    f"  general code (standard library): {self.figures.general_nll['before']:.3f} "
                    f"to {self.figures.general_nll['after']:.3f}"
                )
            if live == before:
                return
            self._show_answers(server, before, live)
            if number > 1:
                earlier = [e for group in self._kept_back[:-1] for e in group]
                self.figures.forgotten_nll = forgot = self._held.change(
                    server, earlier, before, live
                )
                self.say(
                    f"  of the earlier modules ({before} to {live}, {len(earlier)} functions): "
                    f"{_change(forgot)}"
                )

    def _show_answers(self, server: Ollama, before: str, live: str) -> None:
        answered = measures.compare_answers(
            self._kept_back[-1],
            server,
            before,
            live,
            answer_tokens=ANSWER_TOKENS,
            at_once=self._at_once(),
        )
        self.figures.heldout_similarity = {
            k: getattr(answered, k) for k in ("before", "after", "low", "high")
        }
        bounds = (
            f"difference {answered.low:+.3f} to {answered.high:+.3f}, {answered.count} functions"
        )
        self.say(
            f"  edit similarity of answers to the author's code: {answered.before:.3f} to "
            f"{answered.after:.3f} ({bounds})"
        )
        for title, text in zip(
            ("the author's code", f"{before} answered", f"{live} answered"),
            answered.first,
            strict=True,
        ):
            self.say(f"  --- {title}")
            self.say("\n".join(f"    {line}" for line in text.strip().splitlines()))

    def _at_once(self) -> int:
        """As many models as the engine has cores for."""
        return answers_at_once([self._base]) if self.figures.engine == "embedded" else 1

    def _server(self) -> str:
        state = client.running(self._home.paths)
        return state.server if state else self._home.settings.serve.ollama

    def _roll_back(self) -> None:
        listed = json.loads(self._home.qi_learn("versions", "--json").stdout)["versions"]
        self.figures.versions = [v["version"] for v in listed]
        if sum(v["place"] is not None for v in listed) < 2:
            state = client.running(self._home.paths)
            version = repack_live(
                self._home,
                model_server.model_server_of(
                    self._home.settings,
                    self._home.paths,
                    state.server if state and state.engine else None,
                ),
            )
            self.say(
                "No version shipped, so a repack of the base's own weights was made live to show "
                f"the way back: {version}."
            )
        before = self._live()
        began = time.monotonic()
        said = self._home.qi_learn("rollback").stdout.rstrip()
        self.figures.rollback_seconds = round(time.monotonic() - began, 3)
        self.say(said)
        self.say(
            f"{before} to {self._live()} in {self.figures.rollback_seconds:.2f} s, the start of the "
            ""
            "command included."
        )


def _change(c: measures.SuiteChange) -> str:
    return f"{c.before:.3f} to {c.after:.3f} (difference {c.low:+.3f} to {c.high:+.3f})"


def _journal_line(line: dict[str, Any]) -> str:
    more = ", ".join(
        f"{k} {v}" for k, v in line.items() if k not in ("ts", "step", "state", "seconds")
    )
    return (
        f"{line['step']}: {line['state']}"
        + (f" in {line['seconds']:.1f} s" if "seconds" in line else "")
        + (f" ({more})" if more else "")
    )


def tell(*, repo: Path | None, cycles: int, ollama: str | None, as_json: bool, keep: bool) -> int:
    """Runs the demonstration and cleans up after it; returns the exit code.

    With `as_json` the story goes to stderr and one JSON line to stdout.
    """
    console = Console(
        stderr=as_json, width=None if (sys.stderr if as_json else sys.stdout).isatty() else 140
    )
    base = model_server.embedded_file()
    source, work = _work(repo)
    groups = deal(work, cycles)
    _enough_work(groups)
    signal.signal(signal.SIGTERM, _leave)
    home = make_home(ollama, base)
    began = time.monotonic()
    try:
        if repo is not None:
            source = export(source, home.root / "source")
        story = Story(home, console, source, groups, base)
        code = story.tell()
        story.figures.total_seconds = round(time.monotonic() - began, 2)
        if as_json:
            sys.stdout.write(codec.dumps(story.figures) + "\n")
        return code
    finally:
        if keep:
            home.qi_learn("daemon", "stop", check=False)
            console.print(f"The home was kept: {home.root}", markup=False)
        else:
            home.remove()


def _leave(number: int, frame: FrameType | None) -> None:
    """Told to stop, it cleans up as it does after Ctrl-C."""
    raise SystemExit(128 + number)


def _work(repo: Path | None) -> tuple[Path, list[DemoSession]]:
    if repo is not None:
        top = git.top(repo.absolute())
        if top is None:
            raise NotFound(
                f"{repo} is not in a git repository.", "Give the path of a git working tree."
            )
        return top, sessions([i.function for i in repository_functions(top)])
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise NotFound(
            f"The package {PACKAGE} is not installed.",
            "Install qi-learn with its dependencies, or give --repo PATH.",
        )
    package = Path(spec.submodule_search_locations[0])
    return package.parent, sessions(package_functions(package))


def _enough_work(groups: Sequence[Sequence[DemoSession]]) -> None:
    """Raises NotFound where a cycle would have too little to learn from: said before anything is
    started.
    """
    for group in groups:
        functions = sum(len(session.asked) for session in group)
        if len(group) < MIN_SESSIONS or functions < MIN_FUNCTIONS:
            there = f"{functions} usable functions in {len(group)} modules"
            what = f"For each of {len(groups)} cycles there are about {there}; it takes {MIN_FUNCTIONS} in {MIN_SESSIONS}."
            raise NotFound(
                what, "Ask for fewer cycles (--cycles 1), or give a larger Python repository."
            )
