"""Lines of `qi-learn status`: what passed the gateway, how projects are watched, what was lost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from qi_learn.errors import SettingsError
from qi_learn.report.words import by_reason, clock, counted, fitted, one_line
from qi_learn.rundir.lost_turns import Lost
from qi_learn.rundir.progress import span
from qi_learn.store.client_rates import ClientRates

COLUMNS = 80
"""What a terminal has at least."""
SHOWN = 2
"""How many rules that refused, and how many sentences on what would have helped, are shown."""


def requests(answers: bool, seen: int, recorded: int) -> list[str]:
    """What passed the gateway since it started; no line if it does not answer."""
    return [f"requests    {seen} since the gateway started, {recorded} recorded"] if answers else []


def passed_by(gateway: Mapping[str, Any]) -> list[str]:
    """What passed the gateway and was not treated as it should be, one a line."""
    told = [
        f"{counted(seen.get('count'), 'request')} of {seen.get('client')} to {seen.get('path')} "
        + (
            "looks like inference and is"
            if seen.get("count") == 1
            else "look like inference and are"
        )
        + " not known: not recorded, not routed"
        for seen in gateway.get("unrecognised") or ()
    ]
    told += [
        f"{counted(seen.get('count'), 'request')} for {seen.get('model')}, which the server does "
        f"not have, {'was' if seen.get('count') == 1 else 'were'} answered by "
        f"{seen.get('stand_in') or 'nothing'}"
        for seen in gateway.get("missing") or ()
    ]
    for key, why in (("too_long", "too long"), ("unreadable", "in an encoding that is not known")):
        if gateway.get(key):
            were = "was" if gateway[key] == 1 else "were"
            told.append(f"{counted(gateway[key], 'exchange')} {were} {why}, and not recorded")
    return told


_NOT_RECORDED = {
    "asked": "as their header asked",
    "paused": "while paused",
    "off": "while gateway.record was false",
    "other_user": "of another user's program",
    "unknown_user": "of clients that were gone before it was known whose they are",
    "no_answer": "that no server answered",
    "unknown_projects": "from directories that may be registered or not: the list of projects "
    "cannot be read",
    "history": "that sent again what was left out before",
    "unregistered": "from a directory in no registered project (`qi-learn init PATH`)",
}


def not_recorded(counts: Mapping[str, int]) -> list[str]:
    """What passed the gateway and was not to be recorded, by reason."""
    told = [f"{count} {_NOT_RECORDED.get(why, why)}" for why, count in sorted(counts.items())]
    return [f"left out    {one_line(', '.join(told))}"] if told else []


def examples(own: int, kept: int, left_out: Mapping[str, int]) -> list[str]:
    """What there is to learn from that is new, and the answers that can be no example."""
    lines = [
        f"examples    {own} new with text of your own, {kept} kept as they were",
        f"no example  {by_reason(left_out)}",
    ]
    return [line for line, told in zip(lines, (own or kept, left_out), strict=True) if told]


def dropped(counts: Mapping[str, int]) -> list[str]:
    """What the newest run's data set left out."""
    return [f"{'':<12}its data set left out: {by_reason(counts)}"] if counts else []


def unusable_settings(error: SettingsError) -> str:
    """What is wrong with the settings, on one line: each process that reads them meets the same."""
    faults = error.what.replace(":\n  - ", ": ", 1).replace("\n  - ", "; ")
    return f"{faults}. What runs goes on with those it has. {error.hint}"


def last_run(short: str, state: str, step: str, told: str) -> list[str]:
    """The newest run on one line of 80 columns; if that is not all, what says the rest."""
    line = f"last run    {short} {state}" + (f", {step}" if step else "")
    line += f": {one_line(told)}" if told else ""
    shown = fitted(line, COLUMNS)
    return [shown] if shown == line else [shown, f"{'':<12}all of it: `qi-learn explain {short}`"]


def refused_run(short: str, refused_by: Mapping[str, str], held: int) -> list[str]:
    """The newest run, if rules of the gate refused it: their names, and the first of them."""
    names = list(refused_by)
    line = f"last run    {short} refused by {', '.join(map(one_line, names))}"
    more = len(names) - SHOWN
    rest = f"{counted(more, 'more rule')} that refused, and " if more > 0 else ""
    return [
        fitted(line, COLUMNS),
        *(f"{'':<12}NO  {one_line(refused_by[name])}" for name in names[:SHOWN]),
        f"{'':<12}{rest}{counted(held, 'rule')} that held: `qi-learn explain {short}`",
    ]


def would_have_helped(helps: Sequence[str]) -> list[str]:
    """What would have made the newest run pass, if the gate refused it.

    When the next cycle comes is said by the line on learning.
    """
    if not helps:
        return []
    from qi_learn.gate.advice import NEXT  # most homes have no refused run to tell of

    shown = [words for words in helps if words != NEXT] or helps
    return [f"would help  {one_line(words)}" for words in shown[:SHOWN]]


def clients(rates: Sequence[ClientRates]) -> list[str]:
    """What became of the suggestions of each client, one a line; what is no opinion is a fault."""
    lines = []
    for n, each in enumerate(rates):
        line = (
            f"{one_line(each.client)}: {counted(each.suggestions, 'suggestion')}, "
            f"{_share(each.placed, each)} found in files, {_share(each.rejected, each)} rejected, "
            f"{_share(each.unknown, each)} unknown"
        )
        if each.left is not None:
            line += f"; {each.left:.0%} of their lines left a week after the commit"
        lines.append(f"{'' if n else 'clients':<12}{line}")
    lines += [
        f"fault       {each.rejected} of {each.kept + each.rejected} suggestions of "
        f"{one_line(each.client)} that were judged count as rejected: that is a fault of capturing "
        "them, and no opinion (`qi-learn log --why ID` says how each was judged)"
        for each in rates
        if each.faulty
    ]
    return lines


def _share(count: int, rates: ClientRates) -> str:
    return f"{count / max(1, rates.suggestions):.0%}"


def lost(told: Lost) -> list[str]:
    """The turns that could not be recorded, until they are acknowledged."""
    if not told.count:
        return []
    return [
        f"lost        {counted(told.count, 'turn')} could not be recorded, the last at "
        f"{clock(told.last)}: {one_line(told.reason)} (seen it: `qi-learn status --seen`)"
    ]


def set_aside(told: Sequence[Mapping[str, Any]], bad_lines: int) -> list[str]:
    """What could not be understood and was left out of the evidence, a line a kind."""
    lines = [
        f"set aside   {each.get('count')} of kind {each.get('kind')}, the last "
        + one_line(f"{each.get('name')}: {each.get('reason')}")
        for each in told
    ]
    if bad_lines:
        words = "line that was recorded" if bad_lines == 1 else "lines that were recorded"
        lines.append(
            f"set aside   {bad_lines} {words} could not be understood: `qi-learn doctor` says where"
        )
    return lines


def projects(
    registered: Sequence[str], watching: Sequence[Mapping[str, Any]], now: float
) -> list[str]:
    """The registered projects; with a daemon, whether their saves are seen, one a line."""
    if not registered:
        return ["projects    none: `qi-learn init PATH`"]
    if not watching:
        return ["projects    " + one_line(", ".join(registered))]
    starting = sum(state.get("mode") == "starting" for state in watching)
    lines = [project_line(state, now) for state in watching if state.get("mode") != "starting"]
    if starting:
        lines.insert(0, f"starting: {len(watching) - starting} of {len(watching)} are read")
    return [f"{'' if n else 'projects':<12}{line}" for n, line in enumerate(lines)]


def project_line(state: Mapping[str, Any], now: float) -> str:
    """One project: how it is watched, when the last change came, and what to know."""
    last = state.get("last_event")
    event = "no change seen yet" if last is None else f"last change {_ago(now - float(last))}"
    why = "; ".join(str(reason) for reason in state.get("why") or ())
    mode = str(state.get("mode"))
    return one_line(f"{state.get('project')}: {mode}, {event}" + (f" ({why})" if why else ""))


def _ago(seconds: float) -> str:
    return "just now" if seconds < 10 else f"{span(seconds)} ago"
