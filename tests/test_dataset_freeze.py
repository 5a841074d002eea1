"""From a real store, a rendering server and a real vocabulary to a frozen data set, and through its files back."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from dataset_world import RenderingServer, keep, rendering_server, suggestion, turn, work
from tiny_models import write_tiny_model

from qi_learn.dataset.freeze import freeze
from qi_learn.errors import Refused
from qi_learn.outside.llama_cpp import Vocabulary, load_vocabulary
from qi_learn.outside.ollama import Ollama
from qi_learn.records import Snapshot
from qi_learn.settings import Gate, Settings
from qi_learn.store.database import Store, open_store
from qi_learn.store.snapshots import load_snapshot, save_snapshot

SETTINGS = Settings(gate=Gate(min_examples=4))
SESSIONS = {"a": 6, "b": 5, "c": 5, "d": 4}


@pytest.fixture(scope="module")
def vocabulary(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Vocabulary]:
    with load_vocabulary(write_tiny_model(tmp_path_factory.mktemp("model") / "m.gguf")) as loaded:
        yield loaded


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(tmp_path / "store.db") as opened:
        yield opened


@pytest.fixture
def server() -> Iterator[RenderingServer]:
    with rendering_server() as running:
        yield running


def freeze_it(store: Store, server: RenderingServer, vocabulary: Vocabulary, **changes: Any) -> Snapshot:
    with Ollama(server.url) as client:
        values: dict[str, Any] = {"run_id": "R1", "model": "qi-agent:v1.0.0", "settings": SETTINGS, "earlier": [], "learned": set(), "base_digest": "B",
                                  "seed": 0, "now": 5.0, **changes}  # fmt: skip
        return freeze(store, server=client, vocabulary=vocabulary, **values)


def test_the_newest_session_judges_and_everything_is_counted(store: Store, server: RenderingServer, vocabulary: Vocabulary) -> None:
    work(store, SESSIONS)
    t = turn(90, session="d", answer_extra={"thinking": "Hm."})
    keep(store, t, suggestion(t, final="x = 1\n"))
    counted = turn(91, session="d", prompt_tokens=1)
    keep(store, counted, suggestion(counted, final="y = 1\n"))
    found = freeze_it(store, server, vocabulary)
    assert (found.id, found.created, found.base_digest) == ("R1", 5.0, "B")
    assert Counter((e.session, e.split) for e in found.examples) == {("a", "train"): 6, ("b", "train"): 5, ("c", "train"): 3, ("c", "dev"): 2, ("d", "gate"): 4}
    assert found.dropped == {"the model thought aloud before it answered": 1, "the model read another prompt (its tokens were counted)": 1}
    assert [e.id for e in found.examples] == sorted(e.id for e in found.examples)
    assert (len(found.anchors), found.replay) == (240, ())


def test_the_same_store_gives_the_same_snapshot(store: Store, server: RenderingServer, vocabulary: Vocabulary, tmp_path: Path) -> None:
    work(store, SESSIONS)
    first = freeze_it(store, server, vocabulary, cache=tmp_path / "rendered.jsonl")
    asked = len(server.asked)
    assert freeze_it(store, server, vocabulary, cache=tmp_path / "rendered.jsonl") == first
    assert len(server.asked) == asked == 20
    save_snapshot(tmp_path / "snapshot", first)
    assert load_snapshot(tmp_path / "snapshot") == first


def test_a_second_cycle_takes_what_is_new_and_replays_what_trained(store: Store, server: RenderingServer, vocabulary: Vocabulary, tmp_path: Path) -> None:
    work(store, SESSIONS)
    first = freeze_it(store, server, vocabulary)
    save_snapshot(tmp_path / "first", first)
    work(store, {"e": 5, "f": 5, "g": 5}, first=20)
    learned = {e.id for e in first.examples}
    store.execute("DELETE FROM turns WHERE id = 'turn-0000'")  # somebody had it forgotten
    second = freeze_it(store, server, vocabulary, run_id="R2", earlier=[tmp_path / "first"], learned=learned)
    assert {e.session for e in second.examples} == {"e", "f", "g"}
    assert {e.id for e in second.replay} == {e.id for e in first.split("train")} - {"turn-0000"}
    assert not {e.hash for e in second.replay} & {e.hash for e in (*first.split("gate"), *second.examples)}
    assert freeze_it(store, server, vocabulary, run_id="R2", earlier=[tmp_path / "first"], learned=learned, base_digest="other").replay == ()


def test_an_earlier_snapshot_that_is_damaged_is_left_out_and_said(store: Store, server: RenderingServer, vocabulary: Vocabulary, tmp_path: Path) -> None:
    work(store, SESSIONS)
    save_snapshot(tmp_path / "first", freeze_it(store, server, vocabulary))
    (tmp_path / "first" / "train.jsonl").write_text("")
    found = freeze_it(store, server, vocabulary, earlier=[tmp_path / "first", tmp_path / "gone"])
    assert (found.replay, found.dropped) == ((), {"an earlier data set that cannot be read": 2})


def test_thin_and_one_sided_data_is_refused(store: Store, server: RenderingServer, vocabulary: Vocabulary) -> None:
    with pytest.raises(Refused, match="0 examples are too few: the gate alone needs 4; 4 are missing"):
        freeze_it(store, server, vocabulary)
    work(store, {"a": 6, "b": 2})
    with pytest.raises(Refused, match="One-sided: 6 of 8"):
        freeze_it(store, server, vocabulary)


def test_rare_domains_weigh_more(store: Store, server: RenderingServer, vocabulary: Vocabulary) -> None:
    work(store, {"a": 3}, domain="data")
    work(store, {"b": 6, "c": 2, "d": 5}, first=3)
    weights = {e.domain: e.weight for e in freeze_it(store, server, vocabulary).split("train")}
    assert weights["data"] > 1 > weights["web"]
    assert freeze_it(store, server, vocabulary).split("gate")[0].weight == 1.0
