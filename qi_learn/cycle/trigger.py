"""Whether it is time to learn, with the reason, and with what is missing if it is not.

What must hold, in the order in which it is reported: automatic learning is on, no cycle is under
way, there is enough that is new (distinct examples over the quality threshold that no version of
the live chain has learned, and of which the person wrote or changed something; what was kept as it
was is counted apart), it is not one-sided and leaves something to train on beside the gate,
it has grown by a quarter since a cycle on top of the live chain was last refused (or its version
taken back), the last one was not cancelled just now, the interval since the last cycle has passed,
and, with a schedule, one of its times has just come.

A clock that is set back causes neither a wait without end nor a cycle too many: the end of a cycle
that lies more than an interval ahead is not believed, so a wait is never longer than two intervals.
The two counts (learned, grown since a refusal) do not look at the clock at all.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING

from qi_learn.errors import Refused, SettingsError
from qi_learn.records import RUN_STATES_ENDED, Decision
from qi_learn.settings import Settings
from qi_learn.store.candidates import (
    FreshCount,
    FreshExample,
    FreshExamples,
    save_candidates,
    unjudged,
)
from qi_learn.store.database import Store

if TYPE_CHECKING:
    from qi_learn.store.runs import Run

GRACE = 600.0
"""Seconds after a scheduled time within which a cycle may still start (the daemon looks more often
than that).
"""
GROWTH = 1.25
"""Factor by which the new examples must have grown since a cycle that came to nothing."""
JUDGED_AT_ONCE = 200
"""The most turns that one decision looks at as examples."""
STILL_LOOKING = "what was scored is still being looked through"
"""The reason of a decision that looked at as many turns as one may, and left some."""
CANCELLED_REST = 3600.0
"""Seconds after a cancelled cycle before the next one starts by itself, however short the interval:
it was not wanted now.
"""


def decide(
    store: Store,
    settings: Settings,
    *,
    learned_runs: Collection[str],
    now: float,
    busy: bool,
    waiting: bool = False,
    examples: FreshExamples | None = None,
) -> Decision:
    """Whether a cycle should start now.

    `learned_runs`: the cycles behind the live chain; `waiting`: its time had come, and it waits for
    a quiet moment; `examples`: what the decision before this one found. Raises SettingsError if the
    schedule is no cron line.
    """
    threshold = settings.train.quality_threshold
    more = judge(store, settings)
    examples = examples or FreshExamples()
    fresh = examples.count(store, threshold=threshold, learned_runs=learned_runs)
    known = Decision(False, "", fresh=fresh.own, kept=fresh.kept)
    if busy:
        return replace(known, reason="a cycle is under way")
    if more:
        return replace(known, reason=STILL_LOOKING)
    if not settings.train.auto:
        reason = "automatic learning is off (train.auto); `qi-learn train --now` starts a cycle"
        return replace(known, reason=reason)
    from qi_learn.store.runs import list_runs  # with no automatic learning none is looked at

    runs = list_runs(store)
    each = examples.each(store, threshold=threshold, learned_runs=learned_runs)
    if obstacle := (
        _too_little(each, settings)
        or _refused_before(fresh.own, _without_forgotten(store, runs), learned_runs)
        or _too_early(runs, settings, now)
    ):
        return replace(known, reason=obstacle.reason, missing=obstacle.missing)
    schedule = settings.train.schedule
    if schedule and not waiting and not _scheduled(runs, schedule, now):
        reason = f"cycles start only at the times of train.schedule ({schedule})"
        return replace(known, reason=reason)
    reason = f"{fresh.own} new examples with text of your own{_beside(fresh)}"
    return replace(known, due=True, reason=reason)


def _beside(fresh: FreshCount) -> str:
    """What there is besides the examples that count."""
    return f" ({fresh.kept} more were kept as they were)" if fresh.kept else ""


def judge(store: Store, settings: Settings) -> bool:
    """Look at turns that were scored since, as examples; whether there are more.

    At most `JUDGED_AT_ONCE`, so that a round is never held up. A reader stores nothing: what the
    daemon has not looked at yet is not counted.
    """
    if store.readonly:
        return False
    from qi_learn.dataset.select import judged  # a reader needs nothing of what compares code

    threshold = settings.train.quality_threshold
    turns = unjudged(store, threshold=threshold, limit=JUDGED_AT_ONCE)
    if turns:
        save_candidates(store, map(judged, turns))
    return len(turns) == JUDGED_AT_ONCE


def _too_little(examples: Sequence[FreshExample], settings: Settings) -> Decision | None:
    if not (reason := enough(examples, settings)):
        return None
    missing = settings.train.min_interactions - sum(e.own for e in examples)
    return Decision(False, reason, {"interactions": missing} if missing > 0 else {})


def _refused_before(
    fresh: int, runs: Sequence[Run], learned_runs: Collection[str]
) -> Decision | None:
    need = _after_refusal(runs, learned_runs)
    if need <= fresh:
        return None
    reason = (
        f"the last cycle was refused: it takes {need} new examples to try again, "
        f"{need - fresh} more than there are"
    )
    return Decision(False, reason, {"interactions": need - fresh})


def _without_forgotten(store: Store, runs: Sequence[Run]) -> list[Run]:
    """The runs of whose data nothing was forgotten: the others' data will not come again."""
    from qi_learn.store.forget import forgotten_in_runs  # `status` starts sooner without it

    gone = forgotten_in_runs(store)
    return [run for run in runs if run.id not in gone]


def _too_early(runs: Sequence[Run], settings: Settings, now: float) -> Decision | None:
    if (seconds := _rest_left(runs, now)) > 0:
        reason = f"the last cycle was cancelled; {_span(seconds)} to go"
        return Decision(False, reason, {"seconds": seconds})
    if (seconds := _interval_left(runs, settings, now)) > 0:
        interval = _span(settings.train.training_interval)
        reason = f"the last cycle was less than {interval} ago; {_span(seconds)} to go"
        return Decision(False, reason, {"seconds": seconds})
    return None


def enough(examples: Sequence[FreshExample], settings: Settings) -> str:
    """Reason why these examples are too few or too one-sided for a cycle; empty if they are not.

    The oldest comes first.
    """
    from qi_learn.dataset.balance import one_sided
    from qi_learn.dataset.split import LEFT, SESSIONS, assign

    own, needed = sum(e.own for e in examples), settings.train.min_interactions
    if own < needed:
        beside = _beside(FreshCount(own, len(examples) - own))
        least = settings.gate.min_examples + LEFT
        sooner = f"; `qi-learn train --now` takes at least {least} from {SESSIONS + 1} sessions"
        return (
            f"{own} of {needed} new examples with text of your own; {needed - own} are missing"
            f"{beside}{sooner if least < needed else ''}"
        )
    counting = [e.session for e in examples if e.own]
    reasons = [f"too one-sided: {reason}"] if (reason := one_sided(counting)) else []
    try:
        assign(
            [e.session for e in examples],
            [e.own for e in examples],
            min_gate=settings.gate.min_examples,
        )
    except Refused as refused:
        reasons.append(refused.what)
    return " ".join(reasons)


def _after_refusal(runs: Sequence[Run], learned_runs: Collection[str]) -> int:
    """The number of new examples needed after cycles that came to nothing; 0 after none.

    Those are cycles on top of the live chain that were refused, or deployed and rolled back.
    """
    newest = max(learned_runs, default="")
    vain = [
        r.fresh
        for r in runs
        if r.id > newest
        and r.state in ("refused", "deployed")
        and r.id not in learned_runs
        and r.fresh is not None
    ]
    return math.ceil(GROWTH * max(vain)) if vain else 0


def _rest_left(runs: Sequence[Run], now: float) -> float:
    """Seconds of rest left if the newest cycle was cancelled.

    A clock that is set back does not make it longer.
    """
    newest = next((r for r in runs if r.state in RUN_STATES_ENDED), None)
    if newest is None or newest.state != "cancelled" or newest.updated > now + CANCELLED_REST:
        return 0.0
    return newest.updated + CANCELLED_REST - now


def _interval_left(runs: Sequence[Run], settings: Settings, now: float) -> float:
    """Seconds until the interval has passed since the last cycle ended.

    With a schedule it counts from the cycle's start, less the grace: else a daily schedule with an
    interval of a day would start every other day.
    """
    interval = settings.train.training_interval
    ended = [r for r in runs if r.state in RUN_STATES_ENDED]
    times = (
        [r.started - GRACE for r in ended]
        if settings.train.schedule
        else [r.updated for r in ended]
    )
    believed = [t for t in times if t <= now + interval]
    return max(believed) + interval - now if believed else 0.0


def _scheduled(runs: Sequence[Run], schedule: str, now: float) -> bool:
    """Whether a time of the schedule has come within the grace, and no cycle has started for it."""
    from cronsim import CronSim, CronSimError  # only with a schedule

    try:
        last = next(
            CronSim(schedule, datetime.fromtimestamp(now + 1).astimezone(), reverse=True)
        ).timestamp()
    except CronSimError as error:
        hint = 'It looks like "30 2 * * *" (every night at half past two).'
        raise SettingsError(
            f"train.schedule = {schedule!r} is not a cron line: {error}", hint
        ) from error
    except StopIteration:
        return False
    return now - last <= GRACE and not any(last <= r.started <= last + GRACE for r in runs)


def _span(seconds: float) -> str:
    """A time to go, for people."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
