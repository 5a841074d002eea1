"""A command that ran nothing says nothing, however well it ended."""

from __future__ import annotations

import pytest

from qi_learn.capture.command_kind import kind_of
from qi_learn.capture.command_words import read_command
from qi_learn.capture.silent_commands import only_tells, says_nothing

UNKNOWN = (None, None)


@pytest.mark.parametrize(
    "command",
    [
        *("pytest --version", "pytest --collect-only -q", "pytest --co", "pytest --fixtures"),
        *("cargo test --no-run", "cargo test -- --list", "go test -list . ./...", "go test -c ."),
        *("jest --listTests", "npm test -- --listTests", "tsc --init", "tsc --version"),
        *("make -n", "make -kn all", "ninja -t clean", "ctest -N", "tox -l", "mypy --version"),
        *("kubectl apply --dry-run=client -f x.yaml", "npm publish --dry-run", "cmake --version"),
        *("cargo publish --dry-run", "ansible-playbook --check site.yml", "make --help"),
        *("kubectl rollout history deploy/x", "kubectl rollout undo deploy/x", "vercel dev"),
    ],
)
def test_commands_that_only_tell(command: str) -> None:
    assert only_tells(read_command(command))
    assert says_nothing(read_command(command), kind_of(command.split()), 0, UNKNOWN)


@pytest.mark.parametrize(
    "command",
    [
        *("pytest -q", "pytest -m 'not slow'", "cargo test", "go test ./...", "npm test", "make"),
        *("kubectl apply --dry-run=none -f x.yaml", "make -j8 test", "make -f Makefile.tn all"),
        *("tsc -d", "kubectl rollout status deploy/x", "vercel --prod", "mypy src"),
    ],
)
def test_commands_that_do(command: str) -> None:
    assert not says_nothing(read_command(command), kind_of(command.split()), 0, UNKNOWN)


@pytest.mark.parametrize(
    ("command", "code", "counts", "nothing"),
    [
        ("pytest", 0, (0, 0), True),  # every test was skipped
        ("pytest", 5, UNKNOWN, True),
        ("pytest", 4, UNKNOWN, True),
        ("pytest", 2, UNKNOWN, True),  # Ctrl-C, or a module that does not import
        ("pytest", 2, (1, 0), False),
        ("python -m pytest", 2, UNKNOWN, True),
        ("make test", 2, UNKNOWN, False),
        ("pytest", 127, UNKNOWN, True),
        ("pytest", 126, UNKNOWN, True),
        ("go test ./...", 130, UNKNOWN, True),
        ("cargo test no_such_name", 0, UNKNOWN, True),
        ("cargo test no_such_name", 0, (0, 0), True),
        ("cargo test a_name", 0, (0, 2), False),
        ("cargo test a_name", 101, UNKNOWN, False),
        ("go test -run NoSuch ./...", 0, UNKNOWN, True),
        ("jest -t nosuch", 0, UNKNOWN, True),
        ("vitest run --passWithNoTests", 0, UNKNOWN, True),
        ("pytest -k mean", 0, UNKNOWN, True),
        ("pytest -k mean", 0, (0, 1), False),
        ("mvn test -DskipTests", 0, UNKNOWN, True),
        ("mvn package -DskipTests", 0, UNKNOWN, False),
        ("tsc --noEmit", 0, (0, None), False),
    ],
)
def test_runs_that_say_nothing(
    command: str, code: int, counts: tuple[int | None, int | None], nothing: bool
) -> None:
    words, kind = read_command(command), kind_of(command.split())
    assert says_nothing(words, kind, code, counts) is nothing


def test_what_ctrl_c_ended_says_nothing_whatever_its_exit_code() -> None:
    assert says_nothing(read_command("go test ./..."), "test", 1, UNKNOWN, interrupted=True)
