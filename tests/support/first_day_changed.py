"""What a person does to code on its way into the file, before the first save."""

from __future__ import annotations

import textwrap

from tests.support import first_day as texts
from tests.support.played_day import BOTH, PYTHON, SCRIPT, Day, Fate, Scenes


def the_second_of_two_ways(day: Day) -> Fate:
    """One answer shows two ways to do it, and one of them is taken."""
    python = day.language == "python"
    other = day.code.replace("amounts", "sums").replace("groups", "byName")
    if python:
        other = other.replace("late <= 0 or ", "")
    turn = day.answer(
        f"One way:\n\n```{day.language}\n{other}```\n\nOr:\n\n```{day.language}\n{day.code}```\n"
    )
    day.paste(day.code)
    day.settle()
    return Fate(turn, ("kept", "edited"), day.code, day.repo.root)


def in_another_indentation(day: Day) -> Fate:
    given = _half_as_far(day.code) if day.language == "python" else _twice_as_far(day.code)
    turn = day.ask(given)
    day.paste(day.code)
    day.settle()
    return day.kept(turn)


def _half_as_far(code: str) -> str:
    lines = code.split("\n")
    return "\n".join(" " * ((len(x) - len(x.lstrip())) // 2) + x.lstrip() for x in lines)


def _twice_as_far(code: str) -> str:
    lines = code.split("\n")
    return "\n".join(" " * ((len(x) - len(x.lstrip())) * 2) + x.lstrip() for x in lines)


def with_carriage_returns_in_the_answer(day: Day) -> Fate:
    turn = day.ask(day.code.replace("\n", "\r\n"))
    day.paste(day.code)
    day.settle()
    return day.kept(turn)


def made_async(day: Day) -> Fate:
    if day.language == "python":
        code = day.code.replace("def ", "async def ").replace("in invoices:", "in await invoices:")
    else:
        code = day.code.replace("= (rows", "= async (rows").replace("of rows)", "of await rows)")
        code = code.replace("): Map<string, Row[]> =>", "): Promise<Map<string, Row[]>> =>")
    turn = day.ask(day.code)
    day.paste(code)
    day.settle()
    return day.edited(turn, code)


def decorated(day: Day) -> Fate:
    """What the person puts above it is no part of it."""
    code = f"@cache\n@app.command(name='overdue')\n{day.code}"
    turn = day.ask(day.code)
    day.paste(code)
    day.settle()
    return day.kept(turn)


def decorated_later(day: Day) -> Fate:
    code = f"@cache\n@app.command(name='overdue')\n{day.code}"
    turn = day.ask(day.code)
    before = day.text() + day.gap
    day.paste(day.code)
    day.repo.save(day.file, before + code, after=100.0)
    day.settle()
    return day.kept(turn)


def exported(day: Day) -> Fate:
    given = day.code.replace("export ", "")
    turn = day.ask(given)
    day.paste(day.code)
    day.settle()
    return Fate(turn, ("kept", "edited"), day.code, day.repo.root)


def hints_added_to_a_function(day: Day) -> Fate:
    code = day.code.replace(
        "(invoices, today, grace_days=14):",
        "(\n    invoices: Sequence[Invoice], today: date, grace_days: int = 14\n"
        ") -> dict[Customer, Decimal]:",
    ).replace("amounts = {}", "amounts: dict[Customer, Decimal] = {}")
    turn = day.ask(day.code)
    day.paste(code)
    day.settle()
    return day.edited(turn, code)


def over_half_of_the_old(day: Day) -> Fate:
    """Pasted over a selection that did not reach to the end of what it replaces."""
    old = texts.STRUCTURED if day.language == "python" else texts.SUMMARY
    day.paste(old)
    lines = old.splitlines(keepends=True)
    turn = day.ask(day.code)
    rest = "".join(lines[len(lines) // 2 :])
    day.repo.save(day.file, day.text().replace(old, day.code + rest), after=20.0)
    day.settle()
    return Fate(turn, ("kept", "edited"), None, day.repo.root)


def comments_in_another_language(day: Day) -> Fate:
    sign = "#" if day.language == "python" else "//"
    lines = day.code.split("\n")
    given, typed = [*lines], [*lines]
    at = 3
    margin = lines[at][: len(lines[at]) - len(lines[at].lstrip())]
    given.insert(at, f"{margin}{sign} every row is looked at one time only, in their order")
    typed.insert(at, f"{margin}{sign} jede Zeile wird nur einmal angesehen, der Reihe nach")
    turn = day.ask("\n".join(given))
    day.paste("\n".join(typed))
    day.settle()
    return day.kept(turn, "\n".join(typed))


def the_docstring_in_another_language(day: Day) -> Fate:
    code = day.code.replace(
        "Open amounts of overdue invoices, by customer.",
        "Offene Summen der überfälligen Rechnungen je Kunde.",
    )
    turn = day.ask(day.code)
    day.paste(code)
    day.settle()
    return day.edited(turn, code)


def its_docstring_alone(day: Day) -> Fate:
    """The body is another one from the first save on: what was taken is little."""
    head = day.code.splitlines(keepends=True)[:2]
    body = (
        "    table = Table.of(invoices)\n    return table.older_than(today - grace_days).sums()\n"
    )
    turn = day.ask(day.code)
    day.paste("".join(head) + body)
    day.later()
    return Fate(turn, ("unknown", "edited"))


def wrapped_in_a_try(day: Day) -> Fate:
    lines = day.code.splitlines(keepends=True)
    if day.language == "python":
        body = textwrap.indent("".join(lines[2:]), "    ")
        code = "".join(lines[:2]) + f"    try:\n{body}    except KeyError:\n        return {{}}\n"
    else:
        body = textwrap.indent("".join(lines[1:-1]), "  ")
        code = (
            lines[0] + f"  try {{\n{body}  }} catch {{\n    return new Map();\n  }}\n" + lines[-1]
        )
    turn = day.ask(day.code)
    day.paste(code)
    day.settle()
    return day.edited(turn, code)


def as_a_session_shows_it(day: Day) -> Fate:
    """The answer shows what one types at Python's prompt."""
    lines = day.code.splitlines()
    shown = "".join(f"{'>>>' if n == 0 else '...'} {line}\n" for n, line in enumerate(lines))
    turn = day.ask(shown, fence="pycon")
    day.paste(day.code)
    day.settle()
    return Fate(turn, ("kept", "edited"), day.code, day.repo.root)


def debugging_taken_out(day: Day) -> Fate:
    lines = day.code.split("\n")
    at = 3
    margin = lines[at][: len(lines[at]) - len(lines[at].lstrip())]
    call = (
        'print("looks at it:", repr(locals()))'
        if day.language == "python"
        else "console.log(rows);"
    )
    given = "\n".join([*lines[:at], margin + call, *lines[at:]])
    turn = day.ask(given)
    before = day.text() + day.gap
    day.repo.save(day.file, before + given)
    day.repo.save(day.file, before + day.code, after=200.0)
    day.settle()
    return day.edited(turn, day.code)


def each_function_in_its_file(day: Day) -> Fate:
    """Both functions of one block are taken, into two files."""
    end = day.file.rsplit(".", 1)[-1]
    turn = day.ask(f"{day.code}{day.gap}{day.second}")
    day.paste(day.code)
    day.repo.save(f"second.{end}", day.second, after=30.0)
    day.settle()
    return Fate(turn, ("kept", "edited"), None, day.repo.root)


def in_another_order(day: Day) -> Fate:
    turn = day.ask(f"{day.code}{day.gap}{day.second}")
    day.paste(f"{day.second}{day.gap}{day.code}")
    day.settle()
    return Fate(turn, ("kept", "edited"), None, day.repo.root)


def the_body_alone(day: Day) -> Fate:
    """Its body is taken into a function of the person's own."""
    lines = day.code.splitlines(keepends=True)
    if day.language == "python":
        body = "".join(lines[2:])
        code = f"def report(self, invoices, today, path, grace_days=3):\n{body}"
    else:
        body = "".join(lines[1:-1])
        code = f"export function report(this: View, rows: Row[]) {{\n{body}}}\n"
    turn = day.ask(day.code)
    day.paste(code)
    day.settle()
    return day.edited(turn)


def without_semicolons(day: Day) -> Fate:
    code = day.code.replace(";\n", "\n").replace('"', "'")
    turn = day.ask(day.code)
    day.paste(code)
    day.settle()
    return day.kept(turn, code)


def a_function_made_a_method_of_a_class(day: Day) -> Fate:
    function = "function " + texts.ROWS_METHOD.replace(
        "(count: number)", "(rows: Row[], count: number)"
    )
    function = function.replace("this.rows", "rows")
    method = textwrap.indent(texts.ROWS_METHOD, "  ")
    turn = day.ask(function)
    at = "  size(): number {"
    day.repo.save(day.file, day.text().replace(at, f"{method}\n{at}"))
    day.settle()
    return Fate(turn, ("edited",), method.rstrip("\n"), day.repo.root)


def a_test_copied_and_adapted(day: Day) -> Fate:
    """The suggested test stays, and a second one is made of it."""
    test = (
        "def test_amounts_of_two_customers():\n    invoices = [Invoice(c, 10) for c in 'ab']\n"
        "    amounts = overdue_amounts(invoices, date(2020, 1, 30))\n"
        "    assert amounts == {'a': 10, 'b': 10}\n"
    )
    adapted = test.replace("two_customers", "one_customer").replace("'ab'", "'aa'")
    adapted = adapted.replace("{'a': 10, 'b': 10}", "{'a': 20}")
    turn = day.ask(test)
    day.repo.save("tests/test_totals.py", test)
    day.repo.save("tests/test_totals.py", f"{test}\n\n{adapted}", after=100.0)
    day.settle()
    return day.kept(turn, test)


def cut_and_put_into_another_file(day: Day) -> Fate:
    end = day.file.rsplit(".", 1)[-1]
    turn = day.ask(day.code)
    before = day.text()
    day.paste(day.code)
    day.repo.save(day.file, before, after=60.0)
    day.repo.save(f"moved.{end}", day.code, after=20.0)
    day.settle()
    return day.kept(turn)


def its_file_moved_and_not_committed(day: Day) -> Fate:
    end = day.file.rsplit(".", 1)[-1]
    turn = day.ask(day.code)
    day.paste(day.code)
    text = day.text()
    (day.repo.root / day.file).rename(day.repo.root / f"moved.{end}")
    day.repo.until_text(f"moved.{end}", text)
    day.settle()
    return day.kept(turn)


CHANGED: Scenes = (
    (the_second_of_two_ways, BOTH),
    (in_another_indentation, BOTH),
    (with_carriage_returns_in_the_answer, BOTH),
    (made_async, BOTH),
    (decorated, PYTHON),
    (decorated_later, PYTHON),
    (exported, SCRIPT),
    (hints_added_to_a_function, PYTHON),
    (over_half_of_the_old, BOTH),
    (comments_in_another_language, BOTH),
    (the_docstring_in_another_language, PYTHON),
    (its_docstring_alone, PYTHON),
    (wrapped_in_a_try, BOTH),
    (as_a_session_shows_it, PYTHON),
    (debugging_taken_out, BOTH),
    (each_function_in_its_file, BOTH),
    (in_another_order, BOTH),
    (the_body_alone, BOTH),
    (without_semicolons, SCRIPT),
    (a_function_made_a_method_of_a_class, SCRIPT),
    (a_test_copied_and_adapted, PYTHON),
    (cut_and_put_into_another_file, BOTH),
    (its_file_moved_and_not_committed, BOTH),
)
