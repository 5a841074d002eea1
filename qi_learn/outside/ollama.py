"""Every call to Ollama, or to the embedded engine, which speaks the same API; their errors are
translated here and nowhere else.

Nothing is retried: the callers' steps are idempotent, so the one who knows what a step means
repeats it. Three traps of the API are closed here: an error may come inside an answer that began
with 200 (`create`), a blob that is there must not be posted again (the connection is reset), and
`create` from an absent model would go to the internet for it.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

from qi_learn.errors import DiskFull, ModelError, NotFound, ServerError, ServerUnreachable
from qi_learn.outside.ollama_names import check_digest, parse_name

INFERENCE = ("/api/chat", "/api/generate")
SPEC = ("template", "system", "parameters", "license", "messages", "renderer", "parser", "requires")
"""What a `create` from files must be told again, because it inherits nothing."""
LONG = 1800.0
"""Seconds without a sign of life that an upload, a create or an answer may take."""


@dataclass(frozen=True, slots=True)
class ServedModel:
    """A model the server has.

    `digest` is of its manifest: equal for two names with the same content.
    """

    name: str
    digest: str
    size: int


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A model in memory, and how much of it is on GPUs (bytes)."""

    name: str
    on_gpu: int


@dataclass(frozen=True, slots=True)
class Answer:
    """One whole answer.

    `seconds` is the time spent generating, as the server measured it, else as we did.
    """

    text: str
    done_reason: str
    prompt_tokens: int
    answer_tokens: int
    seconds: float
    tool_text: str = ""
    """The texts in the arguments of tool calls, where the model answered with those."""


class Ollama:
    """A server at `base_url`. `timeout` (seconds) is for the calls that should be quick;
    thread-safe; a context manager.

    Every method raises ServerUnreachable where nobody answers (in time) and ServerError, with the
    HTTP status, where the server refuses.
    """

    def __init__(self, base_url: str, *, timeout: float = 10.0) -> None:
        self.base_url = base_url.rstrip("/")
        if not self.base_url.startswith(("http://", "https://")):
            raise ServerError(
                f"{base_url!r} is not the address of a server.",
                "It looks like http://127.0.0.1:11434 (setting `serve.ollama`).",
            )
        # One connection a call: a kept one may be closed by the server just as it is used, and
        # nothing here is retried. No proxy from the environment.
        limits = httpx.Limits(max_keepalive_connections=0)
        secure = self.base_url.startswith(
            "https:"
        )  # without it reading every certificate authority would take longer than the calls
        with self._translated(""):
            self._client = httpx.Client(
                base_url=self.base_url,
                timeout=timeout,
                trust_env=False,
                limits=limits,
                verify=secure,
            )

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
        self._client.close()

    # --- what is there ----------------------------------------------------------------------------

    def version(self) -> str:
        return str(self._json("GET", "/api/version")["version"])

    def reachable(self) -> bool:
        """Whether somebody answers there as Ollama would."""
        try:
            self.version()
        except (ServerError, KeyError):
            return False
        return True

    def models(self) -> tuple[ServedModel, ...]:
        listed = self._json("GET", "/api/tags").get("models") or []
        return tuple(
            ServedModel(str(m["name"]), str(m.get("digest", "")), int(m.get("size", 0)))
            for m in listed
        )

    def find(self, model: str) -> ServedModel | None:
        """The model under this name (compared as Ollama does), or None."""
        key = parse_name(model).key
        return next((m for m in self.models() if parse_name(m.name).key == key), None)

    def has(self, model: str) -> bool:
        return self.find(model) is not None

    def show(self, model: str) -> dict[str, Any]:
        """Everything the server tells of a model: `modelfile`, `parameters`, `template`, `system`,
        `license`, `details`, `model_info`, ...
        """
        return self._json("POST", "/api/show", {"model": str(parse_name(model))})

    def weights(self, model: str) -> str | None:
        """Where the server keeps the model's GGUF (a path on its own machine), or None where it
        does not say.
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
        return tuple(
            LoadedModel(str(m["name"]), int(m.get("size_vram") or 0))
            for m in self._json("GET", "/api/ps").get("models") or []
        )

    # --- changing what is there -------------------------------------------------------------------

    def has_blob(self, digest: str) -> bool:
        try:
            self._call("HEAD", self._blob(digest))
        except ServerError as error:
            if error.status == 404:
                return False
            raise
        return True

    def upload_blob(self, path: Path, digest: str) -> None:
        """Sends a file unless the server has it; the server hashes what comes and refuses a file
        that is not `digest`.

        Raises ModelError where the file cannot be read.
        """
        if self.has_blob(digest):
            return
        try:
            with path.open("rb") as file:
                self._call("POST", self._blob(digest), content=file, timeout=LONG)
        except OSError as error:
            raise ModelError(
                f"{path} cannot be read: {error.strerror}.",
                "The file must be there and readable until it is uploaded.",
            ) from error
        except ServerError:
            if not self.has_blob(
                digest
            ):  # somebody else may have brought it meanwhile; then ours was cut off
                raise

    def create(
        self,
        model: str,
        *,
        files: Mapping[str, str] | None = None,
        from_model: str | None = None,
        spec: Mapping[str, Any] | None = None,
    ) -> None:
        """Makes a model from blobs (`files`: file name -> digest) or from one that is there; `spec`
        holds what else it needs (the keys of `SPEC`).

        Raises NotFound where `from_model` is absent (nothing is ever pulled), ValueError for an
        unknown key of `spec`.
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
        with (
            self._translated("/api/create"),
            self._client.stream("POST", "/api/create", json=body, timeout=LONG) as answer,
        ):
            if answer.is_error:
                answer.read()
            self._refuse(answer, "/api/create")
            statuses = [
                str(self._object(line, "/api/create", 200).get("status", ""))
                for line in answer.iter_lines()
                if line.strip()
            ]
        last = statuses[-1] if statuses else "nothing"
        if last != "success":
            raise ServerError(
                f"The server stopped before {model} was made (it last said: {last}).",
                "Look at the server's log, then try again.",
            )

    def copy(self, source: str, destination: str) -> None:
        """`destination` becomes another name of `source`; only a manifest is written."""
        self._call(
            "POST",
            "/api/copy",
            body={"source": str(parse_name(source)), "destination": str(parse_name(destination))},
        )

    def delete(self, model: str) -> None:
        self._call("DELETE", "/api/delete", body={"model": str(parse_name(model))}, timeout=60.0)

    def unload(self, model: str) -> None:
        """Asks for the model's memory back; it goes when its last answer is finished."""
        self._call(
            "POST",
            "/api/generate",
            body={"model": str(parse_name(model)), "keep_alive": 0},
            timeout=60.0,
        )

    # --- asking it --------------------------------------------------------------------------------

    def render(self, endpoint: str, body: Mapping[str, Any]) -> str:
        """The text that the model would read for this request (with its `model`), special tokens
        written out; nothing is generated.
        """
        answer = self._json(
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
        """Puts a question, `{"endpoint", "body"}`, to a model and waits for the whole answer."""
        began = time.monotonic()
        said = self._json(
            "POST",
            _inference(str(ask["endpoint"])),
            {**ask["body"], "model": str(parse_name(model)), "stream": False},
            timeout=LONG,
        )
        waited = time.monotonic() - began
        message = said.get("message") or {}
        text = str(message.get("content", "") if "message" in said else said.get("response", ""))
        given = [
            call.get("function", {}).get("arguments") or {}
            for call in message.get("tool_calls") or []
        ]
        tools = "\n".join(
            value for arguments in given for value in arguments.values() if isinstance(value, str)
        )
        seconds = said.get("eval_duration", 0) / 1e9 or waited
        return Answer(
            text,
            str(said.get("done_reason", "")),
            int(said.get("prompt_eval_count", 0)),
            int(said.get("eval_count", 0)),
            seconds,
            tools,
        )

    # --- the wire ---------------------------------------------------------------------------------

    def _json(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        *,
        timeout: float | None = None,
    ) -> dict[str, Any]:
        answer = self._call(method, path, body=body, timeout=timeout)
        return self._object(answer.text, path, answer.status_code)

    def _call(
        self,
        method: str,
        path: str,
        *,
        body: Mapping[str, Any] | None = None,
        content: Any = None,
        timeout: float | None = None,
    ) -> httpx.Response:
        patience = (
            httpx.USE_CLIENT_DEFAULT if timeout is None else httpx.Timeout(timeout, connect=10.0)
        )
        with self._translated(path):
            answer = self._client.request(
                method, path, json=body, content=content, timeout=patience
            )
        self._refuse(answer, path)
        return answer

    def _refuse(self, answer: httpx.Response, path: str) -> None:
        if answer.is_error:
            raise self._refusal(
                _error_text(answer.text) or answer.reason_phrase, path, answer.status_code
            )

    def _refusal(self, text: str, path: str, status: int) -> ServerError | DiskFull:
        if "no space left" in text.lower():
            return DiskFull(
                f"The server at {self.base_url} has no room left: {text}.",
                "Free disk space where the models lie, then try again.",
            )
        return ServerError(
            f"The server at {self.base_url} refused {path}: {text}.",
            "Its log says more." if status >= 500 else "",
            status=status,
        )

    def _object(self, text: str, path: str, status: int) -> dict[str, Any]:
        """A JSON object that holds no `error`."""
        try:
            value = json.loads(text)
        except ValueError:
            value = None
        if not isinstance(value, dict):
            raise ServerError(
                f"{self.base_url}{path} answered something else than a JSON object.",
                "Is it an Ollama server? See `serve.ollama`.",
            )
        if "error" in value:
            raise self._refusal(str(value["error"]), path, status)
        return value

    def _blob(self, digest: str) -> str:
        return f"/api/blobs/sha256:{check_digest(digest)}"

    @contextmanager
    def _translated(self, path: str) -> Iterator[None]:
        try:
            yield
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError) as error:
            raise translate(error, f"{self.base_url}{path}") from error


def served_file(server: Ollama, model: str) -> Path | None:
    """The blob that a model is served from; None where this process cannot read it (another
    machine, another user).
    """
    place = server.weights(model)
    return (
        Path(place)
        if place is not None and os.path.isabs(place) and os.access(place, os.R_OK)
        else None
    )


def translate(error: Exception, url: str) -> ServerError:
    """An error of httpx in our words."""
    hint = "Is it running, and is `serve.ollama` right? `qi-learn doctor` looks."
    if isinstance(error, (httpx.ConnectError, httpx.ConnectTimeout)):
        return ServerUnreachable(f"Nobody answers at {url}.", hint)
    if isinstance(error, httpx.TimeoutException):
        return ServerUnreachable(
            f"{url} did not answer in time.", "It may be busy loading a model; try again."
        )
    if isinstance(error, httpx.UnsupportedProtocol | httpx.InvalidURL):
        return ServerError(
            f"{url} is not the address of a server.",
            "It looks like http://127.0.0.1:11434 (setting `serve.ollama`).",
        )
    if isinstance(error, httpx.TransportError):
        return ServerUnreachable(f"The connection to {url} broke: {error}.", hint)
    return ServerError(
        f"{url} could not be understood: {error}.", "Is it an Ollama server? See `serve.ollama`."
    )


def _inference(endpoint: str) -> str:
    if endpoint not in INFERENCE:
        raise ValueError(f"{endpoint} is not one of {', '.join(INFERENCE)}")
    return endpoint


def _error_text(text: str) -> str:
    """The `error` of a JSON body (a text, or an object with a `message`), else the body's own first
    words.
    """
    try:
        said = json.loads(text)
    except ValueError:
        return text.strip()[:200]
    error = said.get("error", "") if isinstance(said, dict) else ""
    return str(error.get("message", error)) if isinstance(error, dict) else str(error)
