"""One method on its way through a stream, stage after stage.

It trains by the product's own code, in this process. For all methods and seeds the base is loaded
once, its frozen prefix computed once for each sequence and its general Fisher once: methods differ
only in what they do. Between stages the delta is joined to what is served, as a version is made,
and what a stage measured decides how strongly the next is held back, as in cycle after cycle. What
is not the product's: every stage goes live, at scale 1 (no gate, no choice on dev), and there are
no preferences. It needs torch, which is imported late.
"""

from __future__ import annotations

import copy
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import compress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qi_learn import codec
from qi_learn.bench.methods import Method
from qi_learn.bench.tasks import BenchTask
from qi_learn.dataset.replay import replay
from qi_learn.outside.gpu import find_devices
from qi_learn.pack.join import join, rank_cap
from qi_learn.paths import Paths
from qi_learn.plan.base_model import read_base
from qi_learn.plan.plan import PlanInputs, build_plan
from qi_learn.records import Example, Plan, RecallLog, Snapshot, TrainResult
from qi_learn.rundir.adapter_file import Adapter, Factors
from qi_learn.settings import Settings

if TYPE_CHECKING:
    from qi_learn.train.adapter import WeightChange
    from qi_learn.train.fisher import Fisher
    from qi_learn.train.network import Network, States


@dataclass
class Trunk:
    """What all methods and seeds share.

    The base as loaded, its prefix states, its general Fisher by plan.
    """

    gguf: Path
    digest: str
    anchors: tuple[Example, ...]
    yardsticks: tuple[Example, ...]
    cache: Path
    """Directory for Fishers of the base, kept between runs of the benchmark."""
    states: dict[int, States] = field(default_factory=dict)
    _causal: Any = None
    _general: dict[str, Fisher | None] = field(default_factory=dict)

    def plan(
        self, snapshot: Snapshot, settings: Settings, last: tuple[Plan, TrainResult] | None = None
    ) -> Plan:
        """The plan that a cycle would make for this data set after the training `last`."""
        return build_plan(
            PlanInputs(
                run_id=snapshot.id,
                snapshot=snapshot,
                base=read_base(self.gguf),
                settings=settings,
                paths=Paths.under(self.cache),
                devices=find_devices(),
                last=last,
            )
        )

    def network(self, plan: Plan) -> Network:
        """A network with the base's weights as they were loaded."""
        from qi_learn.train.load import load_causal
        from qi_learn.train.network import Network

        if self._causal is None:
            self._causal = load_causal(plan)
        return Network(
            copy.deepcopy(self._causal),
            plan,
            states=self.states.setdefault(plan.lora.first_layer, {}),
        )

    def general(self, plan: Plan) -> Fisher | None:
        """The Fisher of the shipped anchors at the base, from the cache or computed into it.

        None if the plan does not penalise the change since the base.
        """
        from qi_learn.train.run import read_data
        from qi_learn.train.run_fishers import general_fisher
        from qi_learn.train.training_run import TrainingRun

        if plan.penalties.lambda_general == 0:
            return None
        key = str(plan.penalties.general_fisher)  # the name holds all that it depends on
        if key not in self._general:
            snapshot = Snapshot("anchors", 0.0, self.digest, self.anchors[:1], (), self.anchors)
            anchors = read_data(plan, snapshot).generic
            with tempfile.TemporaryDirectory() as directory:
                run = TrainingRun(Path(directory))
                self._general[key] = general_fisher(run, plan, self.network(plan), anchors)[0]
        return self._general[key]


@dataclass
class Learner:
    """One method after the stages so far."""

    trunk: Trunk
    method: Method
    seed: int
    steps: int | None = None
    served: Adapter | None = None
    past: Fisher | None = None
    history: list[tuple[Plan, TrainResult]] = field(default_factory=list)
    """The plan and the result of each stage."""
    snapshots: list[Snapshot] = field(default_factory=list)
    memories: dict[str, RecallLog] = field(default_factory=dict)
    lost: float = 0.0
    """Largest loss by cutting the rank so far, relative to the whole change (Frobenius)."""
    seconds: float = 0.0

    def steps_for(self, task: BenchTask) -> int:
        """Steps of a stage with this task, for several stages' worth of steps at once."""
        if self.steps:
            return self.steps
        return self.trunk.plan(self._snapshot(task), self.method.settings).steps.max_steps

    def learn(self, task: BenchTask, *, steps: int | None = None) -> Network:
        """Train one stage of `steps` (None: as many as planned).

        Returns the network with the delta on it, to be measured.
        """
        from qi_learn.train.protection import Prior
        from qi_learn.train.recall import measure_after
        from qi_learn.train.run import read_data, result_of, stage
        from qi_learn.train.run_fishers import next_past_fisher
        from qi_learn.train.training_run import TrainingRun

        began = time.monotonic()
        snapshot = self._snapshot(task)
        last = self.history[-1] if self.history else None
        plan = self.method.plan(self.trunk.plan(snapshot, self.method.settings, last))
        steps = steps or self.steps or plan.steps.max_steps
        plan = codec.changed(
            plan, seed=self._seed(), max_steps=steps, warmup_steps=max(1, steps // 16)
        )
        data = read_data(plan, snapshot)
        network = self.trunk.network(plan)
        with tempfile.TemporaryDirectory() as directory:
            run = TrainingRun(Path(directory))
            prior = Prior(self._changes(), self.trunk.general(plan), self.past)
            trained = stage(network, plan, data, run, prior)
            if self.method.scale != 1:
                scaled = {
                    name: replace(change, B=self.method.scale * change.B)
                    for name, change in network.delta().items()
                }
                network.load(scaled)
            self.memories[snapshot.id] = measure_after(
                run.directory, network, plan, data, trained.state.step
            )
            if plan.penalties.lambda_past:
                self.past = next_past_fisher(run, network, data.new, self.past)
        self._join(network.delta())
        self.snapshots.append(snapshot)
        self.history.append((plan, result_of(trained, network, time.monotonic() - began)))
        self.seconds += time.monotonic() - began
        return network

    def _seed(self) -> int:
        return self.seed * 1000 + len(self.snapshots)

    def _snapshot(self, task: BenchTask) -> Snapshot:
        """The data set of the cycle that learns this task now."""
        fresh = Snapshot(
            f"{len(self.snapshots)} {task.name}",
            0.0,
            self.trunk.digest,
            (*task.train, *task.dev),
            anchors=self.trunk.anchors,
            yardsticks=self.trunk.yardsticks,
        )
        old = replay(
            self.snapshots,
            fresh.examples,
            base_digest=fresh.base_digest,
            seed=self._seed(),
            recall_logs=self.memories,
            capacity=self.method.settings.train.replay,
        )
        return replace(fresh, replay=old)

    def _changes(self) -> dict[str, WeightChange]:
        import torch

        from qi_learn.train.adapter import WeightChange

        modules = self.served.modules if self.served else {}
        return {
            name: WeightChange(torch.from_numpy(f.down), torch.from_numpy(f.up))
            for name, f in modules.items()
        }

    def _join(self, delta: dict[str, WeightChange]) -> None:
        fresh = Adapter(
            self.trunk.digest,
            {
                name: Factors(c.B.float().cpu().numpy(), c.A.float().cpu().numpy())
                for name, c in delta.items()
            },
        )
        cap = rank_cap(fresh, self.trunk.gguf.stat().st_size)
        self.served, lost = join(self.served, fresh, 1.0, rank_cap=cap)
        self.lost = max(self.lost, lost)


def score(
    network: Network, tasks: Sequence[BenchTask], *, say: Callable[[str], None] = lambda _: None
) -> list[float]:
    """Share of the person's tokens of each task's test that the network would have written itself.

    It is taken before packing. The tests are whole, as for the packed file, however long the
    sequences of the stage's own plan are. The token that ends an answer is nobody's.
    """
    from qi_learn.plan.schedule import samples

    row = []
    longest = max(len(e.prompt_ids) + len(e.target_ids) for task in tasks for e in task.test)
    for task in tasks:
        own = {e.id: e.person_mask for e in task.test}
        ordered = sorted(samples(task.test, longest), key=lambda s: len(s.ids))
        groups = [ordered[at : at + 4] for at in range(0, len(ordered), 4)]
        rights = network.lanes.map(lambda group: network.right(network.batch(group)), groups)
        right = [bool(one) for group in rights for one in group]
        person = [one for sample in ordered for one in own[sample.id]]
        row.append(sum(compress(right, person)) / sum(person))
    say(" ".join(f"{value:.3f}" for value in row))
    return row
