"""The base's GGUF file with an adapter in it.

Touched tensors are replaced, every other byte is the base's own.

The file is written under a temporary name (one, always the same, so a killed run leaves at most one
behind), synced and renamed: under its final name it is there whole or not at all. Memory is a few
row blocks per thread, however large the model. One thread reads, changes, quantises and writes a
row block; the library and numpy release the interpreter, so `threads` scale.
"""

from __future__ import annotations

import errno
import hashlib
import logging
import os
import shutil
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TypeVar

from threadpoolctl import threadpool_limits

from qi_learn.errors import DiskFull, ModelError
from qi_learn.outside.gguf import GgufFile, read_head, sha256_of
from qi_learn.pack.base_weights import (
    BaseRows,
    FullPrecision,
    Rows,
    check_tensor,
    check_vectors,
)
from qi_learn.pack.join import TensorChange, changed_tensors
from qi_learn.pack.layout import (
    Layout,
    PackedTensor,
    fill_untouched,
    lay_out,
    write_exactly,
)
from qi_learn.pack.quantize import ENOUGH, Kept, blocks, choose_type, sample, write_rows
from qi_learn.pack.tensor_map import check_base
from qi_learn.paths import sync_directory
from qi_learn.records import Packed, TensorGain
from qi_learn.rundir.adapter_file import Adapter

logger = logging.getLogger(__name__)

T = TypeVar("T")


def pack(
    base_gguf: Path,
    adapter: Adapter,
    out: Path,
    *,
    base_weights: Path | None = None,
    scale: float = 1.0,
    threads: int | None = None,
    like: Packed | None = None,
) -> Packed:
    """Write `out`: the base with `scale` x `adapter` merged into it.

    * `base_weights`: directory of the base's full-precision safetensors, if there is one; touched
      tensors then keep the base's types.
    * `threads`: one a core by default.
    * `like`: a file packed before from the same base and weights with the same tensors touched
      (another scale of the adapter, say). Its types are taken over, so nothing is chosen or checked
      again. If `out` is its own path, the file itself becomes the new one and only touched tensors
      are written.

    Raises DiskFull with the number of bytes missing, UnsupportedArchitecture, ModelError (adapter
    of another base, no such tensor, damaged file, weights that are not the base's), NotFound. After
    an error `out` is as it was; if it was `like`'s own file and writing had begun, it is gone.
    """
    began = time.monotonic()
    base = read_head(base_gguf)
    check_base(base)
    changes = changed_tensors(adapter, base, scale)
    with ExitStack() as stack:
        pool = stack.enter_context(_pool(threads))
        digest = pool.submit(sha256_of, base_gguf)
        rows = stack.enter_context(BaseRows(base))
        exact = (
            stack.enter_context(FullPrecision(base_weights)) if base_weights is not None else None
        )
        types = (
            _choose_types(changes, rows, exact, pool)
            if like is None
            else _types_of(like, base, changes)
        )
        layout = lay_out(base, types)
        _check_digest(digest.result(), adapter, base)
        reuse = Path(like.path) if like is not None and Path(like.path) == out else None
        with _temporary(out, layout.size, reuse) as fd:
            if reuse is None:
                fill_untouched(rows.fd, fd, base, layout, types)
            gains = _write_changes(fd, changes, layout, rows, exact, pool)
            os.fsync(fd)
            packed_digest = _sha256_of_open(fd)
    rewritten = sum(g.bytes for g in gains)
    return Packed(
        str(out),
        packed_digest,
        scale,
        gains,
        rewritten,
        layout.size,
        round(time.monotonic() - began, 3),
    )


# --- what to write --------------------------------------------------------------------------------


def _check_digest(digest: str, adapter: Adapter, base: GgufFile) -> None:
    if digest != adapter.base:
        raise ModelError(
            f"the adapter was trained on the base {adapter.base[:12]}, {base.path} is "
            f"{digest[:12]}",
            "Use the base it was trained on.",
        )


def _choose_types(
    changes: tuple[TensorChange, ...],
    rows: BaseRows,
    exact: FullPrecision | None,
    pool: ThreadPoolExecutor,
) -> dict[str, str]:
    if exact is not None:
        check_vectors(exact, rows)

    def choose(change: TensorChange) -> str:
        if exact is not None:  # a wrong tensor is far off: a part of the sample will do
            check_tensor(exact, rows, change.module, change.slot, sample(change)[::4])
        return choose_type(change, rows, exact)

    chosen = _results(pool, [pool.submit(choose, change) for change in changes])
    return dict(zip((c.slot.tensor.name for c in changes), chosen, strict=True))


def _types_of(like: Packed, base: GgufFile, changes: tuple[TensorChange, ...]) -> dict[str, str]:
    """The types that a file packed before has for these tensors.

    Raises ModelError unless the file is the base but for (some of) them.
    """
    before = read_head(Path(like.path))
    names = [c.slot.tensor.name for c in changes]
    same = list(before.tensors) == list(base.tensors) and {g.name for g in like.gains} == set(names)
    types = {name: before.tensors[name].type for name in names} if same else {}
    layout = lay_out(base, types)
    expected = [(tensor.type, tensor.start) for tensor in layout.tensors.values()]
    if not same or [(t.type, t.start) for t in before.tensors.values()] != expected:
        raise ModelError(
            f"{like.path} was not packed from {base.path} with these tensors touched",
            "Pack without it.",
        )
    return types


# --- writing --------------------------------------------------------------------------------------


def _write_changes(
    fd: int,
    changes: tuple[TensorChange, ...],
    layout: Layout,
    rows: BaseRows,
    exact: Rows | None,
    pool: ThreadPoolExecutor,
) -> tuple[TensorGain, ...]:
    """Compute and write every touched tensor, by row blocks on the pool."""

    def write(change: TensorChange, tensor: PackedTensor, start: int, stop: int) -> Kept:
        raw, kept = write_rows(change, rows, exact, start, stop, tensor.type)
        write_exactly(fd, raw.data.cast("B"), tensor.start + start * raw.shape[1])
        return kept

    work = [
        [
            pool.submit(write, c, layout.tensors[c.slot.tensor.name], start, stop)
            for start, stop in blocks(c)
        ]
        for c in changes
    ]
    gains: list[TensorGain] = []
    for change, parts in zip(changes, work, strict=True):
        kept = sum(_results(pool, parts), Kept())
        tensor = layout.tensors[change.slot.tensor.name]
        gains.append(kept.report(tensor.source, tensor.type))
        if kept.gain < ENOUGH:
            logger.warning(
                "%s keeps only %.2f of the change in %s",
                tensor.source.name,
                kept.gain,
                tensor.type,
            )
    return tuple(gains)


@contextmanager
def _pool(threads: int | None) -> Iterator[ThreadPoolExecutor]:
    """Threads for row blocks; work that has not begun is dropped when a block fails.

    numpy's own threads are off meanwhile: two layers of threads spin against each other (a third to
    six times slower, measured on 2 busy cores).
    """
    pool = ThreadPoolExecutor(threads or os.cpu_count() or 1, thread_name_prefix="pack")
    with threadpool_limits(1, user_api="blas"):
        try:
            yield pool
        finally:
            pool.shutdown(cancel_futures=True)


@contextmanager
def _temporary(out: Path, size: int, reuse: Path | None) -> Iterator[int]:
    """An open file that becomes `out` if the block ends well, and is removed if it does not.

    It starts as the file `reuse`, moved, or empty. Room for `size` bytes is checked first.
    """
    temp = out.with_name(f".{out.name}.tmp")
    temp.unlink(missing_ok=True)  # of a killed run; its room counts as free
    try:
        if reuse is not None:
            reuse.rename(temp)
        else:
            _check_room(out, size)
        fd = os.open(temp, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise ModelError(
            f"{out} cannot be written: {error.strerror}", "Check the directory and its rights."
        ) from error
    try:
        yield fd
        temp.replace(out)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise _disk_full(out, size - os.fstat(fd).st_blocks * 512) from error
        raise ModelError(f"packing {out} failed: {error}", "Check the disk.") from error
    finally:
        os.close(fd)
        temp.unlink(missing_ok=True)
    sync_directory(out.parent)


def _check_room(out: Path, size: int) -> None:
    missing = size - shutil.disk_usage(out.parent).free
    if missing > 0:
        raise _disk_full(out, missing)


def _disk_full(out: Path, missing: int) -> DiskFull:
    return DiskFull(
        f"no room for {out}: {max(missing, 1)} bytes are missing",
        "Free that much on this disk, then run the cycle again.",
    )


def _results(pool: ThreadPoolExecutor, futures: list[Future[T]]) -> list[T]:
    """The results in order; the first failure ends the waiting work at once."""
    try:
        return [future.result() for future in futures]
    except BaseException:
        pool.shutdown(cancel_futures=True)
        raise


def _sha256_of_open(fd: int) -> str:
    """sha256 of an open file from its start, in hex."""
    with open(os.dup(fd), "rb") as file:
        file.seek(0)
        return hashlib.file_digest(file, "sha256").hexdigest()
