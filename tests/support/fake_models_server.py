"""A small real server that keeps models as Ollama does: blobs and manifests in a directory.

They are read anew at every request. A "GGUF" of this server is `GGUF` and a JSON object that says
how the model behaves: `{"say", "done_reason", "eos", "rate"}`, and `moods` if no two answers are to
be the same.

Faults are made to happen. `strike` kills a process at the n-th call, before or after the call took
effect. `broken` lets a path answer 500, `silent` lets it never answer. A prompt of more than
`longest` characters is refused. `memory` says what is loaded (bytes on a GPU); an unloaded model
stays there while `lingers` is set.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.support.fake_models_http import TYPES, FakeModelsHandler


def gguf(**behaviour: Any) -> bytes:
    """A model file for this server."""
    usual = {"say": "Hello.", "done_reason": "stop", "eos": 2, "rate": 50.0}
    return b"GGUF" + json.dumps({**usual, **behaviour}).encode()


@dataclass
class Strike:
    """A kill of `pid` at call `at`, before or after the call took effect."""

    pid: int
    at: int
    after: bool


@dataclass
class FakeModels:
    """The server: `with FakeModels(directory) as server:`.

    `watched` is a name whose state is noted after every call.
    """

    root: Path
    watched: str | None = None
    version: str = "0.33.0-rc2"
    on_gpu: float = 1.0
    renders: bool = True
    calls: list[str] = field(default_factory=list)
    seen: list[str | None] = field(default_factory=list)
    broken: dict[str, str] = field(default_factory=dict)
    silent: set[str] = field(default_factory=set)
    longest: int = 1 << 20
    strike: Strike | None = None
    memory: dict[str, int] = field(default_factory=dict)
    lingers: bool = False
    on_unload: Callable[[str], object] = lambda _: None

    def __enter__(self) -> FakeModels:
        for part in ("blobs", "manifests"):
            (self.root / part).mkdir(parents=True, exist_ok=True)
        self.woken = threading.Event()
        outer = self

        class Bound(FakeModelsHandler):
            models = outer

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Bound)
        self._http.daemon_threads = True
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.02,))
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.woken.set()
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._http.server_port}"

    def manifest(self, name: str) -> Path:
        model, _, tag = name.partition(":")
        return (
            self.root / "manifests" / "registry.ollama.ai" / "library" / model / (tag or "latest")
        )

    def blob(self, digest: str) -> Path:
        return self.root / "blobs" / digest.replace(":", "-")

    def names(self) -> list[str]:
        return sorted(
            f"{p.parent.name}:{p.name}" for p in (self.root / "manifests").rglob("*") if p.is_file()
        )

    def layers(self, name: str) -> dict[str, Any]:
        """The model's parts. Raises KeyError if there is no such model, FileNotFoundError if a part
        is missing.
        """
        try:
            raw = self.manifest(name).read_bytes()
        except FileNotFoundError:
            raise KeyError(name) from None
        parts: dict[str, Any] = {"digest": hashlib.sha256(raw).hexdigest(), "size": 0}
        for layer in json.loads(raw)["layers"]:
            kind = layer["mediaType"].rpartition(".")[2]
            blob = self.blob(layer["digest"])
            parts["size"] += blob.stat().st_size
            parts[kind] = layer["digest"] if kind == "model" else json.loads(blob.read_text())
        return parts

    def weights(self, name: str) -> str | None:
        """The digest of a complete model's weights; None if the model or a part of it is absent."""
        try:
            return str(self.layers(name)["model"]).removeprefix("sha256:")
        except (KeyError, OSError, ValueError):
            return None

    def put(self, content: bytes) -> str:
        digest = "sha256:" + hashlib.sha256(content).hexdigest()
        temp = self.root / "blobs" / f"partial-{threading.get_ident()}"
        temp.write_bytes(content)
        temp.rename(self.blob(digest))
        return digest

    def write_manifest(self, name: str, raw: bytes) -> None:
        manifest = self.manifest(name)
        manifest.parent.mkdir(parents=True, exist_ok=True)
        manifest.write_bytes(raw)

    def make(self, name: str, parts: dict[str, Any]) -> Iterator[str]:
        """Write the model, and yield the statuses that a real server reports meanwhile."""
        layers = []
        for kind, value in parts.items():
            digest = value if kind == "model" else self.put(json.dumps(value).encode())
            layers.append(
                {
                    "mediaType": f"application/vnd.ollama.image.{TYPES[kind]}",
                    "digest": digest,
                    "size": self.blob(digest).stat().st_size,
                }
            )
            yield f"using existing layer {digest}"
        self.write_manifest(name, json.dumps({"schemaVersion": 2, "layers": layers}).encode())
        yield "writing manifest"
        yield "success"

    def prune(self) -> None:
        used = {
            layer["digest"]
            for p in (self.root / "manifests").rglob("*")
            if p.is_file()
            for layer in json.loads(p.read_bytes())["layers"]
        }
        for blob in (self.root / "blobs").iterdir():
            if blob.name.replace("-", ":", 1) not in used:
                blob.unlink()

    def note(self) -> None:
        if self.watched is not None:
            self.seen.append(self.weights(self.watched))


def clear(root: Path) -> None:
    """Empty a server's store between two rounds of a test."""
    shutil.rmtree(root, ignore_errors=True)
    for part in ("blobs", "manifests"):
        (root / part).mkdir(parents=True)
