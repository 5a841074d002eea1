"""A process that is killed in the middle: at every file that it touches, and at every call to the
server, before and after the call took effect.

At every instant the alias, the routes and the journal lead to a complete, gated model, and the same
step run again completes.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from qi_learn.deploy.journal import load_deployment
from qi_learn.errors import NotFound
from qi_learn.outside.ollama import Ollama
from qi_learn.paths import Paths
from tests.support import deploy_crash_child as child
from tests.support import fake_models_server as fake

ALIAS = child.ALIAS
BASE, R1, R2, R3 = map(child.digest_of, ("base", "R1", "R2", "R3"))
GATED = {"base": [BASE], "promote": [R2, R3], "rollback": [R2, R1]}
"""What may be live during a step; the last one is live when the step is done."""
STEPS = ["base", "promote", "rollback"]
MOST = 400


class World:
    """A home, a server, and a process that forks the steps to kill."""

    def __init__(self, root: Path, models: fake.FakeModels, zygote: subprocess.Popen[str]) -> None:
        self.root, self.models, self.zygote = root, models, zygote
        self.paths = Paths.under(root / "home")

    def prepare(self, name: str, local: bool) -> None:
        """Make the state that the step starts from, and keep a copy for every round."""
        fake.clear(self.models.root)
        shutil.rmtree(self.root / "home", ignore_errors=True)
        self.paths.ensure()
        if name != "base":
            with Ollama(self.models.url) as server:
                store = self.models.root if local else None
                child.base(self.root, server, store)
                child.promote(self.root, server, store, "R1", "1.0.0")
                child.promote(self.root, server, store, "R2", "1.1.0")
        for part in ("home", "store"):
            shutil.copytree(self.root / part, self.root / "kept" / part)

    def restore(self) -> None:
        """Put the kept state back."""
        for part in ("home", "store"):
            shutil.rmtree(self.root / part)
            shutil.copytree(self.root / "kept" / part, self.root / part)
        self.models.calls.clear()
        self.models.seen.clear()

    def run(
        self, name: str, local: bool, *, die_at: int = 0, strike: tuple[int, bool] | None = None
    ) -> int:
        """Run the step in a process of its own; its exit code."""
        assert self.zygote.stdin is not None
        assert self.zygote.stdout is not None
        order = {
            "step": name,
            "root": str(self.root),
            "url": self.models.url,
            "die_at": die_at,
            "local": local,
        }
        self.zygote.stdin.write(json.dumps(order) + "\n")
        self.zygote.stdin.flush()
        pid = int(self.zygote.stdout.readline())
        self.models.strike = fake.Strike(pid, *strike) if strike else None
        self.zygote.stdin.write("go\n")
        self.zygote.stdin.flush()
        code = int(self.zygote.stdout.readline())
        self.models.strike = None
        return code

    def assert_sound(self, name: str, when: str) -> None:
        """Assert that a request gets a complete, gated model now, whatever way it takes."""
        seen = {w for w in self.models.seen if name != "base" or w is not None}
        assert seen <= set(GATED[name]), when
        alias = self.models.weights(ALIAS)
        assert alias in GATED[name] or (name == "base" and alias is None), when
        try:
            deployment = load_deployment(self.paths)
        except NotFound:
            assert name == "base", when
            assert not self.paths.routes.exists(), when
            return
        assert self.models.weights(deployment.live_release.model) in GATED[name], when
        if self.paths.routes.exists() or name != "base":
            routed = json.loads(self.paths.routes.read_text())["live"]
            assert self.models.weights(routed) in GATED[name], when

    def assert_done(self, name: str, when: str) -> None:
        expected = {
            "base": [ALIAS, "qi-agent:v1.0.0"],
            "promote": [ALIAS, "qi-agent:v1.0.0", "qi-agent:v1.2.0", "qi-agent:v1.3.0"],
            "rollback": [ALIAS, "qi-agent:v1.0.0", "qi-agent:v1.1.0", "qi-agent:v1.2.0"],
        }[name]
        deployment = load_deployment(self.paths)
        assert self.models.names() == expected, when
        assert self.models.weights(ALIAS) == GATED[name][-1] == deployment.live_release.digest, when
        routed = json.loads(self.paths.routes.read_text())["live"]
        assert routed == deployment.live_release.model, when
        assert deployment.announced is None, when
        assert [p.name for p in self.paths.data.iterdir() if p.name.endswith(".tmp")] == [], when
        assert sorted(p.name for p in self.models.root.iterdir()) == ["blobs", "manifests"], when


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    command = [sys.executable, "-m", "tests.support.deploy_crash_child"]
    path = {
        "PYTHONPATH": str(Path(__file__).parent.parent.parent),
        "PATH": "/usr/bin:/bin",
    }
    zygote = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=path
    )
    with fake.FakeModels(tmp_path / "store", watched=ALIAS) as models, zygote:
        yield World(tmp_path, models, zygote)
        assert zygote.stdin is not None
        zygote.stdin.close()


SLOW = pytest.mark.slow
"""The other way of moving the alias, at the same moments: the quick run has each moment once."""


@pytest.mark.parametrize(
    "local", [pytest.param(True, id="by rename"), pytest.param(False, id="by copy", marks=SLOW)]
)
@pytest.mark.parametrize("name", STEPS)
def test_killed_at_every_file_and_call(world: World, name: str, local: bool) -> None:
    world.prepare(name, local)
    killed = 0
    for number in range(1, MOST):
        world.restore()
        code = world.run(name, local, die_at=number)
        world.assert_sound(name, f"killed at event {number}")
        if code == 0:
            break
        assert code == 9
        killed += 1
        assert world.run(name, local) == 0, f"run again after event {number}"
        world.assert_sound(name, f"run again after event {number}")
        world.assert_done(name, f"run again after event {number}")
    assert 10 < killed < MOST - 1


@pytest.mark.parametrize(
    "local", [pytest.param(True, id="by rename", marks=SLOW), pytest.param(False, id="by copy")]
)
@pytest.mark.parametrize(
    "after",
    [
        pytest.param(False, id="before it took effect", marks=SLOW),
        pytest.param(True, id="after it took effect"),
    ],
)
@pytest.mark.parametrize("name", STEPS)
def test_killed_at_every_call_by_the_server(
    world: World, name: str, after: bool, local: bool
) -> None:
    world.prepare(name, local)
    killed = 0
    for number in range(1, MOST):
        world.restore()
        code = world.run(name, local, strike=(number, after))
        world.assert_sound(name, f"killed at call {number}")
        if code == 0:
            break
        assert code == -9
        killed += 1
        assert world.run(name, local) == 0, f"run again after call {number}"
        world.assert_done(name, f"run again after call {number}")
    assert 4 < killed < MOST - 1
