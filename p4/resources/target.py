"""A chip's limits, read from `targets/<name>.toml`; each figure there names its source."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

_FOLDER = Path(__file__).with_name("targets")


class UnknownTarget(ValueError):
    """No file describes a target of that name."""


@dataclass(frozen=True, slots=True)
class Target:
    """`stage` holds the amount of each resource in one match-action stage, by name."""

    name: str
    stages: int
    stage: Mapping[str, int]
    register_max_width: int  # bits
    register_max_ram: int  # SRAM blocks, the spare one included
    phv_containers: Mapping[int, int]  # width in bits -> count
    tagalong_bits: int
    parser_rows: int
    parser_match_bits: int


def names() -> list[str]:
    """The targets that there are files for."""
    return sorted(path.stem for path in _FOLDER.glob("*.toml"))


def load(name: str) -> Target:
    """The target of that name; raises `UnknownTarget`."""
    path = _FOLDER / f"{name}.toml"
    if name not in names():
        raise UnknownTarget(f"unknown target {name!r}; known: {', '.join(names())}")
    data = tomllib.loads(path.read_text(encoding="utf-8"))
    return Target(
        data["name"],
        data["stages"],
        data["stage"],
        data["register"]["max_width"],
        data["register"]["max_ram"],
        {int(width): count for width, count in data["phv"]["containers"].items()},
        data["phv"]["tagalong_bits"],
        data["parser"]["rows"],
        data["parser"]["match_bits"],
    )
