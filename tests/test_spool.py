"""The spool keeps every event whose append returned, and reads around everything that a crash, a
full disk or a foreign writer leaves behind.
"""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import textwrap
import threading
import zlib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qi_learn import spool
from qi_learn.errors import SpoolError
from qi_learn.ids import new_id
from qi_learn.records import Event

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**60), 2**60)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=8,
)


def everything(directory: Path) -> list[spool.Line]:
    return [line for path in spool.spool_files(directory) for line in spool.read_from(path)]


def child(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def dead_pid() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


@given(
    body=st.dictionaries(st.text(max_size=8), JSON, max_size=4),
    project=st.none() | st.text(min_size=1),
)
def test_a_framed_line_is_one_line_and_comes_back_whole(
    body: dict[str, Any], project: str | None
) -> None:
    event = Event("01J", "hook", 1_700_000_000.123, "claude-code", body, "agent", project)
    line = spool.frame(event)
    assert line.count(b"\n") == 1
    assert line.endswith(b"\n")
    assert int(line[:8], 16) == zlib.crc32(line[9:-1])
    assert spool.parse(line) == event


@given(place=st.integers(0, 10_000), flip=st.integers(1, 255))
def test_no_changed_byte_of_a_framed_line_goes_unseen(place: int, flip: int) -> None:
    line = bytearray(
        spool.frame(Event("01J", "rating", 1.0, "cli", {"turn": "last", "rating": 5}))[:-1]
    )
    line[place % len(line)] ^= flip
    with pytest.raises(ValueError, match=r"checksum|framed|not JSON"):
        spool.parse(bytes(line))


def test_the_line_is_the_documented_one() -> None:
    line = spool.frame(
        Event("01J0", "rating", 1_700_000_000.0, "cli", {"rating": 5}, "person", "/p")
    )
    text = (
        b'{"v":1,"id":"01J0","ts":"2023-11-14T22:13:20.000Z","kind":"rating","source":"cli",'
        b'"author":"person","project":"/p","body":{"rating":5}}'
    )
    assert line == b"%08x " % zlib.crc32(text) + text + b"\n"


def test_what_is_made_above_it_is_private_too(tmp_path: Path) -> None:
    mask = os.umask(0o022)
    place = tmp_path / "local" / "state" / "spool"
    try:
        with_events = spool.Spool(place, "hook")
        with_events.append("hook", {})
    finally:
        os.umask(mask)
    with_events.close()
    made = (place, *place.parents[:2])
    assert [oct(stat.S_IMODE(each.stat().st_mode)) for each in made] == ["0o700"] * 3


def test_files_are_private_and_named_by_their_producer(tmp_path: Path) -> None:
    place = tmp_path / "state" / "spool"
    with_events = spool.Spool(place, "gateway", clock=lambda: 1000.0)
    with_events.append("turn", {"a": 1})
    with_events.append("turn", {"a": 2})
    (path,) = place.iterdir()
    assert path.name == f"gateway-{os.getpid()}-1000000000000.jsonl"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(place.stat().st_mode) == 0o700
    assert [line.event.body["a"] for line in everything(place) if line.event] == [1, 2]
    with_events.close()
    with_events.append("turn", {"a": 3})
    assert len(list(place.iterdir())) == 2
    with_events.close()


def test_a_source_cannot_name_another_directory(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="source"):
        spool.Spool(tmp_path, "../x")


def test_offsets_continue_where_a_reader_stopped(tmp_path: Path) -> None:
    out = spool.Spool(tmp_path, "cli")
    ids = [out.append("hook", {"n": n}) for n in range(5)]
    (path,) = spool.spool_files(tmp_path)
    lines = list(spool.read_from(path))
    assert [line.event.id for line in lines if line.event] == ids
    assert lines[0].start == 0
    assert lines[-1].end == path.stat().st_size
    for k, line in enumerate(lines):
        assert [later.event.id for later in spool.read_from(path, line.end) if later.event] == ids[
            k + 1 :
        ]
    out.close()


def test_bare_lines_borrow_what_they_lack(tmp_path: Path) -> None:
    path = tmp_path / f"zsh-{os.getpid()}-5.jsonl"
    path.write_bytes(
        b'{"kind":"hook","body":{"command":"make"}}\n{"v":1,"id":"X","ts":"2026-11-20T10:00:00.500Z","kind":"git","source":"git","author":"person","body":{}}\r\n'
    )
    os.utime(path, (77.0, 77.0))
    first, second = (line.event for line in spool.read_from(path))
    assert first == Event(f"{path.name}:0:dd3e6e03", "hook", 77.0, "zsh", {"command": "make"})
    assert second == Event("X", "git", 1795168800.5, "git", {}, "person")


@pytest.mark.parametrize(
    "raw",
    [
        b"not json\n",
        b"\n",
        b'deadbeef {"v":1}\n',
        b'{"kind":"nonsense","body":{}}\n',
        b'{"kind":"hook","body":[]}\n',
        b'{"kind":"hook","author":"god","body":{}}\n',
        b'{"kind":"hook","v":2,"body":{}}\n',
        b'{"kind":"hook","ts":"yesterday","body":{}}\n',
        b'{"kind":"hook","ts":5,"body":{}}\n',
        b'{"kind":"hook","id":5,"body":{}}\n',
        b'{"kind":"hook","body":{}\n',
        b"\xff\xfe{}\n",
        b"[" * 100_000 + b"\n",
        b'{"kind":' * 100_000 + b"\n",
    ],
)
def test_a_bad_line_is_told_apart_and_the_rest_goes_on(tmp_path: Path, raw: bytes) -> None:
    path = tmp_path / f"vim-{os.getpid()}-1.jsonl"
    good = spool.frame(Event("A", "edit", 1.0, "vim", {}))
    path.write_bytes(good + raw + good)
    before, bad, after = spool.read_from(path)
    assert before.event == after.event is not None
    assert bad.event is None
    assert bad.problem
    assert bad.raw == raw
    assert (bad.start, bad.end) == (len(good), len(good) + len(raw))


def test_half_a_line_waits_for_a_living_producer_and_is_torn_for_a_dead_one(tmp_path: Path) -> None:
    good = spool.frame(Event("A", "edit", 1.0, "vim", {}))
    for pid, expected in ((os.getpid(), [None]), (dead_pid(), [None, "torn"])):
        path = tmp_path / f"vim-{pid}-1.jsonl"
        path.write_bytes(good + good[:20])
        problems = [line.problem for line in spool.read_from(path)]
        assert len(problems) == len(expected)
        assert all(
            want is None or (got is not None and want in got)
            for got, want in zip(problems, expected, strict=True)
        )
    half = tmp_path / f"vim-{os.getpid()}-1.jsonl"
    with half.open("ab") as out:
        out.write(good[20:])
    assert [line.event.id for line in spool.read_from(half, len(good)) if line.event] == ["A"]


def test_who_is_alive(tmp_path: Path) -> None:
    assert spool.producer_alive(tmp_path / f"a-b-{os.getpid()}-1.jsonl")
    assert spool.producer_alive(tmp_path / "init-1-1.jsonl")
    for name in (
        f"a-{dead_pid()}-1.jsonl",
        "a-0-1.jsonl",
        "notes.jsonl",
        "a-99999999999999999999-1.jsonl",
    ):
        assert not spool.producer_alive(tmp_path / name)


def test_a_full_file_is_finished_and_never_written_again(tmp_path: Path) -> None:
    out = spool.Spool(tmp_path, "gateway")
    for n in range(20):
        out.append("turn", {"n": n, "text": "x" * 1_000_000})
    files = spool.spool_files(tmp_path)
    assert len(files) == 3
    assert [path.stat().st_size >= spool.ROTATE_AT for path in files] == [True, True, False]
    assert [spool.finished(path) for path in files] == [True, True, False]
    assert [line.event.body["n"] for line in everything(tmp_path) if line.event] == list(range(20))
    out.close()


def test_a_file_taken_away_is_replaced(tmp_path: Path) -> None:
    out = spool.Spool(tmp_path / "spool", "gateway")
    out.append("turn", {"n": 1})
    for path in (tmp_path / "spool").iterdir():
        path.unlink()
    (tmp_path / "spool").rmdir()
    out.append("turn", {"n": 2})
    assert [line.event.body["n"] for line in everything(tmp_path / "spool") if line.event] == [2]
    out.close()


def test_a_limit_hit_within_a_line_leaves_nothing_of_it_and_says_so(tmp_path: Path) -> None:
    result = child(
        """
        import resource, sys
        from pathlib import Path
        from qi_learn import spool
        from qi_learn.errors import SpoolError
        out = spool.Spool(Path(sys.argv[1]), "gateway")
        out.append("turn", {"n": 1})
        resource.setrlimit(resource.RLIMIT_FSIZE, (300, resource.RLIM_INFINITY))
        try:
            out.append("turn", {"n": 2, "text": "x" * 1000})
        except SpoolError as error:
            print(error.what)
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        out.append("turn", {"n": 3})
        """,
        str(tmp_path),
    )
    assert "File too large" in result.stdout, result.stderr
    lines = everything(tmp_path)
    assert [line.problem for line in lines] == [None, None]
    assert [line.event.body["n"] for line in lines if line.event] == [1, 3]


def test_a_full_disk_gets_one_name_and_says_whether_there_is_room(tmp_path: Path) -> None:
    result = child(
        """
        import os, resource, sys
        from pathlib import Path
        from qi_learn import spool
        from qi_learn.errors import SpoolError
        directory = Path(sys.argv[1])
        out = spool.Spool(directory, "gateway")
        hard = resource.RLIM_INFINITY
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
        for n in range(5):
            try:
                out.append("turn", {"n": n})
            except SpoolError:
                print("full")
        names, room = len(os.listdir(directory)), out.has_room(100)
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
        print(names, room, out.has_room(100), len(os.listdir(directory)))
        out.append("turn", {"n": 9})
        """,
        str(tmp_path),
    )
    assert result.stdout.split() == ["full"] * 5 + ["1", "False", "True", "1"], result.stderr
    assert [line.event.body["n"] for line in everything(tmp_path) if line.event] == [9]


def test_a_directory_that_cannot_be_made_is_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "spool").write_text("a file in the way")
    with pytest.raises(SpoolError) as caught:
        spool.Spool(tmp_path / "spool", "cli").append("hook", {})
    assert str(tmp_path) in caught.value.what
    assert caught.value.hint


def test_a_body_that_is_not_json_is_refused_and_leaves_no_line(tmp_path: Path) -> None:
    out = spool.Spool(tmp_path, "cli")
    for body in ({"x": {1, 2}}, {"x": float("nan")}):
        with pytest.raises(SpoolError):
            out.append("hook", body)
    assert everything(tmp_path) == []


def test_what_append_returned_survives_kill_9(tmp_path: Path) -> None:
    code = """
        import sys
        from pathlib import Path
        from qi_learn import spool
        out = spool.Spool(Path(sys.argv[1]), "gateway")
        while True:
            print(out.append("turn", {"text": "x" * 3000}), flush=True)
        """
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code), str(tmp_path)],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    told = [process.stdout.readline().strip() for _ in range(200)]
    process.send_signal(signal.SIGKILL)
    told += [line.strip() for line in process.stdout if line.endswith("\n")]
    process.wait()
    process.stdout.close()
    stored = [line.event.id for line in everything(tmp_path) if line.event]
    assert stored[: len(told)] == told
    assert len(stored) - len(told) in (0, 1)
    assert all(spool.finished(path) for path in spool.spool_files(tmp_path))


def test_a_fork_writes_a_file_of_its_own_with_ids_of_its_own(tmp_path: Path) -> None:
    result = child(
        """
        import os, sys
        from pathlib import Path
        from qi_learn import spool
        out = spool.Spool(Path(sys.argv[1]), "cli", clock=lambda: 5.0)
        out.append("hook", {})
        if os.fork() == 0:
            out.append("hook", {})
            os._exit(0)
        os.wait()
        out.append("hook", {})
        """,
        str(tmp_path),
    )
    assert result.returncode == 0, result.stderr
    assert len(spool.spool_files(tmp_path)) == 2
    assert len({line.event.id for line in everything(tmp_path) if line.event}) == 3


def test_threads_share_a_file_without_mixing_lines(tmp_path: Path) -> None:
    out = spool.Spool(tmp_path, "daemon")

    def work(name: int) -> None:
        for n in range(50):
            out.append("hook", {"who": name, "n": n})

    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    lines = everything(tmp_path)
    assert {line.problem for line in lines} == {None}
    assert len({line.event.id for line in lines if line.event}) == 200
    assert len(spool.spool_files(tmp_path)) == 1
    out.close()


def test_ids_are_ulids_in_order_of_making() -> None:
    ids = [new_id(now) for now in (1.0, 1.0, 0.5, 2.0, 1_900_000_000.0, 1_900_000_000.0)]
    assert ids == sorted(ids)
    assert len(set(ids)) == len(ids)
    assert all(len(i) == 26 and set(i) <= set("0123456789ABCDEFGHJKMNPQRSTVWXYZ") for i in ids)
    digits = {c: k for k, c in enumerate("0123456789ABCDEFGHJKMNPQRSTVWXYZ")}
    assert sum(digits[c] * 32**k for k, c in enumerate(reversed(ids[-1][:10]))) == 1_900_000_000_000


def test_a_mapping_that_is_no_dict_is_written_like_one(tmp_path: Path) -> None:
    from types import MappingProxyType

    out = spool.Spool(tmp_path, "cli")
    out.append("hook", {"inner": MappingProxyType({"a": 1})})
    (line,) = everything(tmp_path)
    assert line.event is not None
    assert json.loads(json.dumps(line.event.body)) == {"inner": {"a": 1}}
    out.close()
