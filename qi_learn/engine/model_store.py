"""The engine's model store, in Ollama's layout.

It is `blobs/sha256-<hex>` and `manifests/registry.ollama.ai/library/NAME/TAG`. A model is a
manifest: a small JSON file that names blobs. Manifests are read from disk at every request, so a
file that `deploy` renames into place counts at once. They are written by temp file and rename, so
there is no moment in which a name is absent or half written. Blobs are written to a temp file,
hashed on the way, and renamed only if the digest is right. A blob that no manifest names is removed
with the last model that used it.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import logging
import os
import re
import secrets
import threading
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from qi_learn.errors import ModelError, NotFound, StoreError
from qi_learn.outside.ollama_names import ModelName
from qi_learn.paths import replace_file, sync_directory

logger = logging.getLogger(__name__)

MANIFEST_TYPE = "application/vnd.docker.distribution.manifest.v2+json"
CONFIG_TYPE = "application/vnd.docker.container.image.v1+json"
LAYER = "application/vnd.ollama.image."
_DIGEST = re.compile(r"sha256[:-]([0-9a-fA-F]{64})")


def parse_digest(text: str) -> str | None:
    """The 64 hex digits of `sha256:...`, lower case; None for anything else."""
    match = _DIGEST.fullmatch(text)
    return match[1].lower() if match else None


@dataclass(frozen=True, slots=True)
class Layer:
    """One blob of a model."""

    kind: str
    """model, template, system, params, messages or license."""
    digest: str
    size: int
    source: str = ""
    """The model that it was taken from."""

    @property
    def entry(self) -> dict[str, Any]:
        """The layer as a manifest names it."""
        named = {
            "mediaType": LAYER + self.kind,
            "digest": f"sha256:{self.digest}",
            "size": self.size,
        }
        return named | ({"from": self.source} if self.source else {})


@dataclass(frozen=True, slots=True)
class Manifest:
    """A model in the store."""

    name: ModelName
    digest: str
    """The sha256 (hex) of the manifest file, which /api/tags calls the model's digest."""
    modified: float
    """Unix seconds."""
    config: Layer
    layers: tuple[Layer, ...]

    @property
    def size(self) -> int:
        return self.config.size + sum(layer.size for layer in self.layers)

    @property
    def weights(self) -> Layer:
        """The layer with the GGUF. Raises ModelError if there is none."""
        for layer in self.of_kind("model"):
            return layer
        raise ModelError(f"model '{self.name}' has no GGUF", "create it again from a GGUF file")

    def of_kind(self, kind: str) -> tuple[Layer, ...]:
        return tuple(layer for layer in self.layers if layer.kind == kind)


class ModelStore:
    """The store below one directory. Writers take turns; readers need no lock."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.blobs = root / "blobs"
        self.manifests = root / "manifests"
        self._writing = threading.RLock()
        for directory in (self.blobs, self.manifests):
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        for upload in self.blobs.glob("upload-*-*"):
            if not _alive(int(upload.name.split("-")[1])):  # what a killed engine was receiving
                upload.unlink(missing_ok=True)

    # --- blobs ------------------------------------------------------------------------------------

    def blob(self, digest: str) -> Path:
        """Where the blob with these 64 hex digits lies (or would lie)."""
        return self.blobs / f"sha256-{digest}"

    def read_text(self, layer: Layer) -> str:
        """The text of a small layer. Raises StoreError if its blob is missing."""
        try:
            return self.blob(layer.digest).read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError as error:
            raise StoreError(
                f"blob sha256:{layer.digest} ({layer.kind}) is missing from the store",
                "create the model again",
            ) from error

    def read_json(self, layer: Layer) -> Any:
        """The JSON of a small layer. Raises StoreError if it is missing or damaged."""
        try:
            return json.loads(self.read_text(layer))
        except ValueError as error:
            raise StoreError(
                f"blob sha256:{layer.digest} ({layer.kind}) is damaged: {error}",
                "create the model again",
            ) from error

    async def receive(self, digest: str, chunks: AsyncIterator[bytes]) -> str:
        """Store a stream as the blob `digest`; returns the digest that it really has.

        The blob is kept only if the two are equal.

        A broken stream or a full disk leaves nothing behind (OSError and the stream's own errors
        pass through).
        """
        with self._incoming() as (file, temp):
            received = hashlib.sha256()
            async for chunk in chunks:
                received.update(chunk)
                file.write(chunk)
            if received.hexdigest() == digest:
                await asyncio.to_thread(self._keep, file, temp, digest)
            return received.hexdigest()

    def write(self, kind: str, content: bytes) -> tuple[Layer, bool]:
        """Store a small layer. Returns it, and whether its blob was there already."""
        layer = Layer(kind, hashlib.sha256(content).hexdigest(), len(content))
        if self.blob(layer.digest).is_file():
            return layer, True
        with self._incoming() as (file, temp):
            file.write(content)
            self._keep(file, temp, layer.digest)
        return layer, False

    @contextlib.contextmanager
    def _incoming(self) -> Iterator[tuple[BinaryIO, Path]]:
        """A temp file among the blobs, which is gone afterwards unless it was kept (renamed)."""
        temp = self.blobs / f"upload-{os.getpid()}-{secrets.token_hex(8)}"
        with contextlib.ExitStack() as undo:
            undo.callback(temp.unlink, missing_ok=True)
            with open(os.open(temp, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                yield file, temp

    def _keep(self, file: BinaryIO, temp: Path, digest: str) -> None:
        file.flush()
        os.fsync(file.fileno())
        temp.replace(self.blob(digest))
        sync_directory(self.blobs)

    # --- models -----------------------------------------------------------------------------------

    def find(self, name: ModelName) -> Manifest:
        """The model of this name, upper and lower case alike.

        Raises NotFound if there is none, StoreError if its manifest is damaged.
        """
        path = self._path(name)
        for candidate in (path, *self._other_case(name)):
            with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                return self._read(candidate)
        raise NotFound(f"model '{name}' not found")

    def list(self) -> tuple[Manifest, ...]:
        """Every readable model, newest first."""
        readable = []
        for path in self.manifests.glob("*/*/*/*"):
            if not path.name.startswith("."):
                with contextlib.suppress(FileNotFoundError, StoreError):
                    readable.append(self._read(path))
        return tuple(sorted(readable, key=lambda m: (-m.modified, str(m.name))))

    def save(self, name: ModelName, config: Mapping[str, Any], layers: Sequence[Layer]) -> Manifest:
        """Make (or replace) a model by one rename, and remove blobs that only its old form used."""
        with self._writing:
            with contextlib.suppress(NotFound):
                name = self.find(name).name
            blob, _ = self.write("config", json.dumps(config, separators=(",", ":")).encode())
            manifest = {
                "schemaVersion": 2,
                "mediaType": MANIFEST_TYPE,
                "config": blob.entry | {"mediaType": CONFIG_TYPE},
                "layers": [layer.entry for layer in layers],
            }
            return self._put(name, json.dumps(manifest, separators=(",", ":")))

    def copy(self, source: ModelName, destination: ModelName) -> Manifest:
        """Give a model another name: the same manifest, renamed into place. Raises NotFound."""
        with self._writing:
            model = self.find(source)
            with contextlib.suppress(NotFound):
                destination = self.find(destination).name
            return self._put(destination, self._path(model.name).read_text(encoding="utf-8"))

    def delete(self, name: ModelName) -> None:
        """Remove a name, and the blobs that no other model uses. Raises NotFound."""
        with self._writing:
            model = self.find(name)
            path = self._path(model.name)
            path.unlink()
            with contextlib.suppress(OSError):  # other tags are there
                path.parent.rmdir()
            self._prune(model)

    def exclusive(self) -> contextlib.AbstractContextManager[bool]:
        """A context that keeps other writers of this engine out.

        So a blob that is found or written is still there when the manifest that names it is saved.
        """
        return self._writing

    def _put(self, name: ModelName, text: str) -> Manifest:
        """Rename a manifest into place, and remove what only the one before it used."""
        path = self._path(name)
        old = None
        with contextlib.suppress(FileNotFoundError, StoreError):
            old = self._read(path)
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        replace_file(path, text)
        if old is not None:
            self._prune(old)
        return self._read(path)

    def _prune(self, gone: Manifest) -> None:
        """Remove what only `gone` used.

        While a manifest cannot be read, nothing is removed: what it uses is not known.
        """
        used: set[str] = set()
        for path in self.manifests.glob("*/*/*/*"):
            if path.name.startswith("."):
                continue
            try:
                model = self._read(path)
            except FileNotFoundError:
                continue
            except StoreError as error:
                logger.warning("no blob is removed: %s", error.what)
                return
            used |= {layer.digest for layer in (model.config, *model.layers)}
        for layer in (gone.config, *gone.layers):
            if layer.digest not in used:
                self.blob(layer.digest).unlink(missing_ok=True)

    def _path(self, name: ModelName) -> Path:
        return self.manifests / name.host / name.namespace / name.model / name.tag

    def _other_case(self, name: ModelName) -> Iterator[Path]:
        """The manifests whose names differ from this one in case alone."""
        for path in self.manifests.glob("*/*/*/*"):
            if ModelName(*path.parts[-4:]).key == name.key:
                yield path

    def _read(self, path: Path) -> Manifest:
        """The manifest at a path. Raises StoreError if it is damaged, OSError if it is gone."""
        with path.open("rb") as file:
            raw = file.read()
            modified = os.fstat(file.fileno()).st_mtime
        try:
            data = json.loads(raw)
            config, *layers = (_layer(entry) for entry in (data["config"], *data["layers"]))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise StoreError(
                f"manifest {path} is damaged: {error!r}", "create the model again"
            ) from error
        return Manifest(
            ModelName(*path.parts[-4:]),
            hashlib.sha256(raw).hexdigest(),
            modified,
            config,
            tuple(layers),
        )


def _alive(pid: int) -> bool:
    """Whether a process runs, be it another user's."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def _layer(entry: Mapping[str, Any]) -> Layer:
    """The layer that a manifest's entry names. Raises ValueError or KeyError if it is damaged."""
    digest = parse_digest(entry["digest"])
    if digest is None:
        raise ValueError(f"{entry['digest']!r} is not a digest")
    return Layer(
        str(entry["mediaType"]).removeprefix(LAYER),
        digest,
        int(entry["size"]),
        str(entry.get("from", "")),
    )
