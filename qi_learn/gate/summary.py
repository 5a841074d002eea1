"""What a verdict says besides yes or no.

What got surely worse, what else is worth knowing, the risk, the way back, and all numbers.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping

from qi_learn.gate.checks import p_words
from qi_learn.gate.limits import COST, NOTICED, SLOW, SPEED, SURE
from qi_learn.gate.measurements import Comparison, Measurements, ReportedOnly, answers_to
from qi_learn.gate.paired_changes import Changes
from qi_learn.gate.regressions import Regression, Rise, Rises
from qi_learn.records import Behaviour, Check, SuiteNll
from qi_learn.stats import mean

CYCLES = 20
"""Earlier cycles of which a verdict keeps a number of their own."""


def notes_of(
    checks: Mapping[str, Check],
    models: Comparison,
    regressions: Mapping[str, Regression],
    reported: ReportedOnly,
) -> Iterator[str]:
    """What does not decide and is worth knowing."""
    candidate, base = models.candidate, models.base
    yield from _surely_worse(checks, regressions)
    yield from _few_shot_is_better(candidate.behaviour, reported.few_shot)
    yield from _slower(candidate.behaviour, base.behaviour)
    yield from _thin_earlier_work(candidate.old, models.earlier)
    yield from _packing_cost(reported.packing_cost)
    yield from _scales_tried(reported.dev_by_scale)


def _surely_worse(
    checks: Mapping[str, Check], regressions: Mapping[str, Regression]
) -> Iterator[str]:
    """A sentence on all that is refused for it, and one on what is allowed all the same."""
    sure = {name: claim for name, claim in regressions.items() if claim.sure}
    allowed = [name for name in sure if checks[_RULES.get(name, name)].passed]
    for words, names in (
        ("surely worse", [name for name in sure if name not in allowed]),
        ("surely a little worse, by less than a rule refuses", allowed),
    ):
        if names:
            claims = "; ".join(f"{sure[n].words} ({p_words(sure[n].p)})" for n in names)
            yield f"{words} (p adjusted for {len(regressions)} claims): {claims}"


_RULES = {"answers": "accuracy"}
"""The rule that a claim belongs to, if its name is another."""


def _few_shot_is_better(candidate: Behaviour, few_shot: Behaviour | None) -> Iterator[str]:
    if few_shot is None or not few_shot.similarity:
        return
    asked = set(few_shot.ids)
    answers = zip(candidate.ids, candidate.similarity, strict=True)
    own = mean([likeness for i, likeness in answers if i in asked])
    if (better := mean(few_shot.similarity)) > own:
        yield (
            "few-shot is better: the base with 2 examples in its prompt comes to a likeness of "
            f"{better:.3f}, this version to {own:.3f}"
        )


def _slower(candidate: Behaviour, base: Behaviour) -> Iterator[str]:
    if base.tokens_per_second <= 0:
        return
    speed = candidate.tokens_per_second / base.tokens_per_second
    if speed < SLOW:
        yield (
            f"slower than the base: {speed:.2f} of its tokens/s, because the tensors that learned "
            "are stored with more bits"
        )


def _thin_earlier_work(old: SuiteNll, there: int) -> Iterator[str]:
    if not old.ids and not there:
        yield (
            "there is no earlier work to compare on yet: forgetting was measured on general "
            "suites only"
        )
    elif len(set(old.units)) == 1:
        yield (
            "all earlier work is from one session: its examples were taken as independent, so it "
            "may be less sure than it looks"
        )


def _packing_cost(cost: float | None) -> Iterator[str]:
    if cost is not None and cost > COST:
        yield (
            f"packing cost {cost:.3f} nat a token on dev: the file is that much worse than what "
            "was trained"
        )


def _scales_tried(dev_by_scale: Mapping[float, float]) -> Iterator[str]:
    if any(math.isfinite(nll) for nll in dev_by_scale.values()):
        tried = ", ".join(f"{scale:g} {nll:.3f}" for scale, nll in sorted(dev_by_scale.items()))
        yield f"NLL on dev by scale of what was learned: {tried} nat a token"


# --- the risk and the way back --------------------------------------------------------------------


def risk_of(checks: Mapping[str, Check], rises: Rises, scale: float) -> str:
    """How much of each limit is used, and how near the nearest is."""
    used = _used(checks, rises)
    worst = max(used, key=lambda what: used[what])
    level = "low" if used[worst] < 1 / 3 else "medium" if used[worst] < 2 / 3 else "high"
    rest = [what for what in used if what != worst and (used[what] > 0 or what in _ALWAYS)]
    others = ", ".join(f"{what} {used[what]:.0%}" for what in rest)
    tail = f"; the delta was scaled to {scale:g}" if scale != 1.0 else ""
    return (
        f"{level}: the nearest limit is {worst}, {used[worst]:.0%} of what is allowed used "
        f"({others}){tail}"
    )


_ALWAYS = ("earlier work", "likeness to the kept code", "coherence", "speed")
"""Limits that are named though nothing of them is used; of the suites only those that rose are."""


def _used(checks: Mapping[str, Check], rises: Rises) -> dict[str, float]:
    """The share of each limit that is used; a suite has two, and the nearer counts."""
    used = {rise.what: _used_by(rise) for rise in rises.values() if rise is not None}
    used["likeness to the kept code"] = _share(checks["accuracy"].value, checks["accuracy"].limit)
    used["coherence"] = _share(checks["coherence"].value, checks["coherence"].limit)
    speed = checks["speed"].value
    used["speed"] = _share(1 - speed, 1 - SPEED) if speed is not None else 0.0
    return used


def _used_by(rise: Rise) -> float:
    """What is surely a rise has a nearer limit."""
    return max(rise.used, rise.since.mean / NOTICED if rise.p <= SURE else 0.0)


def _share(value: float | None, limit: float | None) -> float:
    return max(0.0, value / limit) if value is not None and limit else 0.0


def rollback_plan(version: str, seconds: float | None) -> str:
    """The command, the version it leads to, and how long it took the last time."""
    took = (
        f"the last rollback here took {seconds:.1f} s"
        if seconds is not None
        else "how long it takes was not measured here yet"
    )
    return (
        f"`qi-learn rollback` makes v{version} live again (from a later version: "
        f"`qi-learn rollback v{version}`); it needs no network, no training environment and no "
        f"daemon, deletes nothing, and {took}."
    )


# --- all numbers ----------------------------------------------------------------------------------


def numbers_of(
    checks: Mapping[str, Check],
    changes: Changes,
    regressions: Mapping[str, Regression],
    models: Comparison,
    reported: ReportedOnly,
) -> dict[str, float]:
    """The three numbers `accuracy`, `coherence` and `domainRelevance`, then everything measured.

    What could not be measured is left out (JSON has no NaN).
    """
    numbers = {
        "accuracy": checks["accuracy"].value,
        "coherence": checks["coherence"].value,
        "domainRelevance": checks["domain_relevance"].value,
        "speed": checks["speed"].value,
        "packed": checks["packed"].value,
        "secrets": checks["secrets"].value,
    }
    three = {"candidate": models.candidate, "live": models.live, "base": models.base}
    answered = set.intersection(*(set(model.behaviour.ids) for model in three.values()))
    for who, model in three.items():
        numbers |= {f"{name}_{who}": value for name, value in _measured(model, answered).items()}
        numbers |= {
            f"old_nll_{who}_of_{run}": nll for run, nll in _by_cycle(model.old, reported.cycles)
        }
    numbers |= {f"fixed_nll_{who}": suite.per_token for who, suite in reported.fixed.items()}
    if reported.few_shot is not None:
        numbers["similarity_few_shot"] = mean(reported.few_shot.similarity)
    numbers["packing_cost"] = reported.packing_cost
    numbers |= {f"p_worse_{name}": claim.p for name, claim in regressions.items()}
    numbers |= _look(changes)
    for name, standing in changes.standings.items():
        numbers |= standing.numbers(name)
    numbers |= {f"dev_nll_scale_{scale:g}": nll for scale, nll in reported.dev_by_scale.items()}
    return {
        name: value for name, value in numbers.items() if value is not None and math.isfinite(value)
    }


def _by_cycle(old: SuiteNll, cycles: Mapping[str, str]) -> Iterator[tuple[str, float]]:
    """NLL a token on the earlier work of each run; of the newest `CYCLES` that there are."""
    sums: dict[str, list[float]] = {}
    for example, nll, tokens in zip(old.ids, old.nll, old.tokens, strict=True):
        if (run := cycles.get(example)) is not None and tokens:
            entry = sums.setdefault(run, [0.0, 0.0])
            entry[0] += nll
            entry[1] += tokens
    for run in sorted(sums)[-CYCLES:]:
        yield run, sums[run][0] / sums[run][1]


def _look(changes: Changes) -> dict[str, float]:
    """The look at the person's tokens: its place in the account, and what it leaves behind."""
    if (found := changes.superiority) is None:
        return {}
    return {
        "look": float(found.look.number),
        "level": found.look.level,
        "p_better": found.p,
        "e_value": found.e_value,
        "evidence": found.evidence,
        "person_examples": float(found.fall.examples),
        "person_sessions": float(found.fall.units),
        "rho": found.fall.rho,
        "rho_excess": found.unseen.excess,
        "rho_weight": found.unseen.weight,
        "rho_freedom": found.unseen.freedom,
    }


def _measured(model: Measurements, answered: Collection[str]) -> dict[str, float | None]:
    """The numbers of one model; those of answers over the questions that all models answered."""
    answers = answers_to(model.behaviour, answered)
    own = answers_to(answers, set(model.gate.ids)) if model.gate.ids else answers
    nll: dict[str, float | None] = {
        f"{name}_nll": suite.per_token
        for name, suite in (
            ("gate", model.gate),
            ("old", model.old),
            *((f"general_{name}", suite) for name, suite in model.general.items()),
        )
    }
    general = model.general.values()
    read = sum(sum(suite.tokens) for suite in general)
    code, person = sum(model.gate.code_tokens), sum(model.gate.person_tokens)
    return {
        **nll,
        "general_nll": sum(sum(suite.nll) for suite in general) / read if read else None,
        "gate_person_nll": sum(model.gate.person_nll) / person if person else None,
        "gate_temperature": model.gate.temperature if person else None,
        "gate_code_nll": sum(model.gate.code_nll) / code if code else None,
        "similarity": mean(own.similarity),
        "coherent": mean([float(c) for c in answers.coherent]),
        "solved": mean([float(p) for p in model.execution.passed]),
        "tokens_per_second": model.behaviour.tokens_per_second,
    }
