"""What the gateway adds to a request: `scripts/bench gateway [SECONDS]`.

Four ways to the same upstream in one run, every part a process of its own: direct, a bare aiohttp
proxy that neither checks nor records (on asyncio's own loop), the gateway with recording on, and
the gateway on a name that it routes. Each proxy is asked in turn with the direct way alone, in
`BLOCKS` short blocks: asked all in one round, the gateway came twice and the bare proxy once, with
colder caches. Targets: p50 <= that of the bare proxy, p99 <= 1.3 x of it, at least 2,500
requests/s, no byte changed.

`added_ttfb_ms_*` are percentiles of the paired differences to the direct request made just before
(one request at a time); `bare_ttfb_ms_p50` is the same of the bare proxy. `requests_per_s` is the
median of rounds with 32 connections at once. `bytes_changed` counts bytes of bodies, chunk framing
included, that differ from what was sent, in both directions. `recorded` is the share of the
gateway's requests found in the spool afterwards: less than 1 would be a fault.

Then the same under strain: the database locked by another process, the gateway's disk full (its
files may not grow), a request of 9 MB always in flight, and `streams` streams open that get a chunk
every `PACE` seconds, all on both proxies, which are measured one after the other, four times each.
The 9 MB are sent within half a second, so that both carry as many of them (`large_per_s`,
`bare_large_per_s`): with the next one sent as soon as the last was answered, the slower proxy had
the lighter load and seemed the faster.
`locked_added_ttfb_ms_*` is what the gateway adds then, `bare_locked_*` what the bare proxy adds;
`chunk_ms_p99` is how late a chunk of a stream comes that the upstream sent on time (`bare_...` of
the bare proxy). The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import resource
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

from qi_learn import spool
from qi_learn.paths import Paths
from scripts.benchmarks.proxying.load import measure, measure_strained
from scripts.benchmarks.proxying.servers import LIVE, serve_bare, serve_upstream

ITSELF = "scripts.benchmarks.gateway"
"""The module whose roles the processes of a run take."""


def started(stack: ExitStack, command: list[str], ready: Path, environment: dict[str, str]) -> str:
    """Start a process that ends with the stack, and return its URL."""
    process = subprocess.Popen(
        [sys.executable, "-m", *command], env=environment, stderr=subprocess.DEVNULL
    )
    stack.callback(process.wait)
    stack.callback(process.terminate)
    while not ready.exists():
        if process.poll() is not None:
            sys.exit(f"{command[0]} did not start")
        time.sleep(0.02)
    return str(json.loads(ready.read_text())["url"])


def run(seconds: float) -> dict[str, Any]:
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        paths = Paths.under(home).ensure()
        routes = {
            "format": 1,
            "alias": "qi-agent:latest",
            "answer_for": ["qwen:latest"],
            "live": LIVE,
            "digest": "",
            "arms": [],
            "salt": "",
        }
        paths.routes.write_text(json.dumps(routes))
        environment = {**os.environ, "QI_LEARN_HOME": str(home), "QI_LEARN__GATEWAY__PORT": "0"}
        environment["QI_LEARN__CAPTURE__UNREGISTERED"] = "true"  # it asks from anywhere
        urls = {
            "upstream": started(
                stack, [ITSELF, "upstream", str(home / "up")], home / "up", environment
            )
        }
        urls["bare"] = started(
            stack,
            [ITSELF, "bare", str(home / "bare"), urls["upstream"]],
            home / "bare",
            environment,
        )
        gateway = [
            "qi_learn.gateway",
            "--upstream",
            urls["upstream"],
            "--ready",
            str(home / "gateway"),
        ]
        urls["gateway"] = started(stack, gateway, home / "gateway", environment)
        numbers = loaded("load", urls, seconds, environment)
        events = sum(
            line.problem is None
            for path in spool.spool_files(paths.spool)
            for line in spool.read_from(path)
        )
        numbers["recorded"] = round(events / numbers["through_gateway"], 6)
        with locked(paths.database):
            pid = json.loads((home / "gateway").read_text())["pid"]
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
            numbers |= loaded("strained", urls, seconds / 2, environment)
        return numbers


def loaded(
    role: str, urls: dict[str, str], seconds: float, environment: dict[str, str]
) -> dict[str, Any]:
    """The numbers of the load generator, a process of its own."""
    load = subprocess.run(
        [sys.executable, "-m", ITSELF, role, json.dumps(urls), str(seconds)],
        check=True,
        capture_output=True,
        text=True,
        env=environment,
    )
    numbers: dict[str, Any] = json.loads(load.stdout)
    return numbers


@contextmanager
def locked(database: Path) -> Iterator[None]:
    """The database, held by a writer that does not let go."""
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        connection.execute("BEGIN EXCLUSIVE")
        yield


def main(arguments: list[str]) -> None:
    roles: dict[str, Callable[..., Awaitable[Any]]] = {
        "upstream": serve_upstream,
        "bare": serve_bare,
    }
    if arguments and arguments[0] in roles:
        asyncio.run(_as_coroutine(roles[arguments[0]](Path(arguments[1]), *arguments[2:])))
    elif arguments and arguments[0] in ("load", "strained"):
        measuring = measure if arguments[0] == "load" else measure_strained
        print(json.dumps(asyncio.run(measuring(json.loads(arguments[1]), float(arguments[2])))))
    else:
        parser = argparse.ArgumentParser(description="Measures what the gateway adds to a request.")
        parser.add_argument("seconds", nargs="?", type=float, default=20.0, help="of load, in all")
        seconds = parser.parse_args(arguments).seconds
        print(
            f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} before; {seconds:.0f} s",
            flush=True,
        )
        print(json.dumps(run(seconds)))


async def _as_coroutine(awaitable: Awaitable[Any]) -> None:
    await awaitable


if __name__ == "__main__":
    main(sys.argv[1:])
