"""A process that is the daemon and hangs."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from qi_learn.paths import Paths
from tests.support.fake_daemon import STATE

HUNG = """
import json, os, signal, socket, sys, time
from pathlib import Path
from qi_learn.daemon.control import Control
from qi_learn.daemon.lock import take_lock
from qi_learn.outside.listening import birth
from qi_learn.paths import Paths
paths, kinds = Paths.under(Path(sys.argv[1])), sys.argv[3:]
lock = take_lock(paths)
if "deaf" in kinds:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
if "held" in kinds:  # it accepts, as one that is stopped does, and never says a word
    door = socket.socket(socket.AF_UNIX)
    door.bind(str(paths.socket))
    door.listen()
if "answers" in kinds:
    door = Control(paths.socket, lambda _: {"stopping": True, "receipt": "none"})
own = {"pid": os.getpid(), "birth": birth(os.getpid())}
paths.daemon_state.write_text(json.dumps(json.loads(sys.argv[2]) | own))
os.utime(paths.daemon_state, (0, 0))
print("ready", flush=True)
time.sleep(1000)
"""


@contextmanager
def hung(paths: Paths, *kinds: str) -> Iterator[subprocess.Popen[bytes]]:
    """A process that is the daemon and does nothing more."""
    words = [sys.executable, "-c", HUNG, str(paths.state.parent), json.dumps(STATE), *kinds]
    with subprocess.Popen(words, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n"
            yield process
        finally:
            process.kill()
