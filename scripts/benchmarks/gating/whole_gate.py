"""One whole gate through real files and a real server, for `scripts/bench gate`: what it takes.

A home is filled with played work, a first version goes live without being judged, and the cycle
after it judges a candidate with the product's own settings: three models, fresh and earlier work,
every general suite, every question. Nothing is trained: both changes are random ones, which cost
the gate what learned ones do. Nothing was measured before, as after an update of llama.cpp, so a
usual gate, which knows what it measured of the live version and the base, reads less.
"""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from qi_learn.deploy.candidate import make_model
from qi_learn.deploy.journal import candidate_model, load_deployment
from qi_learn.deploy.release import Candidate, promote
from qi_learn.gate.cost import Cost, cost_of
from qi_learn.outside.gguf import read_head, sha256_of
from qi_learn.outside.ollama import Ollama
from qi_learn.pack.modelfile import modelfile_for
from qi_learn.pack.splice import pack
from qi_learn.pack.tensor_map import find_slot
from qi_learn.records import Release, TrainResult, Verdict
from qi_learn.rundir.adapter_file import Adapter, Factors, write_adapter
from qi_learn.rundir.directory import RunDirectory
from tests.support.cycles import kill_at
from tests.support.engine_server import Server, running_engine
from tests.support.tiny_models import CHATML, write_tiny_model
from tests.support.world import World

GATE = {"min_examples": 25, "answer_tokens": 256, "max_read": 120_000, "execute": 48}
"""The settings' own defaults, where the played home has smaller ones."""
QUICK_GATE = {"max_read": 60_000, "max_generated": 3000}
SESSIONS, QUICK_SESSIONS, TURNS = 30, 10, 5
"""Of each of the two cycles; a quick gate also has the smaller settings of the played home."""
TOOLS = (
    "{% if tools %}<|im_start|>system\n{% for tool in tools %}{{ tool | tojson }}{% endfor %} "
    "Answer with <tool_call>{...}</tool_call>.<|im_end|>\n{% endif %}"
)
SIZE, RANK = 0.05, 4
"""Of a random change: its numbers against the weights' own, and its rank."""


@dataclass(frozen=True, slots=True)
class WholeGate:
    """What one gate took, and what it was about."""

    cost: Cost
    suites: int
    """General suites that were judged: those with few texts are one."""
    examples: int
    """Of fresh work."""
    seconds: float
    """From the start of the cycle's process to its end, packing and all."""
    notes: tuple[str, ...]


def whole_gate(base: Path | None = None, *, quick: bool = False) -> WholeGate:
    """The cost of one gate on a base; None: a tiny random model, which takes a minute."""
    with tempfile.TemporaryDirectory(prefix="qi-whole-") as directory:
        place = Path(directory)
        base = base or _tiny_model(place / "tiny.gguf")
        (place / "engine").mkdir()
        with running_engine(place / "engine") as server:
            world = World.make(
                place / "home",
                base,
                server,
                serve={"context": 4096},
                gate=QUICK_GATE if quick else GATE,
            )
            sessions = QUICK_SESSIONS if quick else SESSIONS
            _first_version(world, server, sessions)
            return _judge(world, sessions)


def _tiny_model(path: Path) -> Path:
    """One that can everything that a suite asks for: gaps, and tools."""
    return write_tiny_model(
        path,
        layers=3,
        width=64,
        feed=128,
        context=4096,
        tensor_type="Q8_0",
        fim=True,
        template=TOOLS + CHATML,
    )


def _first_version(world: World, server: Server, sessions: int) -> None:
    """A version that held out some work and went live without being judged."""
    world.work({f"a{n}": TURNS for n in range(sessions)}, _written)
    run = world.request()
    kill_at(world, run, {("train", "begun")})
    with world.store() as store:
        world.take_in(store)
    file = world.root / "first.gguf"
    pack(world.base, _random_change(world.base, 1), file)
    _go_live(world, server, run, file)
    run.write(run.outcome, {"state": "deployed", "reason": "", "version": "1.1.0"})


def _judge(world: World, sessions: int) -> WholeGate:
    """The cycle after it, whose training is given."""
    turns = {f"b{n}": TURNS for n in range(sessions)}
    world.work(turns, _written, first=sum(turns.values()))
    run = world.request()
    run.delta.parent.mkdir(exist_ok=True)
    write_adapter(_random_change(world.base, 2), run.delta)
    run.past_fisher.write_bytes(b"")  # a candidate that is refused hands nothing on
    run.write(
        run.result,
        TrainResult(1, "steps", 1.0, 1.0, 1.0, 0.0, 0.0, 1.0, 1.0, run.delta.parent.name),
    )
    began = time.monotonic()
    world.start(run).wait()
    if not run.verdict.exists():
        told = run.outcome.read_text() if run.outcome.exists() else ""
        raise RuntimeError(f"the gate gave no verdict: {told} {run.log.read_text()[-2000:]}")
    verdict = run.read(run.verdict, Verdict)
    cost = cost_of(verdict.numbers)
    assert cost is not None
    return WholeGate(
        cost,
        sum(check.name.startswith("general_") for check in verdict.checks),
        int(verdict.numbers["person_examples"]),
        round(time.monotonic() - began, 1),
        verdict.notes,
    )


def _go_live(world: World, server: Server, run: RunDirectory, file: Path) -> None:
    digest, now = sha256_of(file), load_deployment(world.paths)
    candidate = candidate_model(world.alias, run.run_id)

    def make(version: str, model: str) -> Release:
        base = now.live_release.base_digest
        return Release(
            version, model, digest, time.time(), base, parent=now.live, run_id=run.run_id
        )

    with Ollama(server.url) as ollama:
        make_model(ollama, candidate, file, digest, modelfile_for(None, "default").as_create())
        promote(
            world.paths,
            ollama,
            Candidate(candidate, run.run_id, now.live),
            make=make,
            store=server.models,
            keep=3,
        )


def _random_change(base: Path, seed: int) -> Adapter:
    head, rng = read_head(base), np.random.default_rng(seed)
    made: dict[str, Factors] = {}
    for layer in range(2):
        for module in ("self_attn.q_proj", "mlp.down_proj"):
            name = f"model.layers.{layer}.{module}"
            tensor = find_slot(head, name).tensor
            up = rng.standard_normal((tensor.rows, RANK), dtype=np.float32)
            down = rng.standard_normal((RANK, tensor.columns), dtype=np.float32)
            made[name] = Factors(up * np.float32(SIZE * 0.02 / RANK**0.5), down)
    return Adapter(sha256_of(base), made)


def _written(n: int) -> str:
    """The n-th function of the played work: of some length, in the style of the project."""
    lines = "".join(
        f"    audit.note('{step}_{n}', value)\n    value = {step}(value, {n % 7})\n"
        for step in ("check", "order", "merge")
    )
    return (
        f"def step_{n}(value):\n    audit.enter('step_{n}')\n{lines}"
        f"    return audit.leave(value + {n})\n"
    )
