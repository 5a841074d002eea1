"""The candidate on the server: made for the gate, put live under a version's number, or deleted."""

from __future__ import annotations

import logging
import shutil
from dataclasses import replace
from pathlib import Path

from qi_learn import codec
from qi_learn.cycle.account import set_aside
from qi_learn.cycle.context import ADAPTER, Cycle, base_modelfile
from qi_learn.deploy.candidate import make_model
from qi_learn.deploy.fisher_files import PAST_FISHER
from qi_learn.deploy.release import Candidate, Promoted, promote
from qi_learn.errors import LiveChanged, ServerError, Stopped
from qi_learn.outside.gguf import sha256_of
from qi_learn.pack.modelfile_text import write_modelfile
from qi_learn.records import Packed, Release, Verdict

logger = logging.getLogger(__name__)


def make_candidate(cycle: Cycle, packed: Packed) -> None:
    """Give the packed file to the server, under a name that nothing else uses."""
    make_model(
        cycle.server,
        cycle.candidate,
        Path(packed.path),
        packed.digest,
        base_modelfile(cycle).as_create(),
    )


def drop_candidate(cycle: Cycle) -> None:
    """Delete the candidate from the server; if that fails, the daemon's next start does it."""
    try:
        if cycle.server.has(cycle.candidate):
            cycle.server.delete(cycle.candidate)
    except ServerError as error:
        logger.warning(
            "%s stays on the server until the daemon's next start: %s", cycle.candidate, error.what
        )


def go_live(cycle: Cycle, packed: Packed, verdict: Verdict) -> Promoted:
    """Switch to the candidate under a new minor number; what went live.

    Raises LiveChanged if another version went live since the comparison (the next try compares with
    that one), Stopped if the version is live but not everything is in its place, ServerError.
    """
    try:
        if not cycle.server.has(cycle.candidate):
            make_candidate(cycle, packed)  # it was deleted meanwhile
        return promote(
            cycle.paths,
            cycle.server,
            Candidate(cycle.candidate, cycle.run.run_id, verdict.compared_with),
            make=lambda version, model: _release(cycle, packed, version, model),
            store=Path(cycle.request.model_store) if cycle.request.model_store else None,
            keep=cycle.settings.serve.keep,
        )
    except LiveChanged:
        set_aside(cycle)
        raise
    except ServerError as error:
        if cycle.released:  # what is missing is completed by the next try
            raise Stopped(
                f"The version is live, but not everything is in its place: {error.what}", error.hint
            ) from error
        raise


def announce(cycle: Cycle, promoted: Promoted) -> None:
    """Report to the daemon what went live and which versions were retired for it."""
    released = {
        "action": "released",
        "version": promoted.release.version,
        "alias": promoted.alias,
        "from": promoted.previous,
        "release": codec.plain(promoted.release),
    }
    # with an id of its own: the same line again, after a crash, is the same event
    cycle.spool.append("release", released, id=f"{cycle.run.run_id}:released")
    for version in promoted.retired:
        retired = {"action": "retired", "version": version, "alias": promoted.alias}
        cycle.spool.append("release", retired)


def _release(cycle: Cycle, packed: Packed, version: str, model: str) -> Release:
    """The record of a release, with its adapter and Fisher copied to the version's directory."""
    directory = cycle.paths.adapters / f"v{version}"
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    shutil.copyfile(cycle.run.joined, directory / ADAPTER)
    shutil.copyfile(cycle.run.past_fisher, directory / PAST_FISHER)
    modelfile = write_modelfile(replace(base_modelfile(cycle), source=model))
    (directory / "Modelfile").write_text(modelfile, encoding="utf-8")
    return Release(
        version=version,
        model=model,
        digest=packed.digest,
        created=cycle.clock(),
        base_digest=sha256_of(cycle.base),
        parent=cycle.request.parent,
        run_id=cycle.run.run_id,
        adapter=str(directory.relative_to(cycle.paths.data)),
        adapter_digest=sha256_of(directory / ADAPTER),
    )
