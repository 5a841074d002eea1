"""The directories and files of the program.

One root (`QI_LEARN_HOME`) moves everything, for a throw-away home; otherwise they are in the
platform's own places.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from qi_learn.errors import DiskFull, SettingsError, StoreError
from qi_learn.home_name import fault_of_name
from qi_learn.record_class import dataclass

APP = "qi-learn"
ELSEWHERE = "Set QI_LEARN_HOME to a directory of yours on this machine's own disk."
KERNELS = (Path("/proc"), Path("/sys"))
"""Where nothing can be made, whatever the rights say."""


def user_config(home: Path, env: Mapping[str, str] = os.environ) -> Path:
    """Where the programs of a person whose home that is keep their settings."""
    return Path(env.get("XDG_CONFIG_HOME") or home / ".config")


@dataclass(frozen=True, slots=True)
class Paths:
    """Every directory and file that the program writes. Directories are 0700."""

    config: Path
    data: Path
    state: Path
    runtime: Path

    @classmethod
    def default(cls, env: Mapping[str, str] = os.environ) -> Paths:
        """`$QI_LEARN_HOME/{config,data,state,run}` if that is set, else the platform's own.

        Raises SettingsError if no directory can have that name.
        """
        if home := env.get("QI_LEARN_HOME"):
            if fault := fault_of_name(home):
                raise SettingsError(f"QI_LEARN_HOME {fault}.", ELSEWHERE)
            return cls.under(Path(home))
        import platformdirs  # not needed by a hook or a throw-away home

        dirs = platformdirs.PlatformDirs(APP, appauthor=False)
        # without one platformdirs falls back to /tmp, which others share
        private = env.get("XDG_RUNTIME_DIR")
        runtime = Path(private) / APP if private else dirs.user_state_path / "run"
        return cls(dirs.user_config_path, dirs.user_data_path, dirs.user_state_path, runtime)

    @classmethod
    def under(cls, root: Path) -> Paths:
        """Everything below one directory."""
        root = root.expanduser().absolute()
        return cls(root / "config", root / "data", root / "state", root / "run")

    @property
    def settings_file(self) -> Path:
        return self.config / "config.toml"

    @property
    def database(self) -> Path:
        return self.data / "qi-learn.db"

    @property
    def redaction_key(self) -> Path:
        """The key under which tags and hashes of secrets are made; made with the database."""
        return self.data / "redaction.key"

    @property
    def redaction_rules(self) -> Path:
        """By which rules all was last looked through for secrets (daemon/look_through.py)."""
        return self.data / "redaction.rules"

    @property
    def spool(self) -> Path:
        return self.state / "spool"

    @property
    def names(self) -> Path:
        """The indexes of names in use: a cache that is made anew if it is gone."""
        return self.state / "names"

    @property
    def logs(self) -> Path:
        return self.state / "logs"

    @property
    def runs(self) -> Path:
        return self.data / "runs"

    @property
    def adapters(self) -> Path:
        """One directory a version: `adapters/v1.1.0/{adapter,past_fisher}.safetensors`."""
        return self.data / "adapters"

    @property
    def fisher(self) -> Path:
        """Cache of the anchors' Fisher, one file per base and set of modules."""
        return self.data / "fisher"

    @property
    def known(self) -> Path:
        """Cache of measured NLLs, one file a model."""
        return self.data / "known"

    @property
    def models(self) -> Path:
        """The embedded engine's store, in Ollama's layout."""
        return self.data / "models"

    @property
    def forgetting(self) -> Path:
        """What is being forgotten just now, so that a kill leaves nothing half done."""
        return self.data / "forgetting.json"

    @property
    def receipts(self) -> Path:
        """What was forgotten, one file each time, without a text of it."""
        return self.data / "receipts"

    @property
    def backups(self) -> Path:
        """`{"backups": [{"file", "made"}]}`: the backups that were made of this home."""
        return self.data / "backups.json"

    @property
    def clients(self) -> Path:
        """Settings for one start of a coding tool (commands/launch.py)."""
        return self.data / "clients"

    @property
    def deploy(self) -> Path:
        return self.data / "deploy.json"

    @property
    def routes(self) -> Path:
        return self.data / "routes.json"

    @property
    def projects(self) -> Path:
        """Registered projects: a JSON list of absolute paths, renamed into place."""
        return self.data / "projects.json"

    @property
    def socket(self) -> Path:
        return self.runtime / "control.sock"

    @property
    def daemon_lock(self) -> Path:
        return self.state / "daemon.lock"

    @property
    def daemon_state(self) -> Path:
        """`{"pid", "gateway": URL, "server": URL, "engine": bool}` of the running daemon.

        The file is renamed into place; its time is that of the daemon's last round.
        """
        return self.state / "daemon.json"

    @property
    def stood(self) -> Path:
        """By project: up to where it was watched; renamed into place by the daemon."""
        return self.state / "stood.json"

    @property
    def gateway_ready(self) -> Path:
        """`{"url", "pid", "birth", "version", "upstream"}` of the gateway that accepts."""
        return self.state / "gateway.ready"

    @property
    def gateway_status(self) -> Path:
        """What the gateway last said of itself; the file's time is that of its last heartbeat.

        It is renamed into place when it changes (gateway/own_state.py).
        """
        return self.state / "gateway.json"

    @property
    def turn_ids(self) -> Path:
        """The last ids of turns, one a line (gateway/turn_ids.py)."""
        return self.state / "turn-ids"

    @property
    def lost_turns(self) -> Path:
        """`{"count", "last", "reason"}` of the turns that could not be recorded, ever."""
        return self.state / "lost-turns.json"

    @property
    def lost_seen(self) -> Path:
        """How many of the lost turns were acknowledged by `qi-learn status --seen`."""
        return self.state / "lost-seen"

    @property
    def engine_ready(self) -> Path:
        """`{"url", "pid", "birth", "version"}` of the embedded engine that accepts."""
        return self.state / "engine.json"

    @property
    def pause(self) -> Path:
        """The times in which nothing is recorded (rundir/recording_pause.py)."""
        return self.state / "pause.json"

    @property
    def waiting(self) -> Path:
        """`{"since"}`: a cycle is due and waits until the user is idle."""
        return self.state / "waiting.json"

    @property
    def night(self) -> Path:
        """How far the last night's comparison of versions is (cycle/night.py)."""
        return self.state / "night.json"

    @property
    def imports(self) -> Path:
        """Up to where other programs' logs were imported (commands/import_cursors.py)."""
        return self.state / "imports.json"

    @property
    def activity(self) -> Path:
        """A file whose time is that of the gateway's last answer (rundir/activity.py)."""
        return self.runtime / "activity"

    @property
    def hold(self) -> Path:
        """A file that a cycle locks while requests have to wait for it (rundir/activity.py)."""
        return self.runtime / "hold"

    def ensure(self) -> Paths:
        """Make the directories, private to the user.

        Raises StoreError (DiskFull if it is that) that says in one sentence why one cannot be made
        or written to.
        """
        roots = (self.config, self.data, self.state, self.runtime)
        for directory in (*roots, self.spool, self.logs, self.runs):
            _ensure_own(directory)
        return self


def home_mark(paths: Paths) -> str:
    """A short text for this home alone, which does not say where it lies."""
    import hashlib  # OpenSSL: most commands need none of it

    return hashlib.sha256(os.fsencode(paths.state)).hexdigest()[:16]


def refuse_unusable_home(paths: Paths) -> None:
    """Raise StoreError if a directory of the home cannot be used; makes nothing."""
    for directory in (paths.config, paths.data, paths.state, paths.runtime):
        refuse_unusable(directory)


def _ensure_own(directory: Path) -> None:
    if not os.path.lexists(directory):
        _refuse_place_of_another(directory)
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DiskFull(f"There is no room to make {directory}.", "Make room there.") from error
        raise _not_made(directory, error.errno) from error
    refuse_unusable(directory)


def refuse_unusable(directory: Path) -> None:
    """Raise StoreError if the directory is not the user's, or cannot be written to or made.

    It says why in one sentence, and makes nothing.
    """
    try:
        owner = directory.stat().st_uid
        if not directory.is_dir():
            raise _not_made(directory, errno.EEXIST)
    except FileNotFoundError:
        _refuse_unmakeable(directory)
        return
    except OSError as error:
        raise _not_made(directory, error.errno) from error
    if owner != os.geteuid():
        raise _of_another(directory, owner)
    if not os.access(directory, os.W_OK | os.X_OK):
        if _is_read_only(directory):
            raise StoreError(f"{directory} is on a read-only file system.", ELSEWHERE)
        raise StoreError(f"{directory} may not be written to.", f"`chmod u+rwx {directory}`")


def _of_another(directory: Path, owner: int) -> StoreError:
    return StoreError(
        f"{directory} belongs to another user (uid {owner}, you are uid {os.geteuid()}): what "
        "one of you writes, the other could not.",
        f"Run qi-learn as that user. {ELSEWHERE}",
    )


def _refuse_place_of_another(directory: Path) -> None:
    """Raise StoreError if it would be made in a directory of another user, which root may do."""
    parent = next(place for place in directory.parents if os.path.lexists(place))
    with suppress(OSError):  # making it will say what is wrong there
        owner = parent.stat().st_uid
        if owner not in (0, os.geteuid()):
            raise _of_another(parent, owner)


def _refuse_unmakeable(directory: Path) -> None:
    parent = next(place for place in directory.parents if os.path.lexists(place))
    if not os.path.exists(parent) or any(parent.is_relative_to(kernel) for kernel in KERNELS):
        raise _not_made(directory, errno.ENOENT)
    if not os.access(parent, os.W_OK | os.X_OK):
        raise _not_made(directory, errno.EROFS if _is_read_only(parent) else errno.EACCES)
    _refuse_place_of_another(directory)


def _is_read_only(directory: Path) -> bool:
    return bool(os.statvfs(directory).f_flag & os.ST_RDONLY)


def _not_made(directory: Path, why: int | None) -> StoreError:
    reason = os.strerror(why or 0)
    for place in (directory, *directory.parents):
        if os.path.islink(place) and not os.path.exists(place):
            reason = f"{place} is a link that leads nowhere"
        elif place in KERNELS:
            reason = f"{place} is the kernel's own"
    return StoreError(f"{directory} cannot be made: {reason}.", ELSEWHERE)


def replace_file(path: Path, text: str, *, sync: bool = True) -> None:
    """Put `text` at `path` (0600), whole or not at all.

    A reader sees the old file or the new one, and a crash leaves one of them. Without `sync` the
    power may fail and leave the old one, or an empty one: for what a process says of itself, again
    and again. Raises OSError if the disk is full or the directory is gone.
    """
    temp = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    fd = os.open(temp, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        with os.fdopen(fd, "w", encoding="utf-8", errors="surrogateescape") as out:
            out.write(text)
            out.flush()
            if sync:
                os.fsync(out.fileno())
        temp.replace(path)
    except OSError:
        temp.unlink(missing_ok=True)
        raise
    if sync:
        sync_directory(path.parent)


def sync_directory(path: Path) -> None:
    """Make a rename in `path` durable."""
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
