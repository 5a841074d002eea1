"""A home in which everything is broken."""

from __future__ import annotations

from qi_learn.paths import Paths
from tests.support.recorded_home import RUN

DAMAGE = ("deploy", "database", "projects", "gateway_status")


def break_everything(paths: Paths) -> None:
    """Write garbage to every file there is, the run's too."""
    for name in DAMAGE:
        getattr(paths, name).write_bytes(b"\x00garbage\xff")
    run = paths.runs / RUN
    for file in (
        "run.json",
        "outcome.json",
        "verdict.json",
        "plan.json",
        "result.json",
        "journal.jsonl",
    ):
        (run / file).write_bytes(b'\x00garbage\xff\n{"half": ')
