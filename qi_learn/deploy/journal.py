"""`deploy.json`: which versions there are and which one is live.

It decides; routes, the alias and the server's models follow it (alias.reconcile).

It is written only here, under a file lock, by renaming a whole new file into place, and is enough
to roll back with no database, no daemon and no server. The lock is held for file operations only,
never while a server is asked, so no process waits for it long. `routes.json`, the gateway's view,
is a function of it and written under the same lock; the next writer mends a crash between the two.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import field, replace
from pathlib import Path

from qi_learn import codec
from qi_learn.deploy.version import Bump, Version, is_version, next_version, parse_version
from qi_learn.errors import Busy, DiskFull, NotFound, StoreError
from qi_learn.outside.ollama_names import parse_name
from qi_learn.paths import Paths, replace_file
from qi_learn.record_class import dataclass
from qi_learn.records import Release

FORMAT = 1
STATE_WAIT, SWITCH_WAIT = 1.0, 30.0
"""Seconds to wait for another process: to write the journal (milliseconds of work), to switch the
server's alias.
"""


@dataclass(frozen=True, slots=True)
class Announced:
    """A number that a run was given, before its model is there.

    The same run gets the same number again after a crash, and no other run ever does.
    """

    run_id: str
    version: str


@dataclass(frozen=True, slots=True)
class Deployment:
    """The journal. Versions are plain numbers (`1.1.0`)."""

    alias: str
    salt: str
    """For the hash that gives a session its arm, so that arms are drawn anew in every home."""
    highest: str
    """The highest version ever given, also to a candidate that never went live."""
    answer_for: tuple[str, ...] = ()
    """Further model names that the gateway answers with the live version."""
    releases: tuple[Release, ...] = ()
    """Every version that ever was live, oldest first."""
    chain: tuple[str, ...] = ()
    """Versions that were live, oldest first; the last one is live. A rollback cuts it."""
    retired: tuple[str, ...] = ()
    """Versions whose model was, or is being, deleted from the server."""
    abandoned: tuple[str, ...] = ()
    """Numbers given to runs that never made a release of them."""
    announced: Announced | None = None
    forgot: Mapping[str, list[str]] = field(default_factory=dict)
    """By run: ids of the turns in its data set that were forgotten since (deploy/taint)."""
    retrain: bool = False
    """Whether the next cycle starts from the newest version that saw nothing of that."""
    format: int = FORMAT

    @property
    def live(self) -> str:
        """The live version; empty before the base is there."""
        return self.chain[-1] if self.chain else ""

    @property
    def live_release(self) -> Release:
        """The live release. Raises NotFound before the base is there."""
        return self.release(self.live)

    @property
    def available(self) -> tuple[Release, ...]:
        """The releases whose model the server still has."""
        return tuple(r for r in self.releases if r.version not in self.retired)

    def release(self, version: str) -> Release:
        """The release of one version, `1.1.0`. Raises NotFound, naming those there are."""
        release = next((r for r in self.releases if r.version == version), None)
        if release is None:
            versions = ", ".join(f"v{r.version}" for r in self.releases)
            raise NotFound(
                f"There is no version {version or 'that is live'}.",
                f"Known: {versions or 'none yet; `qi-learn init` makes the first'}.",
            )
        return release


def load_deployment(paths: Paths) -> Deployment:
    """The journal, with a version that is live in it.

    Raises NotFound if nothing is live yet, StoreError if the journal cannot be read.
    """
    return require_live(read_journal(paths))


def require_live(deployment: Deployment | None) -> Deployment:
    """The journal itself. Raises NotFound if no version is live in it yet."""
    if deployment is None or not deployment.chain:
        raise NotFound(
            "No version of the model is live yet.",
            "`qi-learn init` makes version 1.0.0 from the base model.",
        )
    return deployment


def announce(deployment: Deployment, run_id: str, bump: Bump, taken: set[Version]) -> Deployment:
    """The journal with a number for the run: the one it has, else the next.

    A number that another run had and never used is abandoned.
    """
    old = deployment.announced
    if old is not None and old.run_id == run_id:
        return deployment
    version = str(next_version(bump, parse_version(deployment.highest), taken))
    abandoned = (*deployment.abandoned, old.version) if old else deployment.abandoned
    return replace(
        deployment, highest=version, announced=Announced(run_id, version), abandoned=abandoned
    )


def announced_version(deployment: Deployment) -> Version:
    """The number that `announce` has just written."""
    assert deployment.announced is not None
    return parse_version(deployment.announced.version)


def with_live(deployment: Deployment, release: Release) -> Deployment:
    """The journal with this release live."""
    releases = (*(r for r in deployment.releases if r.version != release.version), release)
    return replace(
        deployment, releases=releases, chain=(*deployment.chain, release.version), announced=None
    )


def live_runs(deployment: Deployment) -> tuple[str, ...]:
    """The runs whose data the live version has learned, oldest first."""
    return runs_behind(deployment, deployment.live)


def runs_behind(deployment: Deployment, version: str) -> tuple[str, ...]:
    """The runs whose data a version has learned, oldest first.

    They are its own and those of the versions that it was trained on top of, retired ones included.
    """
    runs: list[str] = []
    at: str | None = version
    while at is not None:
        release = deployment.release(at)
        if release.run_id is not None:
            runs.append(release.run_id)
        at = release.parent
    return tuple(reversed(runs))


def candidate_model(alias: str, run_id: str) -> str:
    """The name of a run's model while it is tested."""
    return str(parse_name(alias).tagged(f"candidate-{run_id}"))


def version_model(alias: str, version: Version) -> str:
    """The immutable name of a version."""
    return str(parse_name(alias).tagged(version.tag))


def read_journal(paths: Paths) -> Deployment | None:
    """The journal, or None if there is none. Raises StoreError if it is damaged."""
    try:
        deployment = codec.loads(Deployment, paths.deploy.read_text(encoding="utf-8"))
        _check(deployment)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, AttributeError, NotFound) as error:
        raise StoreError(
            f"{paths.deploy} cannot be read: {error}",
            "Put a copy of it back, or move it away and run `qi-learn init`: the models stay, but "
            "their history is lost.",
        ) from error
    if deployment.format != FORMAT:
        raise StoreError(
            f"{paths.deploy} has format {deployment.format}; this version of qi-learn reads "
            f"{FORMAT}.",
            "Update qi-learn.",
        )
    return deployment


def _check(deployment: Deployment) -> None:
    """Raise NotFound if the journal contradicts itself."""
    released = (release.version for release in deployment.releases)
    for version in (deployment.highest, *deployment.abandoned, *released):
        parse_version(version)
    for version in (*deployment.chain, *deployment.retired):
        deployment.release(version)


def update(paths: Paths, change: Callable[[Deployment | None], Deployment]) -> Deployment:
    """Change the journal, and `routes.json` with it, as one step among processes.

    The journal is read, and what `change` makes of it is written. Raises Busy if another process
    holds the journal for too long, DiskFull or StoreError if it cannot be written, and every error
    that `change` raises.
    """
    with locked(paths.data / "deploy.lock", STATE_WAIT):
        before = read_journal(paths)
        after = change(before)
        if after != before:
            _write(paths.deploy, _journal_text(after))
        if after.chain and _text(paths.routes) != (routes := routes_text(after)):
            _write(paths.routes, routes)
        return after


def _journal_text(deployment: Deployment) -> str:
    """The text of `deploy.json`; what older versions do not know is in it only if it is used."""
    plain = codec.plain(deployment)
    unused = {name for name in ("forgot", "retrain") if not plain[name]}
    used = {name: value for name, value in plain.items() if name not in unused}
    return json.dumps(used, indent=1, ensure_ascii=False) + "\n"


def routes_text(deployment: Deployment) -> str:
    """The text of `routes.json`, which the gateway reads (contracts 2)."""
    live = deployment.live_release
    routes = {
        "format": 1,
        "alias": deployment.alias,
        "answer_for": list(deployment.answer_for),
        "live": live.model,
        "digest": live.digest,
        "arms": [],
        "salt": deployment.salt,
    }
    return json.dumps(routes, indent=1, ensure_ascii=False) + "\n"


def taken_versions(alias: str, names: Iterable[str]) -> set[Version]:
    """The version numbers that models under our name have on the server, our own and others."""
    own = parse_name(alias)
    tags = [
        name.tag for name in map(parse_name, names) if name.tagged("x").key == own.tagged("x").key
    ]
    return {parse_version(tag) for tag in tags if is_version(tag)}


@contextmanager
def locked(file: Path, wait: float) -> Iterator[None]:
    """Hold a file lock; the kernel releases it when the process dies.

    Raises Busy if it is not free in time.
    """
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    fd = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        deadline = time.monotonic() + wait
        while True:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise Busy(
                        f"Another process is changing what is live ({file.name}).",
                        "Try again in a moment.",
                    ) from None
                time.sleep(0.01)
        yield
    finally:
        os.close(fd)


def _write(file: Path, text: str) -> None:
    """Replace a file, under the lock: a temporary file beside it is left of a process that died."""
    for left in file.parent.glob(f".{file.name}.*.tmp"):
        left.unlink(missing_ok=True)
    try:
        replace_file(file, text)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise DiskFull(
                f"{file} cannot be written: the disk is full.",
                "Free some space; what was live stays live.",
            ) from error
        raise StoreError(
            f"{file} cannot be written: {error}.",
            "What was live stays live; look at the directory's permissions.",
        ) from error


def _text(file: Path) -> str | None:
    """The text of a file, or None if there is none that can be read."""
    try:
        return file.read_text(encoding="utf-8")
    except (FileNotFoundError, UnicodeDecodeError):
        return None
