"""The command line as a real process: exit codes, both outputs, one object of JSON, and never a
traceback.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from qi_learn import __version__
from qi_learn.cli.app import app
from qi_learn.errors import EXIT_DONE, EXIT_FAILED, EXIT_USAGE
from qi_learn.spool import Spool
from qi_learn.store.database import open_store
from qi_learn.store.turn_lines import SEARCHED
from tests.support.command_line import Terminal
from tests.support.recorded_home import (
    RUN,
    deploy,
    ended_run,
    record,
    schema_from_the_future,
    spool_events,
)

ESC = "\x1b"


@pytest.fixture
def terminal(tmp_path: Path) -> Terminal:
    return Terminal(tmp_path)


@pytest.fixture(scope="module")
def past(tmp_path_factory: pytest.TempPathFactory) -> Terminal:
    """A home with a past, only read."""
    made = Terminal(tmp_path_factory.mktemp("past"))
    record(made.paths, made.root / "project")
    deploy(made.paths)
    ended_run(made.paths)
    return made


# --- words and codes ------------------------------------------------------------------------------


def test_help_names_every_command(terminal: Terminal) -> None:
    said = terminal.process("--help")
    missing = [name for name in app.commands if f"\n  {name} " not in said.out]
    assert (len(app.commands), said.code, said.err, missing) == (
        27,
        EXIT_DONE,
        "",
        [],
    )
    assert terminal.qi("--version").out == f"qi-learn {__version__}\n"
    assert not (terminal.root / "home").exists()


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (["rate", "7"], EXIT_USAGE, "from 1 to 5"),
        (["rate", "T1", "4"], EXIT_FAILED, "qi-learn log"),
        (["rate"], EXIT_USAGE, "Missing argument"),
        (
            ["rate", "4", "--correction", "no-such-file"],
            EXIT_FAILED,
            "UTF-8 text file, or - for the input",
        ),
        (["log"], EXIT_FAILED, "Start the daemon"),
        (["log", "-n", "0"], EXIT_USAGE, "-n"),
        (["explain", "T1"], EXIT_FAILED, "qi-learn log"),
        (["explain", "1.0.0"], EXIT_FAILED, "qi-learn init"),
        (["explain", "../../etc"], EXIT_FAILED, "no turn, run or version"),
        (["versions"], EXIT_FAILED, "qi-learn init"),
        (["rollback"], EXIT_FAILED, "qi-learn init"),
        (
            ["run", "--kind", "party", "--", "true"],
            EXIT_USAGE,
            "compile, test, deploy, bench, other",
        ),
        (["run"], EXIT_USAGE, "Missing argument"),
        (["init", "no-such-directory"], EXIT_USAGE, "directory of a project"),
        (["no-such-command"], EXIT_USAGE, "No such command"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_an_error_says_what_to_do(
    terminal: Terminal, words: list[str], code: int, told: str
) -> None:
    said = terminal.qi(*words)
    assert (said.code, said.out) == (code, "")
    assert told in said.err


def test_a_home_that_cannot_be_made_is_said(terminal: Terminal) -> None:
    terminal.env["QI_LEARN_HOME"] = "/dev/null/home"
    said = terminal.qi("rate", "5")
    assert (said.code, "QI_LEARN_HOME" in said.err, "/dev/null/home" in said.err) == (
        EXIT_FAILED,
        True,
        True,
    )


def test_wrong_settings_are_all_named_and_stop_only_who_needs_them(terminal: Terminal) -> None:
    terminal.paths.ensure().settings_file.write_text(
        '[train]\nmin_interaction = 7\nseed = "x"\n[gatway]\nport = 1\n'
    )
    said = terminal.qi("config")
    assert (said.code, said.out) == (EXIT_USAGE, "")
    for part in (
        "train.min_interaction (did you mean `min_interactions`?)",
        "train.seed = 'x'",
        "[gatway] (did you mean `gateway`?)",
        "config.toml",
    ):
        assert part in said.err
    answered(terminal)
    assert terminal.qi("rate", "5").code == EXIT_DONE
    looked = terminal.qi("doctor", "--json")
    assert looked.code == EXIT_FAILED
    assert looked.json["checks"][0]["ok"] is False
    assert "min_interactions" in looked.json["checks"][0]["what"]


def test_config_shows_values_and_origins(terminal: Terminal) -> None:
    terminal.env["QI_LEARN__TRAIN__SEED"] = "9"
    assert "seed = 9  # from the environment" in terminal.qi("config").out
    assert terminal.qi("config", "--json").json["train"]["seed"] == 9


# --- what was recorded ----------------------------------------------------------------------------


def test_the_log_lists_turns_newest_first(past: Terminal) -> None:
    said = past.qi("log")
    lines = said.out.splitlines()
    assert lines[0].split() == ["ID", "WHEN", "FATE", "RATED", "SCORE", "MODEL", "QUESTION"]
    assert [line.split()[0] for line in lines[1:]] == ["T3", "T2", "T1"]
    assert "(500) Again." in lines[1]
    assert "Explain the moon." in lines[2]
    assert "0.70  qi-agent:v1.1.0           Write add." in lines[3]
    assert ESC not in said.out


def test_the_log_can_be_asked(past: Terminal) -> None:
    found = past.qi("log", "-q", "MOON", "--json").json
    assert [turn["id"] for turn in found["turns"]] == ["T2"]
    assert [t["id"] for t in past.qi("log", "-n", "1", "--json").json["turns"]] == ["T3"]
    (past.root / "project" / "src").mkdir(exist_ok=True)
    within = past.qi("log", "--project", "project/src", "--json").json["turns"]
    assert [(t["id"], t["target_score"], t["question"]) for t in within] == [
        ("T1", 0.7, "Write add.\n\n\x1b]0;owned\x07")
    ]
    assert past.qi("log", "-q", "no such words").out == "No turn is like that.\n"


def test_a_search_says_how_far_it_looked(terminal: Terminal) -> None:
    record(terminal.paths, terminal.root / "project")
    with open_store(terminal.paths.database) as store:
        row = dict(store.rows("SELECT * FROM turns WHERE id = 'T3'")[0])
        names = [name for name in row if name not in ("id", "ended")]
        rest = ", ".join(f'"{name}"' for name in names)
        store.execute(
            f"""WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?)
            INSERT INTO turns (id, ended, {rest})
            SELECT 'N' || i, ended + i, {rest} FROM turns, n WHERE id = 'T3'""",
            (SEARCHED - 1,),
        )
    near, far = terminal.qi("log", "-q", "Again", "-n", "1"), terminal.qi("log", "-q", "moon")
    assert ("Looked through" in near.out, near.out.count("\n")) == (False, 2)
    assert "Looked through the newest 20000 turns" in far.out
    assert "Explain the moon." not in far.out
    said = terminal.qi("log", "-q", "moon", "--json").json
    assert (said["turns"], said["searched_since"]) == ([], row["ended"])
    whole = terminal.qi("log", "-q", "moon", "--all", "--json").json
    assert ([turn["id"] for turn in whole["turns"]], whole["searched_since"]) == (["T2"], None)


@pytest.mark.parametrize("what", ["T1", RUN, "1.1.0"])
def test_explain_is_one_object_without_numbers_that_json_lacks(past: Terminal, what: str) -> None:
    said = past.qi("explain", what, "--json")
    found = json.loads(said.out, parse_constant=pytest.fail)
    assert (said.code, said.out.count("\n"), found["id"]) == (EXIT_DONE, 1, what)


def test_versions_and_status_as_json(past: Terminal) -> None:
    versions = past.qi("versions", "--json").json["versions"]
    assert [(v["version"], v["live"], v["run_id"]) for v in versions] == [
        ("1.0.0", False, None),
        ("1.1.0", True, RUN),
    ]
    status = past.process("status", "--json").json
    assert (status["turns"], status["live"], status["run"]["state"], status["problems"]) == (
        3,
        "1.1.0",
        "deployed",
        [],
    )


def test_a_newer_versions_database_is_refused_and_not_touched(terminal: Terminal) -> None:
    record(terminal.paths, terminal.root / "project")
    before = schema_from_the_future(terminal.paths)
    said = terminal.process("log")
    assert (said.code, "newer qi-learn" in said.err, "Upgrade qi-learn" in said.err) == (
        EXIT_FAILED,
        True,
        True,
    )
    status = terminal.qi("status")
    assert status.code == EXIT_DONE
    assert "newer qi-learn" in status.out
    assert "learning    unknown" in status.out
    assert terminal.paths.database.read_bytes() == before
    assert sorted(p.name for p in terminal.paths.data.glob("*.db*")) == ["qi-learn.db"]


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_a_terminal_that_lacks_a_sign_gets_another(past: Terminal, encoding: str) -> None:
    poor = Terminal(past.root, {"PYTHONIOENCODING": encoding, "PYTHONUTF8": "0"})
    assert poor.process("log").code == EXIT_DONE


def test_a_reader_that_has_left_is_no_fault(past: Terminal) -> None:
    out, into = os.pipe()
    os.close(out)
    done = subprocess.run(
        [sys.executable, "-m", "qi_learn", "log"],
        env=past.environment(),
        stdout=into,
        stderr=subprocess.PIPE,
        check=False,
    )
    os.close(into)
    assert done.returncode != EXIT_DONE
    assert b"Traceback" not in done.stderr


# --- ratings and events ---------------------------------------------------------------------------


def answered(terminal: Terminal) -> None:
    """Let an answer wait in the spool."""
    spool = Spool(terminal.paths.ensure().spool, "gateway", clock=lambda: 1.0)
    spool.append("turn", {"request": "{}"})
    spool.close()


def test_a_correction_comes_from_a_file_or_the_input(terminal: Terminal) -> None:
    answered(terminal)
    (terminal.root / "right.py").write_text("x = 'ü'\n", encoding="utf-8")
    (terminal.root / "image.png").write_bytes(b"\x89PNG\r\n\x1a\n\x00")
    (terminal.root / "zeros").write_bytes(b"\x00\x00")
    assert (
        terminal.qi("rate", "last", "4", "--correction", "right.py", "--comment", "almost").code
        == EXIT_DONE
    )
    assert terminal.process("rate", "4", "--correction", "-", given="y = 2\n").code == EXIT_DONE
    for wrong in ("image.png", "zeros", "."):
        said = terminal.qi("rate", "4", "--correction", wrong)
        assert (said.code, wrong in said.err, "UTF-8 text file" in said.err) == (
            EXIT_FAILED,
            True,
            True,
        )
    assert terminal.process("rate", "4", "--correction", "-", given=b"\xff\xfe").code == EXIT_FAILED
    bodies = [event["body"] for event in spool_events(terminal.paths)[1:]]
    assert [(b["correction"], b["comment"]) for b in bodies] == [
        ("x = 'ü'\n", "almost"),
        ("y = 2\n", None),
    ]


def test_an_event_from_a_hook(terminal: Terminal) -> None:
    taken = terminal.qi("log", "--event", "-", "--json", given='{"kind": "hook", "body": {"a": 1}}')
    assert (taken.code, taken.json["id"]) == (EXIT_DONE, spool_events(terminal.paths)[0]["id"])
    for given, told in (
        ("not json", "An event is one JSON object"),
        ('{"kind": "party", "body": {}}', "unknown kind 'party'"),
    ):
        said = terminal.qi("log", "--event", "-", given=given)
        assert (said.code, said.out, told in said.err) == (EXIT_USAGE, "", True)
    assert len(spool_events(terminal.paths)) == 1


# --- run ------------------------------------------------------------------------------------------


def test_a_command_runs_unchanged_and_is_recorded_once(terminal: Terminal) -> None:
    script = (
        "import sys; sys.stdout.write(sys.stdin.read().upper()); sys.stderr.write('said'); "
        "sys.exit(7)"
    )
    terminal.paths.ensure()
    said = terminal.process(
        "run", "--kind", "test", "--", sys.executable, "-c", script, given="given"
    )
    assert (said.code, said.out, said.err) == (7, "GIVEN", "said")
    (event,) = spool_events(terminal.paths)
    body = event["body"]
    assert isinstance(body, dict)
    assert (event["kind"], event["project"], body["kind"], body["exit_code"]) == (
        "outcome",
        str(terminal.root),
        "test",
        7,
    )


def test_options_after_the_command_are_the_commands(terminal: Terminal) -> None:
    assert terminal.process("run", "echo", "--kind", "-h", "--", "x").out == "--kind -h -- x\n"


def test_a_command_that_is_not_there(terminal: Terminal) -> None:
    said = terminal.process("run", "--", "no-such-command", "x")
    assert (said.code, "no-such-command cannot be run" in said.err) == (127, True)
    assert spool_events(terminal.paths) == []


def test_a_file_that_may_not_be_run_ends_as_in_a_shell(terminal: Terminal) -> None:
    (terminal.root / "tool").write_text("#!/bin/sh\n")
    said = terminal.process("run", "--", "./tool")
    assert (said.code, "./tool cannot be run: Permission denied" in said.err) == (126, True)


def test_a_spool_that_cannot_be_written_changes_nothing_for_the_command(terminal: Terminal) -> None:
    terminal.paths.ensure().spool.rmdir()
    terminal.paths.spool.write_text("a file")
    said = terminal.process("run", "--", "sh", "-c", "echo done; exit 3")
    assert (said.code, said.out) == (3, "done\n")
    assert "could not be written" in said.err
