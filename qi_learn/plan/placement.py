"""Which device trains and which serves.

A pure function of what the devices have free, what the server holds of them, and how much both
need. In this order, so that serving is disturbed as little as possible:

1. The GPUs beside the one that serves (2 x 4090: the server keeps one, the worker sees only the
   other; if there are more of a kind, it sees them all).
2. One GPU with room for both (an A100 with a 7B): nothing is unloaded, the training pauses while
   requests are answered.
3. One GPU with room for one at a time: the server's models are unloaded, and requests held unless
   another GPU can answer them.
4. The CPU, if no GPU is ever big enough.

A device that is big enough but full of something else is waited for: Deferred, not Refused.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from qi_learn.errors import Deferred, Refused
from qi_learn.outside.gpu import Device
from qi_learn.outside.ollama import LoadedModel
from qi_learn.records import Placement

SERVED = 1.2
"""Memory of a served model over the size of its file: its context, and what it computes with."""
GIB = 2**30


def place_training(
    devices: Sequence[Device],
    *,
    wish: str,
    need: Callable[[Device], int],
    served: int,
    loaded: Sequence[LoadedModel] = (),
    held: Mapping[str, int] | None = None,
) -> Placement:
    """The device to train on.

    `need(device)`: bytes to train there at all. `served`: bytes that the served model takes of a
    GPU when it is loaded (0: it runs elsewhere). `loaded`: what the server has in memory now.
    `held`: bytes of each GPU (by UUID) that are the server's.

    Raises Refused if nothing is big enough, Deferred if something is, but is full now.
    """
    gpus = [d for d in devices if d.kind == "cuda"] if wish != "cpu" else []
    cpus = [d for d in devices if d.kind == "cpu"] if wish != "cuda" else []
    held = _held(gpus, loaded, held or {})
    if not gpus and not cpus:
        raise Refused(
            f"train.device is `{wish}`, and this machine has none.",
            'Set `train.device = "auto"`, or install the GPU\'s driver (`nvidia-smi` must answer).',
        )
    for look in (_beside, _together, _in_turns):
        if placement := look(gpus, need, served, held, [m.name for m in loaded if m.on_gpu]):
            return placement
    large = [d for d in gpus if need(d) <= d.total]
    if not large and cpus:
        if need(cpus[0]) <= cpus[0].free:
            return _on(
                cpus[0],
                "no GPU is large enough to train this base"
                if gpus
                else "there is no GPU"
                if wish != "cpu"
                else "train.device is `cpu`",
            )
        large = [d for d in cpus if need(d) <= d.total]
    memory = "; ".join(
        f"{d.name} has {d.free / GIB:.1f} of {d.total / GIB:.1f} GiB free and needs "
        f"{need(d) / GIB:.1f}"
        for d in large or (*gpus, *cpus)
    )
    if large:
        instead = ', or set `train.device = "cpu"`' if large[0].kind == "cuda" and cpus else ""
        raise Deferred(
            f"No device has the memory to train now: {memory}.",
            f"It is tried again by itself; close what else uses it{instead}.",
        )
    raise Refused(f"No device has the memory to train this base: {memory}.", "Take a smaller base.")


def _beside(
    gpus: Sequence[Device],
    need: Callable[[Device], int],
    served: int,
    held: Mapping[str, int],
    models: Sequence[str],
) -> Placement | None:
    """A GPU that the server does not use, if another one can serve."""
    for gpu in sorted(gpus, key=lambda d: (held[d.uuid], -d.free, -d.index)):
        if held[gpu.uuid] or need(gpu) > gpu.free:
            continue
        others = [d for d in gpus if d is not gpu and d.free + held[d.uuid] >= served]
        if not served:
            return _with_alike(
                _on(gpu, "the server does not use it"), [d for d in gpus if need(d) <= d.free], gpu
            )
        if others:
            serves = max(others, key=lambda d: (held[d.uuid], d.free))
            free = [d for d in gpus if d is not serves and not held[d.uuid] and need(d) <= d.free]
            return _with_alike(
                replace(
                    _on(gpu, f"the server keeps {serves.name} ({serves.index})"), serves=serves.uuid
                ),
                free,
                gpu,
            )
    return None


def _with_alike(placement: Placement, free: Sequence[Device], gpu: Device) -> Placement:
    """The placement with the other free GPUs of the same kind, over which a training can be split.

    Unlike ones would wait for each other.
    """
    alike = [gpu, *(d for d in free if d is not gpu and d.name == gpu.name)]
    return replace(placement, gpus=tuple(d.uuid for d in alike), free=min(d.free for d in alike))


def _together(
    gpus: Sequence[Device],
    need: Callable[[Device], int],
    served: int,
    held: Mapping[str, int],
    models: Sequence[str],
) -> Placement | None:
    """A GPU with room for both, whether the served model is loaded now or comes back meanwhile."""
    for gpu in gpus:
        free = gpu.free - max(0, served - held[gpu.uuid])
        if need(gpu) <= free:
            return replace(_on(gpu, "there is room for the server too"), free=free, serves=gpu.uuid)
    return None


def _in_turns(
    gpus: Sequence[Device],
    need: Callable[[Device], int],
    served: int,
    held: Mapping[str, int],
    models: Sequence[str],
) -> Placement | None:
    """A GPU that must be emptied first.

    Requests can go on if another one has room for what is served.
    """
    for gpu in sorted(gpus, key=lambda d: -(d.free + held[d.uuid])):
        free = gpu.free + held[gpu.uuid]
        if need(gpu) > free:
            continue
        others = [d for d in gpus if d is not gpu and d.free + held[d.uuid] >= served]
        if others:
            serves = max(others, key=lambda d: d.free + held[d.uuid])
            return replace(
                _on(gpu, f"the server's models move to {serves.name} ({serves.index})"),
                free=free,
                unload=tuple(models),
                serves=serves.uuid,
            )
        return replace(
            _on(gpu, "it has no room for the server and the training at once"),
            free=free,
            unload=tuple(models),
            holds_requests=True,
        )
    return None


def _on(device: Device, reason: str) -> Placement:
    """A placement on one device. The worker sees this one alone, so torch calls it the first."""
    cuda = device.kind == "cuda"
    return Placement(
        "cuda:0" if cuda else "cpu",
        device.name,
        device.free,
        device.bf16,
        reason,
        gpus=(device.uuid,) if cuda else (),
    )


def _held(
    gpus: Sequence[Device], loaded: Sequence[LoadedModel], seen: Mapping[str, int]
) -> dict[str, int]:
    """Bytes that the server holds of each GPU.

    If its processes could not be seen, what it reports is taken to be on the GPU with most in use.
    """
    held = {gpu.uuid: min(seen.get(gpu.uuid, 0), gpu.total - gpu.free) for gpu in gpus}
    reported = sum(model.on_gpu for model in loaded)
    if gpus and reported and not any(held.values()):
        fullest = max(gpus, key=lambda d: d.total - d.free)
        held[fullest.uuid] = min(reported, fullest.total - fullest.free)
    return held
