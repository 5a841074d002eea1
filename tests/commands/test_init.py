"""`qi-learn init`: what it makes and what it says will be recorded; what tools are pointed at."""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path

import pytest

from qi_learn.commands.connect import gateway_address, model_name, started_text
from qi_learn.commands.init import recording_text
from qi_learn.daemon.base import BaseKeeper
from qi_learn.daemon.client import DaemonState, Started, running
from qi_learn.deploy.model_server import ModelServer
from qi_learn.paths import Paths
from qi_learn.settings import GatewaySettings, ServeSettings, Settings
from qi_learn.workspace.registry import add_project, load_projects
from tests.support.command_line import Terminal
from tests.support.fake_models_server import FakeModels
from tests.support.repository import Repository
from tests.support.world import tiny_base

ON_OLLAMA = ServeSettings(base="qwen2.5-coder:7b")


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        (Settings(), "qi-agent"),
        (Settings(serve=ServeSettings(alias="mine:latest")), "mine"),
        (Settings(serve=ServeSettings(alias="mine:small")), "mine:small"),
        (Settings(serve=ON_OLLAMA), "qwen2.5-coder:7b"),
        (
            Settings(serve=ON_OLLAMA, gateway=GatewaySettings(answer_for=("coder", "other"))),
            "coder",
        ),
        (Settings(serve=ServeSettings(backend="ollama", base_gguf="base.gguf")), "qi-agent"),
        (Settings(serve=ServeSettings(backend="embedded", base="qwen2.5-coder:7b")), "qi-agent"),
    ],
)
def test_the_model_to_ask_for(settings: Settings, name: str) -> None:
    assert model_name(settings) == name


def test_the_address_is_the_running_gateways_else_the_settings() -> None:
    state = DaemonState(1, "http://127.0.0.1:5", "http://127.0.0.1:6", True, 0.0)
    assert gateway_address(Settings(), state) == "http://127.0.0.1:5"
    assert gateway_address(Settings(), None) == "http://127.0.0.1:11435"
    v6 = Settings(gateway=GatewaySettings(host="::1"))
    assert gateway_address(v6, None) == "http://[::1]:11435"
    free = Settings(gateway=GatewaySettings(port=0))
    assert gateway_address(free, None) == ""


def test_the_start_names_the_model_and_no_port_that_nothing_uses() -> None:
    engine = DaemonState(7, "http://127.0.0.1:11435", "http://127.0.0.1:39615", True, 0.0)
    assert started_text(Settings(), Started(engine, already=False)) == (
        "The daemon runs (pid 7). Point your tools at http://127.0.0.1:11435 and ask for the model "
        "`qi-agent`."
    )
    ollama = DaemonState(7, "http://127.0.0.1:11435", "http://127.0.0.1:11434", False, 0.0)
    assert started_text(Settings(serve=ON_OLLAMA), Started(ollama, already=False)) == (
        "The daemon runs (pid 7). Point your tools at http://127.0.0.1:11435 instead of "
        "http://127.0.0.1:11434."
    )


def test_what_is_recorded_follows_the_settings(tmp_path: Path) -> None:
    paths = Paths.under(tmp_path)
    text = "\n".join(recording_text(paths, Settings()))
    assert "questions and answers that pass through the gateway" in text
    off = Settings(gateway=GatewaySettings(record=False, port=0))
    text = "\n".join(recording_text(paths, off))
    assert "nothing of what passes through the gateway" in text
    assert "the address that `qi-learn daemon start` prints" in text


def test_init_says_what_is_recorded_where_and_how_to_stop(tmp_path: Path) -> None:
    """With the embedded engine on a tiny base, as a person types it, and then the start."""
    terminal = Terminal(
        tmp_path,
        {
            "QI_LEARN__SERVE__BACKEND": "embedded",
            "QI_LEARN__SERVE__BASE_GGUF": str(tiny_base(tmp_path)),
            "QI_LEARN__SERVE__CONTEXT": "512",
            "QI_LEARN__GATEWAY__PORT": "0",
        },
    )
    project = tmp_path / "project"
    project.mkdir()
    first = terminal.process("init", str(project))
    assert first.code == 0, first.err
    assert f"Wrote {terminal.paths.settings_file}" in first.out
    assert f"{project} is now watched." in first.out
    for named in (
        "Recorded, while the daemon runs:",
        "pass through the gateway",
        "files saved in this project, and in its commits",
        "if your shell loads a hook of",
        "Secrets of known shapes",
        str(terminal.paths.data),
        str(terminal.paths.state),
        "`qi-learn log`",
        "`qi-learn daemon stop`",
        "`x-qi-learn-record: 0`",
        "`record = false` under [gateway]",
        "the model `qi-agent`",
    ):
        assert named in first.out, named
    hooks = first.out.split("loads a hook of ", 1)[1].splitlines()[0]
    assert (Path(hooks) / "qi-learn.bash").is_file()
    assert first.out.endswith("Start the daemon with `qi-learn daemon start`.\n")

    start = terminal.process("daemon", "start")
    try:
        assert start.out.endswith("and ask for the model `qi-agent`.\n")
        again = terminal.process("init", str(project))
        assert f"{project} is already watched." in again.out
        assert again.out.endswith("The daemon runs and has taken it up.\n")
        assert "Nothing was changed" in again.out
        assert again.out.count("\n") == 4, "what was said the first time is not said again"
        daemon = running(terminal.paths)
        assert daemon is not None
        os.kill(daemon.pid, signal.SIGSTOP)
        try:
            silent = terminal.process("init", str(project))
        finally:
            os.kill(daemon.pid, signal.SIGCONT)
        assert silent.out.endswith(
            f"The daemon is there (pid {daemon.pid}) and does not answer: it hangs; "
            "`qi-learn daemon restart` ends it and starts another.\n"
        )
    finally:
        assert terminal.process("daemon", "stop").code == 0


def test_a_base_that_the_server_lacks_is_told_with_what_gets_it(tmp_path: Path) -> None:
    (tmp_path / "project").mkdir()
    with FakeModels(tmp_path / "ollama") as models:
        ollama = ServeSettings(backend="ollama", base="qwen:7b", ollama=models.url)
        settings = {
            f"QI_LEARN__SERVE__{name.upper()}": str(getattr(ollama, name))
            for name in ("backend", "base", "ollama")
        }
        terminal = Terminal(tmp_path, settings)
        said = terminal.process("init", str(tmp_path / "project"))
        assert said.code == 1
        assert f"The server at {models.url} has no model qwen:7b." in said.err
        assert "`ollama pull qwen:7b` gets it." in said.err
        server = ModelServer(models.url, engine=False, model_store=None)
        keeper = BaseKeeper(terminal.paths.ensure(), Settings(serve=ollama), server)
        keeper.agree(1.0)  # the daemon waits for it
        assert not keeper.ready


def test_what_is_no_project_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    (tmp_path / "qi").mkdir()
    terminal = Terminal(tmp_path / "qi", {"HOME": str(tmp_path)})
    (tmp_path / "file").touch()
    for path, words in (
        ("/", "no project"),
        (tmp_path, "no project"),
        (tmp_path / "file", "not a"),
    ):
        refused = terminal.process("init", str(path))
        assert refused.code == 2
        assert words in refused.err
    assert not terminal.paths.projects.exists()
    assert not terminal.paths.settings_file.exists()


def test_a_project_in_a_home_that_is_a_repository_is_itself(tmp_path: Path) -> None:
    (tmp_path / "qi").mkdir()
    terminal = Terminal(tmp_path / "qi", {"HOME": str(tmp_path)})
    project = Repository(tmp_path).root / "project"
    project.mkdir()
    terminal.process("init", str(project))
    assert load_projects(terminal.paths) == (project,)


def test_a_project_is_taken_back(tmp_path: Path) -> None:
    terminal = Terminal(tmp_path)
    paths = terminal.paths.ensure()
    project = Repository(tmp_path / "project").root
    (project / "src").mkdir()
    for where in (project, project / "src"):
        add_project(paths, project)
        done = terminal.process("init", "--remove", str(where))
        assert done.out == f"{project} is no longer watched. What was recorded stays.\n"
        assert load_projects(paths) == ()
    again = terminal.process("init", "--remove", str(project))
    assert again.code == 1
    assert "is not a registered project" in again.err
    add_project(paths, project)
    shutil.rmtree(project)
    assert terminal.process("init", "--remove", str(project)).code == 0
