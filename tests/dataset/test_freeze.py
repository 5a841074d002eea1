"""From a real store, a rendering server and a real vocabulary to a frozen data set, and through its
files back.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from qi_learn.dataset.examples import RenderCache, Serving
from qi_learn.dataset.freeze import DataSetRequest, freeze, refuse_secrets
from qi_learn.dataset.near_duplicates import LEFT_OUT
from qi_learn.errors import Refused
from qi_learn.outside.llama_cpp import Vocabulary, load_vocabulary
from qi_learn.outside.ollama import Ollama
from qi_learn.records import Packed, Pair, Recall, RecallLog, Snapshot
from qi_learn.redact import holds_secret, load_redactor, load_seen
from qi_learn.rundir.directory import RunDirectory
from qi_learn.rundir.snapshot import load_snapshot, save_snapshot
from qi_learn.settings import GateSettings, Settings, TrainSettings
from qi_learn.store.database import Store, open_store
from tests.support.dataset_world import (
    RenderingServer,
    agreed,
    keep,
    rendering_server,
    suggestion,
    turn,
    work,
)
from tests.support.tiny_models import write_tiny_model

SETTINGS = Settings(gate=GateSettings(min_examples=4))
SESSIONS = {"a": 6, "b": 5, "c": 3, "d": 4, "e": 2}
MORE = {"p": 5, "q": 4, "r": 4, "t": 4}


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


def freeze_it(
    store: Store,
    server: RenderingServer,
    vocabulary: Vocabulary,
    *,
    settings: Settings = SETTINGS,
    base_digest: str = "B",
    cache: Path | None = None,
    **changes: Any,
) -> Snapshot:
    with Ollama(server.url) as client:
        values: dict[str, Any] = {"run_id": "R1", "seed": 0, "earlier": (), "learned": frozenset()}
        request = DataSetRequest(created=5.0, **values | changes)
        serving = Serving(client, "qi-agent:v1.0.0", base_digest, vocabulary, RenderCache(cache))
        return freeze(store, request, serving, settings)


def test_the_newest_sessions_judge_and_everything_is_counted(
    store: Store, server: RenderingServer, vocabulary: Vocabulary
) -> None:
    work(store, SESSIONS)
    t = turn(90, session="d", answer_extra={"thinking": "Hm."})
    keep(store, t, suggestion(t, final="x = 1\n"))
    counted = turn(91, session="d", prompt_tokens=1)
    keep(store, counted, suggestion(counted, final="y = 1\n"))
    found = freeze_it(store, server, vocabulary)
    assert (found.id, found.created, found.base_digest) == ("R1", 5.0, "B")
    assert Counter((e.session, e.split) for e in found.examples) == {
        ("a", "train"): 6,
        ("b", "train"): 4,
        ("b", "dev"): 1,
        ("c", "gate"): 3,
        ("d", "gate"): 4,
        ("e", "gate"): 2,
    }
    assert found.dropped == {
        "the model thought aloud before it answered": 1,
        "the model read another prompt (its tokens were counted)": 1,
    }
    assert [e.id for e in found.examples] == sorted(e.id for e in found.examples)
    assert (len(found.anchors), len(found.yardsticks), found.replay) == (240, 16, ())


def test_the_same_store_gives_the_same_snapshot(
    store: Store, server: RenderingServer, vocabulary: Vocabulary, tmp_path: Path
) -> None:
    work(store, SESSIONS)
    first = freeze_it(store, server, vocabulary, cache=tmp_path / "rendered.jsonl")
    asked = len(server.asked)
    assert freeze_it(store, server, vocabulary, cache=tmp_path / "rendered.jsonl") == first
    assert len(server.asked) == asked == 20
    save_snapshot(tmp_path / "snapshot", first)
    assert load_snapshot(tmp_path / "snapshot") == first


def test_what_was_kept_as_it_was_trains_and_does_not_count(
    store: Store, server: RenderingServer, vocabulary: Vocabulary, tmp_path: Path
) -> None:
    agreed(store, {"b": 3, "e": 4}, first=0)
    work(store, SESSIONS, first=10)
    found = freeze_it(store, server, vocabulary)
    assert Counter((e.session, e.split, e.person_wrote) for e in found.examples) == {
        ("a", "train", True): 6,
        ("b", "train", True): 4,
        ("b", "dev", True): 1,
        ("b", "train", False): 3,
        ("c", "gate", True): 3,
        ("d", "gate", True): 4,
        ("e", "gate", True): 2,
        ("e", "gate", False): 4,
    }
    agreed(store, dict.fromkeys("uvwxyz", 9), first=200)
    with pytest.raises(Refused, match="20 examples with text of your own are too few"):
        freeze_it(store, server, vocabulary, settings=Settings(gate=GateSettings(min_examples=21)))


def test_who_wrote_a_token_is_kept_with_the_data_set(
    store: Store, server: RenderingServer, vocabulary: Vocabulary, tmp_path: Path
) -> None:
    work(store, SESSIONS)
    found = freeze_it(store, server, vocabulary)
    save_snapshot(tmp_path / "R1", found)
    assert load_snapshot(tmp_path / "R1") == found
    assert all(len(e.person_mask) == len(e.target_ids) for e in found.examples)
    older = replace(found, examples=tuple(replace(e, person_mask=()) for e in found.examples))
    save_snapshot(tmp_path / "older", older)
    for name in ("train", "dev", "gate"):  # as it was written before there was such a mask
        file = tmp_path / "older" / f"{name}.jsonl"
        plain = file.read_text().replace(',"person_mask":[]', "")
        assert "person_mask" not in plain
        file.write_text(plain)
    manifest = json.loads((tmp_path / "older" / "manifest.json").read_text())
    for name, entry in manifest["files"].items():
        content = (tmp_path / "older" / f"{name}.jsonl").read_bytes()
        entry["sha256"] = hashlib.sha256(content).hexdigest()
    (tmp_path / "older" / "manifest.json").write_text(json.dumps(manifest))
    assert load_snapshot(tmp_path / "older") == older
    assert not any(e.person_wrote for e in older.examples), "it is not known, and never guessed"


def test_a_second_cycle_takes_what_is_new_and_replays_what_trained(
    store: Store, server: RenderingServer, vocabulary: Vocabulary, tmp_path: Path
) -> None:
    work(store, SESSIONS)
    first = freeze_it(store, server, vocabulary)
    done = RunDirectory(tmp_path / "R1")
    save_snapshot(done.snapshot, first)
    work(store, MORE, first=20)
    learned = {e.id for e in first.examples}
    store.execute("DELETE FROM turns WHERE id = 'turn-0000'")  # it was forgotten on request
    second = freeze_it(store, server, vocabulary, run_id="R2", earlier=[done], learned=learned)
    assert {e.session for e in second.examples} == set(MORE)
    assert {e.id for e in second.replay} == {e.id for e in first.split("train")} - {"turn-0000"}
    assert not {e.hash for e in second.replay} & {
        e.hash for e in (*first.split("gate"), *second.examples)
    }
    assert (
        freeze_it(
            store,
            server,
            vocabulary,
            run_id="R2",
            earlier=[done],
            learned=learned,
            base_digest="other",
        ).replay
        == ()
    )
    none = Settings(gate=SETTINGS.gate, train=TrainSettings(replay=0))
    assert (
        freeze_it(
            store, server, vocabulary, run_id="R2", earlier=[done], learned=learned, settings=none
        ).replay
        == ()
    )


def test_what_the_training_found_out_says_what_is_due_and_the_manifest_why(
    store: Store, server: RenderingServer, vocabulary: Vocabulary, tmp_path: Path
) -> None:
    work(store, SESSIONS)
    first = freeze_it(store, server, vocabulary)
    runs = [RunDirectory(tmp_path / name) for name in ("R1", "R2")]
    save_snapshot(runs[0].snapshot, first)
    kept, lost, *others = first.split("train")
    runs[0].write(runs[0].recall_log, RecallLog({}, {e.id: 1.0 for e in first.split("train")}, {}))
    save_snapshot(runs[1].snapshot, Snapshot("R2", 6.0, "B", (), (kept, lost)))
    runs[1].write(
        runs[1].recall_log, RecallLog({kept.id: 1.0, lost.id: 2.0}, {}, {kept.id: 2, lost.id: 2})
    )
    work(store, MORE, first=20)
    learned = {e.id for e in first.examples}
    all_but_one = Settings(gate=SETTINGS.gate, train=TrainSettings(replay=len(others) + 1))
    third = freeze_it(
        store, server, vocabulary, run_id="R3", earlier=runs, learned=learned, settings=all_but_one
    )
    recalls = {e.id: e.recall for e in third.replay}
    assert recalls[lost.id] == Recall("R1", 1, 1, 0, True, 2.0)
    assert set(recalls) == {e.id for e in (lost, *others)}  # the one that is still known is not due
    assert third.replay[-1].id == lost.id  # the others were never replayed: more overdue
    save_snapshot(tmp_path / "third", third)
    assert load_snapshot(tmp_path / "third") == third
    manifest = json.loads((tmp_path / "third" / "manifest.json").read_text())
    assert manifest["recalled"][-1] == {
        "id": lost.id,
        "learned": "R1",
        "replayed": 1,
        "interval": 1,
        "overdue": 0,
        "forgotten": True,
        "nll": 2.0,
    }

    def forgotten(scale: float) -> bool | None:
        """Whether `lost` counts as forgotten if the first run's change went live at this scale."""
        runs[0].write(runs[0].packed, Packed("", "", scale, (), 0, 0, 0.0))
        again = freeze_it(store, server, vocabulary, run_id="R3", earlier=runs, learned=learned)
        recall = {e.id: e.recall for e in again.replay}[lost.id]
        return recall.forgotten if recall else None

    assert forgotten(1.0) is True
    assert forgotten(0.5) is None, "half of the change never knew it as well as the whole did"
    runs[0].packed.unlink()
    runs[1].recall_log.write_text("{")  # damaged: not known
    again = freeze_it(store, server, vocabulary, run_id="R3", earlier=runs, learned=learned)
    assert {e.id: e.recall for e in again.replay}[lost.id] == Recall("R1", 1, 1, 0, None, 1.0)


def test_a_secret_of_a_kind_that_is_known_only_now_is_neither_learned_nor_replayed(
    store: Store, server: RenderingServer, vocabulary: Vocabulary, tmp_path: Path
) -> None:
    """The database and the earlier data set are from a program that did not know its shape."""
    secret = "key = 'AKIAIOSFODNN7EXAMPLQ'\n"
    work(store, SESSIONS)
    first = freeze_it(store, server, vocabulary)
    bad = replace(first.split("train")[0], prompt=f"Mend this: {secret}")
    done = RunDirectory(tmp_path / "R1")
    save_snapshot(done.snapshot, replace(first, examples=(bad, *first.examples[1:])))
    work(store, MORE, first=20)
    t = turn(90, session="t")
    keep(store, t, suggestion(t, final=secret))
    found = freeze_it(
        store,
        server,
        vocabulary,
        run_id="R2",
        earlier=[done],
        learned={e.id for e in first.examples},
    )
    assert bad.id not in {e.id for e in found.replay}
    assert t.id not in {e.id for e in found.examples}
    assert found.dropped == {"a secret of a kind that is known only now": 2}


def test_a_secret_that_was_taken_out_elsewhere_is_neither_learned_nor_replayed(
    store: Store, server: RenderingServer, vocabulary: Vocabulary, tmp_path: Path
) -> None:
    """It stands without the word that gave it away, so no rule tells it."""
    secret = "q7Lk2VdY9sTz4WbR8mXc"
    bare = f"rows = open_table('{secret}')\n"
    assert not holds_secret(bare)
    work(store, SESSIONS)
    first = freeze_it(store, server, vocabulary)
    bad = replace(first.split("train")[0], prompt=f"Mend this: {bare}")
    unseen = replace(first.split("train")[1], ask={"body": {"tools": [{"name": secret}]}})
    done = RunDirectory(tmp_path / "R1")
    kept = tuple(e for e in first.examples if e.id not in (bad.id, unseen.id))
    save_snapshot(done.snapshot, replace(first, examples=(bad, unseen, *kept)))
    load_redactor(store.path.with_name("redaction.key")).text(f'password = "{secret}"')
    work(store, MORE, first=20)
    t = turn(90, session="t")
    keep(store, t, suggestion(t, final=bare))
    learned = {e.id for e in first.examples}
    found = freeze_it(store, server, vocabulary, run_id="R2", earlier=[done], learned=learned)
    assert {bad.id, unseen.id} & {e.id for e in found.replay} == set()
    assert t.id not in {e.id for e in found.examples}
    assert found.dropped == {"a secret that was taken out elsewhere": 3}


def test_a_whole_data_set_is_looked_through_before_the_training(
    store: Store, server: RenderingServer, vocabulary: Vocabulary
) -> None:
    """One that was frozen by a program that knew fewer secrets."""
    work(store, SESSIONS)
    found = freeze_it(store, server, vocabulary)
    key = store.path.with_name("redaction.key")
    refuse_secrets(found, load_seen(key))
    load_redactor(key).text('password = "q7Lk2VdY9sTz4WbR8mXc"')
    seen = load_seen(key)
    refuse_secrets(found, seen)
    example = found.examples[0]
    pair = Pair("t", "h", "edit", "p", "chosen", "say q7Lk2VdY9sTz4WbR8mXc", (), (), ())
    for bad in (
        replace(found, examples=(replace(example, target="key = 'AKIAIOSFODNN7EXAMPLQ'\n"),)),
        replace(found, replay=(replace(example, prompt="x q7Lk2VdY9sTz4WbR8mXc y"),)),
        replace(found, pairs=(pair,)),
    ):
        with pytest.raises(Refused, match="nothing is trained on it"):
            refuse_secrets(bad, seen)


def test_an_earlier_snapshot_that_is_damaged_is_left_out_and_said(
    store: Store, server: RenderingServer, vocabulary: Vocabulary, tmp_path: Path
) -> None:
    work(store, SESSIONS)
    damaged, gone = RunDirectory(tmp_path / "damaged"), RunDirectory(tmp_path / "gone")
    save_snapshot(damaged.snapshot, freeze_it(store, server, vocabulary))
    (damaged.snapshot / "train.jsonl").write_text("")
    found = freeze_it(store, server, vocabulary, earlier=[damaged, gone])
    assert (found.replay, found.dropped) == ((), {"an earlier data set that cannot be read": 2})


def taught(store: Store, n: int, session: str, name: str) -> None:
    """A function of some length that the person wrote in the place of the answer's."""
    final = (
        f"def {name}(rows):\n    totals = collections.Counter()\n    for row in rows:\n"
        "        totals[row.customer] += row.amount\n    return totals.most_common()\n"
    )
    t = turn(n, session=session)
    keep(store, t, suggestion(t, final=final))


def test_what_is_learned_almost_word_for_word_does_not_judge(
    store: Store, server: RenderingServer, vocabulary: Vocabulary, tmp_path: Path
) -> None:
    work(store, SESSIONS)
    taught(store, 50, "e", "best_customers")
    assert LEFT_OUT not in freeze_it(store, server, vocabulary).dropped
    taught(store, 0, "a", "customers_by_amount")  # in the place of the oldest
    found = freeze_it(store, server, vocabulary)
    assert found.dropped[LEFT_OUT] == 1
    assert turn(50).id not in {e.id for e in found.examples}, "it is new to the next cycle"


def test_what_an_earlier_cycle_learned_almost_word_for_word_does_not_judge(
    store: Store, server: RenderingServer, vocabulary: Vocabulary, tmp_path: Path
) -> None:
    work(store, SESSIONS)
    taught(store, 0, "a", "customers_by_amount")
    before = RunDirectory(tmp_path / "before")
    save_snapshot(before.snapshot, first := freeze_it(store, server, vocabulary))
    work(store, MORE, first=100)
    taught(store, 200, "t", "best_customers")
    learned = frozenset(e.id for e in first.examples)
    found = freeze_it(store, server, vocabulary, earlier=[before], learned=learned)
    assert found.dropped[LEFT_OUT] == 1


def test_thin_and_one_sided_data_is_refused(
    store: Store, server: RenderingServer, vocabulary: Vocabulary
) -> None:
    with pytest.raises(
        Refused,
        match="0 examples with text of your own are too few: the gate alone needs 4; 4 are missing",
    ):
        freeze_it(store, server, vocabulary)
    work(store, {"a": 1})
    with pytest.raises(Refused) as caught:
        freeze_it(store, server, vocabulary)
    for lack in (
        "1 example with text of your own is too few: the gate alone needs 4; 3 are missing",
        "One-sided: 1 of 1 examples come from one session",
    ):
        assert lack in caught.value.what, "every lack is named at once"
    assert "Go on working" in caught.value.hint
    assert "further sessions" in caught.value.hint
    work(store, {"a": 6, "b": 2})
    with pytest.raises(Refused, match="One-sided: 6 of 8"):
        freeze_it(store, server, vocabulary)


def test_rare_domains_weigh_more(
    store: Store, server: RenderingServer, vocabulary: Vocabulary
) -> None:
    work(store, {"a": 3}, domain="data")
    work(store, {"b": 6, "c": 2, "d": 5, "f": 2}, first=3)
    weights = {e.domain: e.weight for e in freeze_it(store, server, vocabulary).split("train")}
    assert weights["data"] > 1 > weights["web"]
    assert freeze_it(store, server, vocabulary).split("gate")[0].weight == 1.0
