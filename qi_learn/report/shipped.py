"""How the live version does beside the one before it, on what was kept since it went live."""

from __future__ import annotations

from qi_learn.cycle.night import last_night
from qi_learn.cycle.version_pair import pair_to_compare
from qi_learn.deploy.journal import Deployment
from qi_learn.e_process import ENOUGH
from qi_learn.paths import Paths
from qi_learn.record_class import dataclass
from qi_learn.records import Monitored
from qi_learn.report.words import counted
from qi_learn.store.database import open_store
from qi_learn.store.monitored import list_monitored, load_monitored


@dataclass(frozen=True, slots=True)
class ShippedState:
    """What is known of the live version and the one before it."""

    previous: str
    """The version that it is compared with; empty if none was live before."""
    known: Monitored | None
    """None if no session was counted yet."""
    why_not: str
    """Why they are not compared, in words; empty if they are."""


def gather(paths: Paths, deployment: Deployment | None, night_tokens: int) -> ShippedState | None:
    """The state; None if nothing is live. Raises StoreError.

    `night_tokens`: what may be read in a night (`gate.night_tokens`).
    """
    if deployment is None or not paths.database.exists():
        return None
    previous = deployment.chain[-2] if len(deployment.chain) > 1 else ""
    with open_store(paths.database, readonly=True) as store:
        pair = pair_to_compare(store, deployment)
        if isinstance(pair, str):
            return ShippedState(previous, None, pair)
        night = last_night(paths.night)
        why = night.why if night is not None else ""
        if night_tokens == 0:
            why = "switched off (gate.night_tokens = 0)"
        return ShippedState(previous, load_monitored(store, pair.id), why)


def status_lines(state: ShippedState | None) -> list[str]:
    """The state for a person; no line if no version was live before this one."""
    if state is None or not state.previous:
        return []
    lines = [] if state.known is None else [f"compared    {sentence(state.known)}"]
    if state.why_not:
        lines.append(f"compared    not with v{state.previous}: {state.why_not}")
    return lines or [f"compared    with v{state.previous} at night: nothing new was counted yet"]


def version_lines(paths: Paths, version: str) -> tuple[list[str], list[Monitored]]:
    """What is known of a version in all the times that it was live, in words and as records."""
    if not paths.database.exists():
        return [], []
    with open_store(paths.database, readonly=True) as store:
        found = list_monitored(store, version)
    return [f"  after it went live: {sentence(each)}" for each in found], found


def sentence(known: Monitored) -> str:
    """What is known of a pair, in one sentence."""
    on = f"on {counted(known.texts, 'text')} of {counted(known.sessions, 'session')}"
    if known.difference is None:
        return f"with v{known.pair.previous}: nothing could be compared yet"
    side = "worse" if known.difference > 0 else "better"
    return (
        f"{abs(known.difference):.3f} nat a token {side} than v{known.pair.previous} {on}; "
        f"evidence that it is worse {known.worse:.3g}, that it is better {known.better:.3g} "
        f"(enough is {ENOUGH:g}){_shown(known)}; {known.tokens_read:,} tokens read"
    )


def _shown(known: Monitored) -> str:
    """What was enough once; the first claim is the one that calls for something."""
    now_worse = (known.difference or 0.0) > 0
    if known.worse_highest >= ENOUGH:
        if now_worse:
            return f": it is worse (`qi-learn rollback` goes back to v{known.pair.previous})"
        return f": that it is worse was shown once ({known.worse_highest:.3g}), and not since"
    if known.better_highest >= ENOUGH:
        return (
            f": that it is better was shown once ({known.better_highest:.3g}), and not since"
            if now_worse
            else ": it is better"
        )
    return ""
