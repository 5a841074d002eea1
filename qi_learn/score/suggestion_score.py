"""How good was the suggestion (R2's assessor), with every known signal and its reason.

Beside it, the target score.

The score is the weighted mean over the *known* signals, all in [0, 1] (contracts 6). A signal that
was not seen is left out, so that an unrated answer is not a badly rated one. The confidence,
1 - exp(-sum of known weights / 3), says how much was known.
"""

from __future__ import annotations

import json
import math
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from qi_learn.code_text import code_blocks, identifiers, parses
from qi_learn.errors import NotFound, ToolMissing
from qi_learn.outside import git
from qi_learn.outside.process import run
from qi_learn.records import Feedback, LearningInteraction, Outcome, Score, Signal, Turn
from qi_learn.score.target_score import score_target
from qi_learn.settings import ScoreSettings as Weights
from qi_learn.settings import Settings
from qi_learn.store.database import Store
from qi_learn.store.feedback import domain_share, load_interaction

CORRECTNESS = {"compiles": 0.4, "tests_pass": 0.4, "deployed": 0.2}
LINT_SECONDS = 10.0
IGNORED_RULES = "F401,F821,F811,W292"
"""Rules that do not apply: a suggestion is a piece of a file, so names it takes from the rest, and
the end of the file, are not its faults.
"""
MAX_NAMES = 60


def score_turn(store: Store, turn_id: str, settings: Settings, now: float) -> Score:
    """Both scores of a turn from everything known of it now.

    Raises NotFound if there is no such turn.
    """
    interaction = load_interaction(store, turn_id)
    signals = tuple(_signals(store, interaction, settings.score))
    weight = sum(s.weight for s in signals)
    suggestion = sum(s.value * s.weight for s in signals) / weight if weight else None
    target = score_target(
        interaction.turn.answer,
        interaction.suggestions,
        interaction.feedback,
        interaction.outcome,
        suggestion,
    )
    return Score(
        turn_id,
        suggestion,
        1 - math.exp(-weight / 3),
        target.score,
        target.text,
        signals,
        target.reasons,
        now,
    )


def _signals(store: Store, interaction: LearningInteraction, weights: Weights) -> Iterator[Signal]:
    yield from _feedback(interaction.feedback, weights)
    yield from _outcome(interaction.outcome, weights)
    code = "\n".join(b.text for b in code_blocks(interaction.turn.answer)) or "\n".join(
        s.text for s in interaction.suggestions
    )
    if code.strip():
        yield from _quality(interaction, code, weights)
        yield from _relevance(interaction.turn, code, weights)
    if interaction.turn.project is not None and interaction.domain:
        share = domain_share(store, interaction.turn.project, interaction.domain)
        yield Signal(
            "domain",
            share,
            weights.domain,
            f"{share:.0%} of the project's turns are in {interaction.domain}",
        )


def _feedback(feedback: Feedback, weights: Weights) -> Iterator[Signal]:
    if feedback.rating is not None:
        yield Signal("rating", feedback.rating / 5, weights.rating, f"rated {feedback.rating} of 5")
    if feedback.accepted is not None:
        yield Signal(
            "accepted",
            float(feedback.accepted),
            weights.accepted,
            "kept" if feedback.accepted else "not kept",
        )
    if feedback.modified is not None:
        yield Signal(
            "unmodified",
            0.5 if feedback.modified else 1.0,
            weights.unmodified,
            "edited" if feedback.modified else "kept as it was",
        )


def _outcome(outcome: Outcome, weights: Weights) -> Iterator[Signal]:
    seen = {
        name: getattr(outcome, name) for name in CORRECTNESS if getattr(outcome, name) is not None
    }
    if seen:
        value = sum(CORRECTNESS[name] for name, good in seen.items() if good) / sum(
            CORRECTNESS[name] for name in seen
        )
        reason = ", ".join(
            f"{name.replace('_', ' ')}: {'yes' if good else 'no'}" for name, good in seen.items()
        )
        yield Signal("correctness", value, weights.correctness, reason)
    if outcome.performance_change is not None:
        change = outcome.performance_change
        reason = f"{abs(change):.0%} {'faster' if change >= 0 else 'slower'} than before"
        yield Signal("efficiency", min(1.0, max(0.0, 0.5 + change)), weights.efficiency, reason)


def _quality(interaction: LearningInteraction, code: str, weights: Weights) -> Iterator[Signal]:
    blocks = code_blocks(interaction.turn.answer)
    parsed = [p for p in (parses(b.text, b.language) for b in blocks) if p is not None]
    if not parsed:
        return
    if not all(parsed):
        yield Signal("quality", 0.0, weights.quality, "does not parse")
        return
    findings = _lint(code, interaction.turn.project)
    if findings is None:
        return  # it parses, and no linter looked further: unknown
    lines = max(1, len(code.strip().splitlines()))
    reason = f"parses; {findings} linter finding{'s' if findings != 1 else ''} in {lines} lines"
    yield Signal("quality", max(0.0, 1 - findings / (lines / 10)), weights.quality, reason)


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
    except (ToolMissing, ValueError):
        return None


def _relevance(turn: Turn, code: str, weights: Weights) -> Iterator[Signal]:
    """The share of the code's names that the project used before the turn, as a signal."""
    names = sorted(identifiers(code))[:MAX_NAMES]
    if turn.project is None or not names or not Path(turn.project).is_dir():
        return
    try:
        used = git.names_used(Path(turn.project), names, before=turn.started)
    except (NotFound, ToolMissing):
        return  # no repository, or no git: unknown
    if used is None:
        return
    share = len(used) / len(names)
    yield Signal(
        "relevance",
        share,
        weights.relevance,
        f"{len(used)} of its {len(names)} names were in use in the project",
    )
