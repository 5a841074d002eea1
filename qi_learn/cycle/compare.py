"""The candidate against the live version, then the gate's verdict.

The suites are the same for both, for the base, and for the base with examples in its prompt.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from qi_learn.cycle.context import ADAPTER, Cycle, base_release
from qi_learn.cycle.project_judgement import judged_by_tests
from qi_learn.cycle.resources import giving_way
from qi_learn.dataset import reference_code
from qi_learn.dataset.examples import generic_examples
from qi_learn.deploy.candidate import smoke_test
from qi_learn.errors import Refused, StoreError
from qi_learn.gate.evaluate import (
    AnswerMeasurements,
    Sizes,
    Suites,
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
from qi_learn.gate.measurements import (
    CandidateFindings,
    Comparison,
    Measurements,
    ReportedOnly,
)
from qi_learn.gate.verdict import give_verdict
from qi_learn.outside.llama_cpp import answers_at_once, load_vocabulary
from qi_learn.outside.ollama import served_file
from qi_learn.outside.ollama_parallel import Asking, Wait, side_by_side
from qi_learn.pack.splice import pack as pack_file
from qi_learn.records import Packed, Plan, Release, Smoke, Snapshot, TrainResult, Verdict
from qi_learn.redact import load_seen
from qi_learn.rundir.adapter_file import read_adapter
from qi_learn.rundir.snapshot import load_snapshot
from qi_learn.store.database import open_store
from qi_learn.store.releases import rollback_seconds


@dataclass(frozen=True, slots=True)
class _Terms:
    """The terms of a comparison, the same for every model in it."""

    suites: Suites
    sizes: Sizes
    inviting: tuple[str, ...]
    """Prompts that invite a secret; only the candidate gets them."""
    at_once: int
    """The number of models asked at the same time."""
    wait: Wait
    """The pause before a question; one budget of seconds for all of them."""


def compare(cycle: Cycle, snapshot: Snapshot, packed: Packed, live: Release) -> Verdict:
    """The verdict on the candidate, against the live version on the same suites.

    The few-shot prompt is only reported. The live version decides, and some limits are against the
    base. Raises Refused if the candidate does not answer at all, ModelError, ServerError.
    """
    base, vocabulary = base_release(cycle), load_vocabulary(cycle.base)
    earlier, lost = _earlier(cycle)
    sizes = _sizes(cycle)
    probes = generic_examples(reference_code.probes(), vocabulary)
    exercise = make_exercise(cycle.settings.gate.execute)
    suites = suites_of(snapshot, earlier, probes, sizes, exercise)
    smoke = _smoke(cycle, live)
    files = _files(cycle, packed, base, live)
    inviting = secret_prompts(cycle.request.seed)
    terms = _Terms(suites, sizes, inviting, _at_once(cycle, files), giving_way(cycle))
    with cycle.part("gate", "files measured"):
        read = {model: measure_file(file, suites, sizes) for model, file in files.items()}
    with cycle.part("gate", "questions answered"):
        asked = _ask(cycle, files, base, terms)
    pair = files[cycle.candidate], cycle.base
    seen = load_seen(cycle.paths.redaction_key)
    leaks = leaks_of(pair, asked[cycle.candidate], inviting, suites, sizes, vocabulary, seen)
    of_candidate, of_live, of_base = (
        measurements_of(read[model], asked[model])
        for model in (cycle.candidate, live.model, base.model)
    )
    if _slow(of_candidate, of_base, terms):
        of_candidate, of_base = _speeds_again(cycle, base, (of_candidate, of_base), terms)
    by_scale = {trial.scale: trial.dev_nll for trial in cycle.run.read_trials()}
    verdict = give_verdict(
        Comparison(of_candidate, of_live, of_base),
        CandidateFindings(smoke, packed.gains, leaks, packed.scale),
        compared_with=live.version,
        rollback_to=live.version,
        reported=ReportedOnly(
            few_shot=asked[base.model].few_shot,
            dev_by_scale=by_scale,
            packing_cost=_packing_cost(cycle, snapshot, by_scale.get(1.0)),
            rollback_seconds=_rollback_seconds(cycle),
        ),
    )
    compared = {
        cycle.candidate: of_candidate.behaviour,
        live.model: of_live.behaviour,
        base.model: of_base.behaviour,
    }
    verdict = judged_by_tests(cycle, verdict, suites.questions, compared, terms.wait)
    unprotected = cycle.run.read(cycle.run.result, TrainResult).warnings
    return replace(verdict, notes=(*verdict.notes, *unprotected, *lost, *_cut(packed)))


# --- what is measured on --------------------------------------------------------------------------


def _sizes(cycle: Cycle) -> Sizes:
    return Sizes(
        nll=cycle.settings.gate.max_tokens,
        answer=cycle.settings.gate.answer_tokens,
        context=cycle.settings.serve.context,
        cache=cycle.paths.known,
    )


def _earlier(cycle: Cycle) -> tuple[list[Snapshot], list[str]]:
    """The data sets behind the version trained on, and a note on each that cannot be read now.

    If that work was forgotten, it goes unseen.
    """
    snapshots: list[Snapshot] = []
    lost: list[str] = []
    for run in cycle.ancestors:
        try:
            snapshots.append(load_snapshot(run.snapshot))
        except StoreError as error:
            lost.append(f"the held-out work of run {run.run_id} was not compared: {error.what}")
    return snapshots, lost


def _files(cycle: Cycle, packed: Packed, base: Release, live: Release) -> dict[str, Path]:
    """The files that the compared models are served from, by model."""
    files = {
        cycle.candidate: served_file(cycle.server, cycle.candidate) or Path(packed.path),
        base.model: cycle.base,
    }
    if live != base:
        files[live.model] = _file_of(cycle, live)
    return files


def _file_of(cycle: Cycle, release: Release) -> Path:
    """The file that a version is served from.

    If it cannot be read here, the same packed again from its adapter.
    """
    if served := served_file(cycle.server, release.model):
        return served
    if release.adapter is None:
        return cycle.base
    again = cycle.run.path / f"v{release.version}.gguf"
    adapter = read_adapter(cycle.paths.data / release.adapter / ADAPTER)
    pack_file(cycle.base, adapter, again, base_weights=cycle.base_weights)
    return again


# --- what is measured -----------------------------------------------------------------------------


def _smoke(cycle: Cycle, live: Release) -> Smoke:
    """Whether the candidate works. Raises Refused if it does not answer at all."""
    with cycle.part("gate", "candidate tried"):
        smoke = smoke_test(cycle.server, cycle.candidate, live.model)
    if not smoke.answers:
        raise Refused(
            f"The packed model does not answer: {smoke.problem}", "The version before stays live."
        )
    return smoke


def _at_once(cycle: Cycle, files: Mapping[str, Path]) -> int:
    """The number of models to ask at the same time."""
    if cycle.request.engine:
        return answers_at_once(files.values())
    return 1  # a real Ollama may have to unload one model for another


def _ask(
    cycle: Cycle, files: Mapping[str, Path], base: Release, terms: _Terms
) -> dict[str, AnswerMeasurements]:
    """The answers of each model; only the base gets the few-shot prompt."""
    asking = [
        partial(
            measure_answers,
            model=model,
            suites=terms.suites,
            limits=terms.sizes,
            inviting=terms.inviting if model == cycle.candidate else (),
            few_shot=model == base.model,
        )
        for model in files
    ]
    answers = side_by_side(cycle.server, asking, at_once=terms.at_once, wait=terms.wait)
    return dict(zip(files, answers, strict=True))


def _slow(candidate: Measurements, base: Measurements, terms: _Terms) -> bool:
    """Whether the candidate looks too slow.

    Asked beside others it may have been held up by them, so then it does at any speed below the
    base's.
    """
    share = DOUBTED if terms.at_once == 1 else 1.0
    return candidate.behaviour.tokens_per_second < share * base.behaviour.tokens_per_second


def _speeds_again(
    cycle: Cycle, base: Release, pair: tuple[Measurements, Measurements], terms: _Terms
) -> tuple[Measurements, Measurements]:
    models = cycle.candidate, base.model
    with (
        cycle.part("gate", "speeds measured again"),
        Asking(cycle.server.base_url, terms.wait) as server,
    ):
        return same_moment_speeds(server, models, pair, terms.suites, terms.sizes)


# --- what is only reported ------------------------------------------------------------------------


def _cut(packed: Packed) -> list[str]:
    if not packed.lost:
        return []
    return [
        f"the joined adapter was cut to rank {packed.rank}, which lost {packed.lost:.1%} of its "
        "change (Frobenius); the gate measured what is left"
    ]


def _packing_cost(cycle: Cycle, snapshot: Snapshot, packed: float | None) -> float | None:
    """NLL a token on dev of the whole delta, as packed minus as it was trained.

    None if the two were not measured on the same tokens.
    """
    run, dev = cycle.run, snapshot.split("dev")
    if packed is None or not (run.result.exists() and run.plan.exists()):
        return None
    trained = run.read(run.result, TrainResult).dev_loss
    longest = run.read(run.plan, Plan).batches.max_length
    uncut = all(len(e.prompt_ids) + len(e.target_ids) <= longest for e in dev)
    within = sum(len(e.target_ids) for e in dev) <= cycle.settings.gate.max_tokens
    return packed - trained if trained is not None and uncut and within else None


def _rollback_seconds(cycle: Cycle) -> float | None:
    """What the last rollback on this machine took; None if that is not known.

    It is only reported, so a database that cannot be read now stops nothing.
    """
    try:
        with open_store(cycle.paths.database, readonly=True) as store:
            return rollback_seconds(store)
    except StoreError:
        return None
