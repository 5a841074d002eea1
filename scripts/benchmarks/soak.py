"""Nothing is lost in a bad day: `scripts/bench soak [--minutes 30]`.

Ten git repositories are edited and committed in; four clients ask through the gateway, each by
another endpoint; a bash with the hook runs test commands; ratings are given on the command line.
Meanwhile processes are killed at random (`kill -9`): the daemon, the gateway, the shell. Twice the
disk that holds the home is full. Then an account: each event that was accepted (its stream had
ended, its prompt had come back, its command had exited with 0) must be in the database once.

The home is a tmpfs in a mount namespace of its own, for which `unshare` (util-linux) is needed.
While the disk is full an exchange may go by without a copy (`unrecorded_while_full`, lines of
hooks among them; `unrecorded_turns` are the turns of these); `told` is how many turns the gateway
says that it could not record. At the end
each project must still be followed: an answer that is saved into it is found there, once the last
daemon has caught up with the day (`followed_after_s`; the day is faster than one of two cores can
follow). The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from scripts.benchmarks.soaking.account import account, still_followed
from scripts.benchmarks.soaking.day import client, developer, filler, killer, rater, typist
from scripts.benchmarks.soaking.upstream import code_of, free_port, serving
from scripts.benchmarks.soaking.world import World, git, start

PROJECTS = 10
DISK_MB = 600
TARGETS = ("/api/chat", "/api/generate", "/v1/chat/completions", "/v1/messages?beta=true")
"""What the clients ask, each another."""


def prepare(world: World) -> list[Path]:
    (world.root / "bin").mkdir()
    stub = world.root / "bin" / "pytest"
    stub.write_text("#!/bin/sh\nexit 0\n")
    stub.chmod(0o755)
    (world.root / "gitconfig").write_text(
        "[user]\n\tname = soak\n\temail = soak@localhost\n[init]\n\tdefaultBranch = main\n"
    )
    config = world.home / "config" / "config.toml"
    config.parent.mkdir(parents=True)
    world.gateway = ("127.0.0.1", port := free_port())
    config.write_text(
        f'[gateway]\nport = {port}\n[serve]\nbackend = "ollama"\nbase = "m:latest"\n'
        f'ollama = "{world.upstream}"\n[train]\nauto = false\n'
    )
    projects = [world.root / "work" / f"project{n}" for n in range(PROJECTS)]
    for project in projects:
        project.mkdir(parents=True)
        git(world, project, "init", "-q")
        (project / "part_0.py").write_text(code_of("first"))
        git(world, project, "add", ".")
        git(world, project, "commit", "-qm", "Begin")
        said = world.qi("init", str(project))  # the stand-in has no base: the project is enough
        if str(project) not in (world.home / "data" / "projects.json").read_text(encoding="utf-8"):
            raise SystemExit(f"init {project}: {said.returncode} {said.stderr}")
    return projects


def soak(world: World, minutes: float, *, full: bool) -> list[Path]:
    projects = prepare(world)
    start(world)
    world.ends = time.monotonic() + minutes * 60
    parts: list[tuple[Callable[..., None], tuple[Any, ...]]] = [
        *((client, (world, n, target, projects)) for n, target in enumerate(TARGETS)),
        *((part, (world, projects)) for part in (developer, rater, typist)),
        (killer, (world,)),
        *([(filler, (world, minutes))] if full else []),
    ]
    threads = [threading.Thread(target=part, args=given) for part, given in parts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return projects


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", action="store_true", help="leave projects and a copy of the home")
    parser.add_argument("--within", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.within is None:
        sys.exit(within_namespace(given))
    world = World(given.within, given.seed, 0.0)
    with serving() as world.upstream:
        projects = soak(world, given.minutes, full=os.path.ismount(world.home))
        followed = still_followed(world, projects)
        time.sleep(10.0)
        said = account(world)
        status = json.loads(world.qi("status", "--json").stdout or "{}")
        world.qi("daemon", "stop")
        if given.keep:
            shutil.copytree(world.home, world.root / "kept", symlinks=True)
    said["told"] = (status.get("lost") or {}).get("count", 0)
    print(
        json.dumps(
            {"minutes": given.minutes, **said, **followed}
            | {"disk_full": len(world.full), **dict(world.counts)}
        )
    )


def within_namespace(given: argparse.Namespace) -> int:
    """Run this program again, its home on a small disk of its own; returns its exit code."""
    directory = Path(tempfile.mkdtemp(prefix="qi-soak-"))
    home = directory / "home"
    home.mkdir()
    mount = f'mount -t tmpfs -o size={DISK_MB}m,mode=700 qi-soak "$0" && exec "$@"'
    own = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    command = [sys.executable, __file__, "--within", str(directory), "--seed", str(given.seed)]
    command += ["--minutes", str(given.minutes), *(["--keep"] if given.keep else [])]
    done = subprocess.run(
        ["unshare", *own, "--mount", "sh", "-c", mount, str(home), *command], check=False
    )
    if not given.keep:
        shutil.rmtree(directory)
    return done.returncode


if __name__ == "__main__":
    main()
