"""Checks of what is installed and what the machine has: packages, programs, room on the disk."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from qi_learn.deploy import model_server
from qi_learn.errors import ToolMissing
from qi_learn.gate.project_sandbox_trial import open_project_sandbox
from qi_learn.gate.sandbox import open_sandbox
from qi_learn.outside.installation import OR_OLLAMA, how_to_add
from qi_learn.outside.python_env import look_into
from qi_learn.paths import Paths
from qi_learn.plan.backend import LOOKED_FOR, SEEN, missing
from qi_learn.redact import catalogue_line
from qi_learn.report.finding import Finding
from qi_learn.settings import Settings
from qi_learn.store.database import library_version
from qi_learn.syntax import without_grammar

NEEDED_BYTES = 2 << 30
TRAINING = ("torch", "transformers", "peft", "accelerate")
PACKING = ("llama_cpp", "gguf", "safetensors", "numpy")
ENGINE = {"llama_cpp", model_server.EMBEDDED_PACKAGE}


def parts(paths: Paths, settings: Settings) -> Iterator[Finding]:
    """Optional packages that learning needs, and the interpreter that `train.python` names."""
    own = settings.train.python
    if own and shutil.which(os.path.expanduser(own)) is None:
        yield Finding(
            "parts",
            False,
            f"train.python names {own}, which cannot be run.",
            "Give the path of a Python that has torch, transformers and peft.",
        )
    extra_of = dict.fromkeys(PACKING if own else (*TRAINING, *PACKING), "train")
    if model_server.uses_engine(settings) and not settings.serve.base_gguf:
        extra_of[model_server.EMBEDDED_PACKAGE] = "embedded"
    absent = {
        module: extra
        for module, extra in extra_of.items()
        if importlib.util.find_spec(module) is None
    }
    if absent:
        engine = model_server.uses_engine(settings) and absent.keys() & ENGINE
        without = (
            "Without them no model is served here, and nothing is recorded."
            if engine
            else "Recording works, learning does not."
        )
        yield Finding(
            "parts",
            False,
            f"Not installed: {', '.join(sorted(absent))}. {without}",
            how_to_add(*sorted(set(absent.values()))) + (f"; {OR_OLLAMA}." if engine else ""),
        )
    else:
        yield Finding("parts", True, "Everything that learning needs is installed.")


def secrets(paths: Paths, settings: Settings) -> Iterator[Finding]:
    """Whose rules say what a secret is: our own, and a catalogue if it is installed."""
    yield Finding("secrets", True, f"What is redacted: {catalogue_line()}.")


def languages(paths: Paths, settings: Settings) -> Iterator[Finding]:
    """Of which languages a file's functions are told apart: a remark, what is lacking costs little.

    Where they are not, code is followed by its lines.
    """
    if absent := without_grammar():
        what = f"In files of these languages code is followed by lines: {', '.join(absent)}."
        yield Finding("languages", True, f"{what} By functions: {how_to_add('languages')}")
    else:
        yield Finding("languages", True, "Code is followed by functions in every language known.")


def backend(paths: Paths, settings: Settings) -> Iterator[Finding]:
    """Unsloth, if it is asked for or installed."""
    if settings.train.backend == "plain":
        return
    packages = look_into(os.path.expanduser(settings.train.python), LOOKED_FOR)
    if "unsloth" not in packages.versions and settings.train.backend == "auto":
        return
    problems = list(missing(packages))
    if not settings.train.base_weights:
        problems.append("train.base_weights is empty, and it cannot train from a GGUF file")
    if not problems:
        version = packages.versions["unsloth"]
        yield Finding("backend", True, f"Unsloth {version} would train on a GPU. {SEEN}")
        return
    what = f"Unsloth cannot train: {'; '.join(problems)}."
    if settings.train.backend == "unsloth":
        yield Finding("backend", False, what, 'Mend that, or set train.backend = "auto".')
    else:
        yield Finding("backend", True, f"{what} The plain backend does.")


def git(paths: Paths, settings: Settings) -> Iterator[Finding]:
    """The git program."""
    if shutil.which("git") is None:
        yield Finding(
            "git", False, "git is not on PATH: commits cannot be followed.", "Install git."
        )


def sandbox(paths: Paths, settings: Settings) -> Iterator[Finding]:
    """The sandbox for generated code.

    Learning works without it, and the gate says each time that no code was run: a remark and not a
    fault. That the projects' tests judge was asked for, so it is a fault if they cannot.
    """
    yield (
        _tasks_sandbox()
        if settings.gate.execute
        else Finding("sandbox", True, "The gate runs no tasks of its own (gate.execute = 0).")
    )
    if settings.gate.project_tests:
        yield from _project_tests()


def _tasks_sandbox() -> Finding:
    try:
        open_sandbox()
    except ToolMissing as error:
        return Finding("sandbox", True, f"{error.what} {error.hint}")
    what = "bubblewrap works: the gate runs generated code in it, and nowhere else."
    return Finding("sandbox", True, what)


def _project_tests() -> Iterator[Finding]:
    try:
        open_project_sandbox()
    except ToolMissing as error:
        yield Finding(
            "project_tests",
            False,
            "gate.project_tests is true, and your projects' tests will not run without bubblewrap "
            f"that works. {error.what}",
            f"{error.hint} Or set gate.project_tests = false.",
        )
    else:
        yield Finding("project_tests", True, "Your projects' tests judge, in bubblewrap.")


def sqlite(paths: Paths, settings: Settings) -> Iterator[Finding]:
    """SQLite's version.

    One process alone writes the database, so an old library is a remark and not a fault.
    """
    version, safe = library_version()
    old = (
        " Older than 3.51.3 (WAL-reset bug): do not write to the database with other tools while "
        "the daemon runs."
    )
    yield Finding("sqlite", True, f"SQLite {version}." + ("" if safe else old))


def disk(paths: Paths, settings: Settings) -> Iterator[Finding]:
    """Room on the disk that holds the data."""
    directory = next(p for p in (paths.data, *paths.data.parents) if p.exists())
    free = shutil.disk_usage(directory).free
    hint = (
        "A cycle needs room for a new model file (1.3 times the base's) and its training files: "
        "free at least 2 GiB."
    )
    yield Finding(
        "disk",
        free >= NEEDED_BYTES,
        f"{free / 2**30:.1f} GiB free at {directory}.",
        hint if free < NEEDED_BYTES else "",
    )


def hooks(paths: Paths, settings: Settings) -> Iterator[Finding]:
    """Shell hooks that are loaded twice."""
    for name in (".bashrc", ".zshrc", ".config/fish/config.fish"):
        file = Path.home() / name
        if not file.is_file():
            continue
        lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
        times = sum(map(_loads_hook, lines))
        if times > 1:
            yield Finding(
                "hooks",
                False,
                f"{file} loads the shell hook {times} times.",
                "Keep one of the lines.",
            )


_LOADS_HOOK = re.compile(r"(?:^|[\s;&])(?:\.|source)\s.*\bqi-learn\.(?:bash|zsh|fish)\b")
_COMPLETION = ".zfunc/qi-learn.zsh"
"""What `--install-completion` has zsh load; it is named as the hook is."""


def _loads_hook(line: str) -> bool:
    comment = line.lstrip().startswith("#")
    return not comment and bool(_LOADS_HOOK.search(line)) and _COMPLETION not in line
