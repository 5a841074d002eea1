"""What the extension for VS Code tells, under node, with a `vscode` module that changes documents.

The extension was run by hand in VS Code itself, too: the log says in which and what it told.
"""

from __future__ import annotations

import json
import shutil
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest

from qi_learn.paths import Paths
from qi_learn.records import Event
from qi_learn.spool import read_from, spool_files
from qi_learn.store.editor_signs import editor_sign
from qi_learn.workspace.registry import add_project
from tests.support.editor_lines import digest
from tests.support.left_out import absent

ROOT = Path(__file__).parent.parent.parent
EXTENSION = ROOT / "hooks" / "vscode" / "extension.js"
HOST = ROOT / "tests" / "support" / "vscode_host.js"
TEXT = "def mean(values):\n    return \n\n\ntotal = sum()\n"
BODY = "sum(values) / len(values)"
UNDO, REDO = 1, 2


class Host:
    """VS Code with a file of a registered project."""

    def __init__(self, root: Path) -> None:
        self.project = root / "my work é"
        self.project.mkdir()
        self.paths = Paths.under(root / "home").ensure()
        add_project(self.paths, self.project)
        self.home = root / "home"
        self.file = self.project / "stats.py"
        self.file.write_text(TEXT)

    def run(self, *steps: dict[str, Any], file: Path | None = None) -> list[str]:
        """Do the steps; what was said on the screen."""
        node = shutil.which("node")
        if node is None:
            absent("node", "NOT TESTED: node is not installed here")
        told = {
            "steps": steps,
            "file": str(file or self.file),
            "home": str(self.home),
            "extension": str(EXTENSION),
        }
        done = subprocess.run(
            (node, HOST), input=json.dumps(told), capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 0, done.stderr
        said: list[str] = json.loads(done.stdout)["said"]
        return said

    def told(self) -> list[Event]:
        return [
            line.event
            for file in spool_files(self.paths.spool)
            for line in read_from(file, 0)
            if line.event is not None
        ]


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


def put(line: int, at: int, text: str, *, to: int | None = None, **more: Any) -> dict[str, Any]:
    """One change that replaces what stands from a column up to another."""
    end = at if to is None else to
    return {"change": {"line": line, "from": at, "to": end, "text": text, **more}}


def test_what_is_put_in_at_once_is_told_by_its_hashes(host: Host) -> None:
    host.run({"at": [1, 11]}, put(1, 11, BODY))
    (event,) = host.told()
    assert (event.kind, event.source, event.author) == ("sign", "vscode", "person")
    assert event.project == str(host.project)
    sign = editor_sign(event)
    assert (sign.said, sign.file, sign.size) == ("accepted", str(host.file), len(BODY))
    assert (sign.text, sign.lead) == (digest(BODY), digest("    return "))
    assert sign.above == digest("def mean(values):")
    (file,) = host.paths.spool.glob("vscode-*.jsonl")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert b"sum" not in file.read_bytes()


def test_a_completion_that_replaces_its_line_is_told_without_what_stood_there(host: Host) -> None:
    host.run({"at": [1, 11]}, put(1, 0, f"    return {BODY}", to=11))
    (event,) = host.told()
    assert (event.body["text"], event.body["lead"]) == (digest(BODY), digest("    return "))


def test_one_that_repeats_what_stands_behind_it_is_told_without_that(host: Host) -> None:
    host.run({"at": [4, 12]}, put(4, 12, "values)", to=13))
    (event,) = host.told()
    assert (event.body["text"], event.body["lead"]) == (digest("values"), digest("total = sum("))


def test_the_ends_of_lines_are_those_of_the_model(host: Host) -> None:
    host.run({"at": [1, 11]}, put(1, 11, "(\r\n        1\r\n    )"))
    (event,) = host.told()
    assert event.body["text"] == digest("(\n        1\n    )")


def test_what_is_typed_or_replaced_or_in_no_file_is_not_told(host: Host) -> None:
    host.run(
        {"at": [1, 11]},
        put(1, 11, "s"),
        put(1, 12, "()"),
        put(1, 14, "      "),
        {"at": [4, 0]},
        put(4, 0, "result", to=5),
        put(2, 0, "whole = 1", scheme="untitled"),
    )
    assert host.told() == []


def test_what_is_undone_soon_is_told_and_so_is_that_it_came_again(host: Host) -> None:
    end = 11 + len(BODY)
    host.run(
        {"at": [1, 11]},
        put(1, 11, BODY),
        put(1, 11, "", to=end, reason=UNDO),
        put(1, 11, BODY, reason=REDO),
        put(4, 0, "", to=5, reason=UNDO),
    )
    said = [event.body["said"] for event in host.told()]
    assert said == ["accepted", "declined", "accepted"]
    assert len({event.body["text"] for event in host.told()}) == 1


def test_nothing_is_told_in_a_pause(host: Host) -> None:
    host.paths.pause.write_text('{"until": 99999999999, "pauses": []}\n')
    host.run({"at": [1, 11]}, put(1, 11, BODY))
    assert host.told() == []


def test_a_pause_that_is_over_or_cannot_be_read(host: Host) -> None:
    host.paths.pause.write_text('{"until": 1000, "pauses": []}\n')
    host.run({"at": [1, 11]}, put(1, 11, BODY))
    host.paths.pause.write_text("?")
    host.run({"at": [1, 11]}, put(1, 11, BODY))
    assert len(host.told()) == 1


def test_nothing_is_told_of_a_file_in_no_project_nor_without_a_spool(
    host: Host, tmp_path: Path
) -> None:
    other = tmp_path / "stats.py"
    other.write_text(TEXT)
    host.run({"at": [1, 11]}, put(1, 11, BODY), file=other)
    assert host.told() == []
    host.paths.spool.rmdir()
    host.run({"at": [1, 11]}, put(1, 11, BODY))
    assert not host.paths.spool.exists()


def test_the_last_answer_is_rated_and_marked(host: Host) -> None:
    said = host.run(
        {"command": "qiLearn.rate", "pick": "4"},
        {"command": "qiLearn.mark", "pick": "rejected"},
        {"command": "qiLearn.rate"},
    )
    assert [(event.kind, dict(event.body)) for event in host.told()] == [
        ("rating", {"turn": "last", "rating": 4}),
        ("rating", {"turn": "last", "mark": "rejected"}),
    ]
    assert said == ["qi-learn: the last answer: 4 of 5", "qi-learn: the last answer: rejected"]


def test_where_no_project_is_the_person_is_told(host: Host) -> None:
    host.paths.projects.unlink()
    (said,) = host.run({"command": "qiLearn.rate", "pick": "4"})
    assert "no registered project" in said
