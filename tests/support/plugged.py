"""An environment in which pytest finds our plug-in as it does when qi-learn is installed there."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path

HERE = Path(__file__).parent.parent.parent


def plugged(directory: Path) -> dict[str, str]:
    """What is to stand in the environment; `directory`: an empty one, for the metadata."""
    points = tomllib.loads((HERE / "pyproject.toml").read_text("utf-8"))["project"]["entry-points"]
    info = directory / "qi_learn_here-0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: qi-learn-here\nVersion: 0\n")
    lines = "".join(f"{name} = {module}\n" for name, module in points["pytest11"].items())
    (info / "entry_points.txt").write_text(f"[pytest11]\n{lines}")
    kept = {
        k: v for k, v in os.environ.items() if not k.startswith(("PYTEST_", "QI_LEARN_", "COV_"))
    }
    return {**kept, "PYTHONPATH": f"{directory}:{HERE}"}
