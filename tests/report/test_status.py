"""`qi-learn status` of a home with a past, of an empty one, and of one in which everything is
broken.
"""

from __future__ import annotations

import json
import os
import time
from dataclasses import replace
from pathlib import Path

import pytest

from qi_learn import __version__
from qi_learn.daemon.control import Control
from qi_learn.gate.cost import Cost, cost_sentence
from qi_learn.paths import Paths
from qi_learn.records import (
    Placement,
    Snapshot,
    Verdict,
)
from qi_learn.report import doctor, status
from qi_learn.report.gpu_use import GpuUse
from qi_learn.rundir.directory import RunDirectory
from qi_learn.rundir.lost_turns import LostTurns
from qi_learn.rundir.progress import Progress
from qi_learn.rundir.snapshot import save_snapshot
from qi_learn.settings import GatewaySettings, Settings
from qi_learn.spool import Spool
from qi_learn.store.candidates import JudgedTurn, save_candidates
from qi_learn.store.database import open_store
from tests.support.broken_home import break_everything
from tests.support.fake_daemon import STATE, daemon, gateway, holding_the_lock
from tests.support.gpus import UUIDS, Gpus
from tests.support.recorded_home import (
    RUN,
    ended_run,
)


def gather(paths: Paths, settings: Settings | None = None) -> status.Status:
    return status.gather(paths, settings or Settings())


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
        "daemon      not running: `qi-learn daemon start`",
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
    assert found.run == status.RunLine(RUN, "deployed", "", short=RUN[:8])
    text = status.as_text(found)
    for line in (
        "live        qi-agent:latest is v1.1.0 (chain: 1.0.0 -> 1.1.0)",
        f"last run    {RUN[:8]} deployed",
        "recorded    3 turns, 0 ratings",
    ):
        assert line in text.splitlines()


def test_status_says_what_the_last_gate_took(past: Paths) -> None:
    run = RunDirectory(past.runs / RUN)
    cost = Cost(40_000, 8_000, 4_000, 50.0, 80.0, 152_000_000)
    verdict = run.read(run.verdict, Verdict)
    run.write(run.verdict, replace(verdict, numbers={**verdict.numbers, **cost.numbers()}))
    found = gather(past)
    assert found.run is not None
    assert found.run.cost == cost_sentence(cost)
    assert f"its gate    {cost_sentence(cost)}" in status.as_text(found).splitlines()


def test_status_counts_what_there_is_to_learn_from_and_what_can_be_no_example(
    past: Paths,
) -> None:
    assert "examples    " not in status.as_text(gather(past))
    told = (
        ("T1", "a", "", True),
        ("T2", "b", "", False),
        ("T3", None, "the answer was cut off", False),
    )
    with open_store(past.database) as store:
        ids = [row["id"] for row in store.rows("SELECT id FROM turns ORDER BY id")]
        save_candidates(
            store,
            [
                JudgedTurn(id, key, reason, "s", 0.9, 1.0, own)
                for id, (_, key, reason, own) in zip(ids, told, strict=True)
            ],
        )
    run = RunDirectory(past.runs / RUN)
    dropped = {"the answer cannot be cut into tokens exactly": 2}
    save_snapshot(run.snapshot, Snapshot(RUN, 80.0, "aa" * 32, (), dropped=dropped))
    found = gather(past)
    assert (found.fresh, found.fresh_kept) == (1, 1)
    assert found.left_out == {"the answer was cut off": 1}
    assert found.run is not None
    assert found.run.dropped == dropped
    lines = status.as_text(found).splitlines()
    assert "examples    1 new with text of your own, 1 kept as they were" in lines
    assert "no example  1 (the answer was cut off)" in lines
    assert (
        f"{'':<12}its data set left out: 2 (the answer cannot be cut into tokens exactly)" in lines
    )
    (run.snapshot / "manifest.json").write_text("{")
    damaged = gather(past)
    assert any("no complete data set" in problem for problem in damaged.problems)
    assert damaged.run is not None
    assert (damaged.run.state, damaged.run.dropped) == ("deployed", {})


def test_status_while_the_daemon_runs(past: Paths) -> None:
    with daemon(past) as gateway:
        found = gather(past)
        assert (found.recording, found.recording_reason, found.gateway, found.engine) == (
            True,
            "",
            gateway,
            True,
        )
        assert "recording   ON" in status.as_text(found)
        # what the settings say is not what the gateway does
        off = gather(past, Settings(gateway=GatewaySettings(record=False)))
        assert (off.recording, off.recording_reason) == (True, "")
    with daemon(past, recorder={"recording": False, "reason": "gateway.record is false"}):
        off = gather(past)
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
    with daemon(past, recorder=said if isinstance(said, dict) else None):
        found = gather(past)
    assert (found.recording, found.recording_reason) == (not reason, reason)
    assert [problem in p for p in found.problems] == ([] if problem is None else [True])  # type: ignore[operator]


def test_a_gateway_that_is_down_records_nothing(past: Paths) -> None:
    with daemon(past, up=False):
        assert (gather(past).recording, gather(past).recording_reason) == (
            False,
            "the gateway is not up",
        )
        assert "gateway down" in status.as_text(gather(past))


def test_the_gateway_is_asked_and_not_its_file(past: Paths) -> None:
    past.gateway_status.write_text(json.dumps({"recording": True, "reason": None}))
    full = {"recording": False, "reason": "the disk is full", "requests": 7, "recorded": 5}
    with daemon(past, recorder=full):
        found = gather(past)
    assert (found.recording, found.recording_reason) == (False, "the disk is full")
    assert "requests    7 since the gateway started, 5 recorded" in status.as_text(found)


def test_what_the_gateway_did_not_recognise_is_told(past: Paths) -> None:
    seen = {
        "unrecognised": [{"path": "/v2/chat", "client": "Zed/1 \x1b[31m", "count": 3}],
        "missing": [{"model": "qi:v1.1.0", "count": 2, "stand_in": "qwen:7b"}],
        "too_long": 1,
    }
    with daemon(past, recorder=seen):
        lines = status.as_text(gather(past)).splitlines()
        told = [f.what for f in doctor.examine(past) if f.name == "recording" and not f.ok]
    assert [line[:60] for line in lines if line.startswith("passed by")] == [
        "passed by   3 requests of Zed/1 \N{REPLACEMENT CHARACTER}[31m to /v2/chat look like ",
        "passed by   2 requests for qi:v1.1.0, which the server does ",
        "passed by   1 exchange was too long, and not recorded",
    ]
    assert len(told) == 3


def test_another_homes_gateway_is_not_believed(past: Paths) -> None:
    with daemon(past, recorder={"home": "another"}):
        found = gather(past)
    assert (found.recording, found.gateway_answers) == (False, False)
    assert "does not answer" in found.recording_reason


def test_a_gateway_that_does_not_answer_is_told_with_its_last_word(past: Paths) -> None:
    past.gateway_status.write_text(json.dumps({"recording": True}))
    os.utime(past.gateway_status, (time.time() - 600, time.time() - 600))
    with daemon(past, recorder={"home": "another"}):
        assert "it last spoke 10 min ago" in gather(past).recording_reason


def test_a_gateway_without_its_daemon_records_and_says_so(past: Paths) -> None:
    with gateway(past) as url:
        settings = Settings(gateway=GatewaySettings(port=int(url.rpartition(":")[2])))
        found = gather(past, settings)
    assert (found.recording, found.daemon, found.gateway) == (True, False, url)
    text = status.as_text(found)
    assert "recording   ON" in text
    assert f"not running: `qi-learn daemon start`; the gateway serves at {url} without it" in text


def test_a_lost_turn_stays_told_until_it_was_seen(past: Paths) -> None:
    LostTurns(past.lost_turns).add("no room on the disk", 1.0)
    LostTurns(past.lost_turns).add("no room on the disk", 2.0)  # of the next process
    found = gather(past)
    assert (found.lost.count, found.lost.reason) == (2, "no room on the disk")
    assert "lost        2 turns could not be recorded" in status.as_text(found)
    status.acknowledge_lost(past)
    assert gather(past).lost.count == 0
    LostTurns(past.lost_turns).add("the next", 3.0)
    assert gather(past).lost.count == 1


def test_faults_and_the_way_projects_are_watched_are_told(past: Paths) -> None:
    projects = [
        {"project": "/a", "mode": "watched", "why": [], "last_event": time.time() - 120},
        {"project": "/b", "mode": "polled", "why": ["nfs tells no changes"], "last_event": None},
        {"project": "/c", "mode": "starting", "why": [], "last_event": None},
    ]
    faults = [{"part": "taking in", "what": "OSError: \x1b]0;owned\x07", "seconds": 180.0}]
    with daemon(past, condition={"projects": projects, "faults": faults}):
        lines = status.as_text(gather(past)).splitlines()
    assert "projects    starting: 2 of 3 are read" in lines
    assert "            /a: watched, last change 2 min ago" in lines
    assert "            /b: polled, no change seen yet (nfs tells no changes)" in lines
    assert [line for line in lines if line.startswith("fault")] == [
        "fault       taking in: OSError: \N{REPLACEMENT CHARACTER}]0;owned\N{REPLACEMENT CHARACTER}"
        " (for 3 min)"
    ]


def test_a_loop_that_hangs_is_a_fault(past: Paths) -> None:
    with daemon(past, version=__version__):
        os.utime(past.daemon_state, (time.time() - 300, time.time() - 300))
        assert any("has not come round for 5 min" in fault for fault in gather(past).faults)


def test_settings_that_count_only_after_a_restart_are_named(past: Paths) -> None:
    past.settings_file.write_text("[gateway]\nrecord = false\n[train]\nrank = 16\n")
    started = {"train.rank": 8, "serve.keep": 4}
    with daemon(past, version=__version__, settings=started):
        (problem,) = gather(past).problems
    assert "serve.keep, train.rank changed in" in problem
    assert "daemon restart" in problem


def test_learning_in_the_foreground_brings_no_gateway(past: Paths) -> None:
    past.daemon_state.write_text(json.dumps(STATE | {"gateway": ""}))
    with holding_the_lock(past):
        control = Control(past.socket, lambda _: {"gateway": None})
        assert "train --now" in gather(past).recording_reason
        control.close()


def test_a_daemon_that_does_not_answer_is_a_fault(past: Paths) -> None:
    past.daemon_state.write_text(json.dumps(STATE))
    with holding_the_lock(past):
        found = gather(past)
    assert (found.daemon, found.recording) == (True, False)
    assert any("The daemon is there (pid" in fault for fault in found.faults)
    assert not any("daemon" in problem for problem in found.problems), "it is told once"


def test_a_run_under_way_and_one_that_waits(paths: Paths) -> None:
    run = ended_run(paths.ensure(), ended=False)
    assert gather(paths).run == status.RunLine(
        RUN, "waiting", "120 new examples", "train", "", short=RUN[:8]
    )
    progress = Progress(
        "training", 12, 48, 5.0, 1.5, dev=1.6, penalty=0.01, eta=41.0, tokens_per_second=850.0
    )
    run.write(run.progress, progress)
    with daemon(paths):
        found = gather(paths)
    shown = "step 12 of 48, loss 1.500, dev loss 1.600, penalty 0.0100, 850 tokens/s, 41 s to go"
    assert found.run == status.RunLine(
        RUN, "running", "120 new examples", "train", shown, progress, (), RUN[:8]
    )
    assert f"last run    {RUN[:8]} running, train: step 12 of 48" in status.as_text(found)


def test_the_last_run_fits_a_terminal(paths: Paths) -> None:
    """With the short id that `explain` takes, and what says the rest if there is more."""
    run = ended_run(paths.ensure())
    reason = "not better on fresh work: " + "the lower bound is 0.012 below what matters, " * 20
    run.write(run.outcome, {"state": "refused", "reason": reason, "version": None})
    found = status.gather(paths)
    assert found.run is not None
    assert (found.run.id, found.run.reason) == (RUN, reason)
    lines = status.as_text(found).splitlines()
    (at,) = [number for number, line in enumerate(lines) if "last run" in line]
    assert lines[at].startswith(f"last run    {RUN[:8]} refused: not better on fresh work: the ")
    assert lines[at].endswith("\N{HORIZONTAL ELLIPSIS}")
    assert (len(lines[at]), lines[at + 1].strip()) == (
        80,
        f"all of it: `qi-learn explain {RUN[:8]}`",
    )
    run.write(run.outcome, {"state": "refused", "reason": "not better", "version": None})
    assert f"last run    {RUN[:8]} refused: not better\n" in status.as_text(status.gather(paths))


def test_a_refused_run_says_what_would_have_helped(paths: Paths) -> None:
    run = ended_run(paths.ensure())
    run.write(run.outcome, {"state": "refused", "reason": "not better", "version": None})
    helps = ("about 60 examples from about 8 sessions", "a quarter more")
    run.write(run.verdict, Verdict(False, (), (), "none", "nothing", 1.0, "1.0.0", {}, helps))
    found = status.gather(paths)
    assert found.run is not None
    assert found.run.helps == helps
    text = status.as_text(found)
    assert "would help  about 60 examples from about 8 sessions\nwould help  a quarter more" in text
    run.verdict.write_text("{", encoding="utf-8")
    assert "would help" not in status.as_text(status.gather(paths))
    run.write(run.outcome, {"state": "deployed", "reason": "it ships", "version": "1.1.0"})
    assert "would help" not in status.as_text(status.gather(paths))


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
