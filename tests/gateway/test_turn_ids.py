"""The id that a client gives to its turn is taken once, also by the gateway that comes after."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from qi_learn.gateway.turn_ids import LOOKED_AFTER, REMEMBERED, TurnIds
from qi_learn.ids import new_id
from tests.support.fake_ollama import FakeOllama, a_gateway, ask, whole

OWN = "01M8GHZZZZZZZZZZZZZZZZZZZA"


def test_an_id_is_given_once_over_a_restart(fake: FakeOllama, tmp_path: Path) -> None:
    fake.play(whole(b'{"message":{"content":"ok"},"done":true}'))
    for _ in range(2):
        with a_gateway(fake.url, tmp_path) as gateway:
            for n in range(2):
                body = {"model": "m", "n": n, "messages": []}
                ask(gateway.url, "POST", "/api/chat", body, {"x-qi-learn-request": OWN})
            gateway.process.kill()
            gateway.process.wait(20)
        (tmp_path / "ready.json").unlink()
    ids = [turn.id for turn in gateway.turns(4)]
    assert len(set(ids)) == 4 == len(ids)
    assert ids[0] == OWN


def test_the_file_is_bounded_and_the_last_ids_are_remembered(tmp_path: Path) -> None:
    file = tmp_path / "turn-ids"
    ids = [new_id(1000.0 + n) for n in range(2 * REMEMBERED + 10)]
    giving = TurnIds(file)
    assert [giving.take(id) for id in ids] == ids
    assert file.stat().st_size <= 2 * REMEMBERED * 27
    again = TurnIds(file)
    assert again.take(ids[-1]) != ids[-1]
    assert again.take(ids[-REMEMBERED]) != ids[-REMEMBERED]


def test_an_id_that_the_gateway_gave_is_no_clients_own(tmp_path: Path) -> None:
    giving = TurnIds(tmp_path / "turn-ids")
    first = giving.take(None)
    second = giving.take(first)
    assert TurnIds(tmp_path / "turn-ids").take(second) not in (first, second)
    assert second != first


def test_a_client_that_echoes_the_id_of_its_answer_loses_nothing(
    fake: FakeOllama, tmp_path: Path
) -> None:
    fake.play(whole(b'{"message":{"content":"ok"},"done":true}'))
    ids: list[str] = []
    with a_gateway(fake.url, tmp_path) as gateway:
        for n in range(3):
            headers = {"x-qi-learn-request": ids[-1]} if ids else {}
            ask(gateway.url, "POST", "/api/chat", {"model": "m", "n": n, "messages": []}, headers)
            ids += [turn.id for turn in gateway.turns(1)]
    assert len(set(ids)) == 3 == len(ids)


def test_a_file_that_is_none_does_no_harm(tmp_path: Path) -> None:
    file = tmp_path / "turn-ids"
    file.write_bytes(b"\xff\x00 no ids\n")
    assert TurnIds(file).take(OWN.lower()) == OWN
    (tmp_path / "directory").mkdir()
    assert TurnIds(tmp_path / "directory").take(OWN) == OWN


def copied(file: Path) -> None:
    lines = file.read_bytes()
    file.unlink()
    file.write_bytes(lines)


def made_a_directory(file: Path) -> None:
    file.unlink()
    file.mkdir()


@pytest.mark.parametrize("change", [Path.unlink, copied])
@pytest.mark.parametrize("end", ["closed", "used again"])
def test_a_file_that_is_removed_or_replaced_has_all_ids_again(
    tmp_path: Path, change: Callable[[Path], None], end: str
) -> None:
    file = tmp_path / "turn-ids"
    ids = [new_id(1000.0 + n) for n in range(4)]
    giving = TurnIds(file)
    assert [giving.take(id) for id in ids[:2]] == ids[:2]
    change(file)
    assert giving.take(ids[2]) == ids[2]
    if end == "closed":
        giving.close()
    else:
        time.sleep(LOOKED_AFTER + 0.1)
        assert giving.take(ids[3]) == ids[3]
    again = TurnIds(file)
    assert not {again.take(id) for id in ids[:3]} & set(ids)
    assert file.stat().st_nlink == 1


def test_two_that_write_one_file_lose_nothing_of_each_other(tmp_path: Path) -> None:
    file = tmp_path / "turn-ids"
    ids = [new_id(1000.0 + n) for n in range(4)]
    one, two = TurnIds(file), TurnIds(file)
    for id, giving in zip(ids, (one, two, one, two), strict=True):
        assert giving.take(id) == id
        file.unlink(missing_ok=True)
    one.close()
    two.close()
    again = TurnIds(file)
    assert not {again.take(id) for id in ids} & set(ids)


def test_a_directory_in_the_place_of_the_file_does_no_harm(tmp_path: Path) -> None:
    file = tmp_path / "turn-ids"
    giving = TurnIds(file)
    first = giving.take(OWN)
    made_a_directory(file)
    time.sleep(LOOKED_AFTER + 0.1)
    second = giving.take(None)
    file.rmdir()
    giving.close()
    assert not {TurnIds(file).take(id) for id in (first, second)} & {first, second}


def test_an_id_is_written_down_before_an_answer_can_come(tmp_path: Path) -> None:
    file = tmp_path / "ids"

    async def asked() -> tuple[str, str]:
        id = TurnIds(file).take(OWN)
        waiting = file.read_text() if file.exists() else ""
        for _ in range(2):
            await asyncio.sleep(0)
        return waiting, id

    assert asyncio.run(asked()) == ("", OWN)
    assert file.read_text() == f"{OWN}\n"
    assert TurnIds(file).take(OWN) != OWN


def test_an_id_given_as_the_gateway_leaves_is_written_down(tmp_path: Path) -> None:
    async def leave() -> None:
        ids = TurnIds(tmp_path / "ids")
        ids.take(OWN)
        ids.close()

    asyncio.run(leave())
    assert TurnIds(tmp_path / "ids").take(OWN) != OWN
