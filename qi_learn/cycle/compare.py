"""The candidate against the live version: the same suites for both, for the base, and for the base
with examples in its prompt; then the gate's word.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

from qi_learn.cycle.context import ADAPTER, Cycle, base_release
from qi_learn.cycle.resources import giving_way
from qi_learn.dataset import reference_code
from qi_learn.dataset.examples import generic_examples
from qi_learn.deploy.candidate import smoke_test
from qi_learn.errors import Refused, StoreError
from qi_learn.gate.evaluate import (
    Sizes,
    leaks_of,
    measure_answers,
    measure_file,
    measurements_of,
    same_moment_speeds,
    suites_of,
)
from qi_learn.gate.execution import make_exercise
from qi_learn.gate.leaks import secret_prompts
from qi_learn.gate.limits import DOUBTED
from qi_learn.gate.measurements import CandidateFindings, Comparison, ReportedOnly
from qi_learn.gate.verdict import give_verdict
from qi_learn.outside.llama_cpp import answers_at_once, load_vocabulary
from qi_learn.outside.ollama import served_file
from qi_learn.outside.ollama_parallel import Asking, side_by_side
from qi_learn.pack.splice import pack as pack_file
from qi_learn.records import Packed, Plan, Release, Snapshot, TrainResult, Verdict
from qi_learn.rundir.adapter_file import read_adapter
from qi_learn.rundir.snapshot import load_snapshot
from qi_learn.store.database import open_store
from qi_learn.store.releases import rollback_seconds


def compare(cycle: Cycle, snapshot: Snapshot, packed: Packed, live: Release) -> Verdict:
    """Candidate, live version and base on the same suites; base and a few-shot prompt are reported,
    the live version decides.

    Raises Refused where the candidate does not answer at all, ModelError, ServerError.
    """
    server, base, wait = cycle.server, base_release(cycle), giving_way(cycle)
    limits = Sizes(
        nll=cycle.settings.gate.max_tokens,
        answer=cycle.settings.gate.answer_tokens,
        context=cycle.settings.serve.context,
        cache=cycle.paths.known,
    )
    vocabulary = load_vocabulary(cycle.base)
    earlier, lost = _earlier(cycle)
    suites = suites_of(
        snapshot,
        earlier,
        generic_examples(reference_code.probes(), vocabulary),
        limits,
        make_exercise(cycle.settings.gate.execute),
    )
    with cycle.part("gate", "candidate tried"):
        smoke = smoke_test(server, cycle.candidate, live.model)
    if not smoke.answers:
        raise Refused(
            f"The packed model does not answer: {smoke.problem}", "The version before stays live."
        )
    files = {
        cycle.candidate: served_file(server, cycle.candidate) or Path(packed.path),
        base.model: cycle.base,
    }
    if live != base:
        files[live.model] = _file_of(cycle, live)
    with cycle.part("gate", "files measured"):
        read = {model: measure_file(file, suites, limits) for model, file in files.items()}
    with cycle.part("gate", "questions answered"):
        inviting = secret_prompts(cycle.request.seed)
        asking = [
            partial(
                measure_answers,
                model=model,
                suites=suites,
                limits=limits,
                inviting=inviting if model == cycle.candidate else (),
                few_shot=model == base.model,
            )
            for model in files
        ]
        at_once = (
            answers_at_once(files.values()) if cycle.request.engine else 1
        )  # a real Ollama may have to unload one model for another
        asked = dict(
            zip(files, side_by_side(server, asking, at_once=at_once, wait=wait), strict=True)
        )
    leaks = leaks_of(
        (files[cycle.candidate], cycle.base),
        asked[cycle.candidate],
        inviting,
        suites,
        limits,
        vocabulary,
    )
    of_candidate, of_base, of_live = (
        measurements_of(read[model], asked[model])
        for model in (cycle.candidate, base.model, live.model)
    )
    doubted = (
        DOUBTED if at_once == 1 else 1.0
    )  # whoever was asked beside others may have been held up by them
    if of_candidate.behaviour.tokens_per_second < doubted * of_base.behaviour.tokens_per_second:
        with cycle.part("gate", "speeds measured again"), Asking(server.base_url, wait) as turns:
            of_candidate, of_base = same_moment_speeds(
                turns, (cycle.candidate, base.model), (of_candidate, of_base), suites, limits
            )
    verdict = give_verdict(
        Comparison(of_candidate, of_live, of_base),
        CandidateFindings(smoke, packed.gains, leaks, packed.scale),
        compared_with=live.version,
        rollback_to=live.version,
        reported=ReportedOnly(
            few_shot=asked[base.model].few_shot,
            dev_by_scale=(tried := {t.scale: t.dev_nll for t in cycle.run.read_trials()}),
            packing_cost=_packing_cost(cycle, snapshot, tried.get(1.0)),
            rollback_seconds=_rollback_seconds(cycle),
        ),
    )
    unprotected = cycle.run.read(cycle.run.result, TrainResult).warnings
    return replace(verdict, notes=(*verdict.notes, *unprotected, *lost, *_cut(packed)))


def _cut(packed: Packed) -> list[str]:
    if not packed.lost:
        return []
    return [
        f"the joined adapter was cut to rank {packed.rank}, which lost {packed.lost:.1%} of its "
        "change (Frobenius); the gate measured what is left"
    ]


def _packing_cost(cycle: Cycle, snapshot: Snapshot, packed: float | None) -> float | None:
    """NLL a token on dev of the whole delta as packed minus as it was trained; None where the two
    were not measured on the same tokens.
    """
    if packed is None or not (cycle.run.result.exists() and cycle.run.plan.exists()):
        return None
    trained, longest = (
        cycle.run.read(cycle.run.result, TrainResult).dev_loss,
        cycle.run.read(cycle.run.plan, Plan).batches.max_length,
    )
    dev = snapshot.split("dev")
    whole = (
        all(len(e.prompt_ids) + len(e.target_ids) <= longest for e in dev)
        and sum(len(e.target_ids) for e in dev) <= cycle.settings.gate.max_tokens
    )
    return packed - trained if trained is not None and whole else None


def _rollback_seconds(cycle: Cycle) -> float | None:
    """Only told, so a database that cannot be read now stops nothing."""
    try:
        with open_store(cycle.paths.database, readonly=True) as store:
            return rollback_seconds(store)
    except StoreError:
        return None


def _earlier(cycle: Cycle) -> tuple[list[Snapshot], list[str]]:
    """The data sets behind the version trained on, and a note on each that cannot be read any more:
    forgetting that work goes unseen.
    """
    found: list[Snapshot] = []
    lost: list[str] = []
    for run in cycle.ancestors:
        try:
            found.append(load_snapshot(run.snapshot))
        except StoreError as error:
            lost.append(f"the held-out work of run {run.run_id} was not compared: {error.what}")
    return found, lost


def _file_of(cycle: Cycle, release: Release) -> Path:
    """The file that a version is served from, or, where it cannot be read here, the same packed
    again from its adapter.
    """
    if found := served_file(cycle.server, release.model):
        return found
    if release.adapter is None:
        return cycle.base
    again = cycle.run.path / f"v{release.version}.gguf"
    pack_file(
        cycle.base,
        read_adapter(cycle.paths.data / release.adapter / ADAPTER),
        again,
        base_weights=cycle.base_weights,
    )
    return again
