"""An `nvidia-smi` for tests: a small real program on PATH that answers as the recorded ones do,
with numbers that a test may change meanwhile.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

SCRIPT = """#!/bin/sh
case "$1" in
--query-gpu=*) cat "{place}/gpus.csv" ;;
--query-compute-apps=*) cat "{place}/apps.csv" ;;
*) exit 2 ;;
esac
"""
UUIDS = ("GPU-0aaaaaaa-1111-2222-3333-444444444444", "GPU-1bbbbbbb-1111-2222-3333-444444444444")


@dataclass(frozen=True)
class Gpus:
    """Say what there is with `show`, then ask as usual."""

    place: Path

    @classmethod
    def install(cls, place: Path, monkeypatch: pytest.MonkeyPatch) -> Gpus:
        """The program, first on PATH."""
        place.mkdir()
        (place / "nvidia-smi").write_text(SCRIPT.format(place=place))
        (place / "nvidia-smi").chmod(0o755)
        monkeypatch.setenv("PATH", f"{place}:/usr/bin:/bin")
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
        return cls(place)

    def show(
        self,
        *gpus: tuple[str, int, int],
        apps: tuple[tuple[int, str, int], ...] = (),
        busy: int = 3,
    ) -> None:
        """GPUs as (name, total MiB, free MiB), and the processes on them as (GPU, name, MiB)."""
        lines = [
            f"{name}, {total}, {free}, {busy}, 8.6, {uuid}\n"
            for (name, total, free), uuid in zip(gpus, UUIDS, strict=False)
        ]
        _replace(self.place / "gpus.csv", "".join(lines))
        _replace(
            self.place / "apps.csv",
            "".join(f"{UUIDS[gpu]}, {mib}, {name}\n" for gpu, name, mib in apps),
        )


def _replace(place: Path, text: str) -> None:
    temp = place.with_suffix(".new")
    temp.write_text(text)
    temp.rename(place)
