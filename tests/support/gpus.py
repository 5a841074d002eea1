"""An `nvidia-smi` for tests: a small real program on PATH that answers as the recorded ones do,
with numbers that a test may change.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

SCRIPT = """#!/bin/sh
case "$1" in
--query-gpu=*) cat "{directory}/gpus.csv" ;;
--query-compute-apps=*) cat "{directory}/apps.csv" ;;
*) exit 2 ;;
esac
"""
UUIDS = ("GPU-0aaaaaaa-1111-2222-3333-444444444444", "GPU-1bbbbbbb-1111-2222-3333-444444444444")


@dataclass(frozen=True)
class Gpus:
    """GPUs that a test sets with `show`, and that are then asked for as usual."""

    directory: Path

    @classmethod
    def install(cls, directory: Path, monkeypatch: pytest.MonkeyPatch) -> Gpus:
        """Put the program first on PATH."""
        directory.mkdir()
        (directory / "nvidia-smi").write_text(SCRIPT.format(directory=directory))
        (directory / "nvidia-smi").chmod(0o755)
        monkeypatch.setenv("PATH", f"{directory}:/usr/bin:/bin")
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
        return cls(directory)

    def show(
        self,
        *gpus: tuple[str, int, int],
        apps: tuple[tuple[int, str, int], ...] = (),
        busy: int = 3,
    ) -> None:
        """Set the GPUs as (name, total MiB, free MiB), and their processes as (GPU, name, MiB)."""
        lines = [
            f"{name}, {total}, {free}, {busy}, 8.6, {uuid}\n"
            for (name, total, free), uuid in zip(gpus, UUIDS, strict=False)
        ]
        _replace(self.directory / "gpus.csv", "".join(lines))
        _replace(
            self.directory / "apps.csv",
            "".join(f"{UUIDS[gpu]}, {mib}, {name}\n" for gpu, name, mib in apps),
        )


def _replace(path: Path, text: str) -> None:
    temp = path.with_suffix(".new")
    temp.write_text(text)
    temp.rename(path)
