"""A training split over two processes takes the steps of one, stops and dies as one, and resumes
from one checkpoint.
"""

from __future__ import annotations

import os
import signal
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch

from qi_learn import codec
from qi_learn.plan.fallback import EXIT_NO_MEMORY
from qi_learn.records import Plan, Snapshot, TrainResult
from qi_learn.train.adapter import load_adapter
from qi_learn.train.fisher import load_fisher
from qi_learn.train.loop import Trained
from qi_learn.train.preference import Choice
from qi_learn.train.ranks import ALONE, Ranks, join_group
from qi_learn.train.supervise import LOOPBACK, runs_in_parts
from tests.support.tiny_training import one_thread, tiny_examples, tiny_plan  # noqa: F401 - a fixture
from tests.support.training_runs import DIGEST, loaded, start_worker, wait, work, write_run
from tests.train.test_loop import DATA, _train

SNAPSHOT = Snapshot(
    "s",
    0.0,
    DIGEST,
    (*tiny_examples(10), *tiny_examples(3, seed=1, tag="d", split="dev")),
    replay=tiny_examples(4, seed=2, tag="r"),
    anchors=tiny_examples(33, seed=3, tag="a"),
    yardsticks=tiny_examples(6, seed=4, tag="y"),
)


def _plan(base: Path, **changes: object) -> Plan:
    made: dict[str, object] = {
        "base_gguf": str(base),
        "dtype": "float32",
        "max_steps": 6,
        "batch_size": 2,
        "accumulation": 4,
        **changes,
    }
    return tiny_plan(**made)


def _run(directory: Path, plan: Plan) -> Path:
    """A run directory with a general Fisher of its own."""
    general = str(directory / "general.safetensors")
    return write_run(directory, codec.changed(plan, general_fisher=general), SNAPSHOT)


def _children(pid: int, words: str) -> list[int]:
    """Processes started by `pid` with `words` in their command line."""
    children = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
            command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue
        if int(fields[1]) == pid and words in command:
            children.append(int(entry.name))
    return sorted(children)


PREFERRING = replace(DATA, comparisons=(Choice(DATA.replay[0], DATA.replay[1]),))


def numbers(trained: Trained) -> list[float]:
    """The numbers on which every rank must agree."""
    state = trained.state
    assert state.best is not None
    return [state.loss, state.best, state.general, state.tokens, state.preference]


def one_of_two(rank: int, directory: Path) -> None:
    """This process as one of the two, which leaves behind what it came to."""
    one, two = (str(number) for number in (rank, 2))
    os.environ |= {"RANK": one, "WORLD_SIZE": two, "LOCAL_RANK": one, "LOCAL_WORLD_SIZE": two}
    os.environ["GLOO_SOCKET_IFNAME"] = LOOPBACK
    torch.set_num_threads(1)
    ranks = join_group(directory / "meeting", "cpu")
    run = directory / one
    run.mkdir()
    plan = tiny_plan(max_steps=4, preference_weight=0.1)
    trained, weights, _ = _train(plan, run, data=PREFERRING, ranks=ranks)
    torch.save({"weights": weights, "state": numbers(trained)}, run / "end.pt")


def test_two_processes_take_the_steps_of_one(tmp_path: Path) -> None:
    """Weights, losses, penalties and a preference, in float64; the second writes nothing."""
    ranks = [loaded().Process(target=one_of_two, args=(rank, tmp_path)) for rank in (0, 1)]
    for process in ranks:
        process.start()
    trained, expected, _ = _train(
        tiny_plan(max_steps=4, preference_weight=0.1), tmp_path / "alone", data=PREFERRING
    )
    for process in ranks:
        process.join(600)
        assert process.exitcode == 0
    state = numbers(trained)
    assert state[-1] > 0
    for rank in ("0", "1"):
        end = torch.load(tmp_path / rank / "end.pt", weights_only=True)
        assert end["state"] == pytest.approx(state, rel=1e-6)
        assert all(
            torch.allclose(end["weights"][name], expected[name], rtol=1e-4, atol=1e-7)
            for name in expected
        )
    assert sorted(path.name for path in (tmp_path / "0").iterdir()) == [
        "checkpoints",
        "end.pt",
        "progress.json",
    ]
    assert [path.name for path in (tmp_path / "1").iterdir()] == ["end.pt"]


@pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")
def test_one_killed_ends_both_and_the_run_goes_on(base: Path, tmp_path: Path) -> None:
    run = _run(tmp_path / "run", _plan(base, devices=("cpu", "cpu"), max_steps=24, patience=1000))
    worker = start_worker(run)
    wait(worker, lambda: any((run / "checkpoints").glob("*/state.json")))
    ranks = _children(worker.pid, "--part fit")
    assert len(ranks) == 2
    os.kill(ranks[1], signal.SIGKILL)
    _, err = worker.communicate()
    # a process that the system has no memory for dies like this
    assert worker.returncode == EXIT_NO_MEMORY, err
    assert "killed by signal 9" in (run / "error.json").read_text()
    assert not any(Path(f"/proc/{pid}").exists() for pid in ranks)
    assert not (run / "trained.json").exists()

    code, _, err = work(run)
    assert code == 0, err
    assert "going on from step" in err
    result = codec.loads(TrainResult, (run / "result.json").read_text())
    assert (result.steps, result.stopped) == (24, "steps")
    assert load_fisher(run / "adapter" / "past_fisher.safetensors", DIGEST).sequences == 10
    assert not list(run.glob("meeting-*"))


@pytest.mark.slow
def test_two_processes_learn_what_the_worker_alone_learns(base: Path, tmp_path: Path) -> None:
    """From plan to result, both Fishers included."""
    one = _run(tmp_path / "one", _plan(base))
    two = _run(tmp_path / "two", _plan(base, devices=("cpu", "cpu")))
    for run in (one, two):
        code, _, err = work(run)
        assert code == 0, err
    results = [codec.loads(TrainResult, (run / "result.json").read_text()) for run in (one, two)]
    for name in ("train_loss", "dev_loss", "dev_loss_before", "penalty_general"):
        assert getattr(results[1], name) == pytest.approx(getattr(results[0], name), rel=1e-4), name
    alone, shared = (
        load_adapter(run / "adapter" / "delta.safetensors", DIGEST) for run in (one, two)
    )
    assert alone.keys() == shared.keys()
    for name, change in alone.items():
        whole = change.B @ change.A
        difference = shared[name].B @ shared[name].A - whole
        assert torch.linalg.norm(difference) < 1e-3 * torch.linalg.norm(whole), name
    past = [load_fisher(run / "adapter" / "past_fisher.safetensors", DIGEST) for run in (one, two)]
    assert past[0].tokens == past[1].tokens


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")
def test_asked_to_stop_both_stop_and_none_outlives_who_started_it(
    base: Path, tmp_path: Path
) -> None:
    run = _run(
        tmp_path / "run", _plan(base, devices=("cpu", "cpu"), max_steps=4000, eval_every=1000)
    )
    for end in (signal.SIGTERM, signal.SIGKILL):
        before = (run / "progress.json").read_text() if (run / "progress.json").exists() else ""
        worker = start_worker(run)
        wait(worker, partial(_is_training, run, before))
        ranks = _children(worker.pid, "--part fit")
        worker.send_signal(end)
        _, err = worker.communicate()
        assert worker.returncode == (75 if end == signal.SIGTERM else -signal.SIGKILL), err
        wait(None, partial(_none_alive, ranks))
    assert any((run / "checkpoints").glob("*/state.json"))


def _text(path: Path) -> str:
    return path.read_text() if path.exists() else ""


def _is_training(run: Path, before: str) -> bool:
    """Whether the progress says so, and is another than it was before."""
    now = _text(run / "progress.json")
    return "training" in now and now != before


def _none_alive(pids: list[int]) -> bool:
    return not any(_alive(pid) for pid in pids)


def _alive(pid: int) -> bool:
    """Whether a process has neither ended nor become a zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_alone_nothing_is_dealt_out_or_added_up() -> None:
    assert ALONE.share([1, 2, 3]) == [1, 2, 3]
    assert ALONE.sum([1.5, 2]) == [1.5, 2]
    assert ALONE.any(True)
    assert not ALONE.any(False)
    assert [list(Ranks(rank, 2).share(range(5))) for rank in (0, 1)] == [[0, 2, 4], [1, 3]]


def test_only_what_needs_it_is_done_apart() -> None:
    assert not runs_in_parts(tiny_plan())
    assert not runs_in_parts(tiny_plan(devices=("cuda:0",)))
    assert runs_in_parts(tiny_plan(devices=("cuda:0", "cuda:1")))
    assert runs_in_parts(tiny_plan(backend="unsloth"))
