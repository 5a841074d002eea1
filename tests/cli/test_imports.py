"""What a command loads: what it needs and nothing heavy, so that it is quick.

Held by names, not by time: one library more at the head of one file would be a tenth of a second
in every command, and no other test would fail.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from qi_learn import records
from qi_learn.spool import Spool
from tests.support.command_line import Terminal
from tests.support.recorded_home import deploy, record

HEAVY = {
    *("typer", "pydantic", "rich", "httpx", "http.client", "ssl", "email", "asyncio", "aiohttp"),
    *("importlib.metadata", "logging.handlers", "sqlite_utils", "watchdog", "tree_sitter"),
    *("rapidfuzz", "cronsim", "ollama", "numpy", "gguf", "torch", "jinja2", "platformdirs"),
    *("qi_learn.daemon.daemon", "qi_learn.daemon.supervisor", "qi_learn.dataset.select"),
    *("qi_learn.records.gating", "qi_learn.records.training", "qi_learn.redact"),
    *("logging", "traceback", "subprocess", "qi_learn.outside.process"),
    *("qi_learn.settings_lines", "qi_learn.store.audit"),
}
"""What none of the quick commands needs, each some milliseconds."""
NO_STORE = {"sqlite3", "qi_learn.store"}
NO_SETTINGS = {"qi_learn.settings", "tomllib"}
WATCHED = """
import sys
from qi_learn.__main__ import main
try:
    main()
finally:
    sys.stdout.flush()
    print(*sys.modules, file=sys.stderr)
"""


@pytest.fixture(scope="module")
def past(tmp_path_factory: pytest.TempPathFactory) -> Terminal:
    """A home with a past, only read."""
    made = Terminal(tmp_path_factory.mktemp("past"))
    record(made.paths, made.root / "project")
    deploy(made.paths)
    return made


@pytest.mark.parametrize(
    ("words", "needless"),
    [
        (["--help"], NO_STORE | NO_SETTINGS | {"socket", "qi_learn.records"}),
        (["--version"], NO_STORE | NO_SETTINGS | {"socket", "qi_learn.records"}),
        (["rate", "5"], NO_STORE | NO_SETTINGS | {"socket"}),
        (["log"], NO_SETTINGS | {"socket", "random"}),
        (["log", "-q", "moon"], NO_SETTINGS | {"socket", "random"}),
        (["status"], {"shutil", "random"}),
        (["daemon", "status"], NO_STORE),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_quick_command_loads_what_it_needs(
    past: Terminal, words: list[str], needless: set[str]
) -> None:
    if words[0] == "rate":  # which answer is meant, the daemon decides if one waits for it
        spool = Spool(past.paths.spool, "gateway")
        spool.append("turn", {"request": "{}"})
        spool.close()
    done = subprocess.run(
        [sys.executable, "-c", WATCHED, *words],
        env=past.environment(),
        cwd=past.root,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout, done.stderr
    loaded = set(done.stderr.split())
    assert "qi_learn.cli.app" in loaded
    assert loaded & (HEAVY | needless) == set()


def test_a_rating_of_nothing_loads_no_store(tmp_path: Path) -> None:
    """With no database and no answer in the spool, but lines of a shell, that is known at once."""
    home = Terminal(tmp_path)
    spool = Spool(home.paths.ensure().spool, "bash")
    spool.append("outcome", {"kind": "test", "command": "pytest", "exit_code": 0})
    spool.close()
    done = subprocess.run(
        [sys.executable, "-c", WATCHED, "rate", "5"],
        env=home.environment(),
        cwd=home.root,
        capture_output=True,
        text=True,
        check=False,
    )
    said, loaded = done.stderr.rstrip().rsplit("\n", 1)
    assert "there is nothing to rate" in said
    assert set(loaded.split()) & (NO_STORE | {"socket", "subprocess"}) == set()


def test_every_record_is_found_where_it_lives() -> None:
    """The package loads a record's module when the record is asked for."""
    assert {name: getattr(records, name, None) is not None for name in records.__all__} == (
        dict.fromkeys(records.__all__, True)
    )
    with pytest.raises(AttributeError, match="no Nothing"):
        _ = records.Nothing


def test_one_record_loads_no_other(tmp_path: Path) -> None:
    script = "import sys; from qi_learn.records import Event; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    ours = {name for name in done.stdout.split() if name.startswith("qi_learn.records.")}
    assert ours == {"qi_learn.records.events"}


MADE = """
import contextlib, dataclasses, io, sys
from qi_learn.__main__ import main
with contextlib.suppress(SystemExit), contextlib.redirect_stdout(io.StringIO()):
    main()
ours = [module for name, module in sys.modules.items() if name.startswith("qi_learn.")]
for kind in {k for module in ours for k in vars(module).values() if isinstance(k, type)}:
    if dataclasses.is_dataclass(kind) and not hasattr(kind, "_compared"):
        print(f"{kind.__module__}.{kind.__name__}")
"""


@pytest.mark.parametrize("words", [["rate", "5"], ["log"], ["status"], ["daemon", "status"]])
def test_the_records_of_a_quick_command_are_made_quickly(past: Terminal, words: list[str]) -> None:
    """By `record_class`: each by `dataclasses` takes a millisecond more."""
    done = subprocess.run(
        [sys.executable, "-c", MADE, *words],
        env=past.environment(),
        cwd=past.root,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == []
