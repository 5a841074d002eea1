"""Code in files of other kinds: pages, manuals, scripts, queries, settings."""

from __future__ import annotations

import re
import textwrap

from tests.support import first_day as texts
from tests.support.played_day import BOTH, PYTHON, SCRIPT, Day, Fate, Scenes

PAGE = (
    "<!doctype html>\n<html>\n  <head>\n    <title>Rows</title>\n  </head>\n  <body>\n"
    '    <table id="rows"></table>\n{0}  </body>\n</html>\n'
)
QUERY = (
    "select c.name, sum(i.total - i.paid) as open_amount\nfrom invoices i\n"
    "join customers c on c.id = i.customer_id\nwhere i.due < current_date - 14\n"
    "group by c.name\nhaving sum(i.total - i.paid) > 0\norder by open_amount desc;\n"
)
SCRIPT_TEXT = (
    "backup() {\n  local target=$1\n  for database in invoices customers; do\n"
    '    pg_dump --format=custom "$database" > "$target/$database.dump" || return 1\n'
    '  done\n  find "$target" -name "*.dump" -mtime +14 -delete\n}\n'
)
BUILD = (
    "FROM python:3.12-slim AS build\nWORKDIR /src\nCOPY pyproject.toml uv.lock ./\n"
    "RUN pip install --no-cache-dir uv && uv sync --frozen --no-dev\nCOPY . .\n"
    'ENTRYPOINT ["uv", "run", "invoicer", "serve", "--port", "8080"]\n'
)
SERVICES = (
    "services:\n  database:\n    image: postgres:16\n    environment:\n"
    "      POSTGRES_DB: invoices\n      POSTGRES_PASSWORD_FILE: /run/database\n"
    "    volumes:\n      - data:/var/lib/postgresql/data\n"
)


def in_a_page(day: Day) -> Fate:
    """A function of a script is put between the tags of a page."""
    day.repo.save("rows.html", PAGE.format("    <script>\n    </script>\n"))
    code = textwrap.indent(texts.SUMMARY.replace("export ", ""), "      ")
    turn = day.ask(texts.SUMMARY.replace("export ", ""), fence="js")
    day.repo.save("rows.html", PAGE.format(f"    <script>\n{code}    </script>\n"))
    day.settle()
    return day.kept(turn, code)


def a_script_with_its_tags(day: Day) -> Fate:
    """The answer shows the tags, and they are there already."""
    day.repo.save("rows.html", PAGE.format("    <script>\n    </script>\n"))
    bare = texts.SUMMARY.replace("export ", "")
    code = textwrap.indent(bare, "      ")
    turn = day.ask(f"<script>\n{bare}</script>\n", fence="html")
    day.repo.save("rows.html", PAGE.format(f"    <script>\n{code}    </script>\n"))
    day.settle()
    return Fate(turn, ("kept", "edited"), None, day.repo.root)


def in_a_manual(day: Day) -> Fate:
    """The code stands in a fence of a Markdown file."""
    text = "# Totals\n\nHow amounts are found.\n"
    day.repo.save("manual.md", text)
    turn = day.ask(day.code)
    day.repo.save("manual.md", f"{text}\n```{day.language}\n{day.code}```\n\nThat is all.\n")
    day.settle()
    return day.kept(turn)


def a_query(day: Day) -> Fate:
    turn = day.ask(QUERY, fence="sql")
    day.repo.save("queries/open.sql", f"-- What is open.\n{QUERY}")
    day.settle()
    return Fate(turn, ("kept",), QUERY, day.repo.root)


def a_query_formatted(day: Day) -> Fate:
    """A formatter of SQL writes its words large, and indents it."""
    words = r"\b(?:select|as|from|join|on|where|group|by|having|order|desc|current_date|sum)\b"
    formatted = re.sub(words, lambda word: word[0].upper(), QUERY)
    turn = day.ask(QUERY, fence="sql")
    day.repo.save("queries/open.sql", formatted)
    day.settle()
    return Fate(turn, ("kept", "edited"), formatted, day.repo.root)


def a_query_in_code(day: Day) -> Fate:
    """The query stands in a text of the program."""
    query = textwrap.indent(QUERY.rstrip(";\n"), "    ")
    code = (
        f'OPEN = """\n{query}\n"""\n'
        if day.language == "python"
        else f"const open = `\n{query}\n`;\n"
    )
    turn = day.ask(QUERY, fence="sql")
    day.paste(code)
    day.settle()
    return Fate(turn, ("kept", "edited"), None, day.repo.root)


def a_function_of_a_shell(day: Day) -> Fate:
    begun = '#!/bin/bash\nset -euo pipefail\n\nmain() {\n  backup "$HOME/dumps"\n}\n\nmain "$@"\n'
    day.repo.save("tools/backup", begun)
    turn = day.ask(SCRIPT_TEXT, fence="bash")
    day.repo.save("tools/backup", begun.replace("main() {", f"{SCRIPT_TEXT}\nmain() {{", 1))
    day.settle()
    return day.kept(turn, SCRIPT_TEXT)


def commands_with_a_prompt(day: Day) -> Fate:
    """The answer shows commands behind a prompt, and a script has them without."""
    commands = "createdb --owner=invoicer invoices\npsql invoices --file=schema.sql --quiet\n"
    commands += "pg_restore --dbname=invoices --jobs=4 dumps/invoices.dump\n"
    turn = day.ask("".join(f"$ {line}\n" for line in commands.splitlines()), fence="console")
    day.repo.save("tools/restore.sh", f"#!/bin/sh\nset -eu\n{commands}")
    day.settle()
    return Fate(turn, ("kept", "edited"), None, day.repo.root)


def a_dockerfile(day: Day) -> Fate:
    turn = day.ask(BUILD, fence="dockerfile")
    changed = BUILD.replace("8080", "9000").replace("3.12-slim", "3.13")
    day.repo.save("Dockerfile", changed)
    day.settle()
    return Fate(turn, ("edited",), changed, day.repo.root)


def a_part_of_a_configuration(day: Day) -> Fate:
    """The answer repeats the key under which it belongs."""
    begun = "name: invoicer\nservices:\n  web:\n    build: .\n    ports:\n      - 8080:8080\n"
    day.repo.save("compose.yaml", begun)
    turn = day.ask(SERVICES, fence="yaml")
    day.repo.save("compose.yaml", begun + SERVICES.removeprefix("services:\n"))
    day.settle()
    return Fate(turn, ("kept", "edited"), None, day.repo.root)


def a_table_of_a_settings_file(day: Day) -> Fate:
    table = '[tool.ruff]\nline-length = 100\ntarget-version = "py312"\n\n[tool.ruff.lint]\n'
    table += 'select = ["E", "F", "I", "UP", "B"]\nignore = ["E501"]\n'
    begun = '[project]\nname = "invoicer"\nversion = "1.0"\n'
    day.repo.save("pyproject.toml", begun)
    turn = day.ask(table, fence="toml")
    day.repo.save("pyproject.toml", f"{begun}\n{table}")
    day.settle()
    return day.kept(turn, table)


def styles_of_a_page(day: Day) -> Fate:
    styles = ".rows td {\n  padding: 0.25rem 0.5rem;\n  border-bottom: 1px solid #ddd;\n}\n\n"
    styles += ".rows tr:hover {\n  background: #f6f6f6;\n  cursor: pointer;\n}\n"
    turn = day.ask(styles, fence="css")
    day.repo.save("rows.css", f"body {{\n  margin: 0;\n}}\n\n{styles}")
    day.settle()
    return day.kept(turn, styles)


LANGUAGES: Scenes = (
    (in_a_page, SCRIPT),
    (a_script_with_its_tags, SCRIPT),
    (in_a_manual, BOTH),
    (a_query, PYTHON),
    (a_query_formatted, PYTHON),
    (a_query_in_code, BOTH),
    (a_function_of_a_shell, PYTHON),
    (commands_with_a_prompt, PYTHON),
    (a_dockerfile, PYTHON),
    (a_part_of_a_configuration, PYTHON),
    (a_table_of_a_settings_file, PYTHON),
    (styles_of_a_page, SCRIPT),
)
