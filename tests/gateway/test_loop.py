"""The gateway runs on uvloop where there is one, and on asyncio's own loop without."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

from qi_learn.gateway.loop import loop_factory, run
from tests.support.fake_ollama import ROOT


def test_the_loop_is_uvloops() -> None:
    kinds: list[str] = []

    async def look() -> None:
        kinds.append(type(asyncio.get_running_loop()).__module__)

    interval = sys.getswitchinterval()
    try:
        run(look())
    finally:
        sys.setswitchinterval(interval)
    assert kinds == ["uvloop"]


def test_without_uvloop_asyncios_own_loop_serves(tmp_path: Path) -> None:
    (tmp_path / "uvloop.py").write_text("raise ImportError('not built for this platform')\n")
    code = (
        f"import sys; sys.path[:0] = [{str(tmp_path)!r}, {str(ROOT)!r}]\n"
        "from qi_learn.gateway.loop import loop_factory, run\n"
        "async def main(): print(loop_factory())\n"
        "run(main())\n"
    )
    made = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert made.stdout == "None\n"
    assert loop_factory() is not None
