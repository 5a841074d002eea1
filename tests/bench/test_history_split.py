"""What a benchmark learns of a repository was written before what it is measured with."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from qi_learn.bench.functions import DemoFunction
from qi_learn.bench.history_split import split_history
from qi_learn.bench.repositories import Introduced, repository_functions
from qi_learn.bench.tasks import (
    REPOSITORY_DEV,
    REPOSITORY_TEST,
    REPOSITORY_TRAIN,
    repository_task,
)
from qi_learn.deploy import model_server
from qi_learn.errors import NotFound
from qi_learn.outside.llama_cpp import load_vocabulary


def source(name: str, *lines: str) -> str:
    own = lines or (f"first_of_{name} = value + {len(name)}", f"second_of_{name} = first_of_{name}")
    return f"def {name}(value):\n" + "".join(f"    {line}\n" for line in own) + "    return 1\n"


def introduced(name: str, commit: int, *lines: str) -> Introduced:
    text = source(name, *lines)
    function = DemoFunction("m", "m.py", name, None, f"def {name}(value)", "", text, 1, 4, "")
    return Introduced(function, f"c{commit:03}", float(commit))


def names(functions: tuple[DemoFunction, ...]) -> list[str]:
    return [function.name for function in functions]


def test_every_test_is_of_a_later_commit_than_what_is_learned() -> None:
    history = [introduced(f"function_{n:03}", n // 4) for n in range(40)]
    split = split_history(history, learned=12, tests=6)
    assert names(split.tests) == [f"function_{n:03}" for n in range(34, 40)]
    assert names(split.learned) == [f"function_{n:03}" for n in range(20, 32)]


def test_what_is_learned_again_under_another_name_is_no_test() -> None:
    copied = "first_of_function_020 = value + 12", "second_of_function_020 = first_of_function_020"
    history = [introduced(f"function_{n:03}", n) for n in range(30)]
    history[20] = introduced("function_020", 20, *copied)
    history[27] = introduced("another_name", 27, *copied)
    split = split_history(history, learned=10, tests=5)
    assert names(split.tests) == [f"function_{n:03}" for n in (24, 25, 26, 28, 29)]
    assert names(split.learned) == [f"function_{n:03}" for n in range(14, 24)]


def test_a_history_that_is_too_short_gives_fewer() -> None:
    one_commit = [introduced(f"function_{n:03}", 0) for n in range(40)]
    split = split_history(one_commit, learned=12, tests=6)
    assert (split.learned, len(split.tests)) == ((), 6)
    few = [introduced(f"function_{n:03}", n) for n in range(10)]
    assert len(split_history(few, learned=12, tests=6).learned) == 4
    assert split_history([], learned=12, tests=6).tests == ()


def commit(repository: Path, number: int, *functions: str) -> None:
    (repository / f"part{number}.py").write_text("\n\n".join(functions))
    date = f"{1_700_000_000 + number} +0000"
    for arguments in (["add", "-A"], ["commit", "-q", "-m", "more"]):
        subprocess.run(
            ["git", "-c", "user.name=T", "-c", "user.email=t@example.org", *arguments],
            cwd=repository,
            check=True,
            env={
                "PATH": "/usr/bin:/bin",
                "GIT_AUTHOR_DATE": date,
                "GIT_COMMITTER_DATE": date,
            },
        )


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    directory = tmp_path / "repo"
    directory.mkdir()
    subprocess.run(["git", "init", "-q"], cwd=directory, check=True)
    return directory


def test_a_repository_is_measured_with_what_was_written_last(repository: Path) -> None:
    words = [
        f"{a}_{b}" for a in ("red", "blue", "green", "white") for b in map(chr, range(97, 123))
    ]
    words += [f"more_{word}" for word in words]
    for number in range(20):
        commit(repository, number, *(source(word) for word in words[6 * number : 6 * number + 6]))
    when = {i.function.name: i.when for i in repository_functions(repository)}
    with load_vocabulary(model_server.embedded_file()) as vocabulary:
        task = repository_task(repository, vocabulary)
    learned, asked = (
        [when[word] for word in words if any(f"def {word}(" in e.target for e in part)]
        for part in ((*task.train, *task.dev), task.test)
    )
    assert (len(task.train), len(task.dev)) == (REPOSITORY_TRAIN, REPOSITORY_DEV)
    assert len(task.test) == len(asked) == REPOSITORY_TEST
    assert max(learned) < min(asked)


def test_a_repository_without_a_past_is_refused(repository: Path) -> None:
    commit(repository, 0, *(source(f"function_{n:03}") for n in range(130)))
    with (
        load_vocabulary(model_server.embedded_file()) as vocabulary,
        pytest.raises(NotFound, match="0 of them before 30 others of later commits") as refused,
    ):
        repository_task(repository, vocabulary)
    assert "shallow clone" in refused.value.hint
