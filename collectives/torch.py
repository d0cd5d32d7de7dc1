"""Weft as a backend of torch.distributed.

    import torch.distributed as dist
    dist.init_process_group("weft")  # everything else stays as it was

Options for a group, where the defaults and the environment (WEFT_SECRET, ...) do not do:

    from weft.collectives.torch import Options
    options = Options(transport="paths=16", algorithms="all_reduce=ring")
    dist.init_process_group("weft", pg_options=options)

Importing this module registers the backend and loads its native part.
"""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import Any

import torch

from weft.torch_plugin import register


def extension_name(torch_version: str) -> str:
    """Name of the extension that runs with a torch, e.g. `_torch_2_13` for "2.13.0+cpu"."""
    major, minor = torch_version.split(".")[:2]
    return f"_torch_{major}_{minor}"


def load_extension() -> ModuleType:
    """The native backend for the torch that is running.

    Torch's C++ interface changes with every minor version, so each needs an extension of its own.
    Raises ImportError, with the command that builds it, if there is none.
    """
    name = extension_name(torch.__version__)
    try:
        return importlib.import_module(f"weft._native.{name}")
    except ModuleNotFoundError as error:
        raise ImportError(
            f"this installation of Weft has no backend for torch {torch.__version__} "
            f"(weft._native.{name} is missing); build it against the torch that is installed: "
            "pip install --no-build-isolation --force-reinstall --no-deps --no-binary weft weft "
            "(in a checkout: pip install --no-build-isolation -e .)"
        ) from error


_extension = load_extension()

Options: Any = _extension.Options
"""Options of a group, all keywords and all optional: the same on every rank.

secret: str -- what proves that a peer belongs to the job; "" takes $WEFT_SECRET, else rank 0 draws
    one and hands it out through torch's Store.
datapaths: str -- "shm,udp", in order of preference.
interfaces: str -- addresses or interface names for UDP, comma-separated.
transport: str -- "key=value,...", e.g. "paths=16,scheduler=least_in_flight,congestion=swift".
algorithms: str -- "all_reduce=ring,...", overrides the tuner; "innet=host:port" is the controller
    of a switch that adds up (docs/innet.md).
peer_timeout: timedelta -- silence after which a peer counts as dead.
"""


def offer_stream_wait(device_type: str, function: int) -> None:
    """Tell Weft how a stream of an accelerator waits for a word of host memory.

    CUDA's driver is asked by itself. `function` is the address of a C function
    `int wait(void *stream, uint64_t address, uint32_t value, unsigned flags)`, which enqueues on
    the stream (its native handle) a wait until the signed difference `*address - value` is at
    least 0, and returns 0, or another number if the device cannot; `flags` is 0. That is
    cuStreamWaitValue32 of the CUDA Driver API. 0 takes an offer back. Groups that are made from
    now on use it: their collectives' `wait()` on tensors of `device_type` (torch's name, as in
    `torch.device(...)`) no longer blocks the host.
    """
    _extension.offer_stream_wait(device_type, function)


def create_backend(group: Any, options: object) -> Any:
    """Build the backend of a new group: what torch calls through `register_backend`.

    `group` is torch's description of the group (store, rank, size, time-out, name), `options` an
    `Options` or None. Collective over the group. Raises TypeError for options of another kind and
    torch.distributed.DistBackendError, naming the rank, if a peer does not come.
    """
    if options is not None and not isinstance(options, Options):
        raise TypeError(
            "the backend weft takes pg_options of type weft.collectives.torch.Options, "
            f"not {type(options).__name__}"
        )
    return _extension.make_backend(
        group.store,
        group.group_rank,
        group.group_size,
        group.timeout,
        group.group_id,
        group.global_ranks_in_group,
        options,
    )


register()
