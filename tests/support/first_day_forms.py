"""The forms in which code is suggested and then stands in the file: it is kept."""

from __future__ import annotations

import textwrap
from pathlib import Path

from tests.support import first_day as texts
from tests.support.played_day import BOTH, PYTHON, SCRIPT, Day, Fate, Scenes


def appended(day: Day) -> Fate:
    turn = day.ask(day.code)
    day.paste(day.code)
    day.settle()
    return day.kept(turn)


def appended_and_committed(day: Day) -> Fate:
    turn = day.ask(day.code)
    day.paste(day.code)
    day.repo.commit("Add it")
    return day.kept(turn)


def carriage_returns(day: Day) -> Fate:
    day.repo.save(day.file, day.text().replace("\n", "\r\n"))
    turn = day.ask(day.code)
    text = (day.repo.root / day.file).read_bytes().decode()
    gap = day.gap.replace("\n", "\r\n")
    day.repo.save(day.file, text + gap + day.code.replace("\n", "\r\n"))
    day.settle()
    return day.kept(turn)


def with_tabs(day: Day) -> Fate:
    code = day.code.replace("    ", "\t").replace("  ", "\t")
    turn = day.ask(day.code)
    day.paste(code)
    day.settle()
    return day.kept(turn, code)


def indented_fence(day: Day) -> Fate:
    block = textwrap.indent(f"```{day.language}\n{day.code}```\n", "   ")
    turn = day.answer(f"1. So:\n\n{block}\n2. Done.")
    day.paste(day.code)
    day.settle()
    return day.kept(turn)


def fence_with_a_path(day: Day) -> Fate:
    turn = day.answer(f"```{day.language}:{day.file}\n{day.code}```")
    day.paste(day.code)
    day.settle()
    return day.kept(turn)


def unnamed_fence(day: Day) -> Fate:
    turn = day.ask(day.code, fence="")
    day.paste(day.code)
    day.settle()
    return day.kept(turn)


def existing_code_left_out(day: Day) -> Fate:
    python = day.language == "python"
    day.paste(day.code)
    old = "            continue\n" if python else "    group.push(row);\n"
    new = (
        "            skipped.append(invoice)\n            continue\n"
        if python
        else "    group.push(row);\n    seen.add(row.name.toLowerCase());\n"
    )
    head = day.code.split("\n", 1)[0]
    mark = "    # ... existing code ..." if python else "  // ... existing code ..."
    turn = day.ask(f"{head}\n{mark}\n{new}{mark}\n")
    changed = day.code.replace(old, new)
    day.repo.save(day.file, day.text().replace(day.code, changed))
    day.settle()
    return Fate(turn, ("kept", "edited"), changed, day.repo.root)


def a_unified_diff(day: Day) -> Fate:
    lines = day.text().rstrip("\n").split("\n")
    context = "".join(f" {line}\n" for line in lines[-3:])
    plus = "".join(f"+{line}\n" for line in (day.gap + day.code).rstrip("\n").split("\n"))
    added = plus.count("\n")
    head = f"--- a/{day.file}\n+++ b/{day.file}\n"
    where = f"@@ -{len(lines) - 2},3 +{len(lines) - 2},{added + 3} @@\n"
    turn = day.ask(head + where + context + plus, fence="diff")
    day.paste(day.code)
    day.settle()
    return Fate(turn, ("kept",), None, day.repo.root)


def search_and_replace(day: Day) -> Fate:
    last = day.text().rstrip("\n").split("\n")[-1]
    block = f"<<<<<<< SEARCH\n{last}\n=======\n{last}\n{day.gap}{day.code}>>>>>>> REPLACE\n"
    turn = day.answer(f"{day.file}\n```{day.language}\n{block}```\n")
    day.repo.save(day.file, f"{day.text()}{day.gap}{day.code}", after=2.0)
    day.settle()
    return Fate(turn, ("kept",), None, day.repo.root)


def a_write_file_call(day: Day) -> Fate:
    path = f"written{Path(day.file).suffix}"
    turn = day.call("write_file", {"path": path, "content": day.code})
    day.repo.save(path, day.code, after=1.0)
    day.settle()
    return day.kept(turn)


def the_whole_file(day: Day) -> Fate:
    after = day.added(day.code)
    turn = day.ask(after)
    day.repo.save(day.file, after)
    day.settle()
    return day.kept(turn, after)


def a_short_edit_of_a_file(day: Day) -> Fate:
    """Fewer than eight new tokens, but a file and an old text that are named."""
    old, new = (
        ('"""One invoice."""', '"""One invoice of one customer."""')
        if day.language == "python"
        else ("this.rows.length", "this.rows.length + 1")
    )
    arguments: dict[str, object] = {"path": day.file, "old_string": old, "new_string": new}
    turn = day.call("edit_file", arguments)
    day.repo.save(day.file, day.text().replace(old, new), after=1.0)
    day.settle()
    return Fate(turn, ("kept",), None, day.repo.root)


def a_line_of_twenty_tokens(day: Day) -> Fate:
    line = "RATES = {name: Decimal(rate) / 100 for name, rate in (row.split() for row in TABLE)}\n"
    turn = day.ask(line)
    day.paste(line)
    day.settle()
    return day.kept(turn, line)


def a_line_of_three_tokens(day: Day) -> Fate:
    """Too little to be anybody's."""
    turn = day.ask("VAT = 19\n")
    day.paste("VAT = 19\n")
    day.settle()
    return Fate(turn, ("unknown", "kept"))


def the_second_answer_of_a_chat(day: Day) -> Fate:
    day.ask(day.second)
    turn = day.ask(day.code)
    day.paste(day.code)
    day.settle()
    return day.kept(turn)


def a_configuration_file(day: Day) -> Fate:
    text = "name: checks\non: [push, pull_request]\njobs:\n  test:\n    runs-on: ubuntu-latest\n"
    text += "    steps:\n      - uses: actions/checkout@v4\n      - run: pytest -q\n"
    turn = day.ask(text, fence="yaml")
    day.repo.save(".github/workflows/checks.yml", text)
    day.settle()
    return day.kept(turn, text)


def a_shell_script(day: Day) -> Fate:
    text = '#!/bin/sh\nset -eu\nfor file in reports/*.csv; do\n  sort -u "$file" > "$file.new"\n'
    text += '  mv "$file.new" "$file"\ndone\n'
    turn = day.ask(text, fence="sh")
    day.repo.save("sort.sh", text)
    day.settle()
    return day.kept(turn, text)


def some_json(day: Day) -> Fate:
    text = '{\n  "compilerOptions": {\n    "strict": true,\n    "target": "es2022",\n'
    text += '    "module": "nodenext",\n    "outDir": "build"\n  }\n}\n'
    turn = day.ask(text, fence="json")
    day.repo.save("tsconfig.json", text)
    day.settle()
    return day.kept(turn, text)


def a_method_in_its_class(day: Day) -> Fate:
    python = day.language == "python"
    method = texts.METHOD if python else texts.ROWS_METHOD
    turn = day.ask(method)
    inside = textwrap.indent(method, "    " if python else "  ")
    text = day.text()
    changed = f"{text}\n{inside}" if python else text[: text.rindex("}")] + f"\n{inside}}}\n"
    day.repo.save(day.file, changed)
    day.settle()
    return day.kept(turn, inside)


def imports_at_the_head(day: Day) -> Fate:
    line = "import math\n" if day.language == "python" else 'import { log } from "./log";\n'
    turn = day.ask(f"{line}\n\n{day.code}")
    text = day.text()
    at = text.index("from decimal") if day.language == "python" else 0
    day.repo.save(day.file, f"{text[:at]}{line}{text[at:]}{day.gap}{day.code}")
    day.settle()
    return day.kept(turn, f"{line}\n\n{day.code}")


def _unformatted(day: Day) -> str:
    if day.language == "python":
        return day.code.replace('"""', "'''")
    wrapped = day.code.replace('"', "'").replace(";\n", "\n")
    return wrapped.replace("  ", "    ")


def formatted_on_save(day: Day) -> Fate:
    turn = day.ask(_unformatted(day))
    day.paste(day.code)
    day.settle()
    return day.kept(turn)


def formatted_before_the_commit(day: Day) -> Fate:
    before = day.text() + day.gap
    turn = day.ask(_unformatted(day))
    day.paste(_unformatted(day))
    day.repo.save(day.file, before + day.code, after=90.0)
    day.repo.commit()
    return day.kept(turn)


def wrapped_by_a_formatter(day: Day) -> Fate:
    """A call on one line becomes one line for each argument, with a comma after the last."""
    words = ("name", "street", "city", "postal_code", "land", "separator", "surname")
    if day.language == "python":
        head, margin, end = f"def address_of({', '.join(words)}):\n", "    ", ""
        call, close = "return describe_address", ")"
    else:
        head, margin, end = f"export function address({', '.join(words)}) {{\n", "  ", "}\n"
        call, close = "return describeAddress", ");"
    long = f"{margin}{call}({', '.join(words)}{close}\n"
    rows = "".join(f"{margin}{margin}{word},\n" for word in words)
    wrapped = f"{margin}{call}(\n{rows}{margin}{close}\n"
    turn = day.ask(head + long + end)
    day.paste(head + wrapped + end)
    day.settle()
    return day.kept(turn, head + wrapped + end)


FORMS: Scenes = (
    (appended, BOTH),
    (appended_and_committed, BOTH),
    (carriage_returns, BOTH),
    (with_tabs, BOTH),
    (indented_fence, PYTHON),
    (fence_with_a_path, BOTH),
    (unnamed_fence, BOTH),
    (existing_code_left_out, BOTH),
    (a_unified_diff, BOTH),
    (search_and_replace, BOTH),
    (a_write_file_call, BOTH),
    (the_whole_file, BOTH),
    (a_short_edit_of_a_file, BOTH),
    (a_line_of_twenty_tokens, PYTHON),
    (a_line_of_three_tokens, PYTHON),
    (the_second_answer_of_a_chat, BOTH),
    (a_configuration_file, PYTHON),
    (a_shell_script, PYTHON),
    (some_json, SCRIPT),
    (a_method_in_its_class, BOTH),
    (imports_at_the_head, BOTH),
    (formatted_on_save, BOTH),
    (formatted_before_the_commit, BOTH),
    (wrapped_by_a_formatter, BOTH),
)
