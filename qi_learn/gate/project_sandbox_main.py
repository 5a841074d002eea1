"""The program in the sandbox of a project's tests: copy the checkout, run the command, say how.

It is the first process of its namespace, so what it runs can neither end it nor outlive it, and it
cannot be looked into. It sets the limits that it is given before the command begins, watches the
time and the memory of all processes together, keeps the end of the output alone, and writes one
line of JSON. It ends, and everything with it, once nobody holds the other end of the pipe that it
is given (`lifeline`). It needs the standard library alone.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

BEGUN = "begun"
"""The first line: from here on every fault is the command's own."""
LOOK_SECONDS = 0.1
_DEATH_SIGNAL, _DUMPABLE = 1, 4


def main() -> None:
    """Read one request, run its command, and write how it ended."""
    request = json.load(sys.stdin)
    threading.Thread(target=_end_with, args=(request["lifeline"],), daemon=True).start()
    _become_nobody(request["uid"])
    _set_limits(request["limits"])
    told = os.dup(1)
    os.dup2(2, 1)
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")
    ctypes.CDLL(None).prctl(_DUMPABLE, 0, 0, 0, 0)
    os.write(told, f"{BEGUN}\n".encode())
    result = _run(request)
    with os.fdopen(told, "wb") as out:
        out.write(json.dumps(result).encode() + b"\n")


def copy_checkout(source: Path, into: Path) -> None:
    """Copy the checkout into the scratch directory; what is shown there already stays."""
    for entry in os.scandir(source):
        target = into / entry.name
        if entry.is_dir(follow_symlinks=False):
            target.mkdir(exist_ok=True)
            if os.access(target, os.W_OK):  # else it is shown from outside
                copy_checkout(Path(entry.path), target)
        elif not os.path.lexists(target):
            shutil.copy2(entry.path, target, follow_symlinks=False)


def _become_nobody(uid: int) -> None:
    """Take an identity that no one has, if this process has root's: limits do not bind root."""
    if os.getuid() == 0:
        os.setgroups([])
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)
        # a change of identity takes this back, by which bubblewrap has us end with itself
        ctypes.CDLL(None).prctl(_DEATH_SIGNAL, signal.SIGKILL, 0, 0, 0)


def _set_limits(limits: dict[str, int]) -> None:
    for name, value in limits.items():
        kind = getattr(resource, name)
        hard = resource.getrlimit(kind)[1]
        value = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(kind, (value, value))


def _run(request: dict[str, Any]) -> dict[str, Any]:
    """Run the command to its end, and end all that it left behind.

    Everything that watches it runs before it: a command that starts all the processes that there
    may be leaves none for that.
    """
    tail = bytearray()
    over: list[str] = []
    output, written = os.pipe()
    reader = threading.Thread(target=_keep_tail, args=(output, tail, request, over), daemon=True)
    reader.start()
    threading.Thread(target=_watch, args=(request, over), daemon=True).start()
    try:
        copy_checkout(Path(request["checkout"]), Path(request["top"]))
        os.makedirs(request["home"], exist_ok=True)
        process = subprocess.Popen(
            request["argv"],
            cwd=request["cwd"],
            env=request["environment"],
            stdin=subprocess.DEVNULL,
            stdout=written,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    except OSError as error:
        return {"code": None, "tail": f"{type(error).__name__}: {error}", "problem": "start"}
    os.close(written)
    code = _wait(process.pid)
    _end_all()
    reader.join(5)
    text = bytes(tail).decode("utf-8", "replace")
    return {"code": code, "tail": text, "problem": over[0] if over else ""}


def _wait(pid: int) -> int:
    """The exit code of one child; every other that came to this process is taken away meanwhile."""
    while True:
        ended, status = os.wait()
        if ended == pid:
            return os.waitstatus_to_exitcode(status)


def _keep_tail(output: int, tail: bytearray, request: dict[str, Any], over: list[str]) -> None:
    """Read all that is written; the end of it is kept, and too much of it ends the command."""
    read = 0
    while chunk := os.read(output, 65536):
        tail += chunk
        del tail[: -request["tail"]]
        read += len(chunk)
        if read > request["output"]:
            over.append("output")
            _end_all()
            return


def _watch(request: dict[str, Any], over: list[str]) -> None:
    """End everything once the time is up, or all processes together hold too much memory."""
    deadline = time.monotonic() + request["seconds"]
    while not over:
        if time.monotonic() > deadline:
            over.append("time")
        elif _memory() > request["memory"]:
            over.append("memory")
        else:
            time.sleep(LOOK_SECONDS)
    _end_all()


def _end_with(pipe: int) -> None:
    """End this process, and so all of the namespace, with the one that holds the pipe's end."""
    with suppress(OSError):
        os.read(pipe, 1)
    os._exit(1)


def _memory() -> int:
    """Bytes that the other processes hold and share with no file."""
    total = 0
    for name in os.listdir("/proc"):
        if not name.isdigit() or name == "1":
            continue
        with suppress(OSError, ValueError):
            for line in Path("/proc", name, "status").read_text().splitlines():
                if line.startswith(("RssAnon:", "RssShmem:")):
                    total += int(line.split()[1]) * 1024
    return total


def _end_all() -> None:
    """Kill every process of the namespace but this one, which is its first."""
    with suppress(ProcessLookupError):
        os.kill(-1, signal.SIGKILL)


if __name__ == "__main__":
    main()
