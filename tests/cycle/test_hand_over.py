"""The only GPU changes hands: a cycle's process, a gateway, a server that holds models, an
nvidia-smi; and a request in the middle of it.

The worker is a small program that keeps its place until it is told to stop: there is no GPU here on
which to train.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from qi_learn import codec
from qi_learn.paths import Paths
from qi_learn.rundir.activity import held
from qi_learn.rundir.directory import RunDirectory, RunRequest
from qi_learn.rundir.snapshot import save_snapshot
from tests.support.fake_models_server import FakeModels, gguf
from tests.support.fake_ollama import ROOT, Answer, GatewayProcess, a_gateway, ask
from tests.support.gpus import Gpus
from tests.support.planning import make_plan as a_plan
from tests.support.planning import make_snapshot as a_snapshot
from tests.support.recorded_home import deploy
from tests.support.tiny_models import write_tiny_model

AGAIN, FAILED = 75, 1
MODEL = "qi-agent:v1.0.0"
WORKER = """#!{python}
import json, pathlib, signal, sys, time
run = pathlib.Path(sys.argv[4])
if (run / "saved").exists():
    (run / "error.json").write_text(json.dumps({{"what": "This is no GPU.", "todo": ""}}))
    sys.exit(1)
signal.signal(signal.SIGTERM, lambda *_: ((run / "saved").touch(), sys.exit(75)))
(run / "working").touch()
for _ in range(1000):  # a signal just before one long sleep would be seen after it
    time.sleep(0.1)
"""


@dataclass
class Box:
    """One machine with one small GPU, on which the server has a model."""

    server: FakeModels
    gpus: Gpus
    gateway: GatewayProcess
    run: RunDirectory

    @property
    def paths(self) -> Paths:
        return self.gateway.paths

    def cycle(self) -> subprocess.Popen[bytes]:
        """The cycle in a process group of its own."""
        env = {**os.environ, "QI_LEARN_HOME": str(self.paths.data.parent), "PYTHONPATH": str(ROOT)}
        with self.run.log.open("ab") as log:
            command = [sys.executable, "-m", "qi_learn.cycle", str(self.run.path)]
            return subprocess.Popen(
                command, stdout=log, stderr=log, env=env, start_new_session=True
            )

    def trains(self, process: subprocess.Popen[bytes]) -> None:
        """Until the worker works."""
        until(lambda: (self.run.path / "working").exists() or process.poll() is not None)
        assert process.poll() is None, self.run.log.read_text()

    def chat(self) -> Answer:
        return ask(
            self.gateway.url,
            "POST",
            "/api/chat",
            {"model": MODEL, "messages": [{"role": "user", "content": "Hi."}], "stream": False},
        )

    def states(self) -> list[str]:
        return [line["state"] for line in self.run.history() if line["step"] in ("train", "cycle")]


def until(holds: Callable[[], bool], seconds: float = 200.0) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.fixture
def box(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Box]:
    gpus = Gpus.install(tmp_path / "bin", monkeypatch)
    python, home = tmp_path / "python", tmp_path / "home"
    python.write_text(WORKER.format(python=sys.executable))
    python.chmod(0o755)
    base = write_tiny_model(tmp_path / "tiny.gguf", layers=3, width=64, feed=256)
    paths = Paths.under(home).ensure()
    paths.settings_file.write_text(f'[train]\npython = "{python}"\n')
    run = RunDirectory(paths.runs / "R1")
    run.path.mkdir()
    save_snapshot(run.snapshot, a_snapshot())
    run.write(run.plan, codec.changed(a_plan(), device="cuda:0", base_gguf=str(base)))
    with FakeModels(tmp_path / "models") as server, a_gateway(server.url, home) as gateway:
        list(server.make(MODEL, {"model": server.put(gguf()), "template": "{{ .Prompt }}"}))
        server.memory[MODEL] = 900_000
        gpus.show(("Tiny 1", 1, 0), apps=((0, "/usr/local/bin/ollama", 1),))
        server.on_unload = lambda _: gpus.show(("Tiny 1", 1, 1))
        run.write(
            run.request,
            RunRequest("R1", server.url, time.time(), "a test", 0, 20, str(base), "1.0.0"),
        )
        yield Box(server, gpus, gateway, run)


def test_whoever_asks_gets_the_gpu_back_and_the_training_goes_on_when_it_is_quiet(box: Box) -> None:
    process = box.cycle()
    box.trains(process)
    assert box.server.memory == {}
    assert held(box.paths.hold) is not None
    time.sleep(0.2)
    answers: list[Answer] = []
    asking = threading.Thread(target=lambda: answers.append(box.chat()))
    asking.start()
    assert process.wait(200) == AGAIN, box.run.log.read_text()
    asking.join(200)
    assert [a.status.split()[1] for a in answers] == ["200"]
    assert answers[0].json["message"]["content"] == "Hello."
    assert (box.run.path / "saved").exists()
    assert held(box.paths.hold) is None
    assert box.states() == ["begun", "placed", "unloaded", "gave way", "waits"]

    box.server.memory[MODEL] = 900_000  # it is back, for the answer
    box.gpus.show(("Tiny 1", 1, 0), apps=((0, "/usr/local/bin/ollama", 1),))
    assert box.cycle().wait(200) == AGAIN  # it is not quiet yet
    assert box.server.memory != {}
    os.utime(box.paths.activity, (time.time() - 60, time.time() - 60))
    assert box.cycle().wait(200) == FAILED, box.run.log.read_text()
    assert json.loads(box.run.outcome.read_text())["reason"].startswith("This is no GPU.")
    assert held(box.paths.hold) is None


def test_a_cycle_that_is_killed_leaves_no_traffic_held(box: Box) -> None:
    process = box.cycle()
    box.trains(process)
    assert held(box.paths.hold) is not None
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    began = time.monotonic()
    assert box.chat().status.split()[1] == "200"
    assert time.monotonic() - began < 50  # a request waits for 60 at most
    assert box.paths.hold.exists(), "nothing tidied up: it is the lock that counts"


def test_a_cancelled_training_gives_the_gpu_back(box: Box) -> None:
    deploy(box.paths)
    process = box.cycle()
    box.trains(process)
    box.run.cancel()
    process.terminate()
    assert process.wait(200) == 0, box.run.log.read_text()
    assert json.loads(box.run.outcome.read_text())["state"] == "cancelled"
    assert held(box.paths.hold) is None
    assert not box.run.held
