"""A small real server that keeps models as Ollama does: blobs and manifests in a directory, read
anew at every request.

Its "GGUF" is `GGUF` and a JSON object that says how the model behaves: `{"say", "done_reason",
"eos", "rate"}`, and `moods` where no two answers are the same. Wire answers follow the recordings
in tests/recordings (test_ollama_client holds it to them). Faults are made to happen: `strike` kills
a process at the n-th call, before or after the call took effect; `broken` lets a path answer 500;
`silent` lets it never answer; a prompt of more than `longest` characters is refused. `memory` says
what is loaded (bytes on a GPU); an unloaded model stays there while `lingers`.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import signal
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

CHATML = "{{- range .Messages }}<|im_start|>{{ .Role }}\n{{ .Content }}<|im_end|>\n{{ end }}<|im_start|>assistant\n"
DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
NAME = re.compile(r"[\w][\w.\-]*(:[\w][\w.\-]*)?")
TYPES = {
    "model": "model",
    "template": "template",
    "system": "system",
    "parameters": "params",
    "license": "license",
    "messages": "messages",
}


def gguf(**behaviour: Any) -> bytes:
    """A model file for this server."""
    return (
        b"GGUF"
        + json.dumps(
            {"say": "Hello.", "done_reason": "stop", "eos": 2, "rate": 50.0, **behaviour}
        ).encode()
    )


@dataclass
class Strike:
    pid: int
    at: int
    after: bool


@dataclass
class FakeModels:
    """The server; `with FakeModels(directory) as server:`.

    `watched` is a name whose state is noted after every call.
    """

    root: Path
    watched: str | None = None
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

        class Bound(_Answering):
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
        """The model's parts; KeyError where there is no such model, FileNotFoundError where a part
        is missing.
        """
        try:
            raw = self.manifest(name).read_bytes()
        except FileNotFoundError:
            raise KeyError(name) from None
        found: dict[str, Any] = {"digest": hashlib.sha256(raw).hexdigest(), "size": 0}
        for layer in json.loads(raw)["layers"]:
            kind = layer["mediaType"].rpartition(".")[2]
            blob = self.blob(layer["digest"])
            found["size"] += blob.stat().st_size
            found[kind] = layer["digest"] if kind == "model" else json.loads(blob.read_text())
        return found

    def weights(self, name: str) -> str | None:
        """Digest of a complete model's weights; None where it is absent or a part of it is."""
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
        place = self.manifest(name)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(raw)

    def make(self, name: str, parts: dict[str, Any]) -> Iterator[str]:
        """Writes the model; yields what a real server says meanwhile."""
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


class _Answering(BaseHTTPRequestHandler):
    models: FakeModels
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:
        """Silent."""

    def _serve(self) -> None:
        path = self.path.partition("?")[0]
        self.models.calls.append(f"{self.command} {path}")
        strike, number = self.models.strike, len(self.models.calls)
        if strike and strike.at == number and not strike.after:
            os.kill(strike.pid, signal.SIGKILL)
            self.close_connection = True
            return
        if path in self.models.silent:
            self.models.woken.wait()
            self.close_connection = True
            return
        self._after = strike.pid if strike and strike.at == number else None
        if path in self.models.broken:
            self._json(500, {"error": self.models.broken[path]})
            return
        size = int(self.headers.get("Content-Length") or 0)
        if path.startswith("/api/blobs/"):
            self._blobs(path.removeprefix("/api/blobs/"), size)
            return
        body = self.rfile.read(size)
        answer = getattr(self, "_" + path.removeprefix("/api/").replace("/", "_"), None)
        if answer is None:
            self._send(404, b"404 page not found", "text/plain")
            return
        try:
            answer(json.loads(body) if body else {})
        except KeyError as error:
            self._json(404, {"error": f"model {error!s} not found"})

    do_GET = do_POST = do_DELETE = do_HEAD = _serve

    def _send(self, status: int, body: bytes = b"", kind: str | None = None) -> None:
        self.models.note()
        if self._after:
            os.kill(self._after, signal.SIGKILL)
        self.send_response(status)
        if kind:
            self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _json(self, status: int, value: Any) -> None:
        self._send(status, json.dumps(value).encode(), "application/json; charset=utf-8")

    def _blobs(self, digest: str, size: int) -> None:
        if not DIGEST.fullmatch(digest):
            self._json(400, {"error": "invalid digest format"})
        elif self.command == "HEAD":
            there = self.models.blob(digest).exists()
            self._send(200 if there else 404)
        elif self.models.blob(digest).exists():
            self.close_connection = True  # as a real one: 200 without reading
            self._send(200)
        else:
            content = self.rfile.read(size)
            got = "sha256:" + hashlib.sha256(content).hexdigest()
            if got != digest:
                self._json(400, {"error": f'digest mismatch, expected "{digest}", got "{got}"'})
            else:
                self.models.put(content)
                self._send(201)

    def _version(self, _: dict[str, Any]) -> None:
        self._json(200, {"version": "0.33.0-rc2"})

    def _tags(self, _: dict[str, Any]) -> None:
        listed = []
        for name in self.models.names():
            try:
                parts = self.models.layers(name)
            except (OSError, ValueError, KeyError):
                continue
            listed.append(
                {
                    "name": name,
                    "model": name,
                    "size": parts["size"],
                    "digest": parts["digest"],
                    "details": {"format": "gguf", "family": "llama"},
                }
            )
        self._json(200, {"models": listed})

    def _ps(self, _: dict[str, Any]) -> None:
        self._json(
            200,
            {
                "models": [
                    {"name": name, "model": name, "size": size, "size_vram": size}
                    for name, size in self.models.memory.items()
                ]
            },
        )

    def _show(self, body: dict[str, Any]) -> None:
        if "model" not in body:
            self._json(400, {"error": "model is required"})
            return
        parts = self.models.layers(body["model"])
        told = json.loads(self.models.blob(parts["model"]).read_bytes()[4:])
        lines = [
            f"FROM {self.models.blob(parts['model'])}",
            f"TEMPLATE {json.dumps(parts['template'])}",
        ]
        stops = parts.get("params", {}).get("stop", [])
        told_parameters = "\n".join(f"{'stop':<30} {json.dumps(s)}" for s in stops)
        info = {"general.architecture": "llama", "tokenizer.ggml.eos_token_id": told["eos"]}
        shown = {
            "modelfile": "\n".join(lines),
            "parameters": told_parameters,
            "template": parts["template"],
            "details": {"format": "gguf"},
            "model_info": info,
        }
        self._json(
            200,
            {
                **shown,
                "capabilities": ["completion"],
                **({"system": parts["system"]} if "system" in parts else {}),
            },
        )

    def _create(self, body: dict[str, Any]) -> None:
        if not NAME.fullmatch(body.get("model", "")):
            self._json(400, {"error": "invalid model name"})
            return
        if not body.get("from") and not body.get("files"):
            self._json(400, {"error": "neither 'from' or 'files' was specified"})
            return
        self._send(
            200,
            b"".join(json.dumps(line).encode() + b"\n" for line in self._creating(body)),
            "application/x-ndjson",
        )

    def _creating(self, body: dict[str, Any]) -> Iterator[dict[str, str]]:
        told = {
            k: body[k]
            for k in ("template", "system", "parameters", "license", "messages")
            if body.get(k)
        }
        if body.get("from"):
            parts = self.models.layers(body["from"])
            parts = {kind: parts[name] for kind, name in TYPES.items() if name in parts}
        else:
            (digest,) = body["files"].values()
            yield {"status": "parsing GGUF"}
            blob = self.models.blob(digest)
            if not blob.exists():
                yield {"error": f"open {blob}: no such file or directory"}
                return
            if blob.read_bytes()[:4] != b"GGUF":
                yield {"error": "supplied file was not in GGUF format"}
                return
            parts = {
                "model": digest,
                "template": CHATML,
                "parameters": {"stop": ["<|im_start|>", "<|im_end|>"]},
            }
        if "{{ .Nope" in told.get("template", ""):
            yield {"error": "template error: template: :1: unclosed action"}
            return
        for status in self.models.make(body["model"], {**parts, **told}):
            yield {"status": status}

    def _copy(self, body: dict[str, Any]) -> None:
        if not NAME.fullmatch(body["destination"]):
            self._json(400, {"error": f'destination "{body["destination"]}" is invalid'})
            return
        source = self.models.manifest(body["source"])
        if not source.exists():
            self._json(404, {"error": f'model "{body["source"]}" not found'})
            return
        self.models.write_manifest(body["destination"], source.read_bytes())
        self._send(200)

    def _delete(self, body: dict[str, Any]) -> None:
        place = self.models.manifest(body["model"])
        if not place.exists():
            raise KeyError(body["model"])
        place.unlink()
        self.models.prune()
        self._send(200)

    def _chat(self, body: dict[str, Any]) -> None:
        text = (
            "".join(
                f"<|im_start|>{m['role']}\n{m['content']}<|im_end|>\n" for m in body["messages"]
            )
            + "<|im_start|>assistant\n"
        )
        self._infer(body, text, lambda said: {"message": {"role": "assistant", "content": said}})

    def _generate(self, body: dict[str, Any]) -> None:
        if body.get("keep_alive") == 0 and "prompt" not in body:
            if body["model"] in self.models.memory:
                if not self.models.lingers:
                    self.models.memory.pop(body["model"])
                    self.models.on_unload(body["model"])
            else:
                self.models.layers(body["model"])
            self._json(
                200, {"model": body["model"], "response": "", "done": True, "done_reason": "unload"}
            )
            return
        self._infer(body, str(body["prompt"]), lambda said: {"response": said})

    def _infer(self, body: dict[str, Any], text: str, shape: Any) -> None:
        parts = self.models.layers(body["model"])
        told = json.loads(self.models.blob(parts["model"]).read_bytes()[4:])
        base = {"model": body["model"], "created_at": "2026-11-20T12:22:08Z"}
        if len(text) > self.models.longest:
            self._json(400, {"error": "the prompt does not fit into the context"})
            return
        if body.get("_debug_render_only") and self.models.renders:
            self._json(
                200,
                {
                    **base,
                    **shape(""),
                    "done": False,
                    "_debug_info": {
                        "rendered_template": parts["template"][:2] + told.get("mark", "") + text
                    },
                },
            )
            return
        said = (
            told["say"]
            if isinstance(told["say"], str)
            else told["say"].get(
                body["messages"][-1]["content"] if "messages" in body else body["prompt"], ""
            )
        )
        if told.get("moods"):
            said += f" {len(self.models.calls)}"
        limit = (body.get("options") or {}).get("num_predict", 128)
        words = said.split(" ")
        cut = len(words) > limit
        count = min(len(words), limit)
        reason = "length" if cut else told["done_reason"]
        counts = {
            "prompt_eval_count": len(text.split()),
            "eval_count": count,
            "eval_duration": int(count / told["rate"] * 1e9),
        }
        self._json(
            200,
            {
                **base,
                **shape(" ".join(words[:limit])),
                "done": True,
                "done_reason": reason,
                **counts,
            },
        )


def clear(root: Path) -> None:
    """Empties a server's store between two rounds of a test."""
    shutil.rmtree(root, ignore_errors=True)
    for part in ("blobs", "manifests"):
        (root / part).mkdir(parents=True)
