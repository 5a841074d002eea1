"""A verdict of the gate as a person reads it: what refuses first, what holds in few lines.

Nothing is left out of the records behind it: `--json` has each rule with its sentence.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from qi_learn.errors import QiError
from qi_learn.gate.cost import cost_of, cost_sentence
from qi_learn.records import Check, Verdict
from qi_learn.report.words import counted, one_line
from qi_learn.rundir.directory import RunDirectory

FILE = ("loads", "stops", "repeats", "finite", "template", "speed", "packed", "secrets")
"""Rules on the file itself, which say no more than yes, or a number, as long as they hold."""
GENERAL = "general_"
"""How the name of a rule on a general suite begins."""


def verdict_lines(verdict: Verdict) -> list[str]:
    """All of it, for `explain`."""
    return [
        *(
            f"  the gate {_word(earlier)} it against {_version(earlier)}, but another version went "
            "live meanwhile"
            for earlier in verdict.earlier
        ),
        f"  the gate {_word(verdict)} it against {_version(verdict)}{_stays(verdict)}, at scale "
        f"{verdict.scale:g}:",
        *rule_lines(verdict.checks, verdict.helps),
        *(f"    - {one_line(note)}" for note in verdict.notes),
        *([f"    the gate {cost_sentence(cost)}"] if (cost := cost_of(verdict.numbers)) else []),
        *_afterwards(verdict),
    ]


def rule_lines(checks: Sequence[Check], helps: Sequence[str]) -> list[str]:
    """The rules: those that refuse, what would have helped, those that hold, those not run."""
    holding = [check for check in checks if check.passed and check.ran]
    return [
        *refusing_lines(checks),
        *(["    would have helped:"] if helps else []),
        *(f"      - {one_line(words)}" for words in helps),
        *(f"    yes {words}" for words in _holding(holding)),
        *(_line("-- ", check) for check in checks if check.passed and not check.ran),
    ]


def refusal_lines(run: RunDirectory) -> list[str]:
    """Why the gate refused a run's candidate; nothing if it did not, or cannot be read."""
    try:
        verdict = run.read(run.verdict, Verdict)
    except (QiError, OSError, ValueError):
        return []
    if verdict.ships:
        return []
    helps = [f"    would have helped: {one_line(words)}" for words in verdict.helps]
    return [*refusing_lines(verdict.checks), *helps]


def refusing_lines(checks: Sequence[Check]) -> list[str]:
    """The rules that refuse, each with its reason."""
    return [_line("NO ", check) for check in checks if not check.passed]


def _line(sign: str, check: Check) -> str:
    return f"    {sign} {check.name}: {one_line(check.reason)}"


def _holding(checks: Sequence[Check]) -> Iterator[str]:
    """What holds: first what has a sentence of its own, then the suites, then the file."""
    general = [c for c in checks if c.name.startswith(GENERAL) and c.value is not None]
    file = [c for c in checks if c.name in FILE]
    apart = {c.name for c in (*general, *file)}
    yield from (f"{c.name}: {one_line(c.reason)}" for c in checks if c.name not in apart)
    if general:
        yield (
            f"{counted(len(general), 'general suite')}: NLL a token since the live version (at "
            "most, with 95 % confidence): " + ", ".join(map(_suite, general))
        )
    if file:
        yield f"the file itself: {', '.join(map(_number, file))}"


def _suite(check: Check) -> str:
    most = "" if check.high is None else f" ({_signed(check.high)})"
    return f"{check.name.removeprefix(GENERAL).replace('_', ' ')} {_signed(check.value)}{most}"


def _signed(value: float | None) -> str:
    return "" if value is None else f"{value:+.3f}".replace("-0.000", "+0.000")


def _number(check: Check) -> str:
    return check.name if check.value is None else f"{check.name} {check.value:.2f}"


def _stays(verdict: Verdict) -> str:
    return "" if verdict.ships else ", which stays live"


def _afterwards(verdict: Verdict) -> list[str]:
    """What may go wrong and how to go back; of what does not ship there is neither."""
    if not verdict.ships:
        return []
    return [f"    risk: {verdict.risk}", f"    way back: {verdict.rollback_plan}"]


def _word(verdict: Verdict) -> str:
    return "passed" if verdict.ships else "refused"


def _version(verdict: Verdict) -> str:
    return f"v{verdict.compared_with.removeprefix('v')}"
