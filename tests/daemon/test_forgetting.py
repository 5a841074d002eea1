"""`forget`: nothing of it is left in any file of the home, whatever dies meanwhile, and nothing
brings it back.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from qi_learn.codec import plain
from qi_learn.commands.forget import as_text, forget
from qi_learn.cycle import trigger
from qi_learn.daemon.alone import alone, complete_forgetting, forget_alone
from qi_learn.daemon.daemon import Daemon
from qi_learn.daemon.forget_receipt import read_receipt
from qi_learn.daemon.forgetting import Forgetting
from qi_learn.deploy.journal import load_deployment
from qi_learn.deploy.taint import forgotten_in, runs_trained_on, trains_from
from qi_learn.errors import DaemonError, NotFound
from qi_learn.paths import Paths
from qi_learn.records import (
    Event,
    ForgetRequest,
    Message,
    MonitoredSession,
    MonitoredText,
    Snapshot,
    VersionPair,
)
from qi_learn.report import explain, listing
from qi_learn.rundir.directory import RunDirectory, RunRequest
from qi_learn.rundir.snapshot import load_snapshot, save_snapshot
from qi_learn.settings import KeepSettings, ServeSettings, Settings
from qi_learn.spool import Spool, frame
from qi_learn.store import learnables, turns
from qi_learn.store.database import Store, open_store
from qi_learn.store.events import save_event
from qi_learn.store.monitored import apply_monitored, load_monitored
from qi_learn.store.ratings import save_rating
from tests.support import drained_spool
from tests.support import forgotten_home as home
from tests.support.drained_spool import finished_file
from tests.support.forgotten_home import ANSWER, PROJECT, RUNS, STAYING, WORD, files_with
from tests.support.hung_daemon import hung
from tests.support.redacted import as_redacted

WAYS = {
    "id": ForgetRequest(1000.0, ids=("T2",)),
    "grep": ForgetRequest(1000.0, grep=WORD.upper()),
}
SETTINGS = replace(
    Settings(),
    serve=ServeSettings(backend="ollama", base="b", ollama="http://127.0.0.1:9"),
    keep=KeepSettings(raw_days=0, scores_days=0),  # the home is of 1970
)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Paths:
    paths = Paths.under(tmp_path_factory.mktemp("made") / "home")
    home.make(paths)
    return paths


@pytest.fixture
def paths(made: Paths, tmp_path: Path) -> Paths:
    return home.copied(made, tmp_path / "home")


def stored(paths: Paths) -> set[str]:
    with open_store(paths.database) as store:
        assert turns.verify(store) == []
        return {row["id"] for row in store.rows("SELECT id FROM turns")}


def test_the_word_lies_everywhere_before(paths: Paths) -> None:
    found = files_with(paths)
    for name in ("qi-learn.db", "schema-6.backup", "train.jsonl", "replay.jsonl", "pairs.jsonl"):
        assert any(name in file for file in found), found
    assert sum("rendered.jsonl" in file for file in found) == 2
    assert sum("spool" in file for file in found) == 2


@pytest.mark.parametrize("way", WAYS)
def test_nothing_of_it_is_left(paths: Paths, way: str) -> None:
    receipt = forget(paths, WAYS[way])
    if way == "id":  # another event and a bad line said the word too, and were not the turn's own
        forget(paths, WAYS["grep"])
    assert files_with(paths) == []
    assert files_with(paths, "as a comment.") == []
    assert stored(paths) == STAYING
    assert set(receipt.turns) == {"T2", "T3"}
    assert (receipt.state, receipt.along) == ("done", 1 if way == "id" else 0)
    assert receipt.searched > 10
    assert receipt.found == ()


def test_a_list_of_projects_that_cannot_be_read_keeps_nothing_from_going(paths: Paths) -> None:
    paths.projects.write_text('{"x": [')
    assert forget(paths, ForgetRequest(1001.0, project=PROJECT)).state == "done"
    assert forget(paths, ForgetRequest(1002.0, ids=("T1",))).state == "done"
    assert not paths.forgetting.exists()


def test_what_others_need_stays(paths: Paths) -> None:
    with open_store(paths.database) as store:
        before = {id: turns.load_turn(store, id) for id in sorted(STAYING)}
    forget(paths, WAYS["id"])
    with open_store(paths.database) as store:
        assert {id: turns.load_turn(store, id) for id in sorted(STAYING)} == before
        hooks = {row["id"]: row["body"] for row in store.rows("SELECT id, body FROM events")}
        assert hooks["H1"] is None
        assert json.loads(hooks["H2"])["prompt"] == "What is the moon?"


def test_runs_stay_readable_and_say_what_is_gone(paths: Paths) -> None:
    forget(paths, WAYS["id"])
    first, second = (load_snapshot(RunDirectory(paths.runs / run).snapshot) for run in RUNS)
    assert [e.id for e in first.examples] == ["T1"]
    assert (first.pairs, second.replay) == ((), ())
    assert [e.id for e in second.examples] == ["T4"]
    explained = explain.as_text(explain.explain(paths, Settings(), RUNS[0]))
    assert "saw 1 answer that was forgotten" in explained


def test_versions_that_saw_it_are_marked(paths: Paths) -> None:
    receipt = forget(paths, WAYS["id"])
    assert [(v.version, v.model, v.turns, v.live) for v in receipt.versions] == [
        ("1.1.0", "qi-agent:v1.1.0", 1, False),
        ("1.2.0", "qi-agent:v1.2.0", 1, True),
    ]
    assert "no text can be searched for in weights" in as_text(receipt)
    listed = {v.version: v.forgot for v in listing.versions(paths)}
    assert listed["1.0.0"] == 0
    assert listed["1.1.0"] >= 1
    assert listed["1.2.0"] >= 1
    text = listing.versions_text(listing.versions(paths))
    assert text.count("forgotten") == 2
    assert "forgotten" in explain.as_text(explain.explain(paths, Settings(), "v1.2.0"))
    assert "forgotten" not in explain.as_text(explain.explain(paths, Settings(), "v1.0.0"))


def test_retrain_starts_from_the_newest_that_saw_none_of_it(paths: Paths) -> None:
    assert trains_from(load_deployment(paths)) == "1.2.0"
    assert forget(paths, WAYS["id"]).starts_from == ""
    assert trains_from(load_deployment(paths)) == "1.2.0"
    receipt = forget(paths, ForgetRequest(1001.0, grep="nothing says this", retrain=True))
    deployment = load_deployment(paths)
    assert trains_from(deployment) == receipt.starts_from == "1.0.0"
    assert runs_trained_on(deployment) == ()
    assert deployment.live == "1.2.0"  # what is live stays, until another passes the gate


def test_retrain_starts_from_a_clean_ancestor_that_is_not_the_base(paths: Paths) -> None:
    forget(paths, ForgetRequest(1000.0, ids=("T4",), retrain=True))
    deployment = load_deployment(paths)
    assert trains_from(deployment) in ("1.0.0", "1.1.0")
    clean = trains_from(deployment)
    assert forgotten_in(deployment, clean) == 0


def test_runs_on_what_was_forgotten_do_not_raise_what_is_needed(paths: Paths) -> None:
    """Else a cycle that starts anew would wait for a quarter more than the marked versions had."""
    forget(paths, ForgetRequest(1000.0, ids=("T2",), retrain=True))
    settings = replace(Settings(), train=replace(Settings().train, min_interactions=1))
    with open_store(paths.database) as store:
        store.execute("UPDATE runs SET state = 'deployed', fresh = 90")
        said = trigger.decide(store, settings, learned_runs=(), now=1e9, busy=False).reason
    assert "refused" not in said


def test_a_dry_run_says_the_same_and_writes_nothing(paths: Paths) -> None:
    before = {p: p.read_bytes() for p in home.every_file(paths)}
    planned = forget(paths, WAYS["grep"], dry_run=True)
    after = {p: p.read_bytes() for p in home.every_file(paths)}
    own = ("-shm", "-wal")  # a reader's, and empty
    assert not paths.database.with_name("qi-learn.db-wal").stat().st_size
    assert {p: b for p, b in after.items() if p.name[-4:] not in own} == {
        p: b for p, b in before.items() if p.name[-4:] not in own
    }
    done = forget(paths, WAYS["grep"])
    same = ("by", "turns", "along", "versions", "stays")
    assert [getattr(planned, n) for n in same] == [getattr(done, n) for n in same]
    spool = {"events", "bad lines", "copies of an older schema"}  # what a dry run does not take in
    assert {k: v for k, v in planned.went.items() if k not in spool} == {
        k: v for k, v in done.went.items() if k not in spool
    }
    receipt = read_receipt(paths, done.id)
    assert receipt == done
    assert WORD not in (paths.receipts / f"{done.id}.json").read_text()


def test_what_an_earlier_answer_says_too_stays_and_is_told(paths: Paths) -> None:
    """T4 asked what T1 had asked before: its answer goes, and the receipt names T1."""
    receipt = forget(paths, ForgetRequest(1000.0, ids=("T4",)))
    assert stored(paths) == {"T1", "T2", "T3", "T5"}
    assert files_with(paths, "def add(x, y)") == []
    assert any("T1" in what for what in receipt.stays)
    assert "earlier answers" in as_text(receipt)


def test_an_id_that_is_none_is_refused_and_one_that_is_gone_says_so(paths: Paths) -> None:
    with pytest.raises(NotFound, match="No answer with the id T99"):
        forget(paths, ForgetRequest(1000.0, ids=("T99",)))
    forget(paths, WAYS["id"])
    with pytest.raises(NotFound, match="forgotten before"):
        forget(paths, WAYS["id"])


# --- it does not come back ------------------------------------------------------------------------


def spooled(paths: Paths, *made: Any) -> None:
    """Lines of the gateway's for these turns, in the file of a producer that is gone."""
    lines = []
    for turn in made:
        sent = [{"role": m.role, "content": m.content} for m in turn.messages]
        answer = {"message": {"role": "assistant", "content": turn.answer}, "done": True}
        body = {
            "endpoint": "/api/chat", "request": json.dumps({"model": "m", "messages": sent}),
            "response": json.dumps(answer), "content_type": "application/json", "model_asked": "m",
            "status": 200, "started": turn.started, "ended": turn.ended,
        }  # fmt: skip
        event = Event(turn.id, "turn", turn.ended, "gateway", body, "model", turn.project)
        lines.append(frame(event))
    finished_file(paths.spool, b"".join(lines), "gateway")


def take_in(paths: Paths) -> None:
    forget_alone(paths, ForgetRequest(time.time(), grep="what nothing ever says"))


def test_the_spool_and_importers_do_not_bring_it_back(paths: Paths) -> None:
    forget(paths, ForgetRequest(1000.0, grep=WORD))
    again = {turn.id: turn for turn in home.conversation()}
    went_on = replace(
        again["T3"],
        id="T7",
        started=2000.0,
        ended=2001.0,
        messages=(*again["T3"].messages, Message("assistant", "Yes."), Message("user", "And?")),
    )
    another = home.a_turn("T8", (Message("user", "Something else entirely."),), "Yes.", 2000.0)
    spooled(
        paths,
        again["T2"],  # the line itself, from a restored file
        replace(again["T2"], id="IMPORTED", started=201.0, ended=204.0),  # a tool's own log
        went_on,  # the conversation goes on, and sends it as its history
        another,
    )
    take_in(paths)
    assert stored(paths) == STAYING | {"T8"}
    assert files_with(paths) == []


def test_the_same_words_said_anew_are_recorded(paths: Paths) -> None:
    short = home.a_turn("A1", (Message("user", "Hello"),), "Hello!", 600.0)
    spooled(paths, short)
    take_in(paths)
    forget(paths, ForgetRequest(1000.0, ids=("A1",)))
    spooled(paths, replace(short, id="A2", started=3000.0, ended=3001.0))
    take_in(paths)
    assert stored(paths) >= {"A2"}
    assert "A1" not in stored(paths)


def test_a_turn_under_way_is_forgotten_whole_or_kept_whole(paths: Paths) -> None:
    """`--since`: an answer that was still streaming arrives afterwards."""
    forget(paths, ForgetRequest(1000.0, since=150.0))
    assert stored(paths) == {"T1"}
    words = (Message("user", f"A secret {WORD} plan."),)
    spooled(
        paths,
        home.a_turn("U1", words, f"{WORD}: yes.", 990.0),  # began before it was asked
        home.a_turn("U2", (Message("user", "Begun later, told whole."),), "Yes, whole.", 1001.0),
    )
    take_in(paths)
    assert stored(paths) == {"T1", "U2"}
    assert files_with(paths) == []
    with open_store(paths.database) as store:
        assert turns.load_turn(store, "U2").answer == "Yes, whole."
        for table in ("suggestions", "scores", "feedback"):
            assert not store.rows(f"SELECT 1 FROM {table} WHERE turn_id = 'U1'")


def test_a_project_goes_with_its_commands_and_stays_away(paths: Paths) -> None:
    paths.projects.write_text(json.dumps([PROJECT]))
    receipt = forget(paths, ForgetRequest(1000.0, project=PROJECT))
    assert any("init --remove" in what for what in receipt.stays)
    assert stored(paths) == STAYING
    with open_store(paths.database) as store:
        assert store.rows("SELECT id FROM commands") == []
        assert not store.rows("SELECT 1 FROM events WHERE project = ?", (PROJECT,))
    old = home.a_turn("I1", (Message("user", "Older, from a log."),), "Yes.", 50.0, project=PROJECT)
    new = replace(old, id="I2", started=2000.0, ended=2001.0)
    spooled(paths, old, new)
    take_in(paths)
    assert stored(paths) == STAYING | {"I2"}
    assert [f for f in files_with(paths, f'"{PROJECT}"') if "projects.json" not in f] == []


@pytest.mark.parametrize("way", ["T2", "project"])
def test_the_words_of_a_rating_go_though_it_names_neither_turn_nor_project(
    paths: Paths, way: str
) -> None:
    body = {"turn": "last", "comment": "A secret of the sea."}
    with open_store(paths.database) as store:
        event = as_redacted(Event("G2", "rating", 203.0, "cli", body, "person"))
        save_event(store, event, taken=203.0)
        assert save_rating(store, event) == "T2"
    asked = {"T2": ForgetRequest(1000.0, ids=("T2",))}
    forget(paths, asked.get(way) or ForgetRequest(1000.0, project=PROJECT))
    assert files_with(paths, "secret of the sea") == []


def test_a_living_producer_opens_another_file(paths: Paths) -> None:
    """The raw line lies in a file that the gateway holds open: it goes, and nothing is lost."""
    spool = Spool(paths.spool, "gateway")
    spool.append("hook", {"prompt": f"raw {WORD}"}, author="agent")
    forget(paths, WAYS["grep"])
    assert files_with(paths) == []
    spool.append("hook", {"prompt": "afterwards"}, author="agent")
    take_in(paths)
    spool.close()
    with open_store(paths.database) as store:
        assert store.rows("SELECT 1 FROM events WHERE body LIKE '%afterwards%'")


def test_a_reader_in_the_way_is_waited_for(paths: Paths) -> None:
    take_in(paths)
    with open_store(paths.database, readonly=True) as reader:
        reader.conn.execute("BEGIN")
        assert reader.rows("SELECT count(*) FROM turns")
        with open_store(paths.database) as store:
            forgetting = Forgetting(paths, cancel=lambda run: None)
            forgetting.begin(store, WAYS["grep"])
            asked = time.monotonic() + 300
            while "reader" not in forgetting.waits_for and time.monotonic() < asked:
                assert forgetting.go_on(store, 1.0) is None
                drained_spool.take(store, paths.spool)
            receipt = read_receipt(paths, forgetting.job.id)
            assert receipt is not None
            assert "reader" in as_text(receipt)
            reader.conn.execute("COMMIT")
            assert forgetting.go_on(store, 1.0) is not None
    assert files_with(paths) == []


def test_a_context_that_says_it_is_cut_and_its_turn_stays(paths: Paths) -> None:
    with open_store(paths.database) as store:
        said = {"readme": f"{WORD} " + "x" * 300}
        moon = replace(home.conversation()[4], id="C1", context=said, started=600.0, ended=601.0)
        turns.save_turn(
            store, as_redacted(replace(moon, messages=(Message("user", "What is the sun?"),)))
        )
    receipt = forget(paths, WAYS["grep"])
    assert stored(paths) == STAYING | {"C1"}
    assert receipt.went["contexts"] == 1
    assert any("made again" in what for what in receipt.stays)
    assert files_with(paths) == []


# --- kept, but never learned ----------------------------------------------------------------------


def evidence(store: Store) -> set[str]:
    found = learnables.learnable_turns(store, threshold=0.5, learned=set())
    return {turn.id for turn in found.fresh}


def test_keep_record_keeps_it_and_no_data_set_has_it(paths: Paths) -> None:
    with open_store(paths.database) as store:
        assert evidence(store) == {"T2", "T4"}
    receipt = forget(paths, replace(WAYS["id"], keep_record=True))
    assert stored(paths) == STAYING | {"T2", "T3"}
    with open_store(paths.database) as store:
        assert evidence(store) == {"T4"}
        gone = learnables.load_evidence(store, threshold=0.5, learned=set(), earlier={"T2"}).gone
        assert gone == {"T2"}
    first = load_snapshot(RunDirectory(paths.runs / RUNS[0]).snapshot)
    assert [e.id for e in first.examples] == ["T1"]
    assert [v.version for v in receipt.versions] == ["1.1.0", "1.2.0"]
    text = listing.as_text(listing.turns(paths, limit=9))
    assert text.count("(never learned)") == 2
    assert "never learned from" in as_text(receipt)


# --- by the daemon --------------------------------------------------------------------------------


def test_the_daemon_forgets_and_ends_a_cycle_that_learns_from_it(
    paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QI_LEARN_HOME", str(paths.data.parent))
    run = RunDirectory(paths.runs / "01HZXW0000000000000000RN03")
    run.path.mkdir()
    run.write(run.request, RunRequest(run.run_id, "u", 1.0, "why", 0, 1, "/b.gguf", "1.0.0"))
    save_snapshot(run.snapshot, Snapshot(run.run_id, 3.0, "ab", (home.example("T2", ANSWER),)))
    with Daemon(paths, SETTINGS, gateway=False) as daemon, ThreadPoolExecutor(1) as pool:
        asked = pool.submit(forget, paths, WAYS["grep"])
        until = time.monotonic() + 300
        while not asked.done() and time.monotonic() < until:
            daemon.tick()
            time.sleep(0.05)
        receipt = asked.result(timeout=1)
    assert receipt.state == "done"
    assert files_with(paths) == []
    assert run.ended
    assert json.loads(run.outcome.read_text())["state"] == "cancelled"
    assert load_snapshot(run.snapshot).examples == ()


def test_a_daemon_completes_what_was_killed(made: Paths, tmp_path: Path) -> None:
    for step in range(10, 200, 5):
        paths = home.copied(made, tmp_path / f"home{step}")
        in_a_child(paths, WAYS["grep"], die_after=step)
        if paths.forgetting.exists():
            break
    assert paths.forgetting.exists()
    with Daemon(paths, SETTINGS, gateway=False) as daemon:
        until = time.monotonic() + 300
        while paths.forgetting.exists() and time.monotonic() < until:
            daemon.tick()
            time.sleep(0.05)
    assert files_with(paths) == []
    assert stored(paths) == STAYING


# --- killed anywhere ------------------------------------------------------------------------------


def in_a_child(paths: Paths, request: ForgetRequest, *, die_after: int) -> int:
    """Forget in a forked child, which kills itself at its `die_after`-th step; how it ended.

    A step is some work of SQLite or a file opened, written, renamed or deleted, so that the product
    needs no place made for crashing.
    """
    pid = os.fork()
    if pid:
        return os.waitpid(pid, 0)[1]
    steps, fresh = 0, list[Any]()

    def step(*_: object) -> int:
        nonlocal steps
        steps += 1
        if steps == die_after:
            os.kill(os.getpid(), signal.SIGKILL)
        return 0

    def seen(event: str, args: Any) -> None:
        if event in ("os.remove", "os.truncate", "os.mkdir", "os.rename", "os.chmod") or (
            event == "open" and args[2] & (os.O_WRONLY | os.O_RDWR)
        ):
            step()
        elif event == "sqlite3.connect/handle":
            fresh.append(args[0])  # it is not ready yet
        elif event == "os.scandir" and fresh:
            fresh.pop().set_progress_handler(step, 2000)

    code = 1
    try:
        sys.addaudithook(seen)
        forget_alone(paths, request)
        code = 0
    except Exception:  # noqa: BLE001 -- the child must not go on with the parent's tests
        traceback.print_exc()
    finally:
        os._exit(code)


@pytest.mark.parametrize("way", WAYS)
def test_killed_at_every_step_it_completes(made: Paths, tmp_path: Path, way: str) -> None:
    step, kills = 1, 0
    while True:
        paths = home.copied(made, tmp_path / f"home{step}")
        ended = in_a_child(paths, WAYS[way], die_after=step)
        if not ended:
            break
        assert os.WTERMSIG(ended) == signal.SIGKILL, "it failed by itself"
        kills += 1
        receipt, _ = forget_alone(paths, replace(WAYS[way], asked=1001.0))
        assert receipt.state == "done"
        assert not paths.forgetting.exists()
        if way == "grep":
            assert files_with(paths) == []
        assert files_with(paths, "as a comment.") == []
        assert stored(paths) == STAYING
        first, second = (load_snapshot(RunDirectory(paths.runs / run).snapshot) for run in RUNS)
        assert [e.id for e in (*first.examples, *second.examples)] == ["T1", "T4"]
        assert forgotten_in(load_deployment(paths), "1.2.0") == 1
        step += 1 + step // 8
    assert kills > 20


def test_killed_before_it_is_written_down_nothing_goes_and_later_all_without_asking_again(
    made: Paths, tmp_path: Path
) -> None:
    everything = stored(home.copied(made, tmp_path / "before"))
    step, told = 1, list[str]()
    while True:
        paths = home.copied(made, tmp_path / f"home{step}")
        if not in_a_child(paths, WAYS["grep"], die_after=step):
            break
        written = paths.forgetting.exists()
        if written:
            with alone(paths) as store:
                complete_forgetting(paths, store)
        gone = stored(paths) == STAYING
        if gone:
            assert files_with(paths) == []
        else:
            assert not written
            assert stored(paths) == everything
        told.append("completed" if written else "done" if gone else "nothing went")
        step += 1 + step // 8
    assert told == sorted(told, key=("nothing went", "completed", "done").index)
    assert {"nothing went", "completed"} <= set(told)


def test_a_step_is_on_the_disk_before_it_is_noted_as_done(paths: Paths) -> None:
    """A power failure must not bring rows back of which the job says that they are gone."""
    with open_store(paths.database) as store:

        def kept_safe() -> int:
            return int(store.rows("PRAGMA synchronous")[0][0])

        usual, meanwhile = kept_safe(), list[int]()
        forgetting = Forgetting(
            paths, cancel=lambda run: None, taken_away=lambda: meanwhile.append(kept_safe())
        )
        forgetting.begin(store, WAYS["id"])
        forgetting.go_on(store, 1000.0)
        assert (usual, meanwhile[0], kept_safe()) == (1, 2, 1)


def test_a_daemon_that_dies_meanwhile_is_not_waited_for(paths: Paths) -> None:
    with hung(paths, "answers") as daemon, ThreadPoolExecutor() as threads:
        asked = threads.submit(forget, paths, WAYS["grep"])
        time.sleep(1.0)
        assert not asked.done()
        daemon.kill()
        with pytest.raises(DaemonError, match="ended before all of it was forgotten"):
            asked.result(timeout=60)


def test_what_a_version_was_judged_by_after_it_shipped_goes_too(paths: Paths) -> None:
    pair = VersionPair("E1", "1.1.0", "1.0.0", 1.0)
    with open_store(paths.database) as store:
        for session, turn in (("a", "T1"), ("b", "T2")):
            text = MonitoredText(turn, 300, 90.0, 30.0)
            told = MonitoredSession(pair, session, (text,), 1.0, 1.0, 50)
            body = {"action": "monitored", "version": "1.1.0", "monitored": plain(told)}
            event = Event(f"E{turn}", "release", 5.0, "cycle", body)
            apply_monitored(store, as_redacted(event))
        before = load_monitored(store, "E1")
    receipt = forget(paths, WAYS["id"])
    assert receipt.went["monitored_texts"] == 1
    with open_store(paths.database) as store:
        left = load_monitored(store, "E1")
    assert before is not None
    assert left is not None
    assert (before.sessions, left.sessions, left.tokens_read) == (2, 1, 100)
    assert 1 < left.worse < before.worse
