"""What the parts of the soak share: the home, the account of what was accepted, its commands."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[3]


@dataclass
class World:
    """A home, where it lies, and the account of what was accepted."""

    root: Path
    seed: int
    ends: float
    """On the monotonic clock."""
    upstream: str = ""
    gateway: tuple[str, int] = ("127.0.0.1", 0)
    accepted: dict[str, float] = field(default_factory=dict)
    """Markers of accepted events, with the time at which they were."""
    full: list[tuple[float, float]] = field(default_factory=list)
    """When the disk was full: from, until."""
    counts: Counter[str] = field(default_factory=Counter)

    @property
    def home(self) -> Path:
        return self.root / "home"

    @property
    def env(self) -> dict[str, str]:
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("QI_LEARN", "XDG_"))}
        return kept | {
            "QI_LEARN_HOME": str(self.home),
            "HOME": str(self.root),
            "PATH": f"{self.root / 'bin'}:{Path(sys.executable).parent}:{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "GIT_CONFIG_GLOBAL": str(self.root / "gitconfig"),
        }

    def runs(self) -> bool:
        return time.monotonic() < self.ends

    def accept(self, marker: str, kind: str) -> None:
        self.accepted[marker] = time.time()
        self.counts[kind] += 1

    def qi(self, *words: str, project: Path | None = None) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "qi_learn", *words],
            env=self.env,
            cwd=project or self.root,
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )

    def state(self, name: str) -> dict[str, Any]:
        """A process's state file; empty if it cannot be read."""
        for path in self.home.rglob(name):
            with contextlib.suppress(OSError, ValueError):
                value = json.loads(path.read_text())
                return value if isinstance(value, dict) else {}
        return {}


def git(world: World, project: Path, *words: str) -> None:
    subprocess.run(
        ["git", *words], cwd=project, env=world.env, capture_output=True, check=False, timeout=120
    )


def start(world: World) -> None:
    for _ in range(20):
        said = world.qi("daemon", "start")
        if said.returncode == 0:
            break
        time.sleep(0.5)
    else:
        raise SystemExit(f"The daemon does not start: {said.stderr}")


def in_window(world: World, moment: float) -> bool:
    return any(begin <= moment <= end for begin, end in world.full)
