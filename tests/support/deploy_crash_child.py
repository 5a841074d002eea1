"""Run one step of deploy in a process that dies at a chosen moment: a process with everything
imported, which forks for every line on its input.

In: `{"step", "root", "url", "local", "die_at"}`. Out: the child's pid; then, when it has ended, its
exit code. The child waits for a further line before it starts. `die_at` counts what it does to
files and sockets, as Python's own audit events report it; at that event it exits without cleaning
up.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from pathlib import Path

from qi_learn.deploy import release
from qi_learn.deploy.alias import reconcile
from qi_learn.deploy.base_version import BaseSource, ensure_base
from qi_learn.deploy.candidate import make_model
from qi_learn.deploy.journal import candidate_model, load_deployment
from qi_learn.deploy.rollback import roll_back
from qi_learn.outside.ollama import Ollama
from qi_learn.paths import Paths
from qi_learn.records import Release
from tests.support import fake_models_server as fake

ALIAS = "qi-agent:latest"
DEADLY = {"os.rename", "os.remove", "os.mkdir", "os.chmod", "socket.connect", "fcntl.flock"}


def file(root: Path, who: str) -> tuple[Path, str]:
    content = fake.gguf(say=f"I am {who}.")
    path = root / f"{who}.gguf"
    path.write_bytes(content)
    return path, hashlib.sha256(content).hexdigest()


def digest_of(who: str) -> str:
    return hashlib.sha256(fake.gguf(say=f"I am {who}.")).hexdigest()


def base(root: Path, server: Ollama, store: Path | None) -> None:
    gguf, digest = file(root, "base")
    ensure_base(
        Paths.under(root / "home"),
        server,
        BaseSource("", gguf, digest),
        alias=ALIAS,
        answer_for=(),
        store=store,
        now=1.0,
    )


def promote(root: Path, server: Ollama, store: Path | None, run: str, compared_with: str) -> None:
    paths = Paths.under(root / "home")
    gguf, digest = file(root, run)
    candidate = candidate_model(ALIAS, run)
    if run not in [r.run_id for r in load_deployment(paths).releases]:
        make_model(server, candidate, gguf, digest, {})

    def make(version: str, model: str) -> Release:
        directory = paths.adapters / f"v{version}"
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "adapter.safetensors").write_text(run)
        return Release(
            version,
            model,
            digest,
            2.0,
            "b",
            parent=compared_with,
            run_id=run,
            adapter=f"adapters/v{version}",
        )

    release.promote(
        paths,
        server,
        release.Candidate(candidate, run, compared_with),
        make=make,
        store=store,
        keep=2,
    )


def step(name: str, root: Path, server: Ollama, store: Path | None) -> None:
    paths = Paths.under(root / "home")
    if name == "base":
        base(root, server, store)
    elif name == "promote":
        promote(root, server, store, "R3", "1.2.0")
    elif name == "rollback":
        if load_deployment(paths).live != "1.1.0":
            roll_back(paths, server, version="1.1.0", store=store)
        reconcile(paths, server, store=store)
    else:
        raise ValueError(name)


def _die_at(number: int) -> None:
    count = 0

    def audit(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal count
        writes = (
            event == "open"
            and isinstance(arguments[2], int)
            and arguments[2] & (os.O_WRONLY | os.O_RDWR)
        )
        if event in DEADLY or writes:
            count += 1
            if count == number:
                os._exit(9)

    sys.addaudithook(audit)


def main() -> None:
    for line in sys.stdin:
        order = json.loads(line)
        pid = os.fork()
        if pid == 0:
            sys.stdin.readline()
            root = Path(order["root"])
            store = root / "store" if order["local"] else None
            if order["die_at"]:
                _die_at(order["die_at"])
            with Ollama(order["url"], timeout=10) as server:
                step(order["step"], root, server, store)
            os._exit(0)
        print(pid, flush=True)
        _, status = os.waitpid(pid, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


if __name__ == "__main__":
    main()
