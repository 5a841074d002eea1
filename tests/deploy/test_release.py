"""Versions on a small real server: the base, promotions, the alias, the journal, what is kept, and
what is refused.
"""

from __future__ import annotations

import hashlib
import json
import resource
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from qi_learn.deploy import journal, release
from qi_learn.deploy.alias import reconcile, switch_alias
from qi_learn.deploy.candidate import drop_candidates, make_model, smoke_test
from qi_learn.deploy.journal import candidate_model, live_runs, load_deployment, runs_behind
from qi_learn.deploy.version import FIRST, Version, next_version, parse_version
from qi_learn.errors import (
    Busy,
    DiskFull,
    LiveChanged,
    ModelError,
    NotFound,
    ServerError,
    SettingsError,
    StoreError,
)
from qi_learn.outside.ollama import Ollama
from qi_learn.paths import Paths
from qi_learn.records import Release
from tests.support import fake_models_server as fake

ALIAS = "qi-agent:latest"


class Home:
    """A data directory and a server, and the steps of a life in it."""

    def __init__(self, root: Path, models: fake.FakeModels, *, local: bool) -> None:
        self.paths = Paths.under(root / "home").ensure()
        self.models = models
        self.store = models.root if local else None
        self.files = root
        self.server = Ollama(models.url)

    def file(self, who: str, **behaviour: Any) -> tuple[Path, str]:
        content = fake.gguf(say=f"I am {who}.", **behaviour)
        place = self.files / f"{who}.gguf"
        place.write_bytes(content)
        return place, hashlib.sha256(content).hexdigest()

    def base(self, **more: Any) -> journal.Deployment:
        gguf, digest = self.file("base")
        given = {
            "alias": ALIAS,
            "base_model": "",
            "gguf": gguf,
            "digest": digest,
            "spec": {},
            "answer_for": (),
            "store": self.store,
            "now": 1.0,
        }
        return release.ensure_base(self.paths, self.server, **{**given, **more})

    def promote(
        self, run: str, *, compared_with: str | None = None, keep: int = 3, bump: Any = "minor"
    ) -> release.Promoted:
        gguf, digest = self.file(run)
        candidate = candidate_model(ALIAS, run)
        make_model(self.server, candidate, gguf, digest, {})
        live = load_deployment(self.paths)

        def make(version: str, model: str) -> Release:
            return Release(
                version,
                model,
                digest,
                float(len(live.releases) + 1),
                live.live_release.base_digest,
                parent=compared_with or live.live,
                run_id=run,
            )

        common = {"run_id": run, "bump": bump, "make": make, "store": self.store, "keep": keep}
        return release.promote(
            self.paths, self.server, candidate, compared_with=compared_with or live.live, **common
        )

    def weights(self, name: str) -> str | None:
        return self.models.weights(name)

    def routes(self) -> dict[str, Any]:
        return dict(json.loads(self.paths.routes.read_text()))


@pytest.fixture(params=["local store", "by copy"])
def home(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Home]:
    with fake.FakeModels(tmp_path / "store", watched=ALIAS) as models:
        made = Home(tmp_path, models, local=request.param == "local store")
        yield made
        made.server.close()


# --- the base -------------------------------------------------------------------------------------


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


def test_the_alias_moves_by_rename_where_the_store_is_local(home: Home) -> None:
    home.base()
    copies = home.models.calls.count("POST /api/copy")
    assert copies == (0 if home.store else 1)
    assert home.models.seen.count(None) == home.models.seen.index(home.weights(ALIAS))
    assert sorted(p.name for p in home.models.root.iterdir()) == ["blobs", "manifests"]


def test_ensuring_the_base_again_changes_nothing(home: Home) -> None:
    first = home.base()
    before = home.paths.deploy.stat().st_mtime_ns, home.paths.routes.stat().st_mtime_ns
    home.models.calls.clear()
    assert home.base(gguf=None, digest="") == first
    assert (home.paths.deploy.stat().st_mtime_ns, home.paths.routes.stat().st_mtime_ns) == before
    assert not [
        c for c in home.models.calls if "create" in c or "copy" in c or "POST /api/blobs" in c
    ]


def test_a_base_from_a_model_that_the_server_has(home: Home) -> None:
    gguf, digest = home.file("base")
    make_model(home.server, "qwen:7b", gguf, digest, {"system": "Be terse."})
    deployment = home.base(base_model="qwen:7b", gguf=None, digest="")
    assert home.models.layers("qi-agent:v1.0.0")["system"] == "Be terse."
    assert deployment.live_release.digest == deployment.live_release.base_digest == digest


def test_a_base_that_cannot_be_made_leaves_nothing(home: Home) -> None:
    with pytest.raises(NotFound, match="ollama pull"):
        home.base(base_model="no-such:7b")
    with pytest.raises(ModelError, match="neither"):
        home.base(gguf=None)
    assert not home.paths.deploy.exists()
    assert not home.paths.routes.exists()
    with pytest.raises(NotFound, match="init"):
        load_deployment(home.paths)


def test_somebody_elses_model_is_not_taken_over(home: Home) -> None:
    gguf, digest = home.file("theirs")
    make_model(home.server, ALIAS, gguf, digest, {})
    with pytest.raises(SettingsError, match="did not make"):
        home.base()
    assert home.weights(ALIAS) == digest


def test_another_alias_takes_the_versions_along(home: Home) -> None:
    home.base()
    deployment = home.base(alias="other", gguf=None)
    assert deployment.alias == "other:latest"
    assert home.weights("other:latest") == home.weights("qi-agent:v1.0.0")
    assert home.weights(ALIAS) is None


def test_a_new_base_is_a_new_major(home: Home) -> None:
    home.base()
    home.promote("R1")
    gguf, digest = home.file("base2")
    made: dict[str, Any] = {
        "base_model": "",
        "gguf": gguf,
        "digest": digest,
        "spec": {},
        "answer_for": ("b2",),
        "store": home.store,
        "now": 9.0,
    }
    deployment = release.new_base(home.paths, home.server, **made)
    assert deployment.chain == ("1.0.0", "1.1.0", "2.0.0")
    assert home.weights(ALIAS) == digest
    assert home.routes()["answer_for"] == ["b2"]
    assert live_runs(deployment) == ()
    assert home.promote("R2").release.version == "2.1.0"


# --- promoting ------------------------------------------------------------------------------------


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
            "qi-agent:candidate-R1",
            compared_with="1.0.0",
            run_id="R1",
            bump="minor",
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
                "qi-agent:candidate-R1",
                compared_with="1.0.0",
                run_id="R1",
                bump="minor",
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


# --- the alias ------------------------------------------------------------------------------------


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
    place = twin / "manifests/registry.ollama.ai/library/qi-agent"
    place.mkdir(parents=True)
    (place / "v1.0.0").write_bytes(home.models.manifest("qi-agent:v1.0.0").read_bytes())
    if had_alias:
        (place / "latest").write_text("old")
    assert switch_alias(home.server, ALIAS, "qi-agent:v1.0.0", twin) == "copied"
    assert sorted(p.name for p in place.iterdir()) == (
        ["latest", "v1.0.0"] if had_alias else ["v1.0.0"]
    )
    assert not had_alias or (place / "latest").read_text() == "old"
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


def test_a_live_version_that_the_server_lost_is_said(home: Home) -> None:
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


# --- the journal ----------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["", "{}", "[]", "{", '{"alias": 1}', "null"])
def test_a_damaged_journal_is_not_guessed_at(home: Home, text: str) -> None:
    home.base()
    home.paths.deploy.write_text(text)
    with pytest.raises(StoreError, match="cannot be read"):
        load_deployment(home.paths)


def test_a_journal_that_contradicts_itself_or_is_newer_is_refused(home: Home) -> None:
    home.base()
    raw = json.loads(home.paths.deploy.read_text())
    for change, words in (
        ({"chain": ["1.0.0", "1.9.0"]}, "cannot be read"),
        ({"highest": "x"}, "cannot be read"),
        ({"format": 2}, "Update"),
    ):
        home.paths.deploy.write_text(json.dumps({**raw, **change}))
        with pytest.raises(StoreError, match=words):
            load_deployment(home.paths)


def test_two_processes_do_not_write_at_once(home: Home) -> None:
    home.base()
    with (
        journal.locked(home.paths.data / "deploy.lock", 0),
        pytest.raises(Busy),
        journal.locked(home.paths.data / "deploy.lock", 0.02),
    ):
        pytest.fail("the lock was given twice")


def test_changes_at_the_same_time_are_all_kept(home: Home) -> None:
    home.base()

    def add(name: str) -> None:
        for i in range(20):
            journal.update(
                home.paths,
                lambda there: replace(there, answer_for=(*there.answer_for, f"{name}{i}")),  # type: ignore[type-var, union-attr] # noqa: B023
            )

    threads = [threading.Thread(target=add, args=(name,)) for name in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    kept = load_deployment(home.paths).answer_for
    assert sorted(kept) == sorted([f"{n}{i}" for n in "ab" for i in range(20)])
    assert home.routes()["answer_for"] == list(kept)


def test_a_full_disk_changes_nothing(home: Home) -> None:
    home.base()
    before = home.paths.deploy.read_text()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (64, limits[1]))
    try:
        with pytest.raises(DiskFull, match="disk is full"):
            journal.update(home.paths, lambda there: replace(there, answer_for=("x",)))  # type: ignore[type-var]
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert home.paths.deploy.read_text() == before
    assert [p.name for p in home.paths.data.iterdir() if p.suffix == ".tmp"] == []


# --- the smoke test -------------------------------------------------------------------------------


def test_a_sound_candidate_passes_the_smoke_test(home: Home) -> None:
    home.base()
    gguf, digest = home.file("R1")
    make_model(home.server, "c:1", gguf, digest, {})
    found = smoke_test(home.server, "c:1", "qi-agent:v1.0.0")
    assert (found.answers, found.stops, found.same_template, found.same_stops, found.problem) == (
        True,
        True,
        True,
        True,
        "",
    )


@pytest.mark.parametrize(
    ("behaviour", "spec", "wrong"),
    [
        ({"done_reason": "length"}, {}, "stops"),
        ({"mark": "x"}, {}, "same_template"),
        ({}, {"template": "other {{ .Messages }}"}, "same_template"),
        ({"eos": 7}, {}, "same_stops"),
        ({}, {"parameters": {"stop": ["<|im_end|>"]}}, "same_stops"),
        ({"moods": True}, {}, "same_twice"),
    ],
)
def test_what_the_smoke_test_finds(
    home: Home, behaviour: dict[str, Any], spec: dict[str, Any], wrong: str
) -> None:
    home.base()
    gguf, digest = home.file("R1", **behaviour)
    make_model(home.server, "c:1", gguf, digest, spec)
    found = smoke_test(home.server, "c:1", "qi-agent:v1.0.0")
    assert [
        name
        for name in ("answers", "stops", "same_template", "same_stops", "same_twice")
        if not getattr(found, name)
    ] == [wrong]


def test_a_base_that_never_stops_asks_no_stop_of_others(home: Home) -> None:
    gguf, digest = home.file("restless", done_reason="length")
    make_model(home.server, "base:1", gguf, digest, {})
    make_model(home.server, "c:1", gguf, digest, {})
    assert smoke_test(home.server, "c:1", "base:1").stops


def test_a_base_that_never_answers_the_same_asks_no_sameness_of_others(home: Home) -> None:
    gguf, digest = home.file("moody", moods=True)
    make_model(home.server, "base:1", gguf, digest, {})
    make_model(home.server, "c:1", gguf, digest, {})
    assert smoke_test(home.server, "c:1", "base:1").same_twice


def test_a_model_that_the_server_cannot_run_is_a_finding(home: Home) -> None:
    home.base()
    found = smoke_test(home.server, "absent:1", "qi-agent:v1.0.0")
    assert not found.answers
    assert "absent:1" in found.problem


# --- numbers --------------------------------------------------------------------------------------


def test_version_numbers() -> None:
    assert parse_version("v1.10.0") > parse_version("1.9.9")
    assert [str(next_version(b, Version(1, 2, 3))) for b in ("major", "minor", "patch")] == [
        "2.0.0",
        "1.3.0",
        "1.2.4",
    ]  # type: ignore[arg-type]
    assert next_version("minor", FIRST, {Version(1, 1, 0), Version(1, 2, 0)}) == Version(1, 3, 0)
    assert [v.is_base for v in (FIRST, Version(1, 1, 0), Version(1, 0, 1), Version(2, 0, 0))] == [
        True,
        False,
        False,
        True,
    ]


@pytest.mark.parametrize(
    "text", ["", "1", "1.0", "1.0.0.0", "v1.0.x", "-1.0.0", "1.0.0-rc1", "latest", "1.0.٣"]
)
def test_what_is_no_version(text: str) -> None:
    with pytest.raises(NotFound, match="not a version"):
        parse_version(text)
