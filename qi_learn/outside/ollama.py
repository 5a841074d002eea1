"""Every call to Ollama, or to the embedded engine, which speaks the same API.

Their errors are translated here and nowhere else (`ollama_http.py`). Nothing is retried: the
callers' steps are idempotent, so the caller that knows what a step means repeats it. Three traps of
the API are closed: an error may come inside an answer that began with 200 (`create`), a blob that
is there must not be posted again (the connection is reset), and `create` from an absent model would
go to the internet for it.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from qi_learn.errors import ModelError, NotFound, ServerError
from qi_learn.outside.ollama_answer import Answer, Used, read_answer
from qi_learn.outside.ollama_http import OllamaHttp
from qi_learn.outside.ollama_names import check_digest, parse_name

INFERENCE = ("/api/chat", "/api/generate")
SPEC = ("template", "system", "parameters", "license", "messages", "renderer", "parser", "requires")
"""What a `create` from files must be given again, because it inherits nothing."""
LONG = 1800.0
"""Seconds without a sign of life that an upload, a create or an answer may take."""


@dataclass(frozen=True, slots=True)
class ServedModel:
    """A model that the server has."""

    name: str
    digest: str
    """Of its manifest: equal for two names with the same content."""
    size: int


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A model in memory."""

    name: str
    on_gpu: int
    """Bytes of it on GPUs."""
    size: int = 0
    """All its bytes."""


class Ollama:
    """A server at `base_url`. Thread-safe, and a context manager.

    `timeout` (seconds) is for the calls that should be quick. Every method raises ServerUnreachable
    if no server answers (in time), and ServerError, with the HTTP status, if the server refuses.
    """

    def __init__(self, base_url: str, *, timeout: float = 10.0) -> None:
        self._http = OllamaHttp(base_url, timeout=timeout)
        self.base_url = self._http.base_url
        self._used, self._lock = Used(), threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        self._http.close()

    # --- what is there ----------------------------------------------------------------------------

    def version(self) -> str:
        return str(self._http.json("GET", "/api/version")["version"])

    def build(self) -> str:
        """The version, and what the server tells of its llama.cpp (a real Ollama: nothing)."""
        try:
            told = str(self._http.json("GET", "/qi-learn/build")["build"])
        except ServerError as error:
            if error.status != 404:
                raise
            told = ""
        return f"{self.version()} {told}".rstrip()

    def reachable(self) -> bool:
        """Whether a server answers there as Ollama would."""
        try:
            self.version()
        except (ServerError, KeyError):
            return False
        return True

    def models(self) -> tuple[ServedModel, ...]:
        """Every model that the server has."""
        listed = self._http.json("GET", "/api/tags").get("models") or []
        return tuple(
            ServedModel(str(m["name"]), str(m.get("digest", "")), int(m.get("size", 0)))
            for m in listed
        )

    def find(self, model: str) -> ServedModel | None:
        """The model of this name (compared as Ollama does), or None."""
        key = parse_name(model).key
        return next((m for m in self.models() if parse_name(m.name).key == key), None)

    def has(self, model: str) -> bool:
        return self.find(model) is not None

    def show(self, model: str) -> dict[str, Any]:
        """Everything the server tells of a model.

        `modelfile`, `parameters`, `template`, `system`, `license`, `details`, `model_info`, ...
        """
        return self._http.json("POST", "/api/show", {"model": str(parse_name(model))})

    def weights(self, model: str) -> str | None:
        """The path at which the server keeps the model's GGUF, on its own machine.

        None if it does not say.
        """
        for line in str(self.show(model).get("modelfile", "")).splitlines():
            if line.startswith("FROM "):
                return line[5:].strip().strip('"')
        return None

    def loaded(self) -> tuple[str, ...]:
        """Names of the models in memory."""
        return tuple(m.name for m in self.in_memory())

    def in_memory(self) -> tuple[LoadedModel, ...]:
        """The models in memory."""
        listed = self._http.json("GET", "/api/ps").get("models") or []
        return tuple(
            LoadedModel(str(m["name"]), int(m.get("size_vram") or 0), int(m.get("size") or 0))
            for m in listed
        )

    # --- changing what is there -------------------------------------------------------------------

    def has_blob(self, digest: str) -> bool:
        try:
            self._http.call("HEAD", _blob(digest))
        except ServerError as error:
            if error.status == 404:
                return False
            raise
        return True

    def upload_blob(self, path: Path, digest: str) -> None:
        """Send a file unless the server has it.

        The server hashes what comes, and refuses a file that is not `digest`.

        Raises ModelError if the file cannot be read.
        """
        if self.has_blob(digest):
            return
        try:
            with path.open("rb") as file:
                self._http.call("POST", _blob(digest), content=file, timeout=LONG)
        except OSError as error:
            raise ModelError(
                f"{path} cannot be read: {error.strerror}.",
                "The file must be there and readable until it is uploaded.",
            ) from error
        except ServerError:
            # Another process may have brought it meanwhile; then this upload was cut off.
            if not self.has_blob(digest):
                raise

    def create(
        self,
        model: str,
        *,
        files: Mapping[str, str] | None = None,
        from_model: str | None = None,
        spec: Mapping[str, Any] | None = None,
    ) -> None:
        """Make a model from blobs (`files`: file name -> digest), or from a model that is there.

        `spec` holds what else it needs (the keys of `SPEC`). Raises NotFound if `from_model` is
        absent (nothing is ever pulled), ValueError for an unknown key of `spec`.
        """
        if unknown := sorted(set(spec or {}) - set(SPEC)):
            raise ValueError(f"a model's spec has no {', '.join(unknown)}")
        if from_model is not None and not self.has(from_model):
            raise NotFound(
                f"The server at {self.base_url} has no model {from_model}.",
                f"`ollama pull {from_model}` gets it.",
            )
        body: dict[str, Any] = {
            "model": str(parse_name(model)),
            **{k: v for k, v in (spec or {}).items() if v},
        }
        if files is not None:
            body["files"] = {
                name: f"sha256:{check_digest(digest)}" for name, digest in files.items()
            }
        if from_model is not None:
            body["from"] = str(parse_name(from_model))
        steps = self._http.lines("/api/create", body, timeout=LONG)
        last = str(steps[-1].get("status", "")) if steps else "nothing"
        if last != "success":
            raise ServerError(
                f"The server stopped before {model} was made (it last said: {last}).",
                "Look at the server's log, then try again.",
            )

    def copy(self, source: str, destination: str) -> None:
        """Make `destination` another name of `source`; only a manifest is written."""
        names = {"source": str(parse_name(source)), "destination": str(parse_name(destination))}
        self._http.call("POST", "/api/copy", body=names)

    def delete(self, model: str) -> None:
        body = {"model": str(parse_name(model))}
        self._http.call("DELETE", "/api/delete", body=body, timeout=60.0)

    def load(self, model: str) -> None:
        """Load the model, which takes as long as that does."""
        self._http.call(
            "POST", "/api/generate", body={"model": str(parse_name(model))}, timeout=LONG
        )

    def unload(self, model: str) -> None:
        """Ask for the model's memory back; it goes when its last answer is finished."""
        body = {"model": str(parse_name(model)), "keep_alive": 0}
        self._http.call("POST", "/api/generate", body=body, timeout=60.0)

    # --- asking it --------------------------------------------------------------------------------

    def render(self, endpoint: str, body: Mapping[str, Any]) -> str:
        """The text that the model would read for this request (with its `model`).

        Special tokens are written out. Nothing is generated.
        """
        answer = self._http.json(
            "POST",
            _inference(endpoint),
            {**body, "_debug_render_only": True, "stream": False},
            timeout=120.0,
        )
        rendered = (answer.get("_debug_info") or {}).get("rendered_template")
        if not isinstance(rendered, str):
            hint = "Update Ollama: `_debug_render_only` is needed to train on what was served."
            raise ServerError(f"The server at {self.base_url} does not show what it renders.", hint)
        return rendered

    def ask(self, ask: Mapping[str, Any], model: str) -> Answer:
        """Put a question, `{"endpoint", "body"}`, to a model and wait for the whole answer."""
        began = time.monotonic()
        answer = self._http.json(
            "POST",
            _inference(str(ask["endpoint"])),
            {**ask["body"], "model": str(parse_name(model)), "stream": False},
            timeout=LONG,
        )
        read = read_answer(answer, time.monotonic() - began)
        self.add_used(Used(read.prompt_tokens, read.answer_tokens, read.seconds))
        return read

    @property
    def used(self) -> Used:
        """What all questions together took so far."""
        return self._used

    def add_used(self, more: Used) -> None:
        """Count what another client asked in this one's name."""
        with self._lock:
            self._used = self._used + more


def served_file(server: Ollama, model: str) -> Path | None:
    """The blob that a model is served from.

    None if this process cannot read it (another machine, another user).
    """
    path = server.weights(model)
    readable = path is not None and os.path.isabs(path) and os.access(path, os.R_OK)
    return Path(path) if path is not None and readable else None


def _blob(digest: str) -> str:
    return f"/api/blobs/sha256:{check_digest(digest)}"


def _inference(endpoint: str) -> str:
    if endpoint not in INFERENCE:
        raise ValueError(f"{endpoint} is not one of {', '.join(INFERENCE)}")
    return endpoint
