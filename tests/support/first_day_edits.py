"""What a person changes of what was suggested, and what is too far from it to be told."""

from __future__ import annotations

from tests.support import first_day as texts
from tests.support.played_day import BOTH, PYTHON, Day, Fate, Scenes


def _renamed(code: str) -> str:
    for old, new in (("amounts", "due"), ("invoice", "bill"), ("groups", "byName"), ("row", "r")):
        code = code.replace(f"{old}s", f"{new}_s").replace(f"{old} ", f"{new} ")
    return code


def renamed_after_a_save(day: Day) -> Fate:
    before, changed = day.text() + day.gap, _renamed(day.code)
    turn = day.ask(day.code)
    day.paste(day.code)
    day.repo.save(day.file, before + changed, after=60.0)
    day.settle()
    return day.edited(turn, changed)


def renamed_before_the_first_save(day: Day) -> Fate:
    changed = _renamed(day.code)
    turn = day.ask(day.code)
    day.paste(changed)
    day.settle()
    return day.edited(turn, changed)


def one_of_two_functions(day: Day) -> Fate:
    turn = day.ask(f"{day.code}{day.gap}{day.second}")
    day.paste(day.second)
    day.settle()
    return day.edited(turn, day.second)


def the_first_of_two_functions(day: Day) -> Fate:
    turn = day.ask(f"{day.code}{day.gap}{day.second}")
    day.paste(day.code)
    day.settle()
    return day.edited(turn, day.code)


def one_line_left_out(day: Day) -> Fate:
    lines = day.code.split("\n")
    changed = "\n".join(lines[:1] + lines[2:])
    turn = day.ask(day.code)
    day.paste(changed)
    day.settle()
    return Fate(turn, ("edited", "kept"), changed, day.repo.root)


def without_the_lines_that_use_it(day: Day) -> Fate:
    usage = "print(overdue_amounts([], None))\nprint('done')\n"
    if day.language != "python":
        usage = "console.log(groupBy([], (row) => row.name));\n"
    turn = day.ask(f"{day.code}\n{usage}")
    day.paste(day.code)
    day.settle()
    return Fate(turn, ("edited", "kept"), day.code, day.repo.root)


def hints_added_to_a_class(day: Day) -> Fate:
    bare = texts.HINTED.replace(": str", "").replace(" -> None", "").replace(" -> str", "")
    turn = day.ask(bare)
    day.paste(texts.HINTED)
    day.settle()
    return day.edited(turn, texts.HINTED)


def four_lines_from_memory(day: Day) -> Fate:
    given = texts.DISCOUNT.replace(
        '    """The share of a total that a customer need not pay."""\n', ""
    )
    typed = given.replace("customer.orders", "customer.order_count").replace("0.03", "0.02")
    turn = day.ask(given)
    day.paste(typed, after=90.0)
    day.settle()
    return day.edited(turn, typed)


def a_function_made_a_method(day: Day) -> Fate:
    given = (
        "def latest(lines, count=5):\n    ordered = sorted(lines, key=lambda x: x.added)\n"
        "    chosen = ordered[-count:]\n    for line in chosen:\n        line.shown += 1\n"
        "    return chosen\n"
    )
    method = (
        "    def latest(self, count: int = 5) -> list:\n"
        "        ordered = sorted(self.lines, key=lambda x: x.added)\n"
        "        chosen = ordered[-count:]\n        for line in chosen:\n"
        "            line.shown += 1\n        return chosen\n"
    )
    turn = day.ask(given)
    day.repo.save(day.file, f"{day.text()}\n{method}")
    day.settle()
    return day.edited(turn, method)


def rewritten_from_the_idea(day: Day) -> Fate:
    """A person would say that it was used as an idea; no tool can be sure."""
    idea = (
        "def by_customer(bills, day, days):\n"
        "    late = filter(lambda b: b.is_late(day, days), bills)\n"
        "    return Counter({b.customer: b.open() for b in late})\n"
        if day.language == "python"
        else "export function bucket<T>(list: T[], f: (t: T) => string) {\n"
        "  return list.reduce((m, t) => m.set(f(t), [...(m.get(f(t)) || []), t]), new Map());\n}\n"
    )
    turn = day.ask(day.code)
    day.paste(idea, after=200.0)
    day.later()
    return Fate(turn, ("unknown",))


def half_a_block(day: Day) -> Fate:
    lines = day.code.split("\n")
    part = "\n".join(lines[: len(lines) // 2]) + "\n"
    end = "    return amounts\n" if day.language == "python" else "  }\n  return groups;\n};\n"
    turn = day.ask(day.code)
    day.paste(part + end)
    day.settle()
    return Fate(turn, ("edited",), None, day.repo.root)


EDITS: Scenes = (
    (renamed_after_a_save, BOTH),
    (renamed_before_the_first_save, BOTH),
    (one_of_two_functions, BOTH),
    (the_first_of_two_functions, BOTH),
    (one_line_left_out, BOTH),
    (without_the_lines_that_use_it, BOTH),
    (hints_added_to_a_class, PYTHON),
    (four_lines_from_memory, PYTHON),
    (a_function_made_a_method, PYTHON),
    (rewritten_from_the_idea, BOTH),
    (half_a_block, BOTH),
)
