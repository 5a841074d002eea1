"""Going back: on a server, without one, with one that hangs; in a bare process with no torch and no
database.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from qi_learn.deploy import journal, release
from qi_learn.deploy.alias import reconcile
from qi_learn.deploy.journal import live_runs, load_deployment
from qi_learn.deploy.rollback import choose, roll_back
from qi_learn.errors import Busy, NotFound, StoreError
from qi_learn.outside.ollama import Ollama
from qi_learn.paths import Paths
from tests.support import fake_models_server as fake
from tests.support.deploy_home import ALIAS, Home


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    with fake.FakeModels(tmp_path / "store", watched=ALIAS) as models:
        made = Home(tmp_path, models, local=True)
        made.base()
        for run in ("R1", "R2"):
            made.promote(run)
        yield made
        made.server.close()


def test_back_and_back_again(home: Home) -> None:
    before = home.models.names()
    first = roll_back(home.paths, home.server, store=home.store)
    assert (first.before, first.version, first.model, first.alias_moved, first.problem) == (
        "1.2.0",
        "1.1.0",
        "qi-agent:v1.1.0",
        True,
        "",
    )
    assert home.weights(ALIAS) == home.weights("qi-agent:v1.1.0")
    assert home.routes()["live"] == "qi-agent:v1.1.0"
    second = roll_back(home.paths, home.server, store=home.store)
    assert (second.before, second.version) == ("1.1.0", "1.0.0")
    assert home.models.names() == before
    with pytest.raises(NotFound, match=r"nothing to roll back to(.|\n)*v1\.1\.0, v1\.2\.0"):
        roll_back(home.paths, home.server, store=home.store)
    assert load_deployment(home.paths).chain == ("1.0.0",)


def test_to_a_version_by_name_and_forward_again(home: Home) -> None:
    assert roll_back(home.paths, home.server, version="v1.0.0").version == "1.0.0"
    assert live_runs(load_deployment(home.paths)) == ()
    assert roll_back(home.paths, home.server, version="1.2.0").version == "1.2.0"
    assert load_deployment(home.paths).chain == ("1.0.0", "1.2.0")
    assert live_runs(load_deployment(home.paths)) == ("R1", "R2")
    assert home.weights(ALIAS) == home.weights("qi-agent:v1.2.0")


@pytest.mark.parametrize(
    ("version", "words"),
    [("v9.0.0", "no version v9.0.0"), ("1.2.0", "live already"), ("banana", "not a version")],
)
def test_versions_that_one_cannot_go_to(home: Home, version: str, words: str) -> None:
    with pytest.raises(NotFound, match=words) as caught:
        roll_back(home.paths, home.server, version=version)
    assert "v1.1.0" in caught.value.hint
    assert load_deployment(home.paths).live == "1.2.0"


def test_deleted_versions_are_passed_over(home: Home) -> None:
    assert release.retire(home.paths, home.server, keep=1) == ("1.1.0",)
    with pytest.raises(NotFound, match="deleted"):
        choose(load_deployment(home.paths), "v1.1.0")
    assert roll_back(home.paths, home.server).version == "1.0.0"


def test_the_next_version_after_a_rollback_has_a_new_number_and_other_ancestors(home: Home) -> None:
    roll_back(home.paths, home.server)
    done = home.promote("R3")
    assert (done.release.version, done.previous) == ("1.3.0", "1.1.0")
    assert load_deployment(home.paths).chain == ("1.0.0", "1.1.0", "1.3.0")
    assert live_runs(load_deployment(home.paths)) == ("R1", "R3")
    assert done.retired == ("1.2.0",)


def test_a_version_rolled_back_is_not_promoted_again_by_its_resumed_run(home: Home) -> None:
    roll_back(home.paths, home.server)
    assert home.promote("R2", compared_with="1.1.0").release.version == "1.2.0"
    assert load_deployment(home.paths).live == "1.1.0"
    assert home.weights(ALIAS) == home.weights("qi-agent:v1.1.0")


def test_without_a_server_the_gateway_follows_at_once_and_the_server_later(home: Home) -> None:
    done = roll_back(home.paths, None)
    assert (done.version, done.alias_moved) == ("1.1.0", False)
    assert home.routes()["live"] == "qi-agent:v1.1.0"
    assert home.weights(ALIAS) == home.weights("qi-agent:v1.2.0")
    assert reconcile(home.paths, home.server, store=home.store).how == "renamed"
    assert home.weights(ALIAS) == home.weights("qi-agent:v1.1.0")


@pytest.mark.parametrize("path", ["/api/tags", "/api/show", "/api/copy"])
def test_a_server_that_hangs_or_fails_does_not_stop_it(home: Home, path: str) -> None:
    home.models.silent.add(path)
    with Ollama(home.models.url, timeout=0.2) as server:
        done = roll_back(home.paths, server, store=home.store if path == "/api/show" else None)
    assert done.version == "1.1.0"
    assert done.alias_moved is (path == "/api/show" and done.problem == "")
    assert home.routes()["live"] == "qi-agent:v1.1.0"
    home.models.silent.clear()
    home.models.broken[path] = "EOF"
    again = roll_back(home.paths, home.server, store=None)
    assert again.version == "1.0.0"
    assert again.alias_moved or "EOF" in again.problem
    home.models.broken.clear()
    reconcile(home.paths, home.server, store=home.store)
    assert home.weights(ALIAS) == home.weights("qi-agent:v1.0.0")


def test_a_version_that_the_server_lost_is_not_gone_back_to(home: Home) -> None:
    home.server.delete("qi-agent:v1.1.0")
    with pytest.raises(NotFound, match="any more"):
        roll_back(home.paths, home.server)
    assert load_deployment(home.paths).live == "1.2.0"
    assert home.routes()["live"] == "qi-agent:v1.2.0"


def test_a_process_that_holds_the_switch_does_not_stop_it(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("qi_learn.deploy.rollback.ROLLBACK_WAIT", 0.05)
    with journal.locked(home.paths.data / "switch.lock", 0):
        done = roll_back(home.paths, home.server)
    assert (done.version, done.alias_moved) == ("1.1.0", False)
    assert "switch.lock" in done.problem


def test_a_process_that_holds_the_journal_is_waited_for_and_then_named(home: Home) -> None:
    with (
        journal.locked(home.paths.data / "deploy.lock", 0),
        pytest.raises(Busy, match="Another process"),
    ):
        roll_back(home.paths, None)


def test_a_switch_in_progress_follows_a_rollback_made_meanwhile(home: Home) -> None:
    """The process that switches reads the journal again when done: a rollback during its switch has
    the last word.
    """
    roll_back(home.paths, None, version="1.0.0")
    copied = home.models.write_manifest

    def meanwhile(name: str, raw: bytes) -> None:
        home.models.write_manifest = copied  # type: ignore[method-assign]
        copied(name, raw)
        roll_back(home.paths, None, version="1.1.0")

    home.models.write_manifest = meanwhile  # type: ignore[method-assign]
    assert reconcile(home.paths, home.server, store=None).version == "1.1.0"
    assert home.weights(ALIAS) == home.weights("qi-agent:v1.1.0")


def test_before_there_is_a_version_and_with_a_damaged_journal(tmp_path: Path) -> None:
    paths = Paths.under(tmp_path).ensure()
    with pytest.raises(NotFound, match="init"):
        roll_back(paths, None)
    paths.deploy.write_text("{")
    with pytest.raises(StoreError, match="cannot be read"):
        roll_back(paths, None)


def test_it_needs_nothing_heavy_and_no_database(home: Home) -> None:
    """In a bare process, with a database file that is garbage, and the address of a server that is
    away.
    """
    home.paths.database.write_bytes(b"not a database")
    script = (
        "import sys\nfrom pathlib import Path\nfrom qi_learn.paths import Paths\n"
        "from qi_learn.outside.ollama import Ollama\n"
        "from qi_learn.deploy.rollback import roll_back\n"
        f"done = roll_back(Paths.under(Path({str(home.paths.data.parent)!r})), "
        "Ollama('http://127.0.0.1:9', timeout=2))\n"
        "print(done.version, done.alias_moved, sorted(set(sys.modules) & {'torch', 'numpy', "
        "'llama_cpp', 'sqlite3', 'gguf', 'transformers'}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout == "1.1.0 False []\n"
