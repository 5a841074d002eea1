"""The alias on the server follows the journal, by rename or by copy."""

from __future__ import annotations

from pathlib import Path

import pytest

from qi_learn.deploy.alias import reconcile, switch_alias
from qi_learn.errors import ServerError
from tests.support.deploy_home import ALIAS, Home


def test_a_store_of_another_server_is_left_alone(home: Home, tmp_path: Path) -> None:
    home.base()
    home.promote("R1")
    other = tmp_path / "other"
    manifest = other / "manifests/registry.ollama.ai/library/qi-agent/v1.0.0"
    manifest.parent.mkdir(parents=True)
    manifest.write_text("{}")
    assert switch_alias(home.server, ALIAS, "qi-agent:v1.0.0", other) == "copied"
    assert [p.name for p in manifest.parent.iterdir()] == ["v1.0.0"]


@pytest.mark.parametrize("had_alias", [True, False])
def test_a_rename_that_the_server_does_not_see_is_undone(
    home: Home, tmp_path: Path, had_alias: bool
) -> None:
    home.base()
    home.promote("R1")
    twin = tmp_path / "twin"  # a store with the same version in it, which this server does not read
    manifests = twin / "manifests/registry.ollama.ai/library/qi-agent"
    manifests.mkdir(parents=True)
    (manifests / "v1.0.0").write_bytes(home.models.manifest("qi-agent:v1.0.0").read_bytes())
    if had_alias:
        (manifests / "latest").write_text("old")
    assert switch_alias(home.server, ALIAS, "qi-agent:v1.0.0", twin) == "copied"
    assert sorted(p.name for p in manifests.iterdir()) == (
        ["latest", "v1.0.0"] if had_alias else ["v1.0.0"]
    )
    assert not had_alias or (manifests / "latest").read_text() == "old"
    assert sorted(p.name for p in twin.iterdir()) == ["manifests"]


def test_a_store_that_cannot_be_written_is_no_obstacle(home: Home, tmp_path: Path) -> None:
    home.base()
    home.promote("R1")
    (tmp_path / "file").write_text("not a directory")
    assert switch_alias(home.server, ALIAS, "qi-agent:v1.0.0", tmp_path / "file") == "copied"


def test_a_server_that_does_not_do_what_it_says_is_found_out(home: Home) -> None:
    home.base()
    home.promote("R1")
    home.models.write_manifest = lambda name, raw: None  # type: ignore[method-assign]
    with pytest.raises(ServerError, match="although the server said so"):
        switch_alias(home.server, ALIAS, "qi-agent:v1.0.0", None)


def test_a_live_version_that_the_server_lost_is_reported(home: Home) -> None:
    home.base()
    home.promote("R1")
    home.server.delete("qi-agent:v1.1.0")
    with pytest.raises(ServerError, match="rollback"):
        reconcile(home.paths, home.server, store=home.store)


def test_reconciling_mends_routes_and_alias(home: Home) -> None:
    home.base()
    done = home.promote("R1")
    home.paths.routes.write_text("{broken")
    home.server.copy("qi-agent:v1.0.0", ALIAS)
    assert reconcile(home.paths, home.server, store=home.store).how == (
        "renamed" if home.store else "copied"
    )
    assert home.routes()["live"] == "qi-agent:v1.1.0"
    assert home.weights(ALIAS) == done.release.digest
    assert reconcile(home.paths, home.server, store=home.store).how == "already"
