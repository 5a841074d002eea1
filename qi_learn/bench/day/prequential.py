"""One history played once: every definition is asked of the live model before it is learned.

Session by session: the definitions are asked for, what became of the answers is told to the
product, and at the end of the session its own trigger says whether a cycle starts. What is live
only changes in a cycle, so all that lies between two of them (a stretch) is measured at its end, on
the file that was live all the while, and before anything of it is learned.

An oracle sees the stretch that follows a cycle: would its candidate, shipped or not, have been
better on the person's tokens than what was live before? It judges each cycle as it was; what would
have come of shipping otherwise is not played.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path

from qi_learn.bench.day.answering import answers_to, distance, own_answers
from qi_learn.bench.day.day_figures import (
    BASE,
    FEW_SHOT,
    LIVE,
    CodeFigures,
    CycleFigures,
    DayFigures,
    counts,
    curve_of,
    difference,
    learned_from_history,
    point_of,
)
from qi_learn.bench.day.forms import ServedForms
from qi_learn.bench.day.history import WrittenCode
from qi_learn.bench.day.home import CycleEnd, DayHome
from qi_learn.bench.day.play import MIXES, Planned, Played, plan, play
from qi_learn.bench.day.reading import (
    AskedCode,
    AskedCodes,
    read_all,
    read_with_shots,
    tokens_of_person,
)
from qi_learn.bench.rendering import ByTemplate
from qi_learn.dataset.examples import RenderCache, Serving
from qi_learn.outside.llama_cpp import Vocabulary
from qi_learn.stats import evenly

Say = Callable[[str], None]
EVENING = 3600.0
"""Seconds after the last answer of a session at which the trigger is asked."""
FIRST = "1.0.0"
_BEFORE, _CANDIDATE = "before", "candidate"


@dataclass(frozen=True, slots=True)
class DaySizes:
    """How much of a run is measured."""

    answers: int
    """Definitions that the models answer themselves, taken evenly."""
    answer_tokens: int


@dataclass
class _Run:
    """A run under way."""

    home: DayHome
    base: Path
    vocabulary: Vocabulary
    sizes: DaySizes
    say: Say
    answered: frozenset[int] = frozenset()
    """Numbers of the definitions that are answered."""
    live: Path = field(init=False)
    stretch: list[AskedCode] = field(default_factory=list)
    codes: list[CodeFigures] = field(default_factory=list)
    cycles: list[CycleFigures] = field(default_factory=list)
    played: list[Played] = field(default_factory=list)
    last: CycleEnd | None = None
    """The cycle before this stretch, if it had a candidate."""
    last_before: Path = field(init=False)

    def __post_init__(self) -> None:
        self.live = self.last_before = self.base
        serving = Serving(
            ByTemplate(self.vocabulary), "base", "base", self.vocabulary, RenderCache()
        )
        self.asked_codes = AskedCodes(serving)

    # --- a session --------------------------------------------------------------------------------

    def work(self, session: Sequence[Planned]) -> None:
        """Ask for a session's definitions and tell what became of the answers."""
        unknown = [one for one in session if one.own_answer]
        limit = self.sizes.answer_tokens
        answers = own_answers(self.live, unknown, self.vocabulary, limit=limit)
        own = {one.number: text for one, text in zip(unknown, answers, strict=True)}
        model = self.home.live_model
        played = [play(one, model, lambda each: own[each.number]) for one in session]
        self.played += played
        self.stretch += [asked for one in played if (asked := self.asked_codes.of(one)) is not None]
        self.home.take_in(played)

    def evening(self, now: float) -> str:
        """Learn if it is time; why not, if it is not."""
        decision = self.home.decide(now)
        if not decision.due:
            return decision.reason
        self.say(f"  {len(self.played)} played; {decision.reason}: a cycle starts")
        self.measure()
        was = self.live
        ended = self.home.learn(len(self.cycles) + 1, decision, now)
        self._note(ended, was)
        return "a cycle has just ended"

    def _note(self, ended: CycleEnd, was: Path) -> None:
        verdict = ended.verdict
        refused = tuple(c.name for c in verdict.checks if not c.passed) if verdict else ()
        version = self.home.live
        self.cycles.append(
            CycleFigures(
                len(self.played),
                ended.state,
                ended.reason,
                version,
                ended.examples,
                round(ended.seconds, 1),
                refused,
                ended.state == "deployed",
            )
        )
        self.last = ended if ended.candidate is not None else None
        # under one name each, so that no file is read twice
        self.last_before = self.base if was == self.base else ended.before
        if ended.state == "deployed" and ended.candidate is not None:
            self.live = ended.candidate
        else:
            self.live = self.last_before
        self.say(
            f"  {ended.state} after {ended.seconds:.0f} s, {version} is live: {ended.reason[:300]}"
        )

    # --- a stretch --------------------------------------------------------------------------------

    def measure(self) -> None:
        """Measure what was asked since the last cycle, and that cycle's candidate on it."""
        asked, self.stretch = self.stretch, []
        if not asked:
            return
        files = {LIVE: self.live, BASE: self.base}
        if self.last is not None and self.last.candidate is not None:
            files |= {_BEFORE: self.last_before, _CANDIDATE: self.last.candidate}
        read, helped = read_all(files, asked), read_with_shots(self.base, asked)
        distances = self._distances(asked)
        version = self.home.live
        codes = [
            CodeFigures(
                one.played.planned.code.session,
                one.played.planned.question.form,
                one.played.draw,
                version,
                tokens_of_person(one.example),
                sum(one.example.code_mask),
                {name: nlls[n].person for name, nlls in read.items()} | {FEW_SHOT: helped[n]},
                {name: read[name][n].code for name in (LIVE, BASE)},
                distances.get(one.played.planned.number, {}),
            )
            for n, one in enumerate(asked)
        ]
        self.codes += codes
        if self.last is not None and self.cycles:
            self.cycles[-1] = self.cycles[-1].seen(difference(codes, _CANDIDATE, _BEFORE))
        self._tell(codes)

    def _distances(self, asked: Sequence[AskedCode]) -> dict[int, Mapping[str, float]]:
        chosen = [one for one in asked if one.played.planned.number in self.answered]
        planned = [one.played.planned for one in chosen]
        plain = [one.example.prompt_ids for one in chosen]
        helped = [one.with_shots.prompt_ids for one in chosen]
        asking = {
            LIVE: (self.live, plain),
            BASE: (self.base, plain),
            FEW_SHOT: (self.base, helped),
        }
        found: dict[int, dict[str, float]] = {one.number: {} for one in planned}
        known: dict[tuple[Path, bool], list[str]] = {}
        for name, (file, prompts) in asking.items():
            key = file, prompts is helped
            if key not in known:
                limit = self.sizes.answer_tokens
                known[key] = answers_to(file, planned, prompts, limit=limit)
            for one, text in zip(planned, known[key], strict=True):
                found[one.number][name] = distance(one, text)
        return dict(found)

    def _tell(self, codes: Sequence[CodeFigures]) -> None:
        point = point_of(codes)
        nll = ", ".join(f"{name} {value:.3f}" for name, value in point.nll.items())
        self.say(f"  {len(self.played)} played; NLL of {point.person_tokens} own tokens: {nll}")


def play_history(
    home: DayHome,
    base: Path,
    vocabulary: Vocabulary,
    written: Sequence[WrittenCode],
    *,
    history: str,
    fates: str,
    seed: int,
    sizes: DaySizes,
    say: Say,
) -> DayFigures:
    """Play a history once. Raises QiError if something cannot be measured."""
    began = time.monotonic()
    planned = plan(written, MIXES[fates], ServedForms.of(vocabulary), seed=seed)
    answered = frozenset(one.number for one in evenly(planned, sizes.answers))
    run = _Run(home, base, vocabulary, sizes, say, answered)
    why_not = ""
    for session in _sessions(planned):
        run.work(session)
        why_not = run.evening(session[-1].at + EVENING)
    run.measure()
    return _figures(run, len(written), why_not, history, fates, seed, time.monotonic() - began)


def _sessions(planned: Sequence[Planned]) -> Iterator[list[Planned]]:
    for _, together in groupby(planned, key=lambda one: one.code.session):
        yield list(together)


def _figures(
    run: _Run, written: int, why_not: str, history: str, fates: str, seed: int, seconds: float
) -> DayFigures:
    codes, played = run.codes, run.played
    learned = [code for code in codes if code.version != FIRST]
    return DayFigures(
        history,
        fates,
        seed,
        len(codes),
        len({code.session for code in codes}),
        written - len(codes),
        run.home.settings.train.min_interactions,
        counts([one.draw for one in played]),
        counts([code.form for code in codes]),
        counts([one.planned.code.language for one in played]),
        curve_of(codes),
        point_of(codes),
        difference(codes, LIVE, BASE),
        difference(codes, LIVE, FEW_SHOT),
        point_of(learned, len(codes) - len(learned)) if learned else None,
        difference(learned, LIVE, BASE),
        tuple(run.cycles),
        why_not,
        round(seconds, 1),
        learned_from_history(codes),
    )
