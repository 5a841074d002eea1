"""The candidate against the live version, then the gate's verdict.

The suites are the same for both, for the base, and for the base with examples in its prompt.
"""

from __future__ import annotations

from dataclasses import replace

from qi_learn.cycle.account import earlier_verdicts, look_at
from qi_learn.cycle.asking import AskingTerms, ask_models, at_once, looks_slow, speeds_again
from qi_learn.cycle.compared_files import compared_files
from qi_learn.cycle.context import Cycle, base_release
from qi_learn.cycle.project_judgement import judged_by_tests
from qi_learn.cycle.reading_device import reading_device
from qi_learn.cycle.reported import reported_only
from qi_learn.cycle.resources import giving_way
from qi_learn.cycle.serving import suites_for
from qi_learn.dataset.general_suites import fixed_texts, spill_questions
from qi_learn.deploy.candidate import smoke_test
from qi_learn.deploy.journal import load_deployment
from qi_learn.errors import Refused, StoreError
from qi_learn.gate.best import PastVersions, past_versions
from qi_learn.gate.budget import LEAKS, SUITES
from qi_learn.gate.cost import Cost
from qi_learn.gate.evaluate import (
    FOR_SPEEDS,
    leaks_of,
    measurements_of,
    suites_of,
    tasks_within,
)
from qi_learn.gate.execution import make_exercise
from qi_learn.gate.leaks import LeaksFound, secret_prompts
from qi_learn.gate.measured_suites import Sizes
from qi_learn.gate.measurements import (
    CandidateFindings,
    Comparison,
)
from qi_learn.gate.prompt_cut import marks_of
from qi_learn.gate.purse import Purse
from qi_learn.gate.questions import FOR_PROJECT_TESTS, SHARES
from qi_learn.gate.read_files import FilesRead, measure_files
from qi_learn.gate.reading import build_of
from qi_learn.gate.verdict import give_verdict
from qi_learn.outside.gguf import read_head
from qi_learn.outside.llama_cpp import Vocabulary, load_vocabulary
from qi_learn.plan.base_model import read_base
from qi_learn.records import Packed, Release, Smoke, Snapshot, TrainResult, Verdict
from qi_learn.redact import load_seen
from qi_learn.rundir.snapshot import load_snapshot


def compare(cycle: Cycle, snapshot: Snapshot, packed: Packed, live: Release) -> Verdict:
    """The verdict on the candidate, against the live version on the same suites.

    The few-shot prompt is only reported. The live version decides, and some limits are against the
    base. Raises Refused if the candidate does not answer at all, ModelError, ServerError.
    """
    base, vocabulary = base_release(cycle), load_vocabulary(cycle.base)
    earlier, lost = _earlier(cycle)
    sizes = _sizes(cycle, vocabulary)
    smoke = _smoke(cycle, live)
    general, left_out = suites_for(cycle, (snapshot, *earlier))
    gate = cycle.settings.gate
    shares = FOR_PROJECT_TESTS if gate.project_tests else SHARES
    exercise = make_exercise(tasks_within(gate.execute, gate.max_generated, shares))
    spill_over = spill_questions(general)
    fixed = fixed_texts(vocabulary)
    suites = suites_of(snapshot, earlier, general, sizes, exercise, aside=spill_over, fixed=fixed)
    files = compared_files(cycle, packed, base, live)
    inviting = secret_prompts(cycle.request.seed)
    wait = giving_way(cycle, "gate")
    purse = Purse(gate.max_generated - cycle.server.used.answer_tokens - FOR_SPEEDS)
    terms = AskingTerms(suites, sizes, inviting, at_once(cycle, files), wait, purse, shares)
    device = reading_device(cycle, files.values(), wait)
    with cycle.part("gate", "files measured"):
        read = measure_files(files, suites, sizes, device)
    with cycle.part("gate", "questions answered"):
        asked = ask_models(cycle, files, live, base, terms)
    pair = files[cycle.candidate], cycle.base
    seen = load_seen(cycle.paths.redaction_key)
    found = leaks_of(pair, asked[cycle.candidate], inviting, suites, sizes, vocabulary, seen)
    of_candidate, of_live, of_base = (
        measurements_of(read.models[model], asked[model])
        for model in (cycle.candidate, live.model, base.model)
    )
    if looks_slow(of_candidate, of_base, terms):
        of_candidate, of_base = speeds_again(cycle, base, (of_candidate, of_base), terms)
    past = _past(cycle, read, live, base)
    verdict = give_verdict(
        Comparison(
            of_candidate,
            of_live,
            of_base,
            past.nll,
            unknown=past.missing,
            earlier=read.suites.earlier,
        ),
        CandidateFindings(smoke, packed.gains, found.leaks, packed.scale),
        compared_with=live.version,
        rollback_to=live.version,
        look=look_at(cycle, snapshot, live),
        reported=reported_only(
            cycle,
            snapshot,
            earlier,
            few_shot=asked[base.model].few_shot,
            old=suites.old,
            fixed={
                "candidate": read.models[cycle.candidate].fixed,
                "live": read.models[live.model].fixed,
                "base": read.models[base.model].fixed,
            },
        ),
    )
    compared = {
        cycle.candidate: of_candidate.behaviour,
        live.model: of_live.behaviour,
        base.model: of_base.behaviour,
    }
    verdict = judged_by_tests(cycle, verdict, suites.questions, compared, terms.wait)
    unprotected = cycle.run.read(cycle.run.result, TrainResult).warnings
    return replace(
        verdict,
        notes=(*verdict.notes, *unprotected, *lost, *_cut(packed), *left_out, *read.suites.notes),
        numbers={**verdict.numbers, **_cost(cycle, read, found).numbers()},
        earlier=earlier_verdicts(cycle),
    )


# --- what is measured on --------------------------------------------------------------------------


def _sizes(cycle: Cycle, vocabulary: Vocabulary) -> Sizes:
    most = cycle.settings.gate.max_read
    return Sizes(
        read=int(SUITES * most),
        answer=cycle.settings.gate.answer_tokens,
        context=cycle.settings.serve.context,
        longest=read_base(cycle.base).context,
        cache=cycle.paths.known,
        leaks=int(LEAKS * most),
        marks=marks_of(vocabulary),
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


def _past(cycle: Cycle, read: FilesRead, live: Release, base: Release) -> PastVersions:
    """What other versions than these two that were live had on earlier work."""
    deployment = load_deployment(cycle.paths)
    return past_versions(
        read.suites.old,
        directory=cycle.paths.known,
        digests=(release.digest for release in deployment.releases),
        but=(live.digest, base.digest),
        build=build_of(read.gpu_layers),
        base=base.base_digest,
    )


def _cost(cycle: Cycle, read: FilesRead, leaks: LeaksFound) -> Cost:
    """What the gate took in this process; what was broken off before is not in it."""
    used, trials = cycle.server.used, cycle.run.read_trials()
    return Cost(
        read=read.tokens + leaks.tokens + sum(trial.tokens_read for trial in trials),
        asked=used.prompt_tokens,
        generated=used.answer_tokens,
        read_seconds=read.seconds + leaks.seconds + sum(trial.seconds for trial in trials),
        generate_seconds=used.seconds,
        parameters=read_head(cycle.base).parameters,
    )


# --- what is only reported ------------------------------------------------------------------------


def _cut(packed: Packed) -> list[str]:
    if not packed.lost:
        return []
    return [
        f"the joined adapter was cut to rank {packed.rank}, which lost {packed.lost:.1%} of its "
        "change (Frobenius); the gate measured what is left"
    ]
