"""What people wrote is found in commits and releases, in its order, and nothing else is."""

from __future__ import annotations

import tarfile
import zipfile
from pathlib import Path

import pytest

from qi_learn.bench.day.day_command import history_of
from qi_learn.bench.day.history import MOST_A_SESSION
from qi_learn.bench.day.releases import find_releases, texts_of, version_of
from qi_learn.errors import NotFound
from tests.support.histories import HEAD, function, releases
from tests.support.repository import Repository


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    made = Repository(tmp_path / "project")
    made.write("old.py", function("there_before", 1))
    made.commit("Begin")
    return made


def test_a_commit_brings_what_is_new_and_what_it_changed_with_what_stood_there(
    repository: Repository,
) -> None:
    repository.write("old.py", function("there_before", 2) + "\n\n" + function("added", 3))
    repository.commit("Count by two")
    found = history_of(repository.root, most=10)
    assert [(one.name, one.before) for one in found] == [
        ("there_before", function("there_before", 1)),
        ("added", None),
    ]
    assert {one.why for one in found} == {"Count by two"}
    assert found[1].text == function("added", 3)
    assert found[1].above == function("there_before", 2) + "\n\n"
    assert found[0].header == 1


def test_what_was_there_from_the_start_what_moved_and_what_was_formatted_is_no_work(
    repository: Repository,
) -> None:
    text = function("there_before", 1)
    repository.write("old.py", text.replace("value + 1", "(value + 1)".replace("(", " ")[1:-1]))
    repository.commit("Format")
    repository.write("moved.py", text)
    (repository.root / "old.py").unlink()
    repository.commit("Move")
    repository.write("real.py", function("real", 7))
    repository.commit("Write")
    assert [one.name for one in history_of(repository.root, most=10)] == ["real"]


def test_a_definition_that_holds_others_or_is_too_long_or_twice_is_not_asked_for(
    repository: Repository,
) -> None:
    long = "def long():\n" + "".join(f"    step({n})\n" for n in range(60))
    holder = (
        "class Holder:\n    size = 3\n\n    def inner(self):\n        one = 1\n        return one\n"
    )
    twice = function("twice", 1) + "\n\n" + function("twice", 2)
    repository.write("new.py", f"{long}\n\n{holder}\n\n{twice}")
    repository.commit("All kinds")
    assert [one.name for one in history_of(repository.root, most=10)] == ["Holder.inner"]


def test_other_languages_are_read_and_foreign_code_is_not(repository: Repository) -> None:
    code = "function add(a, b) {\n  const sum = a + b;\n  return sum;\n}\n"
    repository.write("web/add.js", code)
    repository.write("node_modules/lib/add.js", code.replace("add", "other"))
    repository.write("web/lib.min.js", code.replace("add", "small"))
    repository.commit("Add")
    found = history_of(repository.root, most=10)
    assert [(one.file, one.name, one.language) for one in found] == [
        ("web/add.js", "add", "javascript")
    ]


def test_the_newest_are_taken_in_the_order_of_time_and_a_session_gives_only_so_many(
    repository: Repository,
) -> None:
    for number in range(3):
        repository.write(f"f{number}.py", function(f"f_{number}", number))
        repository.commit(f"Write {number}")
    assert [one.name for one in history_of(repository.root, most=2)] == ["f_1", "f_2"]
    many = "\n\n".join(function(f"g_{number}", number) for number in range(60))
    repository.write("many.py", HEAD + many)
    repository.commit("Bring sixty")
    assert len(history_of(repository.root, most=100)) == MOST_A_SESSION


def test_twenty_releases_are_played_as_commits(tmp_path: Path) -> None:
    found = history_of(releases(tmp_path, 20), most=100)
    sessions = [f"release 1.{number}.0" for number in range(1, 20) for _ in range(4)]
    assert [one.session for one in found] == sessions
    assert [one.when for one in found] == sorted(one.when for one in found)
    assert sum(one.before is not None for one in found) == 38


def test_fewer_releases_are_no_history(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="19 releases of 20"):
        history_of(releases(tmp_path, 19), most=10)


def test_releases_are_found_in_whatever_they_are_packed_and_in_the_order_of_versions(
    tmp_path: Path,
) -> None:
    text = function("packed", 1)
    with zipfile.ZipFile(tmp_path / "small-1.10.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("small/a.py", text)
    inside = tmp_path / "a.py"
    inside.write_text(text)
    with tarfile.open(tmp_path / "small-1.9.0.tar.gz", "w:gz") as sdist:
        sdist.add(inside, "small-1.9.0/small/a.py")
    with tarfile.open(tmp_path / "small-1.2.0.tgz", "w:gz") as npm:
        npm.add(inside, "package/small/a.py")
    (tmp_path / "small-1.8.0" / "small").mkdir(parents=True)
    (tmp_path / "small-1.8.0" / "small" / "a.py").write_text(text)
    found = find_releases(tmp_path)
    assert [version_of(one.name) for one in found] == ["1.2.0", "1.8.0", "1.9.0", "1.10.0"]
    assert [texts_of(one) for one in found] == [{"small/a.py": text}] * 4


def test_a_history_without_code_says_so(repository: Repository) -> None:
    repository.write("README.md", "Nothing.\n")
    repository.commit("Write")
    with pytest.raises(NotFound, match="no function of 3 to 40 lines"):
        history_of(repository.root, most=10)
