"""What would have made a refused candidate pass, in words, as far as the numbers tell.

It promises nothing: the same effect again may be measured larger or smaller.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

from qi_learn.gate.ledger import level_of
from qi_learn.gate.limits import MATTERS, RISE, RISE_FROM_BASE
from qi_learn.gate.mixed_model import Estimate
from qi_learn.gate.paired_changes import Changes
from qi_learn.gate.regressions import Rise, Rises
from qi_learn.gate.superiority import Superiority
from qi_learn.records import Check
from qi_learn.stats import t_quantile

OFTEN = 0.8
"""How often the number of examples that is named would have been enough."""
NEXT = (
    "a quarter more new examples start the next cycle; `qi-learn train --now` does not wait, but "
    "each look must be surer than the one before"
)
MOST_TIMES = 10
"""An effect that takes more than so many times the examples is called too small."""
JUDGING = 0.2
"""The share of the new examples that is kept to judge by (dataset/split.py)."""


def helps_of(checks: Mapping[str, Check], changes: Changes, own: int = 0) -> tuple[str, ...]:
    """A sentence for each rule that refused and can be helped; none if nothing can be said.

    The general suites and earlier work have one together. `own`: new examples that the person
    changed or wrote, of all that the data set has; 0 if that is not known. When the next cycle
    comes is said where another one would help.
    """
    helps = tuple(_helps(checks, changes, own))
    return (*helps, NEXT) if helps else ()


def _helps(checks: Mapping[str, Check], changes: Changes, own: int) -> Iterator[str]:
    failed = [name for name, check in checks.items() if not check.passed]
    if "domain_relevance" in failed:
        yield _better(changes.superiority, own)
    if "accuracy" in failed and changes.likeness is not None:
        yield (
            "your changes are copied less well than before: more answers of that kind that you "
            "corrected, or fewer projects learned at once"
        )
    if "coherence" in failed:
        yield (
            "answers that end, and keep the form that was asked for: where the kept ones are long, "
            "they may only have been cut off, and a larger gate.answer_tokens shows them whole; "
            "gate.max_generated must grow with it, or fewer are asked for"
        )
    yield from _suites(failed, changes.rises)


def _better(found: Superiority | None, own: int) -> str:
    if found is None:
        return (
            "answers that you changed, or code that you wrote yourself, among the fresh work: what "
            "was kept as it was shows nothing about an update"
        )
    fall, level = found.fall, level_of(found.look.number + 1)
    if not math.isfinite(fall.error):
        return "work of at least two more sessions: one session alone shows nothing for sure"
    if fall.mean <= MATTERS:
        return (
            "more to learn from, not more to judge by: it was hardly better on your own "
            "changes, which more examples like these would only show more surely"
        )
    if found.tokens_fall <= 0:
        return (
            "longer texts of yours to learn from: short changes got better and long ones worse, so "
            "that over all tokens nothing was gained"
        )
    times = times_needed(fall, level)
    if times is None:
        return (
            f"a larger effect: at {fall.mean:.3f} nat a token more than {MOST_TIMES} times the "
            f"{fall.examples} examples would be needed to be sure"
        )
    judging, units = math.ceil(times * fall.examples), math.ceil(times * fall.units)
    return (
        f"at this effect ({fall.mean:.3f} nat a token) about {judging} examples with your changes, "
        f"from about {units} sessions, would be enough at the next look in 4 of 5 cases; there "
        f"were {fall.examples} from {fall.units}. {_to_expect(judging, own)}"
    )


def _to_expect(judging: int, own: int) -> str:
    """How much work it takes until so many judge."""
    total = math.ceil(judging / JUDGING)
    if not own:
        return f"A fifth of what is new judges, so that takes some {total} new ones in all"
    if total <= own:
        return f"Of the {own} new ones there are, a larger gate.max_read may let as many judge"
    return (
        f"A fifth of what is new judges, so that takes some {total - own} more answers that you "
        f"change or write, beside the {own} there are"
    )


def times_needed(fall: Estimate, level: float) -> float | None:
    """How many times the sessions, of the same size, show this effect at `level` as a rule.

    None if more than `MOST_TIMES`. A rule is four cases in five.
    """
    for quarter in range(4, 4 * MOST_TIMES + 1):
        times = quarter / 4
        freedom = fall.freedom * times
        needed = t_quantile(1 - level, freedom) + t_quantile(OFTEN, freedom)
        if fall.mean >= needed * fall.error / math.sqrt(times):
            return times
    return None


def _suites(failed: list[str], rises: Rises) -> Iterator[str]:
    """Which suites refused, and by how much the rise would have to be smaller."""
    used = {name: rise.used for name in failed if (rise := rises.get(name)) is not None}
    risen = {name: share for name, share in used.items() if share > 0}
    if not risen:
        return
    what = ", ".join(_risen(rise) for name in risen if (rise := rises[name]) is not None)
    smaller = max(risen.values())
    yield f"what got worse, in nat a token, is {what}: " + (
        f"a change {smaller:.1f} times smaller would have stayed within the limit"
        if smaller > 1
        else "a smaller change, or more of such text among what is replayed"
    )


def _risen(rise: Rise) -> str:
    """Since when it got worse: the live version, or the base alone."""
    base = rise.since_base
    if base is not None and rise.since.mean / RISE < base.mean / RISE_FROM_BASE:
        return f"{rise.what} ({base.mean:+.3f} since the base)"
    return f"{rise.what} ({rise.since.mean:+.3f})"
