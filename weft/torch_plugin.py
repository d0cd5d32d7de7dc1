"""What torch calls when it loads: makes the backend name "weft" known to torch.distributed.

Torch finds this through two entry point groups: `torch.backends`, which every supported torch loads
at the end of `import torch`, and `torch.distributed.backends`, which torch >= 2.14 consults for an
unknown backend name. So `init_process_group("weft")` works without importing anything of Weft's.
This runs in every program that imports torch where Weft is installed: it must be quick, load
nothing native and never fail. With TORCH_DEVICE_BACKEND_AUTOLOAD=0, or from a source tree that is
not installed, import `weft.collectives.torch` instead.
"""

from __future__ import annotations

from typing import Any

NAME = "weft"
DEVICES = ["cpu", "cuda"]


def register() -> None:
    """Register the backend, once."""
    import torch.distributed as dist

    if dist.is_available() and NAME.upper() not in dist.Backend._plugins:
        dist.Backend.register_backend(NAME, _create, extended_api=True, devices=list(DEVICES))


def _create(group: Any, options: object) -> object:
    """Called by torch for every new group; only now the native backend is loaded."""
    from weft.collectives.torch import create_backend

    return create_backend(group, options)
