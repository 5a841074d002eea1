"""The demonstration's throw-away home: its own configuration, data and working copy; the user's own
are never touched.

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

from qi_learn.errors import QiError, ToolMissing
from qi_learn.outside.ollama import Ollama
from qi_learn.paths import Paths
from qi_learn.settings import Settings, load_settings

OVERRIDES: Mapping[str, Mapping[str, object]] = {
    "gateway": {"port": 0},
    "capture": {"settle": 2.0},
    "train": {"min_interactions": 60, "training_interval": 0.0},
    "gate": {"min_examples": 25, "answer_tokens": 64, "execute": 8},
    "idle": {"minutes": 0.0, "quiet": 0.0, "battery": True},
}
ANSWER_TOKENS = 64
OLLAMA_ALIAS = "qi-demo"


@dataclass(frozen=True, slots=True)
class DemoHome:
    """A private directory with a configuration, and the environment that makes a child process use
    it.
    """

    root: Path
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
        """The command line, as a user runs it in the working copy.

        Raises QiError with what it said where it fails.
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
        """git in the working copy, with the demonstration's own name and none of the user's
        settings.
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
        """Stops what runs and deletes everything, also what was made on a real Ollama."""
        try:
            self.qi_learn("daemon", "stop", check=False)
            if self.settings.serve.backend == "ollama":
                _remove_models(self.settings.serve.ollama)
        finally:
            shutil.rmtree(self.root, ignore_errors=True)


def make_home(ollama: str | None, base_gguf: Path) -> DemoHome:
    """A new home with the overrides of the demonstration; `ollama` names a real server to work on.

    Raises ToolMissing without git.
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
    tables = {section: dict(values) for section, values in OVERRIDES.items()}
    tables["serve"] = (
        {"backend": "embedded"}
        if ollama is None
        else {
            "backend": "ollama",
            "ollama": ollama,
            "alias": f"{OLLAMA_ALIAS}:latest",
            "base_gguf": str(base_gguf),
        }
    )
    paths.settings_file.write_text(_toml(tables), encoding="utf-8")
    env = {k: v for k, v in os.environ.items() if not k.startswith(("QI_LEARN", "GIT_"))}
    env |= {
        "QI_LEARN_HOME": str(root),
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_SYSTEM": os.devnull,
    }
    env |= {
        f"GIT_{who}_{what}": value
        for who in ("AUTHOR", "COMMITTER")
        for what, value in (("NAME", "qi-learn demo"), ("EMAIL", "demo@localhost"))
    }
    home = DemoHome(root, paths, load_settings(paths.settings_file, env), env)
    home.work.mkdir()
    home.git("init", "-q", "-b", "main")
    home.git("commit", "-q", "--allow-empty", "-m", "Begin")
    return home


def _remove_models(url: str) -> None:
    """Deletes what a demonstration made on a real Ollama: names of the forms that it gives, and
    nothing else.
    """
    with Ollama(url) as server:
        for model in server.models():
            name, _, tag = model.name.partition(":")
            if name == OLLAMA_ALIAS and (
                tag == "latest" or re.fullmatch(r"v\d+\.\d+\.\d+|candidate-\w+|repack", tag)
            ):
                server.delete(model.name)


def overrides_text() -> str:
    """The overrides in words, for the start of the demonstration."""
    return ", ".join(
        f"{section}.{key} = {value}"
        for section, values in OVERRIDES.items()
        for key, value in values.items()
    )


def _toml(tables: Mapping[str, Mapping[str, object]]) -> str:
    lines: list[str] = []
    for section, values in tables.items():
        lines.append(f"[{section}]")
        lines += [
            f"{key} = {json.dumps(value)}" for key, value in values.items()
        ]  # TOML writes numbers, texts and booleans as JSON does
    return "\n".join(lines) + "\n"
