"""The models in memory: loaded at the first request, a few side by side, gone after `keep_alive`.

Each loaded model has one worker thread, so its requests queue, while different models answer at the
same time. A model in use is never taken away: if room is needed, the model that was idle longest
goes, else the newcomer waits.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import threading
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from qi_learn.engine.model_store import Manifest, ModelStore
from qi_learn.errors import StoreError
from qi_learn.outside.llama_cpp import Model
from qi_learn.outside.llguidance import Form, Forms

logger = logging.getLogger(__name__)
T = TypeVar("T")

KEEP_ALIVE = 300.0
"""Seconds that a model stays after its last request if that does not say: Ollama's default."""
MOST_LOADED = 3
"""Models side by side."""


@dataclass(slots=True, eq=False)
class Loaded:
    """One model in memory."""

    manifest: Manifest
    """The one whose name it was last asked by."""
    model: Model
    worker: ThreadPoolExecutor
    load_seconds: float = 0.0
    """How long loading took, for the request that caused it; 0 for the next ones."""
    users: int = 0
    """Requests that use it now."""
    used_at: float = 0.0
    """When its last request began or ended, on the monotonic clock."""
    expires: float = math.inf
    """When it may go, on the monotonic clock."""

    forms: Forms | None = None
    """Made for the first answer that has a form."""

    @property
    def key(self) -> tuple[str, int]:
        return self.manifest.weights.digest, self.model.context

    def form(self, grammar: str | None) -> Form | None:
        """The beginning of an answer's form, in the model's thread; None without one."""
        if grammar is None:
            return None
        if self.forms is None:
            self.forms = Forms(self.model.vocabulary)
        return self.forms.start(grammar)

    async def call(self, work: Callable[[], T]) -> T:
        """What `work` gives, done in the model's thread."""
        return await asyncio.wrap_future(self.worker.submit(work))

    async def run(self, work: Callable[[threading.Event], Iterator[T]]) -> AsyncGenerator[T, None]:
        """Run `work` in the model's thread and pass on what it yields.

        To close this early sets the event and waits until the thread is free.
        """
        loop = asyncio.get_running_loop()
        arrived = asyncio.Queue[T | None]()
        cancelled = threading.Event()

        def pump() -> None:
            try:
                for item in work(cancelled) if not cancelled.is_set() else ():
                    loop.call_soon_threadsafe(arrived.put_nowait, item)
            finally:
                loop.call_soon_threadsafe(arrived.put_nowait, None)

        job: Future[None] = self.worker.submit(pump)
        try:
            while (item := await arrived.get()) is not None:
                yield item
            await asyncio.wrap_future(job)  # raises what the work raised
        finally:
            cancelled.set()
            if not job.cancel():
                ended = asyncio.wrap_future(job)
                ended.add_done_callback(_look_at)  # it was raised above, or the reader has left
                await asyncio.wait([ended])


@dataclass(slots=True)
class LoadedModels:
    """Every model in memory, for one event loop."""

    store: ModelStore
    context: int
    """Tokens, if neither the request nor the model says."""
    threads: int | None = None
    """None: by the model's size and the machine's cores (`llama_cpp.answer_threads`)."""
    most: int = MOST_LOADED
    clock: Callable[[], float] = time.monotonic
    _models: dict[tuple[str, int], Loaded] = field(default_factory=dict)
    _changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    def list(self) -> tuple[Loaded, ...]:
        """The models in memory, the one used last first."""
        return tuple(sorted(self._models.values(), key=lambda m: -m.used_at))

    def find(self, manifest: Manifest) -> tuple[Loaded, ...]:
        """This model in memory, once for each context size that it has."""
        return tuple(m for m in self._models.values() if m.key[0] == manifest.weights.digest)

    @contextlib.asynccontextmanager
    async def use(
        self, manifest: Manifest, num_ctx: int, keep_alive: float | None
    ) -> AsyncIterator[Loaded]:
        """The model, loaded. It stays while it is in use, and `keep_alive` seconds longer.

        Raises ModelError, StoreError or ToolMissing if it cannot be loaded.
        """
        async with self._changed:
            loaded = await self._ensure(manifest, num_ctx)
            loaded.users += 1
            loaded.manifest, loaded.used_at = manifest, self.clock()
        try:
            yield loaded
        finally:
            async with self._changed:
                loaded.users -= 1
                loaded.load_seconds, loaded.used_at = 0.0, self.clock()
                loaded.expires = self.clock() + (KEEP_ALIVE if keep_alive is None else keep_alive)
                await self._drop_expired()
                self._changed.notify_all()

    async def _ensure(self, manifest: Manifest, num_ctx: int) -> Loaded:
        context = num_ctx if num_ctx > 0 else self.context
        for loaded in self.find(manifest):
            if loaded.model.context == min(context, loaded.model.trained_context or context):
                return loaded
        path = self.store.blob(manifest.weights.digest)
        if not path.is_file():
            blob = f"blob sha256:{manifest.weights.digest} of model '{manifest.name}'"
            raise StoreError(f"{blob} is missing from the store", "create the model again")
        while len(self._models) >= self.most:
            idle = [m for m in self._models.values() if m.users == 0]
            if idle:
                await self._drop(min(idle, key=lambda m: m.used_at))
            else:
                await self._changed.wait()
        return await self._load(manifest, path, context)

    async def _load(self, manifest: Manifest, path: Path, context: int) -> Loaded:
        worker = ThreadPoolExecutor(1, thread_name_prefix=f"model-{manifest.name}")
        began = time.perf_counter()
        job = worker.submit(
            Model, path, context=context, threads=self.threads, within_training=True
        )
        try:
            model = await asyncio.shield(asyncio.wrap_future(job))
        except BaseException:
            # A client may hang up meanwhile: neither thread nor weights may stay behind.
            job.add_done_callback(_close_unused)
            worker.shutdown(wait=False)
            raise
        loaded = Loaded(manifest, model, worker, time.perf_counter() - began)
        self._models[loaded.key] = loaded
        seconds = loaded.load_seconds
        logger.info("loaded %s: context %d, %.2f s", manifest.name, model.context, seconds)
        return loaded

    async def unload(self, manifest: Manifest) -> None:
        """Let the model go: at once, or when its last answer is finished."""
        async with self._changed:
            for loaded in self.find(manifest):
                loaded.expires = -math.inf
            await self._drop_expired()
            self._changed.notify_all()

    async def sweep(self) -> None:
        """Drop the models whose time is over. Called about once a second."""
        async with self._changed:
            await self._drop_expired()
            self._changed.notify_all()

    async def close(self) -> None:
        """Drop every model, each when its thread is free."""
        for loaded in tuple(self._models.values()):
            await self._drop(loaded)

    async def _drop_expired(self) -> None:
        now = self.clock()
        for loaded in tuple(self._models.values()):
            if loaded.users == 0 and loaded.expires <= now:
                await self._drop(loaded)

    async def _drop(self, loaded: Loaded) -> None:
        self._models.pop(loaded.key, None)
        await asyncio.wrap_future(loaded.worker.submit(loaded.model.close))
        loaded.worker.shutdown(wait=False)


def _look_at(ended: asyncio.Future[None]) -> None:
    """Take note of how a job ended: an error that no one looks at is logged with a traceback."""
    if not ended.cancelled():
        ended.exception()


def _close_unused(job: Future[Model]) -> None:
    """Free a model that was loaded for a request that has gone."""
    if not job.cancelled() and job.exception() is None:
        job.result().close()
