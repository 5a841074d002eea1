"""The files of the models that are compared: the candidate's, the base's, the live version's."""

from __future__ import annotations

from pathlib import Path

from qi_learn.cycle.context import ADAPTER, Cycle
from qi_learn.outside.ollama import served_file
from qi_learn.pack.splice import pack as pack_file
from qi_learn.records import Packed, Release
from qi_learn.rundir.adapter_file import read_adapter


def compared_files(cycle: Cycle, packed: Packed, base: Release, live: Release) -> dict[str, Path]:
    """The files that the compared models are served from, by model."""
    files = {
        cycle.candidate: served_file(cycle.server, cycle.candidate) or Path(packed.path),
        base.model: cycle.base,
    }
    if live != base:
        files[live.model] = _file_of(cycle, live)
    return files


def _file_of(cycle: Cycle, release: Release) -> Path:
    """The file that a version is served from.

    If it cannot be read here, the same packed again from its adapter.
    """
    if served := served_file(cycle.server, release.model):
        return served
    if release.adapter is None:
        return cycle.base
    again = cycle.run.path / f"v{release.version}.gguf"
    adapter = read_adapter(cycle.paths.data / release.adapter / ADAPTER)
    pack_file(cycle.base, adapter, again, base_weights=cycle.base_weights)
    return again
