"""Secrets of the labelled set through every path that writes: no file of the home holds one."""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.secret_paths import WITH_TEXTS, Sweep, swept_home
from tests.support.secret_sweep import DIALECTS, bundles, search, secrets_of


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sweep]:
    """The home after all of it."""
    with swept_home(tmp_path_factory.mktemp("sweep")) as sweep:
        yield sweep


def test_there_are_enough_of_them_and_of_many_kinds() -> None:
    assert len(secrets_of(bundles())) >= 400
    assert len({v.family for bundle in bundles() for v in bundle.vectors}) >= 30


def test_every_path_was_taken(swept: Sweep) -> None:
    """Else nothing is shown: each kind of row is there, in the numbers that were sent."""
    endpoints = Counter(row[0] for row in swept.rows("SELECT endpoint FROM turns WHERE status=200"))
    assert {path for path, count in endpoints.items() if count >= len(bundles())} == set(DIALECTS)
    assert swept.count("turns WHERE status = 500") >= len(bundles())
    assert swept.count("turns") >= swept.asked
    assert swept.count("turns WHERE model_asked LIKE '[REDACTED:%'") >= 20
    seen = json.loads(swept.paths.gateway_status.read_text())["unrecognised"]
    assert sum("[REDACTED:" in one["path"] for one in seen) >= 20
    assert swept.count("""suggestions WHERE "commit" IS NOT NULL""") >= len(bundles())
    assert swept.count("feedback WHERE final_version IS NOT NULL") >= len(bundles())
    assert swept.count("commands") >= swept.commands >= len(bundles())
    assert swept.count("ratings") == len(bundles()) + 1
    assert swept.count("events WHERE kind IN ('hook', 'edit', 'git')") >= 3 * len(bundles())
    assert swept.count("runs") == len(bundles())
    assert swept.count("audit") >= len(bundles())
    bad = [path for path in (swept.paths.spool / "bad").rglob("*") if path.is_file()]
    assert sum(len(path.read_bytes().splitlines()) for path in bad) >= 5 * len(bundles())
    for table, column in WITH_TEXTS:
        assert swept.count(f"{table} WHERE {column} LIKE '%[REDACTED:%'") > 0, (table, column)


def test_no_file_of_the_home_holds_a_secret(swept: Sweep) -> None:
    found = search(swept.world.root, secrets_of(bundles()))
    assert {file: len(secrets) for file, secrets in found.items()} == {}, {
        file: secrets[:5] for file, secrets in found.items()
    }


def test_the_search_finds_what_is_there(swept: Sweep, tmp_path: Path) -> None:
    """In a database, in JSON, in a name, cut into lines."""
    secret = 'line one of it"\nline two of it\\'
    with sqlite3.connect(tmp_path / "x.db") as conn:
        conn.execute("CREATE TABLE t (x)")
        conn.execute("INSERT INTO t VALUES (?)", (f"before {secret} after",))
    conn.close()
    (tmp_path / "x.json").write_text(json.dumps([secret]))
    (tmp_path / "AKIAsecretname").mkdir()
    assert set(search(tmp_path, [secret])) == {"x.db", "x.json"}
    assert set(search(tmp_path, ["AKIAsecretname"])) == {"AKIAsecretname"}
    assert search(swept.project.root, secrets_of(bundles()))  # the person's own files keep theirs
