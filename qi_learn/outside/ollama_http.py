"""HTTP to Ollama, or to the embedded engine: one connection per call, every failure a QiError.

Nothing is retried. An error may also come inside an answer that began with 200, so every object is
looked at for one.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import httpx

from qi_learn.errors import DiskFull, ServerError, ServerUnreachable

CONNECT_SECONDS = 10.0
_ADDRESS_HINT = "It looks like http://127.0.0.1:11434 (setting `serve.ollama`)."
_OLLAMA_HINT = "Is it an Ollama server? See `serve.ollama`."


class OllamaHttp:
    """The wire to the server at `base_url`. `timeout` (seconds) is for calls that name none.

    Every method raises ServerUnreachable if no server answers (in time), and ServerError, with the
    HTTP status, if the server refuses.
    """

    def __init__(self, base_url: str, *, timeout: float) -> None:
        self.base_url = base_url.rstrip("/")
        if not self.base_url.startswith(("http://", "https://")):
            raise ServerError(f"{base_url!r} is not the address of a server.", _ADDRESS_HINT)
        # One connection per call: the server may close a kept one just as it is used, and nothing
        # here is retried. No proxy from the environment. Without TLS no certificate authorities are
        # loaded, which would take longer than the calls.
        with self._translated(""):
            self._client = httpx.Client(
                base_url=self.base_url,
                timeout=timeout,
                trust_env=False,
                limits=httpx.Limits(max_keepalive_connections=0),
                verify=self.base_url.startswith("https:"),
            )

    def close(self) -> None:
        self._client.close()

    def json(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        *,
        timeout: float | None = None,
    ) -> dict[str, Any]:
        """The JSON object that a call is answered with."""
        answer = self.call(method, path, body=body, timeout=timeout)
        return self._object(answer.text, path, answer.status_code)

    def lines(self, path: str, body: Mapping[str, Any], *, timeout: float) -> list[dict[str, Any]]:
        """The JSON objects that a POST is answered with, one a line, once the last one is there."""
        with (
            self._translated(path),
            self._client.stream("POST", path, json=body, timeout=timeout) as answer,
        ):
            if answer.is_error:
                answer.read()
            self._check(answer, path)
            return [self._object(line, path, 200) for line in answer.iter_lines() if line.strip()]

    def call(
        self,
        method: str,
        path: str,
        *,
        body: Mapping[str, Any] | None = None,
        content: Any = None,
        timeout: float | None = None,
    ) -> httpx.Response:
        """The answer to one call, which is no refusal."""
        patience = (
            httpx.USE_CLIENT_DEFAULT
            if timeout is None
            else httpx.Timeout(timeout, connect=CONNECT_SECONDS)
        )
        with self._translated(path):
            answer = self._client.request(
                method, path, json=body, content=content, timeout=patience
            )
        self._check(answer, path)
        return answer

    def _check(self, answer: httpx.Response, path: str) -> None:
        """Raise the refusal that an answer is, if it is one."""
        if answer.is_error:
            reason = _error_text(answer.text) or answer.reason_phrase
            raise self._refusal(reason, path, answer.status_code)

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
                f"{self.base_url}{path} answered something else than a JSON object.", _OLLAMA_HINT
            )
        if "error" in value:
            raise self._refusal(str(value["error"]), path, status)
        return value

    @contextmanager
    def _translated(self, path: str) -> Iterator[None]:
        try:
            yield
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError) as error:
            raise translate(error, f"{self.base_url}{path}") from error


def translate(error: Exception, url: str) -> ServerError:
    """The QiError for an error of httpx."""
    hint = "Is it running (`ollama serve`), and is `serve.ollama` right? `qi-learn doctor` looks."
    if isinstance(error, (httpx.ConnectError, httpx.ConnectTimeout)):
        return ServerUnreachable(f"No server answers at {url}.", hint)
    if isinstance(error, httpx.TimeoutException):
        return ServerUnreachable(
            f"{url} did not answer in time.", "It may be busy loading a model; try again."
        )
    if isinstance(error, httpx.UnsupportedProtocol | httpx.InvalidURL):
        return ServerError(f"{url} is not the address of a server.", _ADDRESS_HINT)
    if isinstance(error, httpx.TransportError):
        return ServerUnreachable(f"The connection to {url} broke: {error}.", hint)
    return ServerError(f"{url} could not be understood: {error}.", _OLLAMA_HINT)


def _error_text(text: str) -> str:
    """The `error` of a JSON body, else the beginning of the body.

    The error is a text, or an object with a `message`.
    """
    try:
        body = json.loads(text)
    except ValueError:
        return text.strip()[:200]
    error = body.get("error", "") if isinstance(body, dict) else ""
    return str(error.get("message", error)) if isinstance(error, dict) else str(error)
