"""The server that renders for a cycle, and the general suites rendered by it."""

from __future__ import annotations

from collections.abc import Sequence

from qi_learn.cycle.context import Cycle
from qi_learn.dataset.disjoint import disjoint, notes_of
from qi_learn.dataset.examples import RenderCache, Serving
from qi_learn.dataset.general_suites import SuiteExamples, render_general
from qi_learn.dataset.near_duplicates import note_of
from qi_learn.deploy.journal import load_deployment
from qi_learn.outside.gguf import sha256_of
from qi_learn.outside.llama_cpp import load_vocabulary
from qi_learn.records import Snapshot


def serving_of(cycle: Cycle) -> Serving:
    """The server that renders, as the version trained on top of."""
    parent = load_deployment(cycle.paths).release(cycle.request.parent)
    return Serving(
        cycle.server,
        model=parent.model,
        digest=sha256_of(cycle.base),
        vocabulary=load_vocabulary(cycle.base),
        rendered=RenderCache(cycle.run.path / "rendered.jsonl"),
    )


def suites_for(
    cycle: Cycle, snapshots: Sequence[Snapshot]
) -> tuple[SuiteExamples, tuple[str, ...]]:
    """The general suites without what these data sets train on, and notes on what is not there.

    The first data set is this cycle's. Raises ServerError if the server does not render.
    """
    general = render_general(serving_of(cycle))
    apart = disjoint(general.suites, *snapshots)
    return apart.suites, (*note_of(snapshots[0]), *notes_of(general, apart))
