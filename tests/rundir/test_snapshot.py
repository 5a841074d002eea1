"""A frozen data set: what is loaded is what was frozen, or it is refused."""

from __future__ import annotations

import hashlib
import json
import resource
import stat
from dataclasses import replace
from pathlib import Path

import pytest

from qi_learn.errors import DiskFull, StoreError
from qi_learn.records import Example, Pair, Snapshot, Split
from qi_learn.rundir.snapshot import FILES, load_snapshot, save_snapshot, snapshot_ready


def example(id: str, split: Split = "train") -> Example:
    ask = {
        "endpoint": "/api/chat",
        "body": {"messages": [{"role": "user", "content": "a\u2028b\r\n"}], "options": {"seed": 1}},
    }
    text = f"héllo {id} \ud83d \x85\n"
    return Example(
        id,
        f"hash-{id}",
        text,
        "t",
        (1, 2, 3),
        (4, 5),
        (True, False),
        split,
        0.5,
        "s",
        "p",
        "web",
        "debugging",
        0.75,
        "t",
        ask,
    )


SNAPSHOT = Snapshot(
    "R1",
    123.25,
    "ab" * 32,
    (
        example("T1"),
        example("T2", "dev"),
        example("T3"),
        example("T4", "gate"),
        example("T5", "dev"),
    ),
    (example("T0"),),
    (example("anchor:json:0"), example("anchor:json:1")),
    {"duplicate": 3},
    (
        Pair(
            "T1", "hash-pair", "edit", "p", "a", "b", (1, 2), (3, 4), (5, 4), "T1", "s", "p", 0.25
        ),
        Pair("T6", "h", "reject", "p", "", "b", (1,), (), (5,)),
    ),
    (example("yardstick:uuid:0"),),
)


def test_what_is_loaded_is_what_was_frozen(tmp_path: Path) -> None:
    place = tmp_path / "run" / "snapshot"
    assert not snapshot_ready(place)
    save_snapshot(place, SNAPSHOT)
    assert snapshot_ready(place)
    assert load_snapshot(place) == SNAPSHOT
    assert {p.name for p in place.iterdir()} == {f"{name}.jsonl" for name in FILES} | {
        "manifest.json"
    }
    assert {stat.S_IMODE(p.stat().st_mode) for p in place.iterdir()} == {0o600}


def test_one_from_before_pairs_were_collected_is_loaded(tmp_path: Path) -> None:
    save_snapshot(tmp_path, replace(SNAPSHOT, pairs=()))
    (tmp_path / "pairs.jsonl").unlink()
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    del manifest["pairs"], manifest["files"]["pairs"], manifest["recalled"]
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    for name in ("train", "dev", "gate", "replay", "anchors"):  # nor did an example say these two
        lines = [
            json.loads(line) for line in (tmp_path / f"{name}.jsonl").read_bytes().splitlines()
        ]
        old = b"".join(
            json.dumps({k: v for k, v in line.items() if k not in ("liked", "recall")}).encode()
            + b"\n"
            for line in lines
        )
        (tmp_path / f"{name}.jsonl").write_bytes(old)
        manifest["files"][name]["sha256"] = hashlib.sha256(old).hexdigest()
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    assert load_snapshot(tmp_path) == replace(SNAPSHOT, pairs=())


def test_one_from_before_there_were_yardsticks_is_read(tmp_path: Path) -> None:
    save_snapshot(tmp_path, SNAPSHOT)
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    del manifest["files"]["yardsticks"]
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    (tmp_path / "yardsticks.jsonl").unlink()
    assert load_snapshot(tmp_path) == replace(SNAPSHOT, yardsticks=())


def test_an_empty_one_is_one(tmp_path: Path) -> None:
    save_snapshot(tmp_path, Snapshot("R1", 1.0, "ab", ()))
    assert load_snapshot(tmp_path) == Snapshot("R1", 1.0, "ab", ())


def test_a_frozen_one_is_never_written_again(tmp_path: Path) -> None:
    save_snapshot(tmp_path, SNAPSHOT)
    with pytest.raises(StoreError, match="never changed"):
        save_snapshot(tmp_path, replace(SNAPSHOT, created=124.0))
    assert load_snapshot(tmp_path) == SNAPSHOT


def test_without_its_manifest_it_is_not_there(tmp_path: Path) -> None:
    save_snapshot(tmp_path, SNAPSHOT)
    (tmp_path / "manifest.json").unlink()
    with pytest.raises(StoreError, match="no complete data set"):
        load_snapshot(tmp_path)
    other = replace(SNAPSHOT, examples=SNAPSHOT.examples[:2])
    save_snapshot(tmp_path, other)  # an interrupted attempt is overwritten
    assert load_snapshot(tmp_path) == other


@pytest.mark.parametrize("name", [f"{name}.jsonl" for name in FILES])
def test_one_changed_byte_is_refused(tmp_path: Path, name: str) -> None:
    save_snapshot(tmp_path, SNAPSHOT)
    content = bytearray((tmp_path / name).read_bytes())
    content[len(content) // 2] ^= 1
    (tmp_path / name).write_bytes(content)
    with pytest.raises(StoreError, match=name):
        load_snapshot(tmp_path)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    save_snapshot(tmp_path, SNAPSHOT)
    (tmp_path / "replay.jsonl").unlink()
    with pytest.raises(StoreError, match=r"replay\.jsonl"):
        load_snapshot(tmp_path)


@pytest.mark.parametrize(
    "change",
    [
        lambda m: m["examples"].pop(),
        lambda m: m["examples"].reverse(),
        lambda m: m["examples"].append(m["examples"][0]),
        lambda m: m["anchors"].pop(),
        lambda m: m["replay"].append("x"),
        lambda m: m.pop("created"),
        lambda m: m.update(format=2),
    ],
)
def test_a_manifest_that_lists_something_else_is_refused(tmp_path: Path, change: object) -> None:
    save_snapshot(tmp_path, SNAPSHOT)
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    change(manifest)  # type: ignore[operator]
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(StoreError):
        load_snapshot(tmp_path)


def test_a_full_disk_leaves_no_snapshot(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        for limit in (0, 300, 600, 900):
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
            with pytest.raises(DiskFull, match="cannot be frozen"):
                save_snapshot(tmp_path, SNAPSHOT)
            assert not snapshot_ready(tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    save_snapshot(tmp_path, SNAPSHOT)
    assert load_snapshot(tmp_path) == SNAPSHOT
