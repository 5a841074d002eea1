"""What answers of a served model depend on besides the model: the server's build and the device.

An update of the server brings another llama.cpp, and a GPU counts otherwise than a CPU: what was
answered there is no answer here. Not covered: two GPUs of different kinds, and how many layers are
on one if only a part is.
"""

from __future__ import annotations

from qi_learn.outside.ollama import Ollama
from qi_learn.outside.ollama_names import parse_name


def served_build(server: Ollama, model: str) -> str:
    """The build of the server, and the device that it has loaded the model on.

    A model that is not loaded is loaded. Raises ServerError.
    """
    device = _device(server, model)
    if device is None:
        server.load(model)
        device = _device(server, model)
    return f"{server.build()} {device or 'unknown'}"


def _device(server: Ollama, model: str) -> str | None:
    """`cpu`, `gpu` or `both`; None if the model is not loaded."""
    key = parse_name(model).key
    loaded = next((m for m in server.in_memory() if parse_name(m.name).key == key), None)
    if loaded is None:
        return None
    if not loaded.on_gpu:
        return "cpu"
    return "gpu" if loaded.on_gpu >= loaded.size else "both"
