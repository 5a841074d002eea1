"""Completions at the cursor: taken, taken in part, typed on, and not taken."""

from __future__ import annotations

from scripts.benchmarks.labelling.endpoints import completion
from tests.support.played_day import BOTH, PYTHON, Day, Fate, Scenes


def _gap(day: Day, first: int = 2, *, into: int = 0) -> tuple[str, str, str]:
    """What stands before the cursor, what is completed, and what stands after it."""
    lines = day.code.split("\n")
    head = day.text() + day.gap + "\n".join(lines[:first]) + "\n"
    middle = "\n".join(lines[first:-2])
    margin = len(middle) - len(middle.lstrip()) + into
    return head + middle[:margin], middle[margin:], "\n" + "\n".join(lines[-2:])


def _completed(
    day: Day, given: str | None = None, *, into: int = 0, raw: bool = True
) -> tuple[str, str, str, str]:
    """The turn, and the three parts; `given`: another completion than the function's own text."""
    prefix, middle, suffix = _gap(day, into=into)
    day.repo.save(day.file, prefix + suffix)
    exchange = completion(prefix, middle if given is None else given, suffix, raw=raw)
    turn = day.home.ask(exchange, day.repo.root, after=0.5)
    return turn, prefix, middle, suffix


def taken_at_the_cursor(day: Day) -> Fate:
    turn, prefix, middle, suffix = _completed(day)
    day.repo.save(day.file, prefix + middle + suffix, after=4.0)
    day.settle()
    return day.kept(turn, middle)


def taken_with_the_suffix_in_a_field(day: Day) -> Fate:
    turn, prefix, middle, suffix = _completed(day, raw=False)
    day.repo.save(day.file, prefix + middle + suffix, after=4.0)
    day.settle()
    return day.kept(turn, middle)


def taken_in_the_middle_of_a_line(day: Day) -> Fate:
    turn, prefix, middle, suffix = _completed(day, into=4)
    day.repo.save(day.file, prefix + middle + suffix, after=4.0)
    day.settle()
    return day.kept(turn, middle)


def taken_and_typed_on(day: Day) -> Fate:
    turn, prefix, middle, suffix = _completed(day)
    more = middle.replace("open_amount", "still_open").replace("name", "label")
    day.repo.save(day.file, prefix + middle + suffix, after=4.0)
    day.repo.save(day.file, prefix + more + suffix, after=60.0)
    day.settle()
    return day.edited(turn, more)


def taken_and_typed_on_at_once(day: Day) -> Fate:
    """The person goes on on its last line, and saves then."""
    turn, prefix, middle, suffix = _completed(day)
    more = (
        f"{middle}  # in cents" if day.language == "python" else f"{middle.rstrip(';')} as never;"
    )
    day.repo.save(day.file, prefix + more + suffix, after=6.0)
    day.settle()
    return Fate(turn, ("kept", "edited"), more, day.repo.root)


def taken_with_a_block_behind_it(day: Day) -> Fate:
    """The person writes more below it, and saves then."""
    turn, prefix, middle, suffix = _completed(day)
    margin = middle.split("\n")[-1]
    margin = margin[: len(margin) - len(margin.lstrip())]
    call = "log.debug(invoice, late, today)" if day.language == "python" else "log(row, name, key);"
    day.repo.save(day.file, f"{prefix}{middle}\n{margin}{call}{suffix}", after=12.0)
    day.settle()
    return Fate(turn, ("kept", "edited"), None, day.repo.root)


def its_first_lines_alone(day: Day) -> Fate:
    """Taken line by line, as far as it was right."""
    turn, prefix, middle, suffix = _completed(day)
    lines = middle.split("\n")
    part = "\n".join(lines[: len(lines) // 2 + 1])
    day.repo.save(day.file, prefix + part + suffix, after=6.0)
    day.settle()
    return Fate(turn, ("edited",), part, day.repo.root)


def something_else_typed(day: Day) -> Fate:
    other = "raise NotImplementedError(self.describe(kind, separator, today, len(kind)))"
    turn, prefix, middle, suffix = _completed(day, other)
    day.repo.save(day.file, prefix + middle + suffix, after=40.0)
    day.later()
    return day.dropped(turn)


def taken_and_deleted(day: Day) -> Fate:
    turn, prefix, middle, suffix = _completed(day)
    day.repo.save(day.file, prefix + middle + suffix, after=4.0)
    day.repo.save(day.file, prefix + suffix, after=30.0)
    day.later()
    return day.dropped(turn)


COMPLETIONS: Scenes = (
    (taken_at_the_cursor, BOTH),
    (taken_with_the_suffix_in_a_field, PYTHON),
    (taken_in_the_middle_of_a_line, BOTH),
    (taken_and_typed_on, BOTH),
    (taken_and_typed_on_at_once, BOTH),
    (taken_with_a_block_behind_it, BOTH),
    (its_first_lines_alone, PYTHON),
    (something_else_typed, BOTH),
    (taken_and_deleted, PYTHON),
)
