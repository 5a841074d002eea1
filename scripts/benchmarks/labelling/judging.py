"""What the product says of labelled cases against what is true of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from scripts.benchmarks.labelling.play import ACCEPTED, Truth


@dataclass(frozen=True, slots=True)
class Judged:
    """One case that was played, and what the store holds of it."""

    package: str
    language: str
    dialect: str
    kind: str
    boilerplate: bool
    truth: Truth
    fates: tuple[str | None, ...]
    """Of each suggestion of the turn."""
    placed: bool
    """Whether one of them was found in a file."""
    finals: tuple[str, ...]
    """The final texts of those that were accepted, in their order."""
    project: str | None
    """The project that the turn is held to belong to."""

    @property
    def said(self) -> str:
        """What became of the turn: what was taken of it counts before what was not."""
        fates = set(self.fates)
        if fates & set(ACCEPTED):
            return "kept" if fates == {"kept"} else "edited"
        return next((word for word in ("rejected", "superseded") if word in fates), "unknown")

    @property
    def right(self) -> bool:
        """Whether that is true, or no mistake."""
        return self.said in (self.truth.fate, *self.truth.allowed)

    @property
    def certain(self) -> bool:
        """Whether something certain could have been said."""
        return self.truth.fate != "unknown" and "unknown" not in self.truth.allowed

    @property
    def exact(self) -> bool:
        """Whether the final text is the true one."""
        return _plain("\n".join(_plain(text) for text in self.finals)) in {
            _plain(text) for text in self.truth.finals
        }


@dataclass(frozen=True, slots=True)
class Measures:
    """The numbers of a set of cases; None if there is nothing to count."""

    accepted_precision: float | None
    accepted_recall: float | None
    rejected_precision: float | None
    rejected_recall: float | None
    unknown_share: float | None
    final_exact: float | None
    wrong_project: int
    boilerplate: int
    cases: int


def measure(cases: Sequence[Judged]) -> Measures:
    """The numbers of issue and table."""

    def accepted(word: str) -> bool:
        return word in ACCEPTED

    def rejected(word: str) -> bool:
        return word == "rejected"

    certain = [c for c in cases if c.certain]
    taken = [c for c in cases if accepted(c.truth.fate) and accepted(c.said)]
    return Measures(
        _share([c for c in cases if accepted(c.said)], lambda c: _may_be(c, accepted)),
        _share([c for c in cases if accepted(c.truth.fate)], lambda c: accepted(c.said)),
        _share([c for c in cases if rejected(c.said)], lambda c: _may_be(c, rejected)),
        _share([c for c in cases if rejected(c.truth.fate)], lambda c: rejected(c.said)),
        _share(certain, lambda c: c.said == "unknown"),
        _share(taken, lambda c: c.exact),
        sum(c.truth.project is not None and c.project != c.truth.project for c in taken),
        sum(c.boilerplate and c.placed for c in cases),
        len(cases),
    )


def _may_be(case: Judged, holds: Callable[[str], bool]) -> bool:
    return any(holds(word) for word in (case.truth.fate, *case.truth.allowed))


def _share(cases: Sequence[Judged], holds: Callable[[Judged], bool]) -> float | None:
    return round(sum(map(holds, cases)) / len(cases), 4) if cases else None


def table(cases: Sequence[Judged], heading: str, of: Callable[[Judged], str]) -> Iterable[str]:
    """The numbers by dialect, language or kind of change, the worst last."""
    columns = ("cases", "right", "acc.prec", "acc.rec", "rej.prec", "rej.rec", "final", "project")
    yield f"{heading:30}" + "".join(f"{column:>10}" for column in columns)
    groups: dict[str, list[Judged]] = {}
    for case in cases:
        groups.setdefault(of(case), []).append(case)
    rows = {name: _share(group, lambda c: c.right) or 0.0 for name, group in groups.items()}
    for name in sorted(groups, key=lambda name: (-rows[name], name)):
        numbers = measure(groups[name])
        shown = (
            *(numbers.cases, rows[name], numbers.accepted_precision, numbers.accepted_recall),
            *(numbers.rejected_precision, numbers.rejected_recall, numbers.final_exact),
            numbers.wrong_project,
        )
        yield f"{name:30}" + "".join(f"{_cell(number):>10}" for number in shown)
    yield ""


def _cell(number: float | int | None) -> str:
    return "-" if number is None else str(number) if isinstance(number, int) else f"{number:.2f}"


def _plain(text: str) -> str:
    return "\n".join(line.rstrip() for line in text.strip("\n").split("\n"))
