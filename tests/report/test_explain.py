"""`qi-learn explain`: turns, runs and versions, and what can be read of a damaged run."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from qi_learn import codec
from qi_learn.dataset.replay import why
from qi_learn.errors import NotFound
from qi_learn.paths import Paths
from qi_learn.plan.fallback import degrade
from qi_learn.records import (
    Divergence,
    Example,
    Packed,
    Pair,
    PenaltyStrength,
    Placement,
    Plan,
    Recall,
    Score,
    Snapshot,
    TensorGain,
    TrainResult,
    Verdict,
)
from qi_learn.report import status
from qi_learn.report.explain import as_text, explain
from qi_learn.rundir.directory import RunDirectory
from qi_learn.rundir.snapshot import save_snapshot
from qi_learn.settings import Settings
from qi_learn.store.candidates import JudgedTurn, save_candidates
from qi_learn.store.database import open_store
from qi_learn.store.feedback import save_score
from tests.support.planning import RESULT
from tests.support.planning import make_plan as a_plan
from tests.support.recorded_home import (
    RUN,
)
from tests.support.redacted import as_redacted


def test_explain_a_turn(past: Paths) -> None:
    found = explain(past, Settings(), "T1")
    text = as_text(found)
    for part in (
        "turn T1",
        "question    Write add. \N{REPLACEMENT CHARACTER}]0;owned",
        "answered    by qi-agent:v1.1.0 (asked for qwen:7b) in 2 s",
        "    |     return a + b",
        "suggestion score 0.80",
        "rating 0.80, weight 3: rated 4 of 5",
        "0.70 (threshold 0.7)",
    ):
        assert part in text
    assert found.records["interaction"]["turn"]["id"] == "T1"
    assert "not scored yet" in as_text(explain(past, Settings(), "T2"))


@pytest.mark.parametrize(
    ("placement", "line"),
    [
        (
            Placement("cpu", "a CPU", 1, True, "there is no GPU", activity="/run/activity"),
            "trained on a CPU: there is no GPU; paused while requests were answered",
        ),
        (
            Placement(
                "cuda:0",
                "RTX 4090",
                1,
                True,
                "one at a time",
                gpus=("GPU-0",),
                unload=("a:7b", "b:1b"),
                holds_requests=True,
            ),
            "trained on RTX 4090: one at a time; unloaded for it: a:7b, b:1b; requests waited "
            "meanwhile",
        ),
        (
            Placement("cuda:0", "RTX 4090", 1, True, "the server keeps the other", gpus=("GPU-1",)),
            "trained on RTX 4090: the server keeps the other",
        ),
    ],
    ids=["cpu", "in turns", "beside"],
)
def test_explain_where_a_run_trained(past: Paths, placement: Placement, line: str) -> None:
    run = RunDirectory(past.runs / RUN)
    run.write(run.placement, placement)
    told = explain(past, Settings(), RUN)
    assert f"  {line}" in told.lines
    assert told.records["placement"]["gpus"] == list(placement.gpus)
    run.placement.write_bytes(b"\x00")
    assert "placement.json cannot be read" in as_text(explain(past, Settings(), RUN))


def test_explain_a_run_and_a_version(past: Paths) -> None:
    run = explain(past, Settings(), RUN)
    assert set(run.records) == {"request", "verdict", "outcome"}
    for part in (
        "120 new examples",
        "yes domain relevance",
        "NO  coherence: loops",
        "few-shot is worse",
        "at scale 0.75",
        "ended: deployed",
    ):
        assert part in as_text(run)
    for name in ("1.1.0", "v1.1.0"):
        version = explain(past, Settings(), name)
        assert (version.kind, version.id) == ("version", "1.1.0")
        assert f"learned on top of v1.0.0 by run {RUN}" in as_text(version)
        assert "yes domain relevance" in as_text(version)
    assert "nothing was learned" in as_text(explain(past, Settings(), "1.0.0"))
    with pytest.raises(NotFound, match=r"no version 9\.9\.9") as caught:
        explain(past, Settings(), "9.9.9")
    assert "v1.1.0" in caught.value.hint


def test_explain_says_what_would_have_helped_a_run_that_was_refused(past: Paths) -> None:
    run = RunDirectory(past.runs / RUN)
    verdict = replace(run.read(run.verdict, Verdict), helps=("more sessions", "a smaller change"))
    run.write(run.verdict, verdict)
    told = as_text(explain(past, Settings(), RUN))
    assert "    would have helped:\n      - more sessions\n      - a smaller change\n" in told


def test_all_numbers_of_a_verdict_are_in_the_records_by_cycle_too(past: Paths) -> None:
    run = RunDirectory(past.runs / RUN)
    numbers = {"old_nll_candidate_of_R1": 1.25, "fixed_nll_candidate": 1.5}
    run.write(run.verdict, replace(run.read(run.verdict, Verdict), numbers=numbers))
    for name in (RUN, "1.1.0"):
        assert explain(past, Settings(), name).records["verdict"]["numbers"] == numbers


def test_explain_says_which_verdict_came_to_nothing(past: Paths) -> None:
    run = RunDirectory(past.runs / RUN)
    verdict = run.read(run.verdict, Verdict)
    run.write(run.verdict, replace(verdict, compared_with="1.1.0", earlier=(verdict,)))
    told = as_text(explain(past, Settings(), RUN))
    meanwhile = f"it against {verdict.compared_with}, but another version went live meanwhile"
    assert told.index(meanwhile) < told.index("it against v1.1.0, at scale 0.75")


def test_explain_says_why_what_is_replayed_is_replayed(past: Paths) -> None:
    def example(name: str, split: Any = "train", recall: Recall | None = None) -> Example:
        return Example(
            name,
            name,
            "p",
            "t",
            (1,),
            (2,),
            (True,),
            split,
            project="/p",
            learning_type="debugging",
            recall=recall,
        )

    replayed = (
        example("T0", recall=Recall("R0", 2, 1, 1, True, 1.5)),
        example("T9", recall=Recall("R0", 1, 4, -2, False, 0.5)),
    )
    new = (example("T1"), example("T2", "dev"), example("T3", "gate"))
    sources: tuple[Any, ...] = ("edit", "reject")
    pairs = tuple(Pair(source, source, source, "p", "", "r", (1,), (), (2,)) for source in sources)
    run = RunDirectory(past.runs / RUN)
    save_snapshot(
        run.snapshot,
        Snapshot(
            RUN, 80.0, "aa" * 32, new, replayed, dropped={"the answer is empty": 2}, pairs=pairs
        ),
    )
    trained = TrainResult(
        48,
        "steps",
        1.0,
        0.9,
        1.2,
        0.0,
        0.0,
        60.0,
        900.0,
        "adapter",
        preferred_before=0.25,
        preferred=0.75,
    )
    run.write(run.result, trained)
    found = explain(past, Settings(), RUN)
    text = as_text(found)
    assert "learned from 1 examples; 1 chose, 1 judged; 2 earlier ones could be replayed" in text
    assert "of those 1 were due, 1 of them forgotten since; 1 came before their time" in text
    assert "left out: 2 (the answer is empty)" in text
    assert "text of your own" not in text, "of a data set from before, that is not known"
    assert "preferences: 1 edit, 0 second answers, 1 rejection" in text
    assert "likelier than the suggested one in 25% of the pairs before, in 75% after" in text
    assert found.records["data"]["replay"][0]["why"] == why(Recall("R0", 2, 1, 1, True, 1.5))
    assert f"run {RUN}: learned from it" in as_text(explain(past, Settings(), "T1"))
    assert "replayed" not in as_text(explain(past, Settings(), "T1"))


def test_explain_says_of_how_many_examples_the_person_wrote_something(past: Paths) -> None:
    def example(name: str, split: Any, *, own: bool) -> Example:
        return Example(
            name, name, "p", "t", (1,), (2,), (True,), split, person_mask=(own,), session="s"
        )

    run = RunDirectory(past.runs / RUN)
    examples = (
        *(example(f"T{n}", "train", own=n < 2) for n in range(5)),
        example("D", "dev", own=True),
        *(example(f"G{n}", "gate", own=n < 3) for n in range(4)),
    )
    save_snapshot(run.snapshot, Snapshot(RUN, 80.0, "aa" * 32, examples))
    found = explain(past, Settings(), RUN)
    assert found.records["data"]["own"] == {"train": 2, "dev": 1, "gate": 3}
    assert (
        "with text of your own: 2 of those learned from, 1 of those that chose, 3 of those that "
        "judged, 0 of them with more than a token to compare; the others were kept as they were"
    ) in as_text(found)


def test_explain_says_how_the_delta_was_joined_and_what_survived(past: Paths) -> None:
    run = RunDirectory(past.runs / RUN)
    packed = Packed(
        "/m.gguf",
        "cc" * 32,
        0.75,
        (TensorGain("blk.2.ffn_up.weight", "Q4_K", "Q8_0", 0.97, 0.99, 100),),
        100,
        1000,
        2.0,
        rank=24,
    )
    run.write(run.packed, packed)
    told = as_text(explain(past, Settings(), RUN))
    assert (
        "joined with the served adapter exactly, packed at scale 0.75; of the change of a tensor "
        "at least 97% survived" in told
    )
    run.write(run.packed, replace(packed, rank=64, lost=0.0123))
    found = explain(past, Settings(), RUN)
    assert "cut to rank 64, which lost 1.2% of the change" in as_text(found)
    assert found.records["packed"]["lost"] == 0.0123


def test_explain_says_how_far_a_run_moved_and_what_was_not_protected(past: Paths) -> None:
    run = RunDirectory(past.runs / RUN)
    plan = codec.changed(
        a_plan(),
        lambda_general=450.0,
        kl_budget=0.02,
        general_strength=PenaltyStrength(
            300.0, 1.5, 1.0, "the last run moved 0.01 of a budget of 0.02"
        ),
    )
    result = replace(
        RESULT, divergence_general=Divergence(0.05, 0.025, 16, 1520), warnings=("past work is not",)
    )
    run.write(run.plan, plan)
    run.write(run.result, result)
    text = as_text(explain(past, Settings(), RUN))
    assert (
        "Strength for general ability: price 300 of a nat at a budget of 0.02 nat a token, x kappa "
        "1.5" in text
    )
    assert "the last run moved 0.01 of a budget of 0.02" in text
    assert (
        "moved 0.05 nat of KL a token from the base on general code, 0.025 predicted (kappa 2): "
        "far over the budget of 0.02" in text
    )
    assert "NOTE: past work is not" in text


def test_explain_says_what_was_given_up_for_memory(past: Paths) -> None:
    run = RunDirectory(past.runs / RUN)
    run.write(run.plan, a_plan())
    assert "adapted" not in as_text(explain(past, Settings(), RUN))
    degrade(run.path, "Not enough memory to train on cpu", now=1_700_000_000.0)
    found = explain(past, Settings(), RUN)
    assert "adapted to the memory there was:" in as_text(found)
    assert "(Not enough memory to train on cpu)" in as_text(found)
    assert found.records["adapted"][0]["changes"]
    assert codec.build(Plan, found.records["plan"]) == a_plan()  # the plan is told as it was made


def test_a_reason_of_two_sentences_stands_on_one_line(past: Paths) -> None:
    ended = {"state": "refused", "reason": "It would not fit.\nTrain on fewer examples."}
    RunDirectory(past.runs / RUN).outcome.write_text(json.dumps(ended))
    for text in (
        as_text(explain(past, Settings(), RUN)),
        status.as_text(status.gather(past, Settings())),
    ):
        assert "refused" in text
        assert "It would not fit. Train on fewer examples." in text


def test_explain_says_why_a_good_answer_is_no_example(past: Paths) -> None:
    assert "no example" not in as_text(explain(past, Settings(), "T1"))
    with open_store(past.database) as store:
        save_candidates(
            store, [JudgedTurn("T1", None, "too long to train on", "s", 0.7, 1.0, False)]
        )
    assert "\n  no example: too long to train on" in as_text(explain(past, Settings(), "T1"))


def test_explain_tells_what_can_be_read_of_a_damaged_run(past: Paths) -> None:
    run = past.runs / RUN
    (run / "run.json").write_bytes(b"\x00garbage\xff")
    (run / "plan.json").write_text("{}")
    (run / "outcome.json").write_text("[]")
    text = as_text(explain(past, Settings(), "1.1.0"))
    for part in (
        "run.json cannot be read",
        "plan.json cannot be read",
        "yes domain relevance",
        "holds no JSON object",
    ):
        assert part in text


def test_explain_what_is_not_there(paths: Paths, past: Paths, tmp_path: Path) -> None:
    for place, what in (
        (past, "T99"),
        (past, ".."),
        (past, ""),
        (Paths.under(tmp_path / "none"), "T1"),
    ):
        with pytest.raises(NotFound, match="no turn, run or version"):
            explain(place, Settings(), what)


def test_why_a_target_score_is_unknown_is_said_once(past: Paths) -> None:
    why = "a suggestion is in a file and may still change: not settled"
    with open_store(past.database) as store:
        save_score(store, as_redacted(Score("T2", None, 0.0, None, None, (), (why,), 400.0)))
    lines = explain(past, Settings(), "T2").lines
    at = lines.index("  target score unknown:")
    assert lines[at + 1] == f"    {why}"
    assert not any("nothing was kept" in line for line in lines)
