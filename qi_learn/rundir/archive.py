"""A backup as one tar file: every file with its sha256 in a manifest, which comes last.

Without the manifest it is no backup: it was cut off. Reading trusts nothing: only regular files
below the directories of a home, each checked before anything of the home is touched.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import tarfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from qi_learn import codec
from qi_learn.errors import DiskFull, StoreError, no_room

FORMAT = 1
MANIFEST = "manifest.json"
ROOTS = ("config", "data")
"""Directories of a home that a backup may hold files of."""


@dataclass(frozen=True, slots=True)
class ArchivedFile:
    """One file of a backup."""

    name: str
    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class ArchiveManifest:
    """What is in a backup."""

    format: int
    made: float
    program: str
    """The version of qi-learn that made it."""
    turns: int
    live: str
    """The version that was live; empty if none was."""
    files: tuple[ArchivedFile, ...]


class _Sealed(io.RawIOBase):
    """A file as it is read, with the hash of what was read."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.hash = hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(size)
        self.hash.update(data)
        return data


def write_archive(
    target: Path,
    files: Iterable[tuple[str, Path]],
    *,
    made: float,
    program: str,
    turns: int,
    live: str,
) -> ArchiveManifest:
    """Write the files (their names, and where they lie now) to a tar file, complete or not at all.

    Raises DiskFull if there is no room, StoreError if it cannot be written.
    """
    temp = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        fd = os.open(temp, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(fd, "wb") as out:
            with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
                listed = tuple(_add(tar, name, path, made) for name, path in files)
                manifest = ArchiveManifest(FORMAT, made, program, turns, live, listed)
                text = codec.dumps(manifest).encode("utf-8")
                tar.addfile(_info(MANIFEST, len(text), made), io.BytesIO(text))
            out.flush()
            os.fsync(out.fileno())
        temp.replace(target)
    except OSError as error:
        kind = DiskFull if no_room(error) else StoreError
        raise kind(f"{target} cannot be written: {error}", "Name another place.") from error
    finally:
        temp.unlink(missing_ok=True)
    return manifest


def _info(name: str, size: int, made: float) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.size, info.mtime, info.mode = size, int(made), 0o600
    return info


def _add(tar: tarfile.TarFile, name: str, path: Path, made: float) -> ArchivedFile:
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        sealed = _Sealed(file)
        tar.addfile(_info(name, size, made), sealed)
    return ArchivedFile(name, size, sealed.hash.hexdigest())


def read_archive(source: Path, stage: Path) -> ArchiveManifest:
    """Unpack a backup below `stage`, every file checked; what it is.

    Raises StoreError if it is no whole backup, DiskFull if there is no room.
    """
    try:
        with tarfile.open(source, mode="r:") as tar:
            found = dict(_unpacked(tar, member, stage) for member in tar)
    except (tarfile.TarError, EOFError, ValueError) as error:
        raise _no_backup(source, str(error)) from error
    except OSError as error:
        kind = DiskFull if no_room(error) else StoreError
        raise kind(f"{source} cannot be unpacked: {error}", "Nothing was changed.") from error
    return _checked(source, stage, found)


def _unpacked(tar: tarfile.TarFile, member: tarfile.TarInfo, stage: Path) -> tuple[str, str]:
    """Write one member below the stage; its name and hash. Raises ValueError if it may not be."""
    name = PurePosixPath(member.name)
    allowed = member.name == MANIFEST or (len(name.parts) > 1 and name.parts[0] in ROOTS)
    if not member.isreg() or not allowed or ".." in name.parts or name.is_absolute():
        raise ValueError(f"{member.name} has no place in a backup")
    path = stage.joinpath(*name.parts)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    content = tar.extractfile(member)
    assert content is not None
    seal = hashlib.sha256()
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "wb") as out:
        while piece := content.read(1 << 20):
            seal.update(piece)
            out.write(piece)
        out.flush()
        os.fsync(out.fileno())
    return member.name, seal.hexdigest()


def _checked(source: Path, stage: Path, found: dict[str, str]) -> ArchiveManifest:
    try:
        text = (stage / MANIFEST).read_text(encoding="utf-8")
        if json.loads(text).get("format") != FORMAT:
            raise _no_backup(source, "its format is another")
        manifest = codec.loads(ArchiveManifest, text)
    except (OSError, ValueError, AttributeError) as error:
        raise _no_backup(source, "it was cut off, or is something else") from error
    (stage / MANIFEST).unlink()
    listed = {file.name: file.sha256 for file in manifest.files}
    if listed != {name: seal for name, seal in found.items() if name != MANIFEST}:
        raise _no_backup(source, "a file in it is not as it was written")
    return manifest


def _no_backup(source: Path, why: str) -> StoreError:
    return StoreError(f"{source} is no whole backup: {why}.", "Nothing was changed. Take another.")
