"""The HTTP side of the server in fake_models_server.py: Ollama's routes over blobs and manifests.

Wire answers follow the recordings in tests/support/recordings (tests/outside/test_ollama.py holds
them to these).
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import signal
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.support.fake_models_server import FakeModels

CHATML = (
    "{{- range .Messages }}<|im_start|>{{ .Role }}\n{{ .Content }}<|im_end|>\n{{ end }}"
    "<|im_start|>assistant\n"
)
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


class FakeModelsHandler(BaseHTTPRequestHandler):
    """Answers one connection of a `FakeModels` as Ollama would."""

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
        self._json(200, {"version": self.models.version})

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
                    {
                        "name": name,
                        "model": name,
                        "size": size,
                        "size_vram": int(self.models.on_gpu * size),
                    }
                    for name, size in self.models.memory.items()
                ]
            },
        )

    def _show(self, body: dict[str, Any]) -> None:
        if "model" not in body:
            self._json(400, {"error": "model is required"})
            return
        parts = self.models.layers(body["model"])
        behaviour = json.loads(self.models.blob(parts["model"]).read_bytes()[4:])
        lines = [
            f"FROM {self.models.blob(parts['model'])}",
            f"TEMPLATE {json.dumps(parts['template'])}",
        ]
        stops = parts.get("params", {}).get("stop", [])
        parameters = "\n".join(f"{'stop':<30} {json.dumps(s)}" for s in stops)
        info = {"general.architecture": "llama", "tokenizer.ggml.eos_token_id": behaviour["eos"]}
        shown = {
            "modelfile": "\n".join(lines),
            "parameters": parameters,
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
        given = {
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
        if "{{ .Nope" in given.get("template", ""):
            yield {"error": "template error: template: :1: unclosed action"}
            return
        for status in self.models.make(body["model"], {**parts, **given}):
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
        manifest = self.models.manifest(body["model"])
        if not manifest.exists():
            raise KeyError(body["model"])
        manifest.unlink()
        self.models.prune()
        self._send(200)

    def _chat(self, body: dict[str, Any]) -> None:
        text = (
            "".join(
                f"<|im_start|>{m['role']}\n{m['content']}<|im_end|>\n" for m in body["messages"]
            )
            + "<|im_start|>assistant\n"
        )
        self._infer(body, text, lambda text: {"message": {"role": "assistant", "content": text}})

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
        if "prompt" not in body:
            self.models.memory[body["model"]] = self.models.layers(body["model"])["size"]
            self._json(200, {"model": body["model"], "response": "", "done": True})
            return
        self._infer(body, str(body["prompt"]), lambda text: {"response": text})

    def _infer(self, body: dict[str, Any], text: str, shape: Any) -> None:
        parts = self.models.layers(body["model"])
        behaviour = json.loads(self.models.blob(parts["model"]).read_bytes()[4:])
        base = {"model": body["model"], "created_at": "2026-11-20T12:22:08Z"}
        if len(text) > self.models.longest:
            self._json(400, {"error": "the prompt does not fit into the context"})
            return
        if body.get("_debug_render_only") and self.models.renders:
            rendered = parts["template"][:2] + behaviour.get("mark", "") + text
            self._json(
                200,
                {
                    **base,
                    **shape(""),
                    "done": False,
                    "_debug_info": {"rendered_template": rendered},
                },
            )
            return
        answer = behaviour["say"]
        if not isinstance(answer, str):
            question = body["messages"][-1]["content"] if "messages" in body else body["prompt"]
            answer = answer.get(question, "")
        if behaviour.get("moods"):
            answer += f" {len(self.models.calls)}"
        limit = (body.get("options") or {}).get("num_predict", 128)
        words = answer.split(" ")
        cut = len(words) > limit
        count = min(len(words), limit)
        reason = "length" if cut else behaviour["done_reason"]
        counts = {
            "prompt_eval_count": len(text.split()),
            "eval_count": count,
            "eval_duration": int(count / behaviour["rate"] * 1e9),
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
