"""Taking examples out of a run's data set, so that the run can still be read.

A file that loses examples is written anew under another name; the manifest that names it, and lists
without a text what is gone, is renamed into place; then the old file goes. So a reader finds the
data set as it was or as it is now, whenever this is killed, and doing it again does the rest.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Set
from pathlib import Path
from typing import Any

from qi_learn.errors import DiskFull
from qi_learn.paths import replace_file
from qi_learn.rundir.directory import RunDirectory
from qi_learn.rundir.snapshot import MANIFEST, file_of, read_manifest, snapshot_ready

PAIRS = "pairs"
RENDERED = "rendered.jsonl"
"""The cache of rendered prompts, in the run's directory."""


def turns_in(run: RunDirectory, turns: Set[str]) -> set[str]:
    """Those of the turns (ids) that are in the run's data set, as example or in a pair.

    Also those that were taken out of it. Raises StoreError if its manifest is damaged.
    """
    if not snapshot_ready(run.snapshot):
        return set()
    manifest = read_manifest(run.snapshot)
    found = {entry["id"] for entry in manifest.get("forgotten", ())} & turns
    for name in manifest["files"]:
        for line in _lines(run.snapshot / file_of(manifest, name)):
            found |= _ids(line) & turns
    return found


def forget_examples(run: RunDirectory, turns: Set[str]) -> int:
    """Take the turns (ids) out of the run's data set; the number of lines that went now.

    The cache of rendered prompts goes as well. Raises StoreError if the manifest is damaged,
    DiskFull if there is no room.
    """
    (run.path / RENDERED).unlink(missing_ok=True)
    if not snapshot_ready(run.snapshot):
        return 0
    try:
        gone = _rewrite(run.snapshot, turns)
    except OSError as error:
        raise DiskFull(
            f"The data set in {run.snapshot} cannot be written anew: {error}",
            "Make room on the disk; it goes on by itself then.",
        ) from error
    _sweep(run.snapshot)
    return gone


def rejects_in(run: RunDirectory) -> set[str]:
    """The turns (ids) of which the run's data set says that their answer was rejected.

    Raises StoreError if its manifest is damaged.
    """
    if not snapshot_ready(run.snapshot):
        return set()
    manifest = read_manifest(run.snapshot)
    lines = _lines(run.snapshot / file_of(manifest, PAIRS)) if PAIRS in manifest["files"] else ()
    return {id for line in lines for id in _rejected(line)}


def drop_rejects(run: RunDirectory, turns: Set[str]) -> int:
    """Take what says of the turns (ids) that they were rejected out of the data set; how many.

    Their other lines stay. Raises StoreError if the manifest is damaged, OSError if it cannot be
    written.
    """
    if not rejects_in(run) & turns:
        return 0
    manifest, directory = dict(read_manifest(run.snapshot)), run.snapshot
    lines = list(_lines(directory / file_of(manifest, PAIRS)))
    kept = [line for line in lines if not _rejected(line) & turns]
    manifest["files"] = {**manifest["files"], PAIRS: _write(directory, PAIRS, kept)}
    manifest[PAIRS] = _hashes_in(directory / file_of(manifest, PAIRS))
    replace_file(directory / MANIFEST, json.dumps(manifest, indent=1) + "\n")
    _sweep(directory)
    return len(lines) - len(kept)


def _rejected(line: bytes) -> set[str]:
    """The turn that a line of pairs says was rejected, if it does."""
    try:
        value = json.loads(line.decode("utf-8", "surrogatepass"))
        return {str(value["id"])} if value["source"] == "reject" else set()
    except (ValueError, TypeError, LookupError):
        return set()


def expire_data_set(run: RunDirectory) -> bool:
    """Delete the texts of a run's data set, its manifest stays; False if they went before."""
    (run.path / RENDERED).unlink(missing_ok=True)
    files = [*run.snapshot.glob("*.jsonl")] if run.snapshot.is_dir() else []
    for path in files:
        path.unlink(missing_ok=True)
    return bool(files)


def _rewrite(directory: Path, turns: Set[str]) -> int:
    manifest = dict(read_manifest(directory))
    files: dict[str, Any] = {}
    gone: list[dict[str, Any]] = []
    for name, entry in manifest["files"].items():
        lines = list(_lines(directory / file_of(manifest, name)))
        kept = [line for line in lines if not _ids(line) & turns]
        gone += [_mark(name, line, turns) for line in lines if _ids(line) & turns]
        files[name] = entry
        if len(kept) < len(lines):
            whole = _sealed(lines) == entry["sha256"]
            new = _write(directory, name, kept)
            # one that was damaged before stays known as such
            files[name] = new if whole else {**new, "sha256": entry["sha256"]}
    if not gone:
        return 0
    hashes = {(entry["id"], entry["hash"]) for entry in gone}  # of examples; pairs are not listed
    manifest |= {
        "files": files,
        "examples": [e for e in manifest["examples"] if (e["id"], e["hash"]) not in hashes],
        "recalled": [e for e in manifest.get("recalled", ()) if e["id"] not in turns],
        "forgotten": [*manifest.get("forgotten", ()), *gone],
    }
    for name in ("replay", "pairs"):
        if name in manifest:
            manifest[name] = _hashes_in(directory / file_of(manifest, name))
    replace_file(directory / MANIFEST, json.dumps(manifest, indent=1) + "\n")
    return len(gone)


def _sealed(lines: list[bytes]) -> str:
    return hashlib.sha256(b"".join(line + b"\n" for line in lines)).hexdigest()


def _hashes_in(path: Path) -> list[str]:
    return [json.loads(line.decode("utf-8", "surrogatepass"))["hash"] for line in _lines(path)]


def _lines(path: Path) -> Iterator[bytes]:
    try:
        yield from path.read_bytes().splitlines()
    except FileNotFoundError:
        return


def _ids(line: bytes) -> set[str]:
    """The turns that a line of a data set is made from."""
    try:
        value = json.loads(line.decode("utf-8", "surrogatepass"))
        return {str(value[name]) for name in ("id", "chosen_id") if value.get(name)}
    except (ValueError, TypeError, AttributeError):
        return set()


def _mark(name: str, line: bytes, turns: Set[str]) -> dict[str, str]:
    value = json.loads(line.decode("utf-8", "surrogatepass"))
    return {"id": min(_ids(line) & turns), "hash": value["hash"], "split": name}


def _write(directory: Path, name: str, lines: list[bytes]) -> dict[str, Any]:
    """Write a file under a name that its content decides; its entry in the manifest."""
    content, sha256 = b"".join(line + b"\n" for line in lines), _sealed(lines)
    path = directory / f"{name}.{sha256[:12]}.jsonl"
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    return {"sha256": sha256, "examples": len(lines), "file": path.name}


def _sweep(directory: Path) -> None:
    """Delete what the manifest does not name: what was before, or what a kill left."""
    manifest = read_manifest(directory)
    named = {file_of(manifest, name) for name in manifest["files"]}
    for path in (*directory.glob("*.jsonl"), *directory.glob(".*.tmp")):
        if path.name not in named:
            path.unlink(missing_ok=True)
