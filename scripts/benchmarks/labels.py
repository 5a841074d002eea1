"""Whether what is said of suggestions is true: `scripts/bench labels [--aside]`.

Functions that changed between two releases of real packages are suggested in the dialects of the
clients, and played as edits into a git repository of the older release with every kind of keeping
and not keeping: each has a fate that is known. Everything goes through spool, watcher and intake;
time alone is played. Half of the packages are kept aside: no rule may be made by looking at their
cases, so only their numbers are shown. Targets: contracts 5. The last line is one JSON object.

The packages come from their registries by pip, npm, go, cargo and mvn, once, into the cache.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from scripts.benchmarks.labelling.cases import Case, cases_of, played
from scripts.benchmarks.labelling.judging import Judged, measure, table
from scripts.benchmarks.labelling.releases import pinned_packages, sources
from scripts.benchmarks.labelling.samples import samples_of

CACHE = "QI_LEARN_LABELS_CACHE"
SEED = 14
GROUPS: tuple[tuple[str, Callable[[Judged], str]], ...] = (
    ("kind of change", lambda c: c.kind),
    ("dialect", lambda c: c.dialect),
    ("language", lambda c: c.language),
)


def main() -> None:
    parser = argparse.ArgumentParser(description="Measures whether fates are true.")
    default = os.environ.get(CACHE) or Path.home() / ".cache" / "qi-learn-labels"
    parser.add_argument("--cache", type=Path, default=default, help=f"also by {CACHE}")
    parser.add_argument("--aside", action="store_true", help="the half that is kept aside")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="cases at once")
    parser.add_argument("--kind", help="only kinds of change with this in their name")
    parser.add_argument("--package", help="only packages with this in their name")
    parser.add_argument("--dialect", help="only dialects with this in their name")
    parser.add_argument("--wrong", action="store_true", help="show what is wrong, case by case")
    chosen = parser.parse_args()
    if chosen.aside and chosen.wrong:
        parser.error("single cases of the half that is kept aside are not shown")
    began = time.monotonic()
    cases = [
        case
        for case in _cases(chosen.cache, aside=chosen.aside)
        if (chosen.kind or "") in case.kind
        and (chosen.package or "") in case.package
        and (chosen.dialect or "") in case.dialect
    ]
    judged, failures = _play(cases, chosen.jobs)
    for heading, of in GROUPS:
        print("\n".join(table(judged, heading, of)))
    for case in judged if chosen.wrong else ():
        _show(case)
    for failure in failures:
        print(f"not played: {failure}", file=sys.stderr)
    seconds = round(time.monotonic() - began)
    print(f"{len(judged)} cases in {seconds} s; {len(failures)} failed", file=sys.stderr)
    print(json.dumps(asdict(measure(judged))))
    sys.exit(1 if failures else 0)


def _cases(cache: Path, *, aside: bool) -> list[Case]:
    found: list[Case] = []
    for package in pinned_packages():
        if package.aside == aside:
            samples = samples_of(package, *sources(package, cache), random.Random(SEED))
            found += cases_of(package, samples, len(found))
    return found


def _play(cases: list[Case], jobs: int) -> tuple[list[Judged], list[str]]:
    judged: list[Judged] = []
    failures: list[str] = []
    with ProcessPoolExecutor(jobs) as pool:
        for number, result in enumerate(pool.map(played, cases), 1):
            if isinstance(result, Judged):
                judged.append(result)
            elif result is not None:
                failures.append(result)
            if sys.stderr.isatty():
                print(f"\r{number} of {len(cases)}", end="\r", file=sys.stderr)
    return judged, failures


def _show(case: Judged) -> None:
    accepted = case.truth.fate in ("kept", "edited") and case.said in ("kept", "edited")
    if case.right and (case.exact or not accepted):
        return
    print(f"--- {case.kind} | {case.dialect} | {case.package}")
    print(f"true {case.truth.fate}, said {case.said} of {case.fates}, placed {case.placed}")
    if accepted and not case.exact:
        for text in case.finals:
            print(f"final:\n{text}")
        for text in case.truth.finals[:2]:
            print(f"true:\n{text}")


if __name__ == "__main__":
    main()
