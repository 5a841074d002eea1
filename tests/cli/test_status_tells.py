"""`qi-learn status` tells what does not do its work, and what to do about it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from qi_learn import __version__
from qi_learn.capture.wire import decode
from qi_learn.records import Event
from qi_learn.settings import Settings, settings_table
from qi_learn.spool import Spool
from qi_learn.store.database import open_store
from qi_learn.store.ingest import drain
from qi_learn.store.ratings import keep_rating, match_ratings
from qi_learn.track.suggestions import suggestions_of
from tests.support.command_line import Terminal
from tests.support.daemon_process import refusing_port
from tests.support.fake_daemon import daemon, holding_the_lock
from tests.support.recorded_home import record
from tests.support.redacted import as_redacted

RED = "\x1b[31m"


OTHERS = {
    "serve.backend": "embedded",
    "keep.size_gb": 2.0,
    "gateway.host": "::1",
    "train.schedule": "30 2 * * *",
    "train.backend": "plain",
    "train.device": "cpu",
    "train.weights": "uniform",
    "train.targets": "mlp",
    "train.fisher": "diagonal",
}
"""Other values than the default, where not every value may be."""


def another(value: Any) -> Any:
    """Another value of the same type."""
    match value:
        case bool():
            return not value
        case tuple():
            return ["another"]
        case str():
            return "another"
        case _:
            return value / 2 if isinstance(value, float) else value + 1


def write(terminal: Terminal, section: str, key: str, value: Any) -> None:
    terminal.paths.settings_file.write_text(f"[{section}]\n{key} = {json.dumps(value)}\n")


@pytest.fixture
def terminal(tmp_path: Path) -> Terminal:
    made = Terminal(tmp_path)
    record(made.paths, made.root / "project")
    return made


def test_an_ollama_that_does_not_answer_is_told_in_red(terminal: Terminal) -> None:
    with refusing_port() as port:
        url = f"http://127.0.0.1:{port}"
        words = f"Ollama does not answer at {url}: start it with `ollama serve`"
        with daemon(terminal.paths, server=url, engine=False):
            said = terminal.qi("status")
            assert f"fault       {words}" in said.out
            assert f"Ollama {url} (does not answer)" in said.out
            assert terminal.qi("status", "--json").json["server_answers"] is False
            red = [line for line in terminal.screen("status", columns=120) if RED in line]
        assert any(words in line for line in red)
        terminal.env.update(QI_LEARN__SERVE__BASE="qwen:7b", QI_LEARN__SERVE__OLLAMA=url)
        assert words in terminal.qi("status").out  # and without a daemon
    with daemon(terminal.paths):
        assert "does not answer" not in terminal.qi("status").out


def test_a_line_that_was_set_aside_is_told_in_red(terminal: Terminal) -> None:
    (terminal.paths.spool / "gateway-1-1.jsonl").write_bytes(b'00000000 {"kind": "turn"}\n')
    with open_store(terminal.paths.database) as store:
        done = drain(store, terminal.paths.spool, decode=decode, suggest=suggestions_of, now=600.0)
    assert done.bad == 1
    told = "set aside   1 line that was recorded could not be understood"
    assert told in terminal.qi("status").out
    assert terminal.qi("status", "--json").json["bad_lines"] == 1
    assert any(RED in line and told in line for line in terminal.screen("status", columns=120))


def test_a_rating_of_no_answer_is_not_counted_as_one(terminal: Terminal) -> None:
    with open_store(terminal.paths.database) as store:
        for number, turn in enumerate(("T1", "no-such-turn")):
            body = {"turn": turn, "rating": 4, "correction": None, "comment": None}
            keep_rating(store, as_redacted(Event(f"R{number}", "rating", 500.0, "cli", body)))
        match_ratings(store)
    assert "recorded    3 turns, 1 rating (1 more of no answer here)" in terminal.qi("status").out
    told = terminal.qi("status", "--json").json
    assert (told["rated"], told["unmatched_ratings"]) == (1, 1)


def test_a_daemon_that_hangs_is_not_called_running(terminal: Terminal) -> None:
    with daemon(terminal.paths) as url:
        terminal.paths.socket.unlink()
        said = terminal.qi("status")
    assert f"daemon      does not answer: `qi-learn daemon restart`, gateway {url}" in said.out
    assert "daemon      running" not in said.out


def test_one_that_is_starting_is_not_called_stopped(terminal: Terminal) -> None:
    with holding_the_lock(terminal.paths):
        said = terminal.qi("status").out
        assert terminal.qi("status", "--json").json["daemon_starting"] is True
    assert "recording   OFF (the daemon is starting)" in said
    assert "daemon      is starting, or another command" in said
    assert "daemon start" not in said
    assert "daemon      not running: `qi-learn daemon start`" in terminal.qi("status").out


def test_a_service_whose_systemd_is_silent_is_told(terminal: Terminal) -> None:
    tools = terminal.root / "bin"
    tools.mkdir()
    (tools / "systemctl").write_text("#!/bin/sh\n[ ! -e ~/no-bus ] || { echo no bus >&2; exit 1; }")
    (tools / "systemctl").chmod(0o755)
    terminal.env.update(
        PATH=f"{tools}:/usr/bin:/bin",
        XDG_CONFIG_HOME=str(terminal.root / "units"),
        QI_LEARN__GATEWAY__PORT="18435",
    )
    assert terminal.qi("daemon", "install").code == 0
    assert "systemd, which does not answer" not in terminal.qi("status").out
    (terminal.root / "no-bus").touch()
    said = terminal.qi("status").out
    assert (
        "problem     Daemon and gateway are services of systemd, which does not answer: no b"
        in said
    )


def test_every_setting_counts_at_once_or_is_named_with_the_restart(terminal: Terminal) -> None:
    """Those that count at once: tests/gateway/test_recorder.py."""
    defaults = settings_table(Settings())
    silent = []
    with daemon(terminal.paths, version=__version__, settings={}):
        for section, values in defaults.items():
            for key, value in values.items():
                write(terminal, section, key, OTHERS.get(f"{section}.{key}", another(value)))
                said = terminal.qi("status", "--json")
                assert said.code == 0, (section, key, said.err)
                named = any(
                    problem.startswith(f"{section}.{key} changed") and "daemon restart" in problem
                    for problem in said.json["problems"]
                )
                silent += [] if named else [f"{section}.{key}"]
    assert silent == ["gateway.record", "capture.unregistered"]


def test_settings_that_cannot_be_used_hide_nothing_that_runs(terminal: Terminal) -> None:
    terminal.paths.settings_file.write_text("[train]\nrnak = 3\n")
    with daemon(terminal.paths, version=__version__, settings={"train.rank": 8}):
        said = terminal.qi("status")
    assert (said.code, "recording   ON" in said.out) == (0, True)
    (problem,) = [line for line in said.out.splitlines() if line.startswith("problem     The set")]
    assert "unknown key train.rnak" in problem
    assert "changed in" not in said.out, "what it would change to is not known"


WRONG = {
    "[gateway]\nport = 1\n# record = 1\n[train]\n[gateway2]\n": "unknown section [gateway2]",
    '# mine\n\n[gateway]\nport = 18000\nrecord = "maybe"\n': (
        "gateway.record = 'maybe' is not a true, false or \"metadata\": write `record = true` "
        "under [gateway] (line 5)"
    ),
    "[train]\nrecord = 3\n[gateway]\nrnak = 2": "unknown key train.record",
    'gateway.record = "maybe"\n': "under [gateway] (line 1)",
    "[ train ] # the numbers\n\n'rank' = 9999\n": "train.rank must be between 0 (derived) and",
    "[train\n": "the file cannot be read as TOML: ",
}


@pytest.mark.parametrize("text", WRONG)
def test_a_setting_that_is_wrong_is_told_once(terminal: Terminal, text: str) -> None:
    """By the file, its line and what is wrong; not by each process that has read it too."""
    terminal.paths.settings_file.write_text(text)
    told = {"settings_problem": "the changed settings cannot be used, the old ones hold: x"}
    with daemon(terminal.paths, recorder=told):
        said = terminal.qi("status").out.splitlines()
        problems = [line for line in said if line.startswith("problem ") and "settings" in line]
        doctor = terminal.qi("doctor").out
    assert len(problems) == 1, problems
    (problem,) = problems
    file = f"The settings in {terminal.paths.settings_file} cannot be used: "
    assert problem.startswith(f"problem     {file}"), problem
    assert WRONG[text] in problem
    assert ". What runs goes on with those it has. Mend " in problem
    assert doctor.count("cannot be used") == 1
    lines = [line for line in doctor.splitlines() if "(line " in line or "at line" in line]
    assert len(lines) >= 1, doctor


def test_only_a_gateway_that_cannot_use_them_is_told_too(terminal: Terminal) -> None:
    told = {"settings_problem": "the changed settings cannot be used, the old ones hold: x"}
    with daemon(terminal.paths, recorder=told):
        assert "the old ones hold" in terminal.qi("status").out


def test_what_waits_is_told_beside_what_is_stored(terminal: Terminal) -> None:
    spool = Spool(terminal.paths.spool, "gateway")
    spool.append("hook", {})
    spool.close()
    assert "waiting     1 spool file" in terminal.qi("status").out


def test_the_status_of_the_daemon_asks_it(terminal: Terminal) -> None:
    with daemon(terminal.paths):
        assert terminal.qi("daemon", "status", "--json").json["silent"] == []
        terminal.paths.socket.unlink()
        said = terminal.qi("daemon", "status")
        assert "it does not answer: `qi-learn daemon restart`" in said.out
        assert terminal.qi("daemon", "status", "--json").json["silent"] == ["daemon"]
