"""What form and likeness lose cycle after cycle, each time within what one cycle may lose."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

import numpy as np
import pytest

from qi_learn.gate.decline import (
    COHERENCE,
    LIKENESS,
    AnswerMeans,
    decline_of,
    line_of,
    standing_in,
    standing_of,
)
from qi_learn.gate.ledger import next_look
from qi_learn.records import Behaviour, PastLook, Verdict
from tests.support.gate_models import BEFORE, check, verdict_on

ANSWERS, ANEW = 25, 1 / 3


@dataclass
class Lineage:
    """Versions one after another, judged by their answers alone through the real verdict."""

    rng: np.random.Generator
    share: float
    """Of the live version's answers that are coherent."""
    base: float
    remembers: bool = True
    looks: list[PastLook] = field(default_factory=list)
    version: int = 0

    def cycle(self, loss: float) -> bool:
        """Whether a candidate that is worse by so much passes rule 4."""
        drawn = self.rng.random(ANSWERS)
        anew = self.rng.random(ANSWERS) < ANEW
        after = np.where(anew, self.rng.random(ANSWERS), drawn)
        at_base = np.where(anew, after, drawn)
        candidate, live, base = (
            replace(BEFORE, behaviour=_answers(values < share))
            for values, share in (
                (after, self.share - loss),
                (drawn, self.share),
                (at_base, self.base),
            )
        )
        name = f"1.{self.version}.0"
        look = next_look(self.looks if self.remembers else [], name)
        verdict = verdict_on(candidate, live, base, look=look)
        passed = check(verdict, "coherence").passed
        self.version += passed
        self.share -= loss * passed
        led = f"1.{self.version}.0" if passed else ""
        self.looks.append(PastLook(replace(verdict, compared_with=name), (), version=led))
        return passed


def _answers(coherent: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> Behaviour:
    ids = tuple(f"gate{n}" for n in range(len(coherent)))
    n = len(ids)
    return Behaviour(ids, (0.8,) * n, tuple(map(bool, coherent)), ("x",) * n, 50.0)


def after_twelve(*, remembers: bool) -> float:
    """The share of coherent answers that is left when each cycle tries to lose 5 %."""
    left = []
    for seed in range(8):
        line = Lineage(np.random.default_rng(seed), 0.95, 0.7, remembers)
        for _ in range(12):
            line.cycle(0.05)
        left.append(line.share)
    return float(np.mean(left))


def test_coherence_does_not_go_five_percent_at_a_time() -> None:
    alone, over_all = after_twelve(remembers=False), after_twelve(remembers=True)
    assert alone < 0.59, "what was wrong: each loss is within what chance may do to 25 answers"
    assert over_all > alone + 0.04


def test_a_great_loss_in_two_steps_is_seen_at_the_second_or_soon_after() -> None:
    first = []
    for seed in range(8):
        line = Lineage(np.random.default_rng(seed), 0.95, 0.4)
        for _ in range(3):
            line.cycle(0.0)
        first.append(sum(line.cycle(0.12) for _ in range(6)))
    assert np.mean(first) < 3


@pytest.mark.parametrize("share", [0.95, 0.7])
def test_versions_that_are_as_good_are_not_refused(share: float) -> None:
    """Of all cycles as often as by the step to the live version alone."""
    refused = [0, 0]
    for remembers in (False, True):
        for seed in range(6):
            line = Lineage(np.random.default_rng(seed), share, share - 0.1, remembers)
            refused[remembers] += sum(not line.cycle(0.0) for _ in range(20))
    assert refused[1] <= refused[0] + 3


# --- the parts ------------------------------------------------------------------------------------


def standing(before: float, after: float, n: int = ANSWERS) -> AnswerMeans:
    made = standing_of([before] * (n - 1) + [before - 0.1], [after] * (n - 1) + [after - 0.2])
    assert made is not None
    return made


def look(
    live: str, version: str = "", standings: Mapping[str, AnswerMeans] = MappingProxyType({})
) -> PastLook:
    numbers = {k: v for name, one in standings.items() for k, v in one.numbers(name).items()}
    return PastLook(Verdict(bool(version), (), (), "", "", 1.0, live, numbers), (), version=version)


def test_a_verdict_keeps_what_the_answers_say_and_reads_it_again() -> None:
    verdict = verdict_on(BEFORE)
    for name, share in ((COHERENCE, 1.0), (LIKENESS, 0.8)):
        found = standing_in(verdict.numbers, name)
        assert found is not None
        assert found.before == pytest.approx(share)
        assert found.answers == 25
    assert standing_in({"coherence": 0.0}, COHERENCE) is None, "a verdict of before it was kept"
    assert standing_of([1.0], [1.0]) is None
    assert standing_of([1.0, float("nan")], [1.0, 1.0]) is None


def test_a_line_is_what_led_to_the_live_version() -> None:
    one = {COHERENCE: standing(0.9, 0.9)}
    past = [
        look("1.0.0", "1.1.0", one),
        look("1.1.0", "1.2.0", one),  # taken back
        look("1.2.0", "", one),
        look("1.1.0", "", one),
        look("1.1.0", "1.3.0", one),
        look("1.3.0"),
    ]
    line = line_of(past, "1.3.0")
    assert line.live == 2
    assert [(one.before, one.after) for one in line.looks] == [
        (0, 1),
        (1, None),
        (1, None),
        (1, 2),
    ], "what kept nothing says nothing"
    assert line_of([], "1.0.0").looks == ()
    assert decline_of(COHERENCE, line_of([], "1.0.0"), standing(0.9, 0.5)) is None
    assert decline_of(COHERENCE, line_of([look("1.0.0", "1.1.0")], "1.1.0"), standing(1, 1)) is None


def test_a_candidate_is_held_against_the_version_that_it_is_most_surely_below() -> None:
    steps = [(0.95, 0.85), (0.85, 0.75), (0.75, 0.65)]
    past = [
        look(f"1.{n}.0", f"1.{n + 1}.0", {LIKENESS: standing(*step)})
        for n, step in enumerate(steps)
    ]
    found = decline_of(LIKENESS, line_of(past, "1.3.0"), standing(0.65, 0.55))
    assert found is not None
    assert found.fall == pytest.approx(0.4, abs=0.02)
    assert found.versions == 3
    assert not found.fits(0.02)
    same = decline_of(LIKENESS, line_of(past, "1.3.0"), standing(0.65, 0.95))
    assert same is not None
    assert same.fits(0.02)


def test_what_a_version_had_as_the_live_one_counts_though_no_candidate_shipped() -> None:
    """A candidate is chosen by its answers, a live version's are new ones in each look."""
    lucky = look("1.0.0", "1.1.0", {COHERENCE: standing(0.7, 0.9)})
    often = [look("1.0.0", "", {COHERENCE: standing(0.9, 0.2)}) for _ in range(5)]
    now = standing(0.9, 0.6)
    few, many = (
        decline_of(COHERENCE, line_of([*looks, lucky], "1.1.0"), now) for looks in ([], often)
    )
    assert few is not None
    assert many is not None
    assert many.fall > few.fall
    assert many.error < few.error
