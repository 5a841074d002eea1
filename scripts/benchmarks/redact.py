"""What is taken for a secret, how long it takes, and what is left of it: `scripts/bench redact`.

Recall and precision on the contexts that were kept aside when the rules were written, by our own
rules and, if the extra `secrets` is installed, with the catalogue; time on ordinary text, the
standard library's own source: CPU time, median of the runs that fit in the seconds. Then secrets of
the labelled set are brought into a home through every path that writes, and are searched for in
every file of it (`secrets_in_home`: a minute or two). The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from qi_learn.redact import Redactor, catalogue_line
from qi_learn.redact.catalogue import installed_catalogue
from tests.support.secret_paths import swept_home
from tests.support.secret_sweep import bundles, search, secrets_of
from tests.support.secret_vectors import files, judge, judge_files, vectors

MODULES = ("tokenize", "smtplib", "random", "urllib/request", "argparse", "typing", "getpass")
LEAST_RUNS = 9


def main() -> None:
    parser = argparse.ArgumentParser(description="Measures what is taken for a secret.")
    parser.add_argument("--seconds", type=float, default=10, help="for the time of ordinary text")
    parser.add_argument("--no-home", action="store_true", help="search no home")
    options = parser.parse_args()
    out = measure(options.seconds)
    if not options.no_home:
        out |= search_a_home()
    print(json.dumps(out))


def measure(seconds: float) -> dict[str, object]:
    own = Redactor(b"k" * 32)
    aside = [vector for vector in vectors() if vector.aside]
    judged, in_files = judge(aside, own.text), judge_files(files(), own.text)
    out: dict[str, object] = {
        "recall": round(judged.recall, 4),
        "precision": round(judged.precision, 4),
        "recall_in_files": round(in_files.recall, 4),
        "precision_in_files": round(in_files.precision, 4),
        "vectors": len(vectors()),
        "aside": len(aside),
        "ms_per_100kb": milliseconds(own.text, seconds),
        "rules": catalogue_line(),
    }
    catalogue = installed_catalogue()
    if catalogue is not None:
        both = Redactor(b"k" * 32, catalogue)
        judged = judge(aside, both.text)
        out["recall_with_catalogue"] = round(judged.recall, 4)
        out["precision_with_catalogue"] = round(judged.precision, 4)
        out["ms_per_100kb_with_catalogue"] = milliseconds(both.text, seconds)
    return out


def search_a_home() -> dict[str, int]:
    """How many secrets were brought into a home, and how many stand in a file of it then."""
    with tempfile.TemporaryDirectory() as top, swept_home(Path(top)) as sweep:
        brought = secrets_of(bundles())
        found = search(sweep.world.root, brought)
    left = {secret for secrets in found.values() for secret in secrets}
    return {"secrets_brought": len(brought), "secrets_in_home": len(left)}


def milliseconds(redact: Callable[[str], str], seconds: float) -> float:
    """CPU milliseconds for 100 kB of ordinary text in which nothing is redacted."""
    library = Path(json.__file__).parents[1]
    text = "".join((library / f"{name}.py").read_text(encoding="utf-8") for name in MODULES)
    assert redact(text) == text
    times: list[float] = []
    end = time.monotonic() + seconds
    while len(times) < LEAST_RUNS or time.monotonic() < end:
        start = time.process_time()
        redact(text)
        times.append(time.process_time() - start)
    return round(statistics.median(times) * 1e8 / len(text), 3)


if __name__ == "__main__":
    main()
