"""A project's context, from real repositories with the manifests that people write."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from qi_learn import codec
from qi_learn.errors import NotFound
from qi_learn.workspace.project_context import Contexts, ProjectContext, read_context
from tests.support.repository import Repository

PYPROJECT = """
[project]
name = "shop"
version = "0.3.0"
dependencies = ["Django[argon2]>=5 ; python_version > '3.10'", "sqlalchemy"]
[dependency-groups]
dev = ["pytest>=8", {include-group = "lint"}]
lint = ["black"]
[tool.ruff]
line-length = 100
"""


def test_a_python_project(tmp_path: Path) -> None:
    repo = Repository(tmp_path / "shop")
    repo.write("pyproject.toml", PYPROJECT)
    for name in ("shop/a.py", "shop/b.py", "tests/test_a.py", "tools/run.sh", "README.md"):
        repo.write(name, "\n")
    commit = repo.commit()
    assert Contexts().of(repo.root) == ProjectContext(
        project_type="web application",
        language="python",
        languages={"python": 3, "shell": 1},
        technologies=("python", "shell", "django", "sqlalchemy"),
        frameworks=("django", "sqlalchemy"),
        testing_framework="pytest",
        code_style="ruff",
        architecture="packages",
        development_phase="before 1.0",
        files=6,
        branch="main",
        commit=commit,
    )


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        (
            {"package.json": json.dumps({"version": "2.1.0", "dependencies": {"react": "19"},
                                         "devDependencies": {"vitest": "3", "eslint": "9"}}),
             "src/a.tsx": ""},
            {"project_type": "web application", "language": "typescript",
             "testing_framework": "vitest", "code_style": "eslint", "architecture": "src layout",
             "development_phase": "released", "frameworks": ("react",)},
        ),
        (
            {"Cargo.toml": '[package]\nname = "x"\nversion = "1.0.0"\n'
                           '[dependencies]\ntokio = "1"\n',
             "src/main.rs": "", "rustfmt.toml": ""},
            {"project_type": "command line tool", "language": "rust",
             "testing_framework": "cargo test", "code_style": "rustfmt", "frameworks": ("tokio",)},
        ),
        (
            {"go.mod": "module x\n\nrequire (\n\tgithub.com/gin-gonic/gin v1.10.0\n"
                       "\tgithub.com/stretchr/testify v1.9.0 // indirect\n)\n", "main.go": ""},
            {"project_type": "service", "language": "go", "testing_framework": "testify",
             "frameworks": ("gin",), "architecture": "flat"},
        ),
        (
            {"requirements.txt": "# web\nflask==3.0\n-r other.txt\n", "app.py": "",
             "test_app.py": ""},
            {"project_type": "service", "testing_framework": "unittest"},
        ),
        (
            {"a/package.json": "{}", "b/pyproject.toml": "", "b/x.py": ""},
            {"architecture": "monorepo", "project_type": None},
        ),
        (
            {"pyproject.toml": "[project\n", "package.json": "[1]", "x.py": ""},
            {"project_type": "library", "development_phase": None, "frameworks": ()},
        ),
        ({}, {"language": None, "technologies": (), "architecture": None, "files": 0}),
    ],
)  # fmt: skip
def test_what_projects_say_of_themselves(
    tmp_path: Path, files: dict[str, str], expected: dict[str, object]
) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    context = read_context(tmp_path, commit=None, branch=None)
    assert {name: getattr(context, name) for name in expected} == expected


def test_read_once_per_commit(tmp_path: Path) -> None:
    repo = Repository(tmp_path / "work")
    repo.write("a.py", "")
    first = repo.commit()
    contexts = Contexts()
    known = contexts.of(repo.root)
    repo.write("b.py", "")
    assert contexts.of(repo.root) is known
    second = repo.commit()
    assert contexts.of(repo.root) == replace(known, languages={"python": 2}, files=2, commit=second)
    assert (known.commit, known.files) == (first, 1)


def test_ignored_files_are_not_counted_and_it_is_plain_json(tmp_path: Path) -> None:
    repo = Repository(tmp_path / "work")
    repo.write(".gitignore", "out/\n")
    repo.write("out/x.py", "")
    repo.write("a.py", "")
    repo.commit()
    context = Contexts().of(repo.root)
    assert context.files == 2
    assert codec.loads(ProjectContext, codec.dumps(context)) == context


def test_a_project_that_is_gone(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        Contexts().of(tmp_path / "nowhere")
