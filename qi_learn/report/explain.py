"""`qi-learn explain`: why a turn has its score, or a run did what it did.

Also why a version was shipped or refused.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from qi_learn import codec
from qi_learn.dataset.replay import why
from qi_learn.deploy.journal import load_deployment
from qi_learn.deploy.taint import forgotten_in
from qi_learn.deploy.version import is_version
from qi_learn.errors import NotFound, StoreError
from qi_learn.paths import Paths
from qi_learn.records import LearningInteraction, Score, Suggestion
from qi_learn.report.explain_run import explain_run
from qi_learn.report.listing import clock, one_line, saw_forgotten
from qi_learn.rundir.directory import RunDirectory, run_directories
from qi_learn.rundir.snapshot import recalled_in
from qi_learn.settings import Settings
from qi_learn.store.database import open_store
from qi_learn.store.feedback import load_interaction

ROLES = {"train": "learned from it", "dev": "chose by it", "gate": "was judged by it"}
"""What a run did with an example, by its split."""


@dataclass(frozen=True, slots=True)
class Explanation:
    """What is explained, the lines for a person, and the records behind them."""

    kind: str
    id: str
    lines: tuple[str, ...]
    records: dict[str, Any] = field(default_factory=dict)


def explain(paths: Paths, settings: Settings, what: str) -> Explanation:
    """The explanation of a version (`1.1.0` or `v1.1.0`), a run (its id) or a turn (its id).

    Raises NotFound if it is none of these.
    """
    if is_version(what):
        return _version(paths, what.removeprefix("v"))
    run = RunDirectory(paths.runs / what)
    if what.isalnum() and run.request.exists():
        return Explanation("run", run.run_id, *explain_run(run))
    if not paths.database.exists():
        raise _nothing_like(what)
    with open_store(paths.database, readonly=True) as store:
        try:
            interaction = load_interaction(store, what)
        except NotFound:
            raise _nothing_like(what) from None
    return Explanation(
        "turn",
        what,
        (*_turn(interaction, settings), *_uses(paths, what)),
        {"interaction": codec.plain(interaction)},
    )


def as_text(explanation: Explanation) -> str:
    """The lines under the name of what is explained."""
    return "\n".join((f"{explanation.kind} {explanation.id}", *explanation.lines))


def _nothing_like(what: str) -> NotFound:
    return NotFound(
        f"{what} is no turn, run or version.",
        "`qi-learn log` lists turns, `qi-learn versions` versions with their runs.",
    )


# --- a turn ---------------------------------------------------------------------------------------


def _turn(interaction: LearningInteraction, settings: Settings) -> Iterator[str]:
    turn = interaction.turn
    yield (
        f"  {clock(turn.started)}, {turn.endpoint}, asked for {one_line(turn.model_asked)}, "
        f"answered by {one_line(turn.model_answered)}"
    )
    yield (
        f"  {interaction.learning_type}, {interaction.complexity}, "
        f"domain {interaction.domain or 'unknown'}; project {one_line(turn.project or 'unknown')}, "
        f"session {one_line(turn.session or 'unknown')}"
    )
    yield from (_suggestion(s) for s in interaction.suggestions)
    feedback = codec.plain(interaction.feedback)
    yield "  feedback: " + _values(feedback, without=("final_version", "correction"))
    yield "  outcome: " + _values(codec.plain(interaction.outcome))
    if interaction.score is None:
        yield "  not scored yet"
    else:
        yield from _score(interaction.score, settings.train.quality_threshold)


def _uses(paths: Paths, turn: str) -> Iterator[str]:
    """What each run did with the turn."""
    for run in run_directories(paths.runs):
        try:
            split, recall = recalled_in(run.snapshot, turn)
        except StoreError:
            continue  # its data set was never frozen, or is damaged: `explain` of the run says so
        if split:
            yield f"  run {run.run_id}: {ROLES[split]}"
        if recall:
            yield f"  run {run.run_id}: replayed it: {why(recall)}"


def _suggestion(s: Suggestion) -> str:
    parts = [
        s.state + (f" in {one_line(s.file)}" + (f" ({s.name})" if s.name else "") if s.file else "")
    ]
    parts += [f"now {s.similarity:.2f} like it"] if s.similarity is not None else []
    parts += [f"matched by {s.match_method}"] if s.match_method else []
    parts += [f"commit {s.commit[:10]}"] if s.commit else []
    parts += ["reverted"] if s.reverted else []
    return f"  suggestion {s.ordinal}: {', '.join(parts)}"


def _score(score: Score, threshold: float) -> Iterator[str]:
    worth = "unknown" if score.suggestion_score is None else f"{score.suggestion_score:.2f}"
    yield f"  suggestion score {worth} (confidence {score.confidence:.2f}):"
    yield from (
        f"    {signal.name} {signal.value:.2f}, weight {signal.weight:g}: {signal.reason}"
        for signal in score.signals
    )
    target = (
        "unknown: nothing was kept that could be learned"
        if score.target_score is None
        else f"{score.target_score:.2f} (threshold {threshold:g})"
    )
    yield f"  target score {target}"
    yield from (f"    {reason}" for reason in score.target_reasons)


def _values(values: Mapping[str, Any], without: tuple[str, ...] = ()) -> str:
    """The values that are known, or `unknown`."""
    parts = (
        f"{key} {one_line(str(value))}"
        for key, value in values.items()
        if value is not None and key not in without
    )
    return ", ".join(parts) or "unknown"


# --- a version ------------------------------------------------------------------------------------


def _version(paths: Paths, version: str) -> Explanation:
    deployment = load_deployment(paths)
    release = deployment.release(version)
    records: dict[str, Any] = {"release": codec.plain(release)}
    lines = [
        f"  {release.model}, made {clock(release.created)}, "
        f"{'live' if deployment.live == version else 'not live'}",
        f"  sha256 {release.digest or 'unknown'}",
    ]
    if count := forgotten_in(deployment, version):
        records["forgot"] = count
        lines.append(f"  {saw_forgotten(count)}: no text can be taken out of weights")
    if release.run_id is None:
        lines.append("  the base's own weights: nothing was learned")
    else:
        run_lines, run_records = explain_run(RunDirectory(paths.runs / release.run_id))
        lines += [f"  learned on top of v{release.parent} by run {release.run_id}:", *run_lines]
        records |= run_records
    return Explanation("version", version, tuple(lines), records)
