"""Rule 2 of the gate: better on what the person wrote.

On the tokens that the person wrote or changed, at the temperature that suits each model best: what
the live model wrote itself it finds likeliest anyway, and sharper or softer numbers for the same
answers are no gain. Better by enough to matter, and surely so at the level of this look (`ledger`).
Or as surely as a first look asks for, if that and the looks before it have together shown enough:
evidence of others alone ships nothing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from qi_learn.gate.checks import finite_or_none, require_same, without_number
from qi_learn.gate.ledger import ENOUGH, NextLook, e_value, level_of
from qi_learn.gate.limits import MATTERS
from qi_learn.gate.mixed_model import UNINFORMATIVE, Correlation, Estimate, estimate, variances_of
from qi_learn.records import Check, SuiteNll


@dataclass(frozen=True, slots=True)
class Superiority:
    """How much better a candidate is on the person's tokens, and what the look adds to evidence."""

    fall: Estimate
    """Of NLL a token."""
    look: NextLook
    e_value: float
    """Of the sessions that no earlier look was at; 1 if they are fewer than two."""
    unseen: Correlation
    """What those examples say of the correlation within sessions."""

    tokens_fall: float
    """The fall over all tokens together, long texts as heavy as they are."""

    @property
    def evidence(self) -> float:
        """Of all looks at this live version, this one included."""
        return self.look.evidence * self.e_value

    @property
    def p(self) -> float:
        """One-sided p-value of "no better"."""
        return self.fall.p_above(0.0)

    @property
    def sure(self) -> bool:
        """Whether this look, or all of them together, leave no doubt that it is better."""
        together = self.evidence >= ENOUGH and self.fall.low(level_of(1)) > 0
        return self.fall.low(self.look.level) > 0 or together


def measure_superiority(candidate: SuiteNll, live: SuiteNll, look: NextLook) -> Superiority | None:
    """The fall on the person's tokens; None if there are none, or a number is none.

    At temperatures of the other sessions and, where that was measured too, at one for all of them:
    the one at which less is sure counts. Of a session that is most of the text the others say
    little, and a model that only became less sure there would look better. Raises ValueError if the
    two models were measured on different examples or tokens.
    """
    require_same(candidate.ids, live.ids)
    require_same(candidate.person_tokens, live.person_tokens)
    found = [_measured(candidate, candidate.person_nll, live.person_nll, look)]
    if candidate.person_nll_at_one and live.person_nll_at_one:
        at_one = candidate.person_nll_at_one, live.person_nll_at_one
        found.append(_measured(candidate, *at_one, look))
    both = [one for one in found if one is not None]
    if len(both) < len(found):
        return None
    least = min(both, key=lambda one: one.fall.low(look.level))
    return replace(least, e_value=min(one.e_value for one in both))


def _measured(
    suite: SuiteNll, after: Sequence[float], before: Sequence[float], look: NextLook
) -> Superiority | None:
    """`after` and `before`: NLL of the person's tokens of each example of the suite."""
    judged = [n for n, tokens in enumerate(suite.person_tokens) if tokens > 0]
    falls = {n: before[n] - after[n] for n in judged}
    if not judged or not all(map(math.isfinite, falls.values())):
        return None

    def estimated(chosen: list[int]) -> Estimate:
        tokens = [suite.person_tokens[n] for n in chosen]
        return estimate(
            [falls[n] / count for n, count in zip(chosen, tokens, strict=True)],
            variances_of(tokens),
            [suite.units[n] for n in chosen],
            look.correlation,
        )

    unseen = [n for n in judged if look.seen.isdisjoint((suite.ids[n], suite.units[n]))]
    fall = estimated(judged)
    tokens_fall = math.fsum(falls.values()) / sum(suite.person_tokens[n] for n in judged)
    new = fall if len(unseen) == len(judged) else estimated(unseen) if unseen else None
    if new is None or not math.isfinite(new.error):
        return Superiority(fall, look, 1.0, UNINFORMATIVE, tokens_fall)
    return Superiority(fall, look, e_value(new.p_above(0.0)), new.own, tokens_fall)


def superiority_check(found: Superiority | None) -> Check:
    """Rule 2: NLL on the person's tokens surely fell, by enough to matter."""
    name = "domain_relevance"
    if found is None:
        reason = "what you wrote or changed yourself in the fresh work could not be measured"
        return without_number(name, MATTERS, reason)
    fall = found.fall
    low = fall.low(found.look.level)
    reason = (
        f"NLL on what you wrote yourself {'fell' if fall.mean >= 0 else 'rose'} by "
        f"{abs(fall.mean):.3f} nat a token ({_certainty(found)})"
    )
    if fall.mean <= MATTERS:
        reason += f": not better by more than {MATTERS}"
    elif not found.sure:
        reason += ": not surely better"
    elif found.tokens_fall <= 0:
        reason += f": long texts got worse, over all tokens it rose by {-found.tokens_fall:.3f}"
    passed = fall.mean > MATTERS and found.sure and found.tokens_fall > 0
    return Check(name, passed, fall.mean, finite_or_none(low), None, MATTERS, reason)


def _certainty(found: Superiority) -> str:
    fall, look = found.fall, found.look
    if not math.isfinite(fall.error):
        return "one session is too few to be sure"
    low = fall.low(look.level)
    bound = f"at least {low:.3f}" if low >= 0 else f"it may have risen by {-low:.3f}"
    return (
        f"{bound} at the {100 * (1 - look.level):.4g} % confidence that look {look.number} against "
        f"this version takes; {fall.examples} examples in {fall.units} sessions; evidence of all "
        f"looks {found.evidence:.3g}, enough would be {ENOUGH:g}"
    )
