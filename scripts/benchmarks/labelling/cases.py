"""Which cases there are, and playing one of them in a home of its own."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from scripts.benchmarks.labelling.dialects import BY_NAME, DIALECTS, Dialect
from scripts.benchmarks.labelling.judging import Judged
from scripts.benchmarks.labelling.kinds import KINDS, Kind
from scripts.benchmarks.labelling.play import ACCEPTED, NotPlayed, Play, Truth
from scripts.benchmarks.labelling.releases import Package
from scripts.benchmarks.labelling.samples import Sample
from tests.support.played_home import PlayedHome

TRIES = 15
"""How many functions of a package are tried for a kind, until one has what it needs."""
COMPLETION = "completion"


@dataclass(frozen=True, slots=True)
class Case:
    """One kind of change in one dialect, to be played with the first sample that has what it needs.

    `number` is its place among all: chance begins there, so each case is the same in every run.
    """

    package: str
    kind: str
    dialect: str
    samples: tuple[Sample, ...]
    number: int


def cases_of(package: Package, samples: Sequence[Sample], first: int) -> Iterator[Case]:
    """The cases of one package: every kind of change, and the dialects in turn."""
    turns = {"any": first, "edit": first, "part": first}
    number = first
    for kind in KINDS:
        if kind.languages and package.language not in kind.languages:
            continue
        for _ in range(kind.times):
            at = 7 * number % max(1, len(samples))
            some = (*samples[at:], *samples[:at])[:TRIES]
            yield Case(package.name, kind.name, _dialect(kind, turns), some, number)
            number += 1


def _dialect(kind: Kind, turns: dict[str, int]) -> str:
    if kind.group == "completion":
        return COMPLETION
    if kind.group == "chat":
        return "block"
    some = [
        d
        for d in DIALECTS
        if kind.group == "any"
        or (kind.group == "part" and not d.whole)
        or (kind.group == "edit" and d.result is not None)
    ]
    turns[kind.group] += 1
    return some[turns[kind.group] % len(some)].name


def played(case: Case) -> Judged | str | None:
    """The case, played and judged; why it failed, or None if no sample has what it needs."""
    kind = next(kind for kind in KINDS if kind.name == case.kind)
    dialect = BY_NAME.get(case.dialect, BY_NAME["block"])
    for sample in case.samples:
        chance = random.Random(case.number)
        try:
            return _played(case, kind, sample, dialect, chance)
        except NotPlayed:
            continue
        except Exception as error:  # noqa: BLE001 - one that cannot be played must not end the run
            return f"{case.package} {case.kind} {case.dialect} {sample.name}: {error!r:.500}"
    return None


def _played(
    case: Case, kind: Kind, sample: Sample, dialect: Dialect, chance: random.Random
) -> Judged:
    with tempfile.TemporaryDirectory() as top, Play(Path(top), sample, dialect, chance) as play:
        truth = kind.play(play)
        return judged(case, kind, sample.language, play.home, truth)


def judged(case: Case, kind: Kind, language: str, home: PlayedHome, truth: Truth) -> Judged:
    """What the store holds of a case, beside what is true of it."""
    found, fates = home.suggestions(truth.turn), home.fates(truth.turn)
    pairs = zip(found, fates, strict=True)
    return Judged(
        case.package,
        language,
        case.dialect,
        case.kind,
        kind.boilerplate,
        truth,
        fates,
        any(s.placed_at is not None for s in found),
        tuple(s.final_text or "" for s, fate in pairs if fate in ACCEPTED),
        home.project_of(truth.turn),
    )
