"""Where the compiled pieces lie: `libweft.so`, the `_core` module, torch extension, C header.

The build installs them beside this file. Nothing is loaded by importing this package.
"""

from __future__ import annotations

import functools
import importlib.resources
import json
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class BuildInfo:
    """How the native pieces of this installation were built."""

    version: str
    compiler: str
    build_type: str
    sanitize: str
    torch: str
    """Version of the torch that the extension was compiled against; "" if there is none."""


def path(name: str) -> Path:
    """The file or folder `name` among the compiled pieces, e.g. "libweft.so" or "include".

    Raises FileNotFoundError if this installation does not have it.
    """
    found = importlib.resources.files(__name__).joinpath(name)
    if not isinstance(found, Path) or not found.exists():
        raise FileNotFoundError(
            f"Weft's compiled piece {name!r} is not installed: "
            "reinstall Weft (pip install .) or run make install in the checkout"
        )
    return found


@functools.cache
def build_info() -> BuildInfo:
    """Read the build record. Raises FileNotFoundError if nothing native is installed."""
    return BuildInfo(**json.loads(path("build.json").read_text(encoding="utf-8")))
