"""What the benchmark needs beyond the base install, looked for before anything is imported."""

from __future__ import annotations

import importlib.util

from qi_learn.errors import ToolMissing
from qi_learn.outside.installation import how_to_add

NEEDED = ("torch", "transformers", "peft", "llama_cpp", "gguf", "safetensors", "threadpoolctl")


def require_parts() -> None:
    """Raise ToolMissing if a part that trains, packs or evaluates is not installed."""
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise ToolMissing(
            f"The learning benchmark needs {', '.join(missing)}, not installed here.",
            how_to_add("embedded", "train"),
        )
