"""A frozen data set as files: what a cycle trains and is judged on, and can be shown to have been.

`train`, `dev`, `gate`, `replay`, `anchors` and `yardsticks` are `.jsonl`, one example a line;
`pairs` holds preferences. The last two are missing in data sets from before they were made.
`manifest.json` names every example and pair by its hash and every file by its sha256, and is
renamed into place last: without it there is no snapshot, with it a snapshot is never written again.
Loading checks all of it. Nothing here needs the database or anything but the standard library,
because the training worker runs in an environment of its own.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

from qi_learn import codec
from qi_learn.errors import DiskFull, StoreError
from qi_learn.paths import replace_file
from qi_learn.records import Example, Pair, Recall, Snapshot, Split

T = TypeVar("T")

FORMAT = 1
MANIFEST = "manifest.json"
SPLITS: tuple[Split, ...] = ("train", "dev", "gate")
FILES = (*SPLITS, "replay", "anchors", "yardsticks", "pairs")
LATER = ("yardsticks", "pairs")
"""Missing in older data sets."""
_GONE = (
    "The cycle cannot go on with it: it is marked as failed, and the next one freezes a data set "
    "of its own."
)


def save_snapshot(directory: Path, snapshot: Snapshot) -> None:
    """Write the files, the manifest last. What an interrupted attempt left is overwritten.

    Raises StoreError if there is a snapshot already, DiskFull if the files cannot be written.
    """
    if snapshot_ready(directory):
        raise StoreError(
            f"{directory} holds a frozen data set, which is never changed.",
            "A new cycle has a directory of its own.",
        )
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        files = {
            name: {"sha256": _write(directory / f"{name}.jsonl", records), "examples": len(records)}
            for name, records in _parts(snapshot).items()
        }
        manifest = json.dumps(_new_manifest(snapshot, files), indent=1) + "\n"
        replace_file(directory / MANIFEST, manifest)
    except OSError as error:
        raise DiskFull(
            f"The data set cannot be frozen in {directory}: {error}",
            "Make room on the disk; the cycle begins this step again.",
        ) from error


def load_snapshot(directory: Path) -> Snapshot:
    """The snapshot, checked against its manifest.

    Raises StoreError if it is incomplete or was changed.
    """
    manifest = read_manifest(directory)
    try:
        snapshot = _snapshot(directory, manifest)
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise StoreError(f"The data set in {directory} cannot be read: {error}", _GONE) from error
    hashes = _hashes(snapshot)
    if any(manifest.get(name, []) != listed for name, listed in hashes.items()):
        raise StoreError(f"The data set in {directory} is not what its manifest lists.", _GONE)
    return snapshot


def recalled_in(directory: Path, turn: str) -> tuple[Split | None, Recall | None]:
    """What a data set did with a turn, by its manifest alone: its split, and why it is replayed.

    Raises StoreError if there is no manifest.
    """
    manifest = read_manifest(directory)
    try:
        split = next((e["split"] for e in manifest["examples"] if e["id"] == turn), None)
        recalled = next((e for e in manifest.get("recalled", ()) if e["id"] == turn), None)
        fields = {name: value for name, value in (recalled or {}).items() if name != "id"}
        return split, codec.build(Recall, fields) if recalled else None
    except (KeyError, TypeError, ValueError) as error:
        raise StoreError(f"The manifest in {directory} cannot be read: {error}", _GONE) from error


def dropped_in(directory: Path) -> dict[str, int]:
    """What a data set left out, by reason, by its manifest alone. Raises StoreError if none."""
    dropped = read_manifest(directory).get("dropped")
    return {str(k): int(v) for k, v in dropped.items()} if isinstance(dropped, dict) else {}


def snapshot_ready(directory: Path) -> bool:
    """Whether there is a complete snapshot."""
    return (directory / MANIFEST).exists()


def _new_manifest(snapshot: Snapshot, files: Mapping[str, Any]) -> dict[str, Any]:
    examples = [{"id": e.id, "hash": e.hash, "split": e.split} for e in snapshot.examples]
    recalled = [{"id": e.id, **codec.plain(e.recall)} for e in snapshot.replay if e.recall]
    return {
        "format": FORMAT,
        "id": snapshot.id,
        "created": snapshot.created,
        "base_digest": snapshot.base_digest,
        "files": files,
        "examples": examples,
        **_hashes(snapshot),
        "recalled": recalled,
        "dropped": dict(snapshot.dropped),
    }


def _hashes(snapshot: Snapshot) -> dict[str, list[str]]:
    """The hashes of what is listed by hash alone."""
    return {
        "replay": [e.hash for e in snapshot.replay],
        "anchors": [e.hash for e in snapshot.anchors],
        "pairs": [p.hash for p in snapshot.pairs],
    }


def _snapshot(directory: Path, manifest: Mapping[str, Any]) -> Snapshot:
    files = {name: file["sha256"] for name, file in dict(manifest["files"]).items()}
    missing = [name for name in FILES if name not in files and name not in LATER]
    if missing:
        raise KeyError(missing[0])

    def read(kind: type[T], name: str) -> tuple[T, ...]:
        if name not in files:
            return ()
        return _read(kind, directory / file_of(manifest, name), files[name])

    splits = {name: read(Example, name) for name in SPLITS}
    return Snapshot(
        id=manifest["id"],
        created=manifest["created"],
        base_digest=manifest["base_digest"],
        examples=_in_order(manifest["examples"], splits),
        replay=read(Example, "replay"),
        anchors=read(Example, "anchors"),
        dropped=manifest["dropped"],
        pairs=read(Pair, "pairs"),
        yardsticks=read(Example, "yardsticks"),
    )


def _parts(snapshot: Snapshot) -> Mapping[str, tuple[Example, ...] | tuple[Pair, ...]]:
    examples = {
        "replay": snapshot.replay,
        "anchors": snapshot.anchors,
        "yardsticks": snapshot.yardsticks,
    }
    return {**{name: snapshot.split(name) for name in SPLITS}, **examples, "pairs": snapshot.pairs}


def _write(path: Path, records: Iterable[Example | Pair]) -> str:
    """Write one file, so that it is on the disk before the manifest can name it; its sha256."""
    seal = hashlib.sha256()
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "wb") as file:
        for record in records:
            line = codec.dumps(record).encode("utf-8", "surrogatepass") + b"\n"
            seal.update(line)
            file.write(line)
        file.flush()
        os.fsync(file.fileno())
    return seal.hexdigest()


def file_of(manifest: Mapping[str, Any], name: str) -> str:
    """The name of a part's file: another than its own once something of it was forgotten."""
    entry = manifest["files"].get(name) or {}
    return Path(str(entry.get("file") or f"{name}.jsonl")).name


def read_manifest(directory: Path) -> Mapping[str, Any]:
    """The manifest of a data set. Raises StoreError if there is none that can be read."""
    try:
        manifest = json.loads((directory / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise StoreError(f"There is no complete data set in {directory}: {error}", _GONE) from error
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise StoreError(
            f"The data set in {directory} is of a format that this version does not know.", _GONE
        )
    return manifest


def _read(kind: type[T], path: Path, sha256: str) -> tuple[T, ...]:
    content = path.read_bytes()
    if hashlib.sha256(content).hexdigest() != sha256:
        raise ValueError(f"{path.name} was changed after it was frozen")
    return tuple(
        codec.loads(kind, line.decode("utf-8", "surrogatepass")) for line in content.splitlines()
    )


def _in_order(
    listed: Iterable[Mapping[str, str]], splits: Mapping[Split, tuple[Example, ...]]
) -> tuple[Example, ...]:
    """The new examples in their first order, oldest first.

    Each file keeps its own order; the manifest says how they go together.
    """
    waiting: dict[str, Iterator[Example]] = {name: iter(splits[name]) for name in SPLITS}
    examples = []
    for entry in listed:
        example = next(waiting[entry["split"]], None)
        if example is None or (example.id, example.hash) != (entry["id"], entry["hash"]):
            raise ValueError(
                f"{entry['split']}.jsonl does not hold the example {entry['id']} where the "
                "manifest lists it"
            )
        examples.append(example)
    if any(next(rest, None) is not None for rest in waiting.values()):
        raise ValueError("there are more examples than the manifest lists")
    return tuple(examples)
