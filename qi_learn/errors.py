"""Errors: each names what happened and what to do about it (a test holds the tree to the classes).

QiError
├── SettingsError        a setting is unknown or wrong
├── DaemonError          the daemon is needed and not there, or already there
├── StoreError           the database cannot be used (locked, damaged, from a newer version)
├── SpoolError           an event cannot be written
├── NotFound             an id, version or file that does not exist
├── ServerError          Ollama (or the embedded engine) refused or failed
│   └── ServerUnreachable
├── ModelError           a model file cannot be used
│   └── UnsupportedArchitecture
├── ToolMissing          an optional part (torch, llama-cpp-python, git) is not installed
├── DiskFull             not enough room, with the number of bytes missing
├── Busy                 another process of ours is working on it right now
├── Deferred             no device has the memory now; it is tried again later
├── Stopped              it was told to stop; it goes on later from its last complete step
├── TrainingError        the training worker failed
│   └── OutOfMemory      it does not fit into memory as planned
├── LiveChanged          another version went live meanwhile: the gate compares with that one next
└── Refused              thresholds or gate said no; not a failure
"""

from __future__ import annotations

import errno

EXIT_DONE, EXIT_FAILED, EXIT_USAGE, EXIT_NO_DAEMON, EXIT_REFUSED, EXIT_TRY_AGAIN = 0, 1, 2, 3, 4, 75


class QiError(Exception):
    """The root of every error that a user may see: `what` happened, and a `hint` on what to do."""

    exit_code = EXIT_FAILED

    def __init__(self, what: str, hint: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.what}\n{self.hint}" if self.hint else self.what


class SettingsError(QiError):
    exit_code = EXIT_USAGE


class DaemonError(QiError):
    exit_code = EXIT_NO_DAEMON


class StoreError(QiError):
    pass


class SpoolError(QiError):
    pass


class NotFound(QiError):
    pass


class ServerError(QiError):
    """The server answered with an error; `status` is its HTTP status (0 if there is none)."""

    def __init__(self, what: str, hint: str = "", status: int = 0) -> None:
        super().__init__(what, hint)
        self.status = status


class ServerUnreachable(ServerError):
    exit_code = EXIT_TRY_AGAIN


class ModelError(QiError):
    pass


class UnsupportedArchitecture(ModelError):
    pass


class ToolMissing(QiError):
    pass


class DiskFull(QiError):
    exit_code = EXIT_TRY_AGAIN


class Busy(QiError):
    exit_code = EXIT_TRY_AGAIN


class Deferred(QiError):
    exit_code = EXIT_TRY_AGAIN


class TrainingError(QiError):
    pass


class OutOfMemory(TrainingError):
    exit_code = EXIT_TRY_AGAIN


class LiveChanged(QiError):
    """The version that the gate compared with is no longer live; `live` is the one that is."""

    exit_code = EXIT_TRY_AGAIN

    def __init__(self, what: str, hint: str = "", live: str = "") -> None:
        super().__init__(what, hint)
        self.live = live


class Stopped(QiError):
    exit_code = EXIT_TRY_AGAIN


class Refused(QiError):
    exit_code = EXIT_REFUSED


def no_room(error: BaseException | None) -> bool:
    """Whether this error, or one that caused it, is a disk without room or a limit on file size.

    What failed for that reason may work later.
    """
    while error is not None:
        if isinstance(error, DiskFull) or (
            isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        ):
            return True
        error = error.__cause__
    return False
