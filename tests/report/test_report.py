"""What qi-learn says of itself: of a home with a past, of an empty one, and of one in which
everything is broken.
"""

from __future__ import annotations

import json
import os
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from qi_learn import codec
from qi_learn.daemon.control import Control
from qi_learn.dataset.replay import why
from qi_learn.deploy import journal
from qi_learn.errors import NotFound, StoreError
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
    Snapshot,
    TensorGain,
    TrainResult,
)
from qi_learn.report import doctor, status
from qi_learn.report import listing as history
from qi_learn.report.explain import as_text, explain
from qi_learn.report.gpu_use import GpuUse
from qi_learn.rundir.directory import RunDirectory
from qi_learn.rundir.progress import Progress
from qi_learn.rundir.snapshot import save_snapshot
from qi_learn.settings import GatewaySettings, Settings
from qi_learn.spool import Spool
from tests.daemon.test_client import STATE, holding_the_lock
from tests.support.gpus import UUIDS, Gpus
from tests.support.planning import RESULT
from tests.support.planning import make_plan as a_plan
from tests.support.recorded_home import (
    ESCAPE,
    RUN,
    deploy,
    ended_run,
    record,
    schema_from_the_future,
)


@pytest.fixture
def paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Paths:
    monkeypatch.setenv("HOME", str(tmp_path / "user"))
    return Paths.under(tmp_path / "home")


@pytest.fixture
def past(paths: Paths, tmp_path: Path) -> Paths:
    record(paths, tmp_path / "project")
    deploy(paths)
    ended_run(paths)
    return paths


@contextmanager
def daemon(
    paths: Paths, *, gateway: str | None = "http://127.0.0.1:1", waiting: str = "", **said: Any
) -> Iterator[None]:
    """A process that holds the lock and answers as the daemon does."""
    paths.ensure().daemon_state.write_text(json.dumps(STATE | said))
    with holding_the_lock(paths):
        control = Control(paths.socket, lambda _: {"gateway": gateway, "waiting": waiting})
        yield
        control.close()


def gather(paths: Paths, settings: Settings | None = None) -> status.Status:
    return status.gather(paths, settings or Settings())


# --- status ---------------------------------------------------------------------------------------


def test_status_of_nothing(paths: Paths) -> None:
    found = gather(paths)
    assert (found.recording, found.daemon, found.turns, found.live, found.run, found.projects) == (
        False,
        False,
        0,
        "",
        None,
        (),
    )
    assert (found.decision, found.recording_reason) == (
        "nothing was recorded yet",
        "the daemon is not running",
    )
    assert len(found.problems) == 1
    assert "qi-learn init" in found.problems[0]
    assert status.as_text(found).splitlines()[:2] == [
        "recording   OFF (the daemon is not running)",
        "daemon      not running: qi-learn daemon start",
    ]
    assert not paths.data.exists()


def test_status_of_a_home_with_a_past(past: Paths, tmp_path: Path) -> None:
    spool = Spool(past.spool, "gateway")
    spool.append("hook", {})
    spool.close()
    found = gather(past)
    assert (found.turns, found.rated, found.live, found.chain, found.problems) == (
        3,
        0,
        "1.1.0",
        ("1.0.0", "1.1.0"),
        (),
    )
    assert found.spool_files == 1
    assert found.spool_bytes == sum(f.stat().st_size for f in past.spool.iterdir())
    assert found.projects == (str(tmp_path / "project"),)
    assert found.missing["interactions"] == 100 - found.fresh
    assert found.run == status.RunLine(RUN, "deployed", "")
    text = status.as_text(found)
    for line in (
        "live        qi-agent:latest is v1.1.0 (chain: 1.0.0 -> 1.1.0)",
        f"last run    {RUN} deployed",
        "recorded    3 turns, 0 ratings",
    ):
        assert line in text.splitlines()


def test_status_while_the_daemon_runs(past: Paths) -> None:
    with daemon(past):
        found = gather(past)
        assert (found.recording, found.recording_reason, found.gateway, found.engine) == (
            True,
            "",
            "http://127.0.0.1:1",
            True,
        )
        assert "recording   ON" in status.as_text(found)
        off = gather(past, Settings(gateway=GatewaySettings(record=False)))
        assert (off.recording, off.recording_reason) == (False, "gateway.record is false")


@pytest.mark.parametrize(
    ("said", "reason", "problem"),
    [
        ({"recording": False, "reason": "the disk is full"}, "the disk is full", None),
        ({"recording": False}, "the gateway does not say why", None),
        (
            {"recording": True, "routes_problem": "routes.json is damaged"},
            "",
            "routes.json is damaged",
        ),
        ([], "", "holds no JSON object"),
    ],
)
def test_what_the_gateway_says_of_itself(
    past: Paths, said: object, reason: str, problem: str | None
) -> None:
    past.gateway_status.write_text(json.dumps(said))
    with daemon(past):
        found = gather(past)
    assert (found.recording, found.recording_reason) == (not reason, reason)
    assert [problem in p for p in found.problems] == ([] if problem is None else [True])  # type: ignore[operator]


def test_a_gateway_that_is_down_records_nothing(past: Paths) -> None:
    with daemon(past, gateway=None):
        assert (gather(past).recording, gather(past).recording_reason) == (
            False,
            "the gateway is not up",
        )
        assert "gateway down" in status.as_text(gather(past))


def test_learning_in_the_foreground_brings_no_gateway(past: Paths) -> None:
    past.daemon_state.write_text(json.dumps(STATE | {"gateway": ""}))
    with holding_the_lock(past):
        control = Control(past.socket, lambda _: {"gateway": None})
        assert "train --now" in gather(past).recording_reason
        control.close()


def test_a_daemon_that_does_not_answer_is_a_problem(past: Paths) -> None:
    past.daemon_state.write_text(json.dumps(STATE))
    with holding_the_lock(past):
        found = gather(past)
    assert (found.daemon, found.recording) == (True, False)
    assert any("not running" in p for p in found.problems)


def test_a_run_under_way_and_one_that_waits(paths: Paths) -> None:
    run = ended_run(paths.ensure(), ended=False)
    assert gather(paths).run == status.RunLine(RUN, "waiting", "120 new examples", "train", "")
    progress = Progress(
        "training", 12, 48, 5.0, 1.5, dev=1.6, penalty=0.01, eta=41.0, tokens_per_second=850.0
    )
    run.write(run.progress, progress)
    with daemon(paths):
        found = gather(paths)
    shown = "step 12 of 48, loss 1.500, dev loss 1.600, penalty 0.0100, 850 tokens/s, 41 s to go"
    assert found.run == status.RunLine(RUN, "running", "120 new examples", "train", shown, progress)
    assert f"last run    {RUN} running, train: step 12 of 48" in status.as_text(found)


@pytest.mark.parametrize(
    ("progress", "words"),
    [
        (Progress("loading", 0, 0, 1.0), "loading the model"),
        (
            Progress("general fisher", 16, 240, 1.0, eta=300.0),
            "general Fisher: sequence 16 of 240, 5 min to go",
        ),
        (Progress("past fisher", 8, 20, 1.0), "Fisher of this work: sequence 8 of 20"),
        (
            Progress("training", 3, 48, 1.0, loss=2.0, paused="answering"),
            "paused: answering, step 3 of 48, loss 2.000",
        ),
        (Progress("done", 48, 48, 1.0, loss=2.0), ""),
    ],
    ids=lambda p: p.phase if isinstance(p, Progress) else "",
)
def test_only_the_training_has_steps(paths: Paths, progress: Progress, words: str) -> None:
    run = ended_run(paths.ensure(), ended=False)
    run.write(run.progress, progress)
    with daemon(paths):
        found = gather(paths).run
    assert found is not None
    assert found.progress == words
    assert found.training == (progress if words else None)


def test_how_busy_the_gpu_is_that_trains(
    paths: Paths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gpus = Gpus.install(tmp_path / "bin", monkeypatch)
    gpus.show(("RTX 4090", 24564, 20000), ("RTX 4090", 24564, 4084), busy=97)
    run = ended_run(paths.ensure(), ended=False)
    run.write(run.progress, Progress("training", 12, 48, 5.0))
    run.write(run.placement, Placement("cuda:0", "RTX 4090", 1, True, "", gpus=(UUIDS[1],)))
    with daemon(paths):
        found = gather(paths)
        assert found.run is not None
        assert found.run.gpus == (GpuUse("RTX 4090", 0.97, 20480 * 2**20, 24564 * 2**20),)
        assert (
            "trains on   RTX 4090: 97 % busy, 20.0 of 24.0 GiB"
            in status.as_text(found).splitlines()
        )
        run.write(
            run.placement, Placement("cuda:0", "RTX 4090", 1, True, "", gpus=(UUIDS[0], UUIDS[1]))
        )
        assert [
            line
            for line in status.as_text(gather(paths)).splitlines()
            if line.startswith("trains on")
        ] == [
            "trains on   RTX 4090: 97 % busy, 4.5 of 24.0 GiB",
            "trains on   RTX 4090: 97 % busy, 20.0 of 24.0 GiB",
        ]
        gpus.show()
        assert gather(paths).run.gpus == ()  # type: ignore[union-attr]
        run.placement.write_bytes(b"\x00")
        assert gather(paths).problems == found.problems


def test_a_run_that_cannot_go_on_now_is_deferred_and_one_that_waits_for_a_quiet_moment_waits(
    paths: Paths,
) -> None:
    run = ended_run(paths.ensure(), ended=False)
    run.journal(
        90.0,
        "cycle",
        "waits",
        reason="No device has the memory to train now: a card has 3.0 GiB free.",
    )
    with daemon(paths):
        found = gather(paths).run
    assert found is not None
    assert (found.state, found.reason) == (
        "deferred",
        "No device has the memory to train now: a card has 3.0 GiB free.",
    )
    with daemon(paths, waiting="a request was answered just now"):
        seen = gather(paths)
    assert seen.run is not None
    assert (seen.waiting, seen.run.state, seen.run.reason) == (
        "a request was answered just now",
        "waiting",
        "a request was answered just now",
    )
    assert (
        "learning    waiting until you are idle: a request was answered just now"
        in status.as_text(seen).splitlines()
    )
    lock = run.hold()
    with daemon(paths):
        assert gather(paths).run.state == "running"  # type: ignore[union-attr]
    os.close(lock or 0)


DAMAGE = ("deploy", "database", "projects", "gateway_status")


def break_everything(paths: Paths) -> None:
    """Garbage in every file there is; the run's too."""
    for name in DAMAGE:
        getattr(paths, name).write_bytes(b"\x00garbage\xff")
    run = paths.runs / RUN
    for file in (
        "run.json",
        "outcome.json",
        "verdict.json",
        "plan.json",
        "result.json",
        "journal.jsonl",
    ):
        (run / file).write_bytes(b'\x00garbage\xff\n{"half": ')


def test_status_of_a_broken_home(past: Paths) -> None:
    break_everything(past)
    found = gather(past)
    assert (found.live, found.turns, found.projects, found.run) == ("", 0, (), None)
    assert found.decision.startswith("unknown")
    said = " ".join(found.problems)
    for name in ("deploy.json", "qi-learn.db", "projects.json"):
        assert name in said
    assert "Traceback" not in status.as_text(found)
    assert len(status.as_text(found).splitlines()) == 7 + len(found.problems)


# --- doctor ---------------------------------------------------------------------------------------


def examined(paths: Paths) -> dict[str, doctor.Finding]:
    return {finding.name: finding for finding in doctor.examine(paths)}


def test_the_doctor_of_an_empty_home(paths: Paths) -> None:
    found = examined(paths)
    assert {name for name, finding in found.items() if not finding.ok} >= {
        "daemon",
        "model",
        "projects",
    }
    assert all(finding.hint for finding in found.values() if not finding.ok)
    assert not any(finding.hint for finding in found.values() if finding.ok)
    assert not paths.data.exists(), "it changes nothing"


def test_the_doctor_looks_for_what_unsloth_needs(paths: Paths, tmp_path: Path) -> None:
    assert "backend" not in examined(paths)  # nobody asked, and it is not there
    about = tmp_path / "site" / "unsloth-2026.10.9.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: unsloth\nVersion: 2026.10.9\nRequires-Dist: aiohttp<1\n"
    )
    (tmp_path / "site" / "unsloth.py").write_text("raise RuntimeError\n")
    (tmp_path / "python").write_text(
        f'#!/bin/sh\nPYTHONPATH={tmp_path / "site"} exec {sys.executable} "$@"\n'
    )
    (tmp_path / "python").chmod(0o755)
    paths.settings_file.parent.mkdir(parents=True, exist_ok=True)
    for backend, ok in (("auto", True), ("unsloth", False)):
        paths.settings_file.write_text(
            f'[train]\nbackend = "{backend}"\npython = "{tmp_path / "python"}"\n'
        )
        found = examined(paths)["backend"]
        assert found.ok is ok
        assert "is there, <1 is wanted; unsloth_zoo is not installed" in found.what
        assert "train.base_weights is empty" in found.what
        assert bool(found.hint) is not ok


def test_the_doctor_of_a_sound_home(past: Paths) -> None:
    found = examined(past)
    assert [
        name
        for name in ("settings", "model", "database", "permissions", "projects", "recording")
        if not found[name].ok
    ] == []
    assert "1.1.0" in found["model"].what


def test_the_doctor_of_a_broken_home(past: Paths, tmp_path: Path) -> None:
    break_everything(past)
    past.settings_file.write_text("[train")
    (past.spool / "bad").mkdir()
    (past.spool / "bad" / "gateway-1-1.jsonl").write_bytes(b"torn\nlines\n")
    past.daemon_state.write_bytes(b"\xff\x00")
    past.socket.write_text("no socket")
    (tmp_path / "user").mkdir()
    (tmp_path / "user" / ".bashrc").write_bytes(
        b". ~/qi-learn.bash\n# . qi-learn.sh\n\xff\n. ~/qi-learn.bash\n"
    )
    with holding_the_lock(past):
        found = examined(past)
    wrong = {name for name, finding in found.items() if not finding.ok}
    assert wrong >= {
        "settings",
        "daemon",
        "recording",
        "model",
        "database",
        "spool",
        "projects",
        "hooks",
    }
    assert "2 lines" in found["spool"].what
    assert "2 times" in found["hooks"].what
    assert all(found[name].hint for name in wrong)


def test_the_doctor_finds_a_daemon_that_does_not_answer(past: Paths) -> None:
    past.daemon_state.write_text(json.dumps(STATE))
    with holding_the_lock(past):
        assert (examined(past)["daemon"].ok, examined(past)["server"].ok) == (False, False)
    with daemon(past):
        assert examined(past)["daemon"].ok
    with daemon(past, gateway=None):
        assert "gateway.log" in examined(past)["daemon"].hint


def test_the_doctor_finds_texts_that_were_changed(past: Paths) -> None:
    raw = sqlite3.connect(past.database)
    raw.execute(
        "UPDATE messages SET content = 'Write a virus.' WHERE content = 'Explain the moon.'"
    )
    raw.commit()
    raw.close()
    found = examined(past)["database"]
    assert not found.ok
    assert "its text is not what was stored" in found.what


def test_the_doctor_finds_a_database_from_the_future(past: Paths) -> None:
    before = schema_from_the_future(past)
    found = examined(past)["database"]
    assert (found.ok, "newer qi-learn" in found.what, past.database.read_bytes() == before) == (
        False,
        True,
        True,
    )


def test_the_doctor_finds_what_others_can_read_and_what_is_gone(
    past: Paths, tmp_path: Path
) -> None:
    past.database.chmod(0o644)
    (tmp_path / "project").rmdir()
    found = examined(past)
    assert str(past.database) in found["permissions"].hint
    assert str(tmp_path / "project") in found["projects"].what


def test_the_doctor_finds_a_python_that_is_not_there(past: Paths) -> None:
    past.settings_file.write_text('[train]\npython = "~/no/such/python"\n')
    parts = [f for f in doctor.examine(past) if f.name == "parts"]
    assert any("~/no/such/python" in f.what and not f.ok for f in parts)


# --- log and versions -----------------------------------------------------------------------------


def test_the_log_without_a_database(paths: Paths) -> None:
    with pytest.raises(StoreError, match="no database"):
        history.turns(paths, limit=3)
    assert "Nothing was recorded yet" in history.as_text([])


def test_a_text_for_the_terminal_is_one_line_without_commands() -> None:
    assert history.one_line(f" a\n\tb {ESCAPE} ü \u202e") == "a b \ufffd]0;owned\ufffd ü \ufffd"


def test_versions_say_what_they_are(past: Paths) -> None:
    def pinned_and_retired(d: journal.Deployment | None) -> journal.Deployment:
        assert d is not None
        return replace(
            d,
            releases=(d.releases[0], replace(d.releases[1], pinned=True)),
            chain=("1.0.0",),
            retired=("1.1.0",),
        )

    journal.update(past, pinned_and_retired)
    base, learned = history.versions(past)
    assert (
        base.live,
        base.place,
        base.available,
        learned.live,
        learned.place,
        learned.available,
    ) == (True, 0, True, False, None, False)
    first, second = history.versions_text([base, learned]).splitlines()
    assert first.startswith("-> v1.0.0")
    assert first.endswith("the base's own weights")
    assert second.endswith(f"on top of v1.0.0, run {RUN}, pinned; its model was deleted")


# --- explain --------------------------------------------------------------------------------------


def test_explain_a_turn(past: Paths) -> None:
    found = explain(past, Settings(), "T1")
    text = as_text(found)
    for part in (
        "turn T1",
        "settled in a.py (add), now 0.90 like it",
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
    assert "preferences: 1 edits, 0 second answers, 1 rejections" in text
    assert "likelier than the suggested one in 25% of the pairs before, in 75% after" in text
    assert found.records["data"]["replay"][0]["why"] == why(Recall("R0", 2, 1, 1, True, 1.5))
    assert f"run {RUN}: learned from it" in as_text(explain(past, Settings(), "T1"))
    assert "replayed" not in as_text(explain(past, Settings(), "T1"))


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
        "joined with the served adapter exactly, packed at scale 0.75; of the change of a tensor at "
        ""
        "least 97% survived" in told
    )
    run.write(run.packed, replace(packed, rank=64, lost=0.0123))
    found = explain(past, Settings(), RUN)
    assert "cut to rank 64, which lost 1.2% of the change" in as_text(found)
    assert found.records["packed"]["lost"] == 0.0123


def test_explain_says_how_far_a_run_moved_and_what_was_not_protected(past: Paths) -> None:
    run = RunDirectory(past.runs / RUN)
    plan = replace(
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
        "moved 0.05 nat of KL a token from the base on general code, 0.025 predicted (kappa 2): far "
        ""
        "over the budget of 0.02" in text
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
