"""What is true of an answer's code for good.

Whether it parses, what a linter finds in it, and how many of its names the project used before the
turn: of the suggestions that were placed, if others were not. Nothing else changes it, so it is
found out once and kept. It is slow (a linter's process, git), so it is found out beside the loop.
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

from qi_learn.code_text import code_blocks, identifiers, parses
from qi_learn.errors import NotFound, ToolMissing
from qi_learn.outside.process import run
from qi_learn.records import AnswerFacts, AnswerSource
from qi_learn.score.names_index import NamesIndex, words

LINT_SECONDS = 10.0
IGNORED_RULES = "F401,F821,F811,W292"
"""Rules that do not apply: a suggestion is a piece of a file, so names it takes from the rest, and
the end of the file, are not its faults.
"""
MAX_NAMES = 60


def find_facts(source: AnswerSource, index: NamesIndex, now: float) -> AnswerFacts:
    """The facts about an answer."""
    blocks = [(b.text, b.language) for b in code_blocks(source.answer)]
    if source.about or source.suggested:  # else of an edit its marks and its old text would count
        blocks = [block for block in blocks if block in source.suggested]
    pieces = blocks or source.suggested
    code = "\n".join(text for text, _ in pieces)
    parsed = [p for p in (parses(*block) for block in blocks) if p is not None]
    whole = all(parsed) if parsed and code.strip() else None
    found = {name for text, language in pieces for name in identifiers(text, language)}
    names = words(sorted(found))[:MAX_NAMES]
    return AnswerFacts(
        turn_id=source.turn_id,
        project=source.project,
        parses=whole,
        findings=_lint(code, source.project) if whole else None,
        lines=len(code.strip().splitlines()),
        names=len(names),
        names_used=_names_used(source, names, index),
        found_at=now,
        about=source.about,
    )


def no_facts(source: AnswerSource, now: float) -> AnswerFacts:
    """What is known of an answer that cannot be understood: nothing."""
    return AnswerFacts(source.turn_id, source.project, None, None, 0, 0, None, now, source.about)


def _lint(code: str, project: str | None) -> int | None:
    """How many findings ruff has, by the project's own rules if it has some.

    None if there is no ruff or it does not answer.
    """
    ruff = shutil.which("ruff") or shutil.which("ruff", path=str(Path(sys.executable).parent))
    if ruff is None:
        return None
    directory = Path(project) if project and Path(project).is_dir() else None
    options = ["--quiet", "--output-format", "json", "--extend-ignore", IGNORED_RULES]
    argv = [ruff, "check", *options, "--stdin-filename", "suggestion.py", "-"]
    try:
        done = run(argv, timeout=LINT_SECONDS, cwd=directory, given=code.encode("utf-8", "replace"))
        return (
            len(json.loads(done.output))
            if not done.timed_out and done.exit_code in (0, 1)
            else None
        )
    except (NotFound, ToolMissing, ValueError):
        return None


def _names_used(source: AnswerSource, names: list[str], index: NamesIndex) -> int | None:
    if source.project is None or not names or not Path(source.project).is_dir():
        return None
    try:
        used = index.used(Path(source.project), names, before=source.started)
    except (NotFound, ToolMissing):
        return None  # no repository, or no git: unknown
    return None if used is None else len(used)
