"""llama.cpp as a library, loaded at the first use and never before.

It is quiet: its log goes to `logging` (DEBUG), and its complaints are kept for the errors that they
explain. Files are opened here, so that there is one place in which "cannot load" gets its reason.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import logging
import os
import re
import sys
import threading
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from qi_learn.errors import ModelError, QiError, ToolMissing, UnsupportedArchitecture
from qi_learn.outside.installation import how_to_add

logger = logging.getLogger(__name__)

_UNKNOWN_ARCHITECTURE = re.compile(r"unknown model architecture: '([^']*)'")


@dataclass(frozen=True, slots=True)
class Library:
    """The loaded library and the last things it complained about."""

    api: ModuleType
    complaints: deque[str]
    keep_alive: object
    """The log callback: llama.cpp calls it as long as the process lives."""

    stops: deque[BaseException]
    """What the handlers of signals raised while llama.cpp called back (`take_stop`)."""

    def take_stop(self) -> BaseException | None:
        """What a signal's handler raised while llama.cpp called back, for the caller to raise.

        Python cannot raise it through C, and would lose it: a Ctrl-C that stops nothing.
        """
        if self.stops and threading.current_thread() is threading.main_thread():
            return self.stops.popleft()
        return None

    def reason(self) -> str:
        """llama.cpp's last complaints, on one line."""
        return "; ".join(dict.fromkeys(self.complaints)) or "llama.cpp gave no reason"


@functools.cache
def load_library() -> Library:
    """llama.cpp, with its log turned to `logging`.

    Raises ToolMissing if llama-cpp-python is not installed or does not load.
    """
    try:
        with _short_spins():
            import llama_cpp
    except (ImportError, OSError, RuntimeError) as error:
        # A stop may come just then, and the loader takes every exception for its own failure.
        if isinstance(error.__context__, QiError):
            raise error.__context__ from None
        raise ToolMissing(
            f"llama-cpp-python cannot be loaded: {error}",
            how_to_add("embedded"),
        ) from error
    complaints: deque[str] = deque(maxlen=6)

    def listen(level: int, text: bytes, _data: object) -> None:
        line = text.decode("utf-8", "replace").strip()
        if level == 4 and line:  # GGML_LOG_LEVEL_ERROR of ggml.h
            complaints.append(line)
        if line:
            logger.debug("%s", line)

    callback = llama_cpp.llama_log_callback(listen)
    llama_cpp.llama_log_set(callback, ctypes.c_void_p(0))
    llama_cpp.llama_backend_init()
    return Library(llama_cpp, complaints, callback, _caught_in_callbacks())


def _caught_in_callbacks() -> deque[BaseException]:
    """Will hold what is raised in callbacks of llama.cpp; other hooks see the rest as before."""
    caught: deque[BaseException] = deque()
    before = sys.unraisablehook

    def hook(unraisable: sys.UnraisableHookArgs) -> None:
        module = getattr(unraisable.object, "__module__", "") or ""
        if module.startswith("qi_learn.outside.llama_cpp") and unraisable.exc_value is not None:
            caught.append(unraisable.exc_value)
        else:
            before(unraisable)

    sys.unraisablehook = hook
    return caught


@contextlib.contextmanager
def _short_spins() -> Iterator[None]:
    """Let OpenMP's threads sleep soon when they wait for each other.

    If the user has set otherwise, that stays.

    OpenMP reads its settings when it is loaded, so they are taken back afterwards, and no child
    process inherits them. Measured on 2 cores that others use too (load 8), 300 tokens of SmolLM2
    with two threads: 29 tokens/s by default, 78 with this; 66 with one thread.
    """
    set_by_user = {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT"} & set(os.environ)
    if not set_by_user:
        os.environ["GOMP_SPINCOUNT"] = "1000"
    try:
        yield
    finally:
        if not set_by_user:
            del os.environ["GOMP_SPINCOUNT"]


def default_threads() -> int:
    """The number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def build_of_library() -> str:
    """What the numbers of this llama.cpp depend on besides the model.

    Its version, the instructions of the processor that it uses, and whether it can use a GPU.
    Raises ToolMissing.
    """
    api = load_library().api
    uses: bytes = api.llama_print_system_info()
    return f"{api.__version__} {uses.decode('utf-8', 'replace').strip()}"


def can_use_gpu() -> bool:
    """Whether this llama.cpp was built to use a GPU. Raises ToolMissing."""
    return bool(load_library().api.llama_supports_gpu_offload())


def open_file(
    library: Library, path: Path, *, vocab_only: bool, gpu_layers: int | None = None
) -> Any:
    """llama.cpp's `llama_model *` of a GGUF.

    `gpu_layers`: how many layers go to a GPU (None: as many as llama.cpp likes).

    Raises UnsupportedArchitecture, or ModelError with llama.cpp's reason.
    """
    if not path.is_file():
        raise ModelError(f"there is no model file {path}")
    params = library.api.llama_model_default_params()
    params.vocab_only = vocab_only
    if gpu_layers is not None:
        params.n_gpu_layers = gpu_layers
    library.complaints.clear()
    model = library.api.llama_model_load_from_file(os.fsencode(path), params)
    if (stop := library.take_stop()) is not None:
        if model:
            library.api.llama_model_free(model)
        raise stop
    if model:
        return model
    reason = library.reason()
    if match := _UNKNOWN_ARCHITECTURE.search(reason):
        raise UnsupportedArchitecture(
            f"this llama.cpp does not know the architecture '{match[1]}' of {path.name}",
            "update llama-cpp-python",
        )
    raise ModelError(f"llama.cpp cannot load {path.name}: {reason}")
