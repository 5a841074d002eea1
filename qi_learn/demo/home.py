"""The demonstration's throw-away home: its own configuration, data and working copy.

The user's own are never touched.

Everything the demonstration does to qi-learn goes through its front doors: the command line as a
process, the gateway over HTTP, files and git.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from qi_learn.demo.size import DemoSize
from qi_learn.errors import QiError, ToolMissing
from qi_learn.outside.ollama import Ollama
from qi_learn.paths import Paths
from qi_learn.settings import Settings
from qi_learn.settings_file import load_settings

OLLAMA_ALIAS = "qi-demo"


@dataclass(frozen=True, slots=True)
class DemoHome:
    """A private directory with a configuration, and the environment that names it.

    A child process with that environment uses this home.
    """

    root: Path
    size: DemoSize
    paths: Paths
    settings: Settings
    env: Mapping[str, str]

    @property
    def work(self) -> Path:
        """The git working copy of the developer that the demonstration plays."""
        return self.root / "work"

    @property
    def alias(self) -> str:
        return self.settings.serve.alias

    def qi_learn(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run the command line as a user does in the working copy.

        Raises QiError with its message if it fails and `check` is true.
        """
        done = subprocess.run(
            [sys.executable, "-m", "qi_learn", *arguments],
            cwd=self.work,
            env=dict(self.env),
            capture_output=True,
            text=True,
            check=False,
        )
        if check and done.returncode:
            raise QiError(
                f"`qi-learn {' '.join(arguments)}` ended with {done.returncode}: "
                f"{done.stderr.strip() or done.stdout.strip()}",
                f"The home of the demonstration is {self.root}.",
            )
        return done

    def git(self, *arguments: str) -> str:
        """Run git in the working copy, and return what it printed.

        It runs with the demonstration's own name and none of the user's settings. Raises QiError if
        it fails.
        """
        done = subprocess.run(
            ["git", *arguments],
            cwd=self.work,
            env=dict(self.env),
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise QiError(
                f"`git {' '.join(arguments)}` failed: {done.stderr.strip()}",
                "Is git in working order?",
            )
        return done.stdout

    def remove(self) -> None:
        """Stop what runs and delete everything, also what was made on a real Ollama."""
        try:
            self.qi_learn("daemon", "stop", check=False)
            if self.settings.serve.backend == "ollama":
                _remove_models(self.settings.serve.ollama)
        finally:
            shutil.rmtree(self.root, ignore_errors=True)


def make_home(size: DemoSize, ollama: str | None, base_gguf: Path) -> DemoHome:
    """Make a home with the overrides of the demonstration; `ollama` names a real server to work on.

    Raises ToolMissing if git is not installed.
    """
    if shutil.which("git") is None:
        raise ToolMissing(
            "git is not on PATH; the demonstration works in a git repository.",
            "Install git and run it again.",
        )
    if ollama is not None:
        _remove_models(ollama)  # left behind by a demonstration that was killed
    root = Path(tempfile.mkdtemp(prefix="qi-learn-demo-"))
    paths = Paths.under(root).ensure()
    tables = {**size.overrides, "serve": _serve_table(ollama, base_gguf)}
    paths.settings_file.write_text(_toml(tables), encoding="utf-8")
    env = _environment(root)
    home = DemoHome(root, size, paths, load_settings(paths.settings_file, env), env)
    home.work.mkdir()
    home.git("init", "-q", "-b", "main")
    home.git("commit", "-q", "--allow-empty", "-m", "Begin")
    return home


def _serve_table(ollama: str | None, base_gguf: Path) -> Mapping[str, object]:
    if ollama is None:
        return {"backend": "embedded"}
    return {
        "backend": "ollama",
        "ollama": ollama,
        "alias": f"{OLLAMA_ALIAS}:latest",
        "base_gguf": str(base_gguf),
    }


def _environment(root: Path) -> dict[str, str]:
    """The user's environment with this home, and without the user's settings of ours or of git."""
    env = {k: v for k, v in os.environ.items() if not k.startswith(("QI_LEARN", "GIT_"))}
    env |= {
        "QI_LEARN_HOME": str(root),
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_SYSTEM": os.devnull,
    }
    for role in ("AUTHOR", "COMMITTER"):
        env |= {f"GIT_{role}_NAME": "qi-learn demo", f"GIT_{role}_EMAIL": "demo@localhost"}
    return env


def _remove_models(url: str) -> None:
    """Delete what a demonstration made on a real Ollama.

    It deletes names of the forms that it gives, and nothing else.
    """
    with Ollama(url) as server:
        for model in server.models():
            name, _, tag = model.name.partition(":")
            if name == OLLAMA_ALIAS and (
                tag == "latest" or re.fullmatch(r"v\d+\.\d+\.\d+|candidate-\w+|repack", tag)
            ):
                server.delete(model.name)


def _toml(tables: Mapping[str, Mapping[str, object]]) -> str:
    """The tables as TOML, which writes numbers, texts and booleans as JSON does."""
    lines: list[str] = []
    for section, values in tables.items():
        lines.append(f"[{section}]")
        lines += [f"{key} = {json.dumps(value)}" for key, value in values.items()]
    return "\n".join(lines) + "\n"
