"""What kind of project a turn belongs to: R2's ProjectContext and CodebaseContext.

They are read from what every project says of itself. Only manifests and file names are read, never
the code. What no file says is None. Each project is looked at once per commit (`Contexts`).
"""

from __future__ import annotations

import json
import logging
import os
import re
import time
import tomllib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import Any

from qi_learn.errors import NotFound, ToolMissing
from qi_learn.outside import git
from qi_learn.workspace.files import project_files
from qi_learn.workspace.qi_learn_ignore import QiLearnIgnore

logger = logging.getLogger(__name__)
LANGUAGES = {
    "py": "python", "pyi": "python", "js": "javascript", "jsx": "javascript", "mjs": "javascript",
    "ts": "typescript", "tsx": "typescript", "go": "go", "rs": "rust", "java": "java",
    "kt": "kotlin", "c": "c", "h": "c", "cc": "c++", "cpp": "c++", "hpp": "c++", "cu": "cuda",
    "rb": "ruby", "php": "php", "cs": "c#", "swift": "swift", "scala": "scala", "ex": "elixir",
    "exs": "elixir", "hs": "haskell", "lua": "lua", "sh": "shell", "sql": "sql", "zig": "zig",
}  # fmt: skip
PAGES = {"react", "next", "vue", "nuxt", "svelte", "@angular/core", "django", "streamlit"}
SERVERS = {
    *("fastapi", "flask", "starlette", "aiohttp", "express", "@nestjs/core", "axum"),
    *("actix-web", "rocket", "gin", "echo", "fiber"),
}
FRAMEWORKS = {
    *PAGES,
    *SERVERS,
    *("tornado", "sqlalchemy", "pydantic", "torch", "tensorflow", "jax", "transformers"),
    *("pandas", "numpy", "polars", "scikit-learn", "typer", "click", "celery", "airflow"),
    *("electron", "tailwindcss", "tokio", "bevy", "serde", "clap", "cobra"),
}
TEST_TOOLS = (
    *("pytest", "hypothesis", "nose2", "tox", "vitest", "jest", "mocha", "playwright"),
    *("cypress", "testify", "proptest", "criterion"),
)
STYLE_TOOLS = (
    *("ruff", "black", "flake8", "pylint", "isort", "yapf", "biome", "eslint", "prettier"),
    *("rustfmt", "clang-format", "golangci-lint"),
)
STYLE_FILES = {
    "ruff.toml": "ruff", ".ruff.toml": "ruff", ".flake8": "flake8", ".pylintrc": "pylint",
    "biome.json": "biome", ".prettierrc": "prettier", "rustfmt.toml": "rustfmt",
    ".clang-format": "clang-format", ".golangci.yml": "golangci-lint",
    ".golangci.yaml": "golangci-lint", "eslint.config.js": "eslint", ".eslintrc.json": "eslint",
    ".eslintrc.js": "eslint",
}  # fmt: skip
BUILT_IN_TESTS = {"Cargo.toml": "cargo test", "go.mod": "go test"}
MANIFESTS = {
    *("pyproject.toml", "setup.py", "requirements.txt", "package.json", "Cargo.toml", "go.mod"),
    *("pom.xml", "build.gradle", "CMakeLists.txt", "Makefile"),
}
MOST_FILES = 20_000
"""Files of a project that are looked at; git's list of a larger one is cut there."""
MOST_WALKED = 2000
"""The same without git, where the tree has to be walked."""
REMEMBERED_SECONDS = 600.0
"""How long the context of a project without commits counts."""
_NAME = re.compile(r"[A-Za-z0-9@][\w.@/-]*")


@dataclass(frozen=True, slots=True)
class ProjectContext:
    """One project at one commit."""

    project_type: str | None
    """What its manifest makes it: `web application`, `command line tool`, `library`, `service`,
    ...; None if it has none.
    """
    language: str | None
    """The language of most of its files."""
    languages: Mapping[str, int]
    """Files by language, most first."""
    technologies: tuple[str, ...]
    """Languages that are more than a tenth of it, and its frameworks."""
    frameworks: tuple[str, ...]
    testing_framework: str | None
    code_style: str | None
    """The tool that checks or makes its style."""
    architecture: str | None
    """How its directories are laid out: `monorepo`, `src layout`, `packages`, `flat`."""
    development_phase: str | None
    """By its version: `before 1.0` or `released`."""
    files: int
    branch: str | None
    commit: str | None


class Contexts:
    """Contexts of projects, each read once per commit; those without commits now and then."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._cached: dict[tuple[Path, str | None, str | None], ProjectContext] = {}
        self._looked: dict[Path, tuple[float, ProjectContext]] = {}

    def of(self, project: Path) -> ProjectContext:
        """The context of a project as it is now. Raises NotFound if it is not a directory."""
        commit, branch = _head(project)
        key = (project, commit, branch)
        looked, known = self._looked.get(project, (float("-inf"), None))
        fresh = commit is not None or self._clock() - looked < REMEMBERED_SECONDS
        if known is None or key not in self._cached or not fresh:
            self._cached = {k: v for k, v in self._cached.items() if k[0] != project}
            self._cached[key] = read_context(project, commit=commit, branch=branch)
            looked = self._clock()
        if commit is not None:
            looked = self._clock()
        self._looked[project] = looked, self._cached[key]
        return self._cached[key]


def _looked_at(project: Path, files: Iterator[Path]) -> Iterator[Path]:
    """Without those that the person's own rules leave out."""
    rules = QiLearnIgnore(str(project))
    return (path for path in files if not rules.any or rules.allowed([str(path)]))


def read_context(project: Path, *, commit: str | None, branch: str | None) -> ProjectContext:
    """The context of a project, read anew. Raises NotFound if it is not a directory."""
    if not project.is_dir():
        raise NotFound(
            f"The project {project} is not a directory.",
            "Remove it from the projects, or put it back.",
        )
    paths = islice(
        _looked_at(project, project_files(project, in_git=commit is not None)),
        MOST_FILES if commit else MOST_WALKED,
    )
    files = [path.relative_to(project).as_posix() for path in paths]
    languages = Counter(
        LANGUAGES[s] for f in files if (s := PurePosixPath(f).suffix[1:].lower()) in LANGUAGES
    )
    needs, version, scripts = _manifests(project, files)
    frameworks = tuple(sorted(FRAMEWORKS & needs))
    ordered = dict(languages.most_common())
    spoken = tuple(name for name, count in ordered.items() if count * 10 >= languages.total())
    return ProjectContext(
        project_type=_type(files, frameworks, scripts),
        language=next(iter(ordered), None),
        languages=ordered,
        technologies=(*spoken, *(f for f in frameworks if f not in spoken)),
        frameworks=frameworks,
        testing_framework=_testing(files, needs),
        code_style=next((tool for name, tool in STYLE_FILES.items() if name in files), None)
        or next((t for t in STYLE_TOOLS if t in needs), None),
        architecture=_architecture(files) if files else None,
        development_phase=_phase(version),
        files=len(files),
        branch=branch,
        commit=commit,
    )


def _phase(version: str | None) -> str | None:
    if version is None:
        return None
    return "before 1.0" if version.split(".")[0] == "0" else "released"


def _head(project: Path) -> tuple[str | None, str | None]:
    if not project.is_dir():
        return None, None
    try:
        return git.head(project), git.branch(project)
    except (NotFound, ToolMissing) as error:
        logger.info("the commit of %s is unknown: %s", project, error.what)
        return None, None


# --- manifests ------------------------------------------------------------------------------------


def _manifests(project: Path, files: Iterable[str]) -> tuple[set[str], str | None, bool]:
    """What the manifests at a project's top say.

    It is (names of what the project needs, its version, whether it installs commands).
    """
    there = set(files)
    python = _toml(project / "pyproject.toml") if "pyproject.toml" in there else {}
    rust = _toml(project / "Cargo.toml") if "Cargo.toml" in there else {}
    node = _json(project / "package.json") if "package.json" in there else {}
    go = _text(project / "go.mod") if "go.mod" in there else ""
    about = _table(python, "project")
    needs = _python_needs(python) | _lines(
        _text(project / "requirements.txt") if "requirements.txt" in there else ""
    )
    needs |= {name for key in ("dependencies", "devDependencies") for name in _table(node, key)}
    needs |= {name for key in ("dependencies", "dev-dependencies") for name in _table(rust, key)}
    needs |= {
        name
        for path in re.findall(r"^\s*(?:require\s+)?([\w.-]+\.[\w.-]+/\S+)\s+v", go, re.MULTILINE)
        for name in path.split("/")
    }
    needs |= set(_table(python, "tool"))
    version = about.get("version") or _table(rust, "package").get("version") or node.get("version")
    scripts = bool(about.get("scripts") or node.get("bin") or rust.get("bin"))
    return needs, version if isinstance(version, str) else None, scripts


def _python_needs(pyproject: Mapping[str, Any]) -> set[str]:
    about = _table(pyproject, "project")
    groups = [
        about.get("dependencies"),
        *_table(about, "optional-dependencies").values(),
        *_table(pyproject, "dependency-groups").values(),
    ]
    named = [
        text
        for group in groups
        if isinstance(group, list)
        for text in group
        if isinstance(text, str)
    ]
    return _lines("\n".join(named)) | {
        name.lower() for name in _table(_table(_table(pyproject, "tool"), "poetry"), "dependencies")
    }


def _lines(requirements: str) -> set[str]:
    """The names at the beginnings of lines like `django[argon2]>=5`."""
    names = (_NAME.match(line.strip()) for line in requirements.split("\n"))
    return {name.group().lower().replace("_", "-") for name in names if name}


def _table(value: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    table = value.get(key)
    return table if isinstance(table, dict) else {}


def _toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(_text(path))
    except tomllib.TOMLDecodeError:  # a person is editing it
        return {}


def _json(path: Path) -> dict[str, Any]:
    try:
        table = json.loads(_text(path))
    except ValueError:
        return {}
    return table if isinstance(table, dict) else {}


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8", "replace")
    except OSError:
        return ""


# --- what they make it ----------------------------------------------------------------------------


def _type(files: Iterable[str], frameworks: Iterable[str], scripts: bool) -> str | None:
    there, used = set(files), set(frameworks)
    if used & PAGES:
        return "web application"
    if used & SERVERS:
        return "service"
    if used & {"torch", "tensorflow", "jax", "transformers"}:
        return "machine learning"
    if scripts or "src/main.rs" in there or "main.go" in there:
        return "command line tool"
    return "library" if there & MANIFESTS else None


def _testing(files: Iterable[str], needs: set[str]) -> str | None:
    there = set(files)
    named = next((tool for tool in TEST_TOOLS if tool in needs), None)
    if named is None and there & {"pytest.ini", "conftest.py", "tests/conftest.py"}:
        named = "pytest"
    built_in = next((tool for manifest, tool in BUILT_IN_TESTS.items() if manifest in there), None)
    tested = any(re.fullmatch(r"(?:.*/)?(?:test_[^/]*|[^/]*_test)\.py", name) for name in there)
    return named or built_in or ("unittest" if tested else None)


def _architecture(files: Iterable[str]) -> str:
    paths = [PurePosixPath(name) for name in files]
    manifests = {
        os.path.dirname(str(p))
        for p in paths
        if p.name in ("pyproject.toml", "package.json", "Cargo.toml", "go.mod")
    } - {""}
    tops = Counter(
        p.parts[0] for p in paths if len(p.parts) > 1 and p.suffix[1:].lower() in LANGUAGES
    )
    if len(manifests) >= 2:
        return "monorepo"
    if tops.get("src"):
        return "src layout"
    return "packages" if tops else "flat"
