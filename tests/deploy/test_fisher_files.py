"""Fisher files go with the versions that could still be trained on, and no sooner."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from qi_learn.deploy.fisher_files import CACHED, PAST_FISHER, prune_fishers
from qi_learn.deploy.journal import load_deployment, require_live, update
from qi_learn.paths import Paths
from tests.support.recorded_home import deploy


def _home(root: Path) -> Paths:
    """A home whose versions 1.1.0 to 1.4.0 were live, the first of them retired."""
    paths = Paths.under(root).ensure()
    deploy(paths)
    base, one = (load_deployment(paths).release(v) for v in ("1.0.0", "1.1.0"))
    versions = [replace(one, version=f"1.{n}.0", adapter=f"adapters/v1.{n}.0") for n in range(1, 5)]
    update(
        paths,
        lambda current: replace(
            require_live(current),
            releases=(base, *versions),
            chain=("1.0.0", *(v.version for v in versions)),
            retired=("1.1.0",),
        ),
    )
    for release in versions:
        directory = paths.data / str(release.adapter)
        directory.mkdir(parents=True)
        for name in ("adapter.safetensors", PAST_FISHER, "Modelfile"):
            (directory / name).write_text(name)
    return paths


def test_only_versions_whose_model_is_gone_lose_theirs(tmp_path: Path) -> None:
    paths = _home(tmp_path)
    assert prune_fishers(paths) == [paths.adapters / "v1.1.0" / PAST_FISHER]
    assert {p.parent.name for p in paths.adapters.glob(f"*/{PAST_FISHER}")} == {
        "v1.2.0",
        "v1.3.0",
        "v1.4.0",
    }
    adapters = list(paths.adapters.glob("*/adapter.safetensors"))
    assert len(adapters) == 4, "they are small, and the lineage stays readable"
    assert prune_fishers(paths) == []


def test_what_an_interrupted_call_left_goes_with_the_next(tmp_path: Path) -> None:
    paths = _home(tmp_path)
    update(paths, lambda current: replace(require_live(current), retired=("1.1.0", "1.2.0")))
    (paths.adapters / "v1.1.0" / PAST_FISHER).unlink()
    assert prune_fishers(paths) == [paths.adapters / "v1.2.0" / PAST_FISHER]


def test_of_general_fishers_the_last_used_stay(tmp_path: Path) -> None:
    paths = _home(tmp_path)
    paths.fisher.mkdir()
    for age, name in enumerate(("newest", "second", "third", "oldest")):
        (paths.fisher / f"{name}.safetensors").write_text("")
        os.utime(paths.fisher / f"{name}.safetensors", (1000 - age, 1000 - age))
    prune_fishers(paths)
    assert sorted(p.stem for p in paths.fisher.iterdir()) == ["newest", "second"]
    assert CACHED == 2
