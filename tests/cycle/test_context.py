"""What a cycle finds of the cycles before it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from qi_learn.cycle.context import Cycle
from qi_learn.paths import Paths
from qi_learn.rundir.directory import RunDirectory, RunRequest
from qi_learn.settings import Settings
from qi_learn.spool import Spool
from tests.support.planning import RESULT
from tests.support.planning import make_plan as a_plan

BASE = "ab" * 32


def _run(
    paths: Paths, name: str, *, base: str = BASE, steps: int = 1, trained: bool = True
) -> RunDirectory:
    run = RunDirectory(paths.runs / name)
    run.path.mkdir(parents=True)
    run.write(run.request, RunRequest(name, "", 0.0, "", 0, 0, "/base.gguf", "1.0.0"))
    run.write(run.plan, replace(a_plan(), run_id=name, base_digest=base))
    if trained:
        run.write(run.result, replace(RESULT, steps=steps))
    return run


def _cycle(paths: Paths, run: RunDirectory) -> Cycle:
    return Cycle(
        run,
        run.read(run.request, RunRequest),
        paths,
        Settings(),
        cast(Any, None),
        Spool(paths.spool, "cycle"),
        lambda: 0.0,
        0,
    )


def test_the_last_training_is_the_newest_on_this_base_shipped_or_not(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    paths = Paths.under(tmp_path).ensure()
    own = _run(paths, "05", trained=False)
    assert _cycle(paths, own).last_training(BASE) is None
    _run(paths, "01", steps=11)
    _run(paths, "02", steps=22)
    _run(paths, "03", base="cd" * 32, steps=33)
    _run(paths, "04", trained=False)
    _run(paths, "06", steps=66)  # a later one, whose numbers this one must not depend on
    found = _cycle(paths, own).last_training(BASE)
    assert found is not None
    assert (found[0].run_id, found[1].steps) == ("02", 22)
    RunDirectory(paths.runs / "02").result.write_text("{}")
    found = _cycle(paths, own).last_training(BASE)
    assert found is not None
    assert found[1].steps == 11
    assert "what run 02 measured is not used" in caplog.text
