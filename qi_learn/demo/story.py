"""`qi-learn demo`: the real thing on real code, told as it goes.

A throw-away home, the daemon, a developer who is played (developer.py), and then only watching: the
daemon itself sees that the thresholds are met and runs the cycle. What is printed is read from what
the product wrote. A gate that refuses is a correct ending.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console

from qi_learn import codec
from qi_learn.bench.functions import DemoSession
from qi_learn.daemon import client
from qi_learn.demo import measures
from qi_learn.demo.developer import Developer, FunctionWork
from qi_learn.demo.figures import Figures
from qi_learn.demo.home import DemoHome
from qi_learn.demo.repack import repack_live
from qi_learn.demo.size import DemoSize
from qi_learn.demo.watch import LiveClient, follow
from qi_learn.deploy import model_server
from qi_learn.errors import EXIT_DONE, EXIT_REFUSED, QiError
from qi_learn.outside.llama_cpp import answers_at_once, load_vocabulary
from qi_learn.outside.ollama import Ollama
from qi_learn.records import Example, Verdict
from qi_learn.records.suites import ORDINARY
from qi_learn.report import status
from qi_learn.report.verdict_lines import rule_lines
from qi_learn.rundir.directory import RunDirectory, run_directories
from qi_learn.stats import evenly
from qi_learn.terminal_text import harmless

WAIT_FOR_RUN = 15.0
"""Seconds that the daemon has to start a cycle after everything was played: the last suggestions
settle within seconds.
"""


class Story:
    """One demonstration, stage by stage."""

    def __init__(
        self,
        home: DemoHome,
        console: Console,
        source: Path,
        groups: Sequence[Sequence[DemoSession]],
        base: Path,
    ) -> None:
        self._home = home
        self._size: DemoSize = home.size
        self._console = console
        self._source = source
        self._groups = groups
        self._base = base
        self._played: list[list[DemoSession]] = []
        self._kept_back: list[tuple[Example, ...]] = []
        self._held_out = measures.HeldOut(base, home.settings.serve.context, home.root / "measured")
        self.figures = Figures(
            engine="ollama" if home.settings.serve.backend == "ollama" else "embedded"
        )

    def say(self, text: str = "") -> None:
        """Print a text as it is: no markup, no colours."""
        self._console.print(harmless(text), markup=False, highlight=False)

    @contextmanager
    def _stage(self, name: str, title: str) -> Iterator[None]:
        self._console.rule(title)
        started = time.monotonic()
        yield
        self.figures.seconds[name] = round(time.monotonic() - started, 2)

    def tell(self) -> int:
        """Tell it from the first start to the rollback, and return the exit code."""
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
                self._say_why_not()
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
        self._say_remark()
        return EXIT_DONE

    # --- the stages -------------------------------------------------------------------------------

    def _start(self) -> None:
        self._say_remark()
        self.say(
            f"A throw-away home in {self._home.root}; your own data is not touched. Overrides: "
            f"{self._size.overrides_text()}; answers of at most {self._size.answer_tokens} tokens."
        )
        *made, _ = self._home.qi_learn("init", ".").stdout.rstrip().split("\n")
        self.say("\n".join(made))  # its last line asks for what comes next here
        self.say(self._home.qi_learn("daemon", "start").stdout.rstrip())

    def _say_remark(self) -> None:
        if self._size.remark:
            self.say(self._size.remark)

    def _work(self, group: Sequence[DemoSession]) -> RunDirectory | None:
        """Play the group's sessions until the daemon starts a cycle: its run, or None."""
        state = client.running(self._home.paths)
        if state is None:
            raise QiError(
                "The daemon of the demonstration has stopped.",
                f"See {self._home.paths.logs / 'daemon.log'}.",
            )
        developer = Developer(self._home, self._source, state.gateway)
        earlier = {r.run_id for r in run_directories(self._home.paths.runs)}
        self._played.append([])
        for session in group:
            done: list[FunctionWork] = []
            developer.work_on(
                session, enough=lambda: self._new_run(earlier) is not None, seen=done.append
            )
            self._say_work(session, done)
            self._played[-1] += [session] if done else []
            if run := self._new_run(earlier):
                return run
        return self._wait_for_run(earlier)

    def _new_run(self, earlier: set[str]) -> RunDirectory | None:
        return next(
            (r for r in run_directories(self._home.paths.runs) if r.run_id not in earlier), None
        )

    def _wait_for_run(self, earlier: set[str]) -> RunDirectory | None:
        deadline = time.monotonic() + WAIT_FOR_RUN
        while time.monotonic() < deadline:
            if run := self._new_run(earlier):
                return run
            time.sleep(0.5)
        return None

    def _say_work(self, session: DemoSession, done: Sequence[FunctionWork]) -> None:
        self.figures.asked += len(done)
        if done:
            alike = sum(w.similarity for w in done) / len(done)
            seconds = sum(w.seconds for w in done) / len(done)
            pasted = sum(w.pasted for w in done)
            self.say(
                f"  {session.module}: {len(done)} asked for, {pasted} pasted, on average "
                f"{alike:.2f} like the author's, {seconds:.1f} s each"
            )

    def _say_why_not(self) -> None:
        self.say("The daemon did not start a cycle, and says why:")
        self.say(status.as_text(status.gather(self._home.paths, self._home.settings)))

    def _watch(self, run: RunDirectory) -> None:
        """Follow the run, while a second client asks the live model."""
        self.say(f"Run {run.run_id}: {json.loads(run.request.read_text())['reason']}")
        state = client.running(self._home.paths)
        second = LiveClient(state.gateway if state else "", self._home.alias)
        with second.asking():
            follow(run, self._console)
        self.figures.live_answers += second.answers
        self.figures.live_failures += second.failures
        self.say(
            "  Meanwhile the live model was asked "
            f"{self.figures.live_answers + self.figures.live_failures} times; "
            f"{self.figures.live_failures} answers failed."
        )

    def _explain(self, run: RunDirectory) -> None:
        ended = json.loads(run.outcome.read_text())
        verdict = codec.loads(Verdict, run.verdict.read_text()) if run.verdict.exists() else None
        self.figures.verdicts.append(
            {
                "state": ended["state"],
                "version": ended["version"],
                "scale": verdict.scale if verdict else None,
                "reasons": list(verdict.reasons) if verdict else [ended["reason"]],
                "tokens_read": _count(verdict, "tokens_read"),
                "tokens_generated": _count(verdict, "tokens_generated"),
            }
        )
        if verdict is None:
            self.say(f"No model came of it: {ended['reason']}")
            return
        deployed = ended["state"] == "deployed"
        after = "candidate" if deployed else "live"
        self.figures.general_nll = {
            "before": verdict.numbers[f"general_{ORDINARY}_nll_base"],
            "after": verdict.numbers[f"general_{ORDINARY}_nll_{after}"],
        }
        self._say_verdict(verdict)
        self.say(
            f"Version {ended['version']} is live."
            if deployed
            else "The gate refused: the version before stays live. That is a correct ending: a "
            "model that is not shown to be better is not served."
        )

    def _say_verdict(self, verdict: Verdict) -> None:
        self.say("The gate said:")
        for line in rule_lines(verdict.checks, verdict.helps):
            self.say(line.removeprefix("  "))
        for note in verdict.notes:
            self.say(f"  - {note}")

    def _live(self) -> str:
        return str(json.loads(self._home.paths.routes.read_text())["live"])

    def _measure(self, number: int, base: str, before: str, live: str) -> None:
        """Measure on functions of the modules that were worked on, but never asked for."""
        with Ollama(self._server()) as server:
            self._kept_back.append(self._examples(server, base))
            everything = [e for group in self._kept_back for e in group]
            self.figures.heldout_nll = held = self._held_out.change(server, everything, base, live)
            self.say(
                f"  {len(everything)} functions of the modules worked on, never asked for: NLL per "
                f"token {held} (base to {live})"
            )
            if general := self.figures.general_nll:
                self.say(
                    f"  general code (standard library): {general['before']:.3f} "
                    f"to {general['after']:.3f}"
                )
            if live == before:
                return
            self._show_answers(server, before, live)
            if number > 1:
                earlier = [e for group in self._kept_back[:-1] for e in group]
                self.figures.forgotten_nll = forgotten = self._held_out.change(
                    server, earlier, before, live
                )
                self.say(
                    f"  of the earlier modules ({before} to {live}, {len(earlier)} functions): "
                    f"{forgotten}"
                )

    def _examples(self, server: Ollama, base: str) -> tuple[Example, ...]:
        """The functions kept aside of the sessions played last, as examples."""
        functions = [f for session in self._played[-1] for f in session.held_out]
        with load_vocabulary(self._base) as vocabulary:
            return measures.held_out_examples(
                evenly(functions, self._size.held_out), server, base, vocabulary
            )

    def _show_answers(self, server: Ollama, before: str, live: str) -> None:
        change = measures.compare_answers(
            evenly(self._kept_back[-1], self._size.answered),
            server,
            before,
            live,
            answer_tokens=self._size.answer_tokens,
            at_once=self._at_once(),
        )
        self.figures.heldout_similarity = {
            key: getattr(change, key) for key in ("before", "after", "low", "high")
        }
        self.say(
            f"  edit similarity of answers to the author's code: {change.before:.3f} to "
            f"{change.after:.3f} (difference {change.low:+.3f} to {change.high:+.3f}, "
            f"{change.count} functions)"
        )
        titles = ("the author's code", f"{before} answered", f"{live} answered")
        for title, text in zip(titles, change.first, strict=True):
            self.say(f"  --- {title}")
            self.say("\n".join(f"    {line}" for line in text.strip().splitlines()))

    def _at_once(self) -> int:
        """How many models are asked at once: as many as the engine has cores for."""
        return answers_at_once([self._base]) if self.figures.engine == "embedded" else 1

    def _server(self) -> str:
        state = client.running(self._home.paths)
        return state.server if state else self._home.settings.serve.ollama

    def _roll_back(self) -> None:
        listed = json.loads(self._home.qi_learn("versions", "--json").stdout)["versions"]
        self.figures.versions = [v["version"] for v in listed]
        if sum(v["place"] is not None for v in listed) < 2:
            self._repack()
        before = self._live()
        started = time.monotonic()
        report = self._home.qi_learn("rollback").stdout.rstrip()
        self.figures.rollback_seconds = round(time.monotonic() - started, 3)
        self.say(report)
        self.say(
            f"{before} to {self._live()} in {self.figures.rollback_seconds:.2f} s, the start of "
            "the command included."
        )

    def _repack(self) -> None:
        """Make a repack of the base live, so that there is a version to come back from."""
        state = client.running(self._home.paths)
        engine_url = state.server if state and state.engine else None
        server = model_server.model_server_of(self._home.settings, self._home.paths, engine_url)
        version = repack_live(self._home, server)
        self.say(
            "No version shipped, so a repack of the base's own weights was made live to show "
            f"the way back: {version}."
        )


def _count(verdict: Verdict | None, name: str) -> int | None:
    """A count among a verdict's numbers; None if it is not known."""
    return int(verdict.numbers[name]) if verdict and name in verdict.numbers else None
