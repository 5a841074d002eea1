"""Version 1.0.0 and the next base, on a small real server."""

from __future__ import annotations

import pytest

from qi_learn.deploy import base_version
from qi_learn.deploy.base_version import BaseSource
from qi_learn.deploy.candidate import make_model
from qi_learn.deploy.journal import live_runs, load_deployment
from qi_learn.errors import ModelError, NotFound, ServerError, SettingsError
from tests.support.deploy_home import ALIAS, Home


def test_the_base_is_version_one_and_live(home: Home) -> None:
    deployment = home.base(answer_for=("qwen2.5-coder:7b",))
    assert (deployment.live, deployment.chain, deployment.highest) == ("1.0.0", ("1.0.0",), "1.0.0")
    assert home.weights("qi-agent:v1.0.0") == home.weights(ALIAS) == deployment.live_release.digest
    routes = home.routes()
    assert routes.pop("salt") == deployment.salt
    live = {"live": "qi-agent:v1.0.0", "digest": deployment.live_release.digest}
    assert routes == {
        "format": 1,
        "alias": ALIAS,
        "answer_for": ["qwen2.5-coder:7b"],
        **live,
        "arms": [],
    }
    assert (
        home.paths.deploy.stat().st_mode & 0o777
        == home.paths.routes.stat().st_mode & 0o777
        == 0o600
    )


def test_the_alias_moves_by_rename_if_the_store_is_local(home: Home) -> None:
    home.base()
    copies = home.models.calls.count("POST /api/copy")
    assert copies == (0 if home.store else 1)
    assert home.models.seen.count(None) == home.models.seen.index(home.weights(ALIAS))
    assert sorted(p.name for p in home.models.root.iterdir()) == ["blobs", "manifests"]


def test_ensuring_the_base_again_changes_nothing(home: Home) -> None:
    first = home.base()
    before = home.paths.deploy.stat().st_mtime_ns, home.paths.routes.stat().st_mtime_ns
    home.models.calls.clear()
    assert home.base(BaseSource()) == first
    assert (home.paths.deploy.stat().st_mtime_ns, home.paths.routes.stat().st_mtime_ns) == before
    assert not [
        c for c in home.models.calls if "create" in c or "copy" in c or "POST /api/blobs" in c
    ]


def test_a_base_from_a_model_that_the_server_has(home: Home) -> None:
    gguf, digest = home.file("base")
    make_model(home.server, "qwen:7b", gguf, digest, {"system": "Be terse."})
    deployment = home.base(BaseSource("qwen:7b"))
    assert home.models.layers("qi-agent:v1.0.0")["system"] == "Be terse."
    assert deployment.live_release.digest == deployment.live_release.base_digest == digest


def test_a_base_that_cannot_be_made_leaves_nothing(home: Home) -> None:
    with pytest.raises(NotFound, match="ollama pull"):
        home.base(BaseSource("no-such:7b"))
    with pytest.raises(ModelError, match="neither"):
        home.base(BaseSource())
    assert not home.paths.deploy.exists()
    assert not home.paths.routes.exists()
    with pytest.raises(NotFound, match="init"):
        load_deployment(home.paths)


def test_a_foreign_model_is_not_taken_over(home: Home) -> None:
    gguf, digest = home.file("theirs")
    make_model(home.server, ALIAS, gguf, digest, {})
    with pytest.raises(SettingsError, match="did not make"):
        home.base()
    assert home.weights(ALIAS) == digest


def test_another_alias_takes_the_versions_along(home: Home) -> None:
    home.base()
    deployment = home.base(BaseSource(), alias="other")
    assert deployment.alias == "other:latest"
    assert home.weights("other:latest") == home.weights("qi-agent:v1.0.0")
    assert home.weights(ALIAS) is None


def test_a_new_base_is_a_new_major(home: Home) -> None:
    home.base()
    home.promote("R1")
    gguf, digest = home.file("base2")
    deployment = base_version.new_base(
        home.paths,
        home.server,
        BaseSource("", gguf, digest),
        answer_for=("b2",),
        store=home.store,
        now=9.0,
    )
    assert deployment.chain == ("1.0.0", "1.1.0", "2.0.0")
    assert home.weights(ALIAS) == digest
    assert home.routes()["answer_for"] == ["b2"]
    assert live_runs(deployment) == ()
    assert home.promote("R2").release.version == "2.1.0"


@pytest.mark.parametrize("deleted", [("qi-agent:v1.0.0",), ("qi-agent:v1.0.0", ALIAS)])
def test_a_base_that_the_server_lost_is_made_again(home: Home, deleted: tuple[str, ...]) -> None:
    first = home.base()
    for name in deleted:
        home.server.delete(name)
    assert home.base() == first
    assert home.weights("qi-agent:v1.0.0") == home.weights(ALIAS) == first.live_release.digest


def test_a_lost_base_is_not_made_again_from_another_one(home: Home) -> None:
    home.base()
    home.server.delete("qi-agent:v1.0.0")
    with pytest.raises(SettingsError, match="name another base"):
        home.base(BaseSource("", *home.file("another")))
    assert home.weights("qi-agent:v1.0.0") is None


def test_a_lost_version_says_so_once_its_base_is_there_again(home: Home) -> None:
    home.base()
    model = home.promote("R1").release.model
    for name in (model, "qi-agent:v1.0.0"):
        home.server.delete(name)
    with pytest.raises(ServerError, match=r"no model qi-agent:v1\.1\.0 any more"):
        home.base()
    assert home.weights("qi-agent:v1.0.0") is not None
