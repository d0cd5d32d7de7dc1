"""Every program fits Tofino 1 at the sizes that docs/pruning.md lists."""

from __future__ import annotations

import pytest

from weft.p4.compiler import compile_file
from weft.p4.pruning.control import PROGRAMS
from weft.p4.resources import fit, load

SIZES = [
    ("filter", {"LANES": 8}),
    ("distinct_lru", {"COLUMNS": 2, "LANES": 8}),
    ("distinct_fifo", {"COLUMNS": 2, "LANES": 8}),
    ("top_n_random", {"COLUMNS": 4, "LANES": 4}),
    ("top_n_deterministic", {"COLUMNS": 4, "LANES": 1}),
    ("group_by", {"COLUMNS": 2, "LANES": 4}),
    ("join_bloom", {"FILTER_CELLS": 1 << 21, "LANES": 1}),
    ("join_register_bloom", {"FILTER_CELLS": 1 << 15, "LANES": 4}),
    ("having", {"COLUMNS": 1, "SKETCH_CELLS": 1024, "LANES": 4}),
    ("skyline_sum", {"COLUMNS": 1, "LANES": 1}),
    ("skyline_aph", {"COLUMNS": 1, "LANES": 1}),
]


@pytest.mark.parametrize(("name", "sizes"), SIZES, ids=[name for name, _ in SIZES])
def test_it_fits(name: str, sizes: dict[str, int]) -> None:
    defines = {k: str(v) for k, v in sizes.items()}
    result = fit(compile_file(PROGRAMS / f"{name}.p4", defines=defines), load("tofino1"))
    assert result.fits, [p.message for p in result.problems]


def test_aggregation_fits() -> None:
    path = PROGRAMS.parent / "aggregation" / "allreduce.p4"
    assert fit(compile_file(path, defines={"VALUES": "16"}), load("tofino1")).fits
    assert fit(compile_file(path), load("tofino2")).fits
    assert not fit(compile_file(path), load("tofino1")).fits
