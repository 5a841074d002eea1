"""Promotions on a small real server, what is kept, and what is refused."""

from __future__ import annotations

import pytest

from qi_learn.deploy import release
from qi_learn.deploy.candidate import drop_candidates, make_model
from qi_learn.deploy.journal import candidate_model, live_runs, load_deployment, runs_behind
from qi_learn.errors import LiveChanged, NotFound, ServerError
from qi_learn.records import Release
from tests.support.deploy_home import ALIAS, Home


def test_a_candidate_becomes_the_live_version(home: Home) -> None:
    home.base()
    done = home.promote("R1")
    assert (done.release.version, done.release.model, done.previous, done.retired) == (
        "1.1.0",
        "qi-agent:v1.1.0",
        "1.0.0",
        (),
    )
    assert home.weights(ALIAS) == home.weights("qi-agent:v1.1.0") == done.release.digest
    assert home.routes()["live"] == "qi-agent:v1.1.0"
    assert home.models.names() == ["qi-agent:latest", "qi-agent:v1.0.0", "qi-agent:v1.1.0"]


def test_promoting_the_same_run_again_is_the_same_release(home: Home) -> None:
    home.base()
    first, second = home.promote("R1"), home.promote("R1", compared_with="1.0.0")
    assert first.release == second.release
    assert load_deployment(home.paths).chain == ("1.0.0", "1.1.0")
    assert "qi-agent:candidate-R1" not in home.models.names()


def test_a_candidate_that_was_compared_with_an_old_version_does_not_go_live(home: Home) -> None:
    home.base()
    home.promote("R1")
    with pytest.raises(LiveChanged) as caught:
        home.promote("R2", compared_with="1.0.0")
    assert caught.value.live == "1.1.0"
    assert home.weights(ALIAS) == home.weights("qi-agent:v1.1.0")


def test_a_version_that_goes_live_while_we_copy_is_noticed(home: Home) -> None:
    home.base()
    gguf, digest = home.file("R1")
    make_model(home.server, candidate_model(ALIAS, "R1"), gguf, digest, {})

    def make(version: str, model: str) -> Release:
        home.promote("R2")
        return Release(version, model, digest, 2.0, "b", parent="1.0.0", run_id="R1")

    with pytest.raises(LiveChanged):
        release.promote(
            home.paths,
            home.server,
            release.Candidate("qi-agent:candidate-R1", "R1", "1.0.0"),
            make=make,
            store=home.store,
            keep=3,
        )
    assert load_deployment(home.paths).live == "1.2.0"
    assert home.promote("R1", compared_with="1.2.0").release.version == "1.3.0"


def test_a_number_that_was_given_is_never_given_again(home: Home) -> None:
    home.base()

    def fail(version: str, model: str) -> Release:
        raise ServerError(f"no {version}")

    gguf, digest = home.file("R1")
    make_model(home.server, "qi-agent:candidate-R1", gguf, digest, {})
    for _ in range(2):
        with pytest.raises(ServerError, match=r"no 1\.1\.0"):
            release.promote(
                home.paths,
                home.server,
                release.Candidate("qi-agent:candidate-R1", "R1", "1.0.0"),
                make=fail,
                store=None,
                keep=3,
            )
    home.server.copy(
        "qi-agent:candidate-R1", "qi-agent:v1.1.0"
    )  # as if it had been killed just after
    assert home.promote("R2").release.version == "1.2.0"
    assert "qi-agent:v1.1.0" not in home.models.names()


def test_numbers_that_others_have_on_the_server_are_passed_over(home: Home) -> None:
    home.base()
    home.server.copy(ALIAS, "qi-agent:v1.1.0")
    home.server.copy(ALIAS, "qi-agent:v1.2.0")
    assert home.promote("R1").release.version == "1.3.0"
    assert home.promote("R2", bump="patch").release.version == "1.3.1"
    assert "qi-agent:v1.1.0" in home.models.names()


# --- what is kept ---------------------------------------------------------------------------------


def test_the_last_three_the_base_and_the_pinned_stay(home: Home) -> None:
    home.base()
    home.promote("R1")
    release.pin(home.paths, "v1.1.0", pinned=True)
    retired = [home.promote(f"R{i}").retired for i in range(2, 7)]
    assert retired == [(), (), (), ("1.2.0",), ("1.3.0",)]
    assert home.models.names() == [ALIAS, *(f"qi-agent:v1.{i}.0" for i in (0, 1, 4, 5, 6))]
    deployment = load_deployment(home.paths)
    assert live_runs(deployment) == tuple(f"R{i}" for i in range(1, 7))
    assert runs_behind(deployment, "1.2.0") == ("R1", "R2")
    with pytest.raises(NotFound, match="deleted"):
        release.pin(home.paths, "1.2.0", pinned=True)
    assert release.pin(home.paths, "1.1.0", pinned=False).pinned is False
    assert release.retire(home.paths, home.server, keep=2) == ("1.1.0", "1.4.0")


def test_nothing_is_deleted_before_the_alias_is_confirmed(home: Home) -> None:
    home.base()
    for run in ("R1", "R2", "R3", "R4"):
        home.promote(run)
    home.server.copy("qi-agent:v1.0.0", ALIAS)
    with pytest.raises(ServerError, match="nothing is deleted"):
        release.retire(home.paths, home.server, keep=1)
    assert "qi-agent:v1.3.0" in home.models.names()


def test_left_over_candidates_are_deleted(home: Home) -> None:
    home.base()
    for run in ("A", "B"):
        home.server.copy(ALIAS, candidate_model(ALIAS, run))
    home.server.copy(ALIAS, "qi-agents:candidate-C")
    assert drop_candidates(home.server, ALIAS, keep=[candidate_model(ALIAS, "B")]) == [
        "qi-agent:candidate-A"
    ]
    assert home.models.names() == [
        "qi-agent:candidate-B",
        ALIAS,
        "qi-agent:v1.0.0",
        "qi-agents:candidate-C",
    ]
