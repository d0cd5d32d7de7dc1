"""One scenario file, many cases: every combination of the variants that its `matrix` names.

    [matrix.fault.healthy]
    [matrix.fault.loss]
    events = [{ at = "0s", link = ["leaf0", "spine0"], action = "loss", value = 0.01 }]
    [matrix.carrier.tcp]
    lab.carrier = "tcp"
    only.fault = ["healthy"]        # this variant goes with these of another axis and no others

A variant is laid over the file: tables are merged key by key (but one with a `name` takes the
place of its like), `expect`, `events` and `fabric.links` grow, everything else is replaced. Cases
are called after their variants, in the order of the axes: "healthy/tcp".
"""

from __future__ import annotations

import copy
import difflib
import itertools
from typing import Any

from weft.emulation.document import Document

Path = tuple[str | int, ...]

GROWING: tuple[Path, ...] = (("expect",), ("events",), ("fabric", "links"))
"""Lists to which variants add."""


def cases(source: Document) -> list[Document]:
    """The file's cases, each a document of its own; the document itself if it has no matrix.

    Raises ScenarioError, with its line, for a matrix that is none.
    """
    if "matrix" not in source.values:
        return [source]
    axes = _axes(source)
    _check_restrictions(source, axes)
    made = []
    for chosen in itertools.product(*axes.values()):
        variants = dict(zip(axes, chosen, strict=True))
        if all(_goes_with(axes[axis][name], variants) for axis, name in variants.items()):
            made.append(_case(source, variants))
    if not made:
        raise source.error(("matrix",), "no case is left: its variants exclude each other")
    return made


def choose_case(source: Document, name: str) -> Document:
    """One case by name. Raises ScenarioError when it is not there, or not said which."""
    if "matrix" not in source.values and not name:
        return source
    known = {case.case: case for case in cases(source) if case.case}
    if name in known:
        return known[name]
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.3) or list(known)[:1]
    if not near:
        raise source.error((), f"has no matrix, and so no case {name!r}")
    asked = f"there is no case {name!r}" if name else f"these are {len(known)} cases: name one"
    raise source.error(("matrix",), f"{asked}, as in {source.name}#{near[0]}")


def _axes(source: Document) -> dict[str, dict[str, dict[str, Any]]]:
    axes = source.values["matrix"]
    if not isinstance(axes, dict):
        raise source.error(("matrix",), "must be tables: [matrix.AXIS.VARIANT]")
    for axis, variants in axes.items():
        if not isinstance(variants, dict) or not variants:
            raise source.error(("matrix", axis), "must be tables: [matrix.AXIS.VARIANT]")
        for name, variant in variants.items():
            if not isinstance(variant, dict):
                raise source.error(("matrix", axis, name), f"must be a table, not {variant!r}")
            if "matrix" in variant:
                raise source.error(("matrix", axis, name, "matrix"), "a variant has no matrix")
    return axes


def _check_restrictions(source: Document, axes: dict[str, dict[str, dict[str, Any]]]) -> None:
    for axis, variants in axes.items():
        for name, variant in variants.items():
            only = variant.get("only", {})
            place: Path = ("matrix", axis, name, "only")
            if not isinstance(only, dict):
                raise source.error(place, "names variants by axis: only.AXIS = [...]")
            for other, names in only.items():
                if other not in axes:
                    raise source.error((*place, other), f"is no axis; there is {', '.join(axes)}")
                unknown = [n for n in names if n not in axes[other]] if names else ["nothing"]
                if unknown:
                    known = ", ".join(axes[other])
                    raise source.error(
                        (*place, other), f"{unknown[0]!r} is no variant; there is {known}"
                    )


def _goes_with(variant: dict[str, Any], chosen: dict[str, str]) -> bool:
    return all(chosen[axis] in names for axis, names in variant.get("only", {}).items())


def _case(source: Document, variants: dict[str, str]) -> Document:
    values = copy.deepcopy({key: v for key, v in source.values.items() if key != "matrix"})
    lines = {path: line for path, line in source.lines.items() if path[:1] != ("matrix",)}
    for axis, name in variants.items():
        over = {k: v for k, v in source.values["matrix"][axis][name].items() if k != "only"}
        _merge(values, copy.deepcopy(over), ())
        place = ("matrix", axis, name)
        for path, line in source.lines.items():
            if path[:3] == place and path[3:4] not in ((), ("only",)):
                lines[path[3:]] = line
    case = "/".join(variants.values())
    title = values.get("name")
    shown = case.replace("_", " ").replace("/", ", ")
    values["name"] = f"{title}: {shown}" if isinstance(title, str) else shown
    return Document(source.name, values, lines, case)


def _merge(base: dict[str, Any], over: dict[str, Any], path: Path) -> None:
    for key, value in over.items():
        here = (*path, key)
        # A policy by another name has other parameters.
        alike = isinstance(value, dict) and "name" not in value
        if alike and isinstance(base.get(key), dict):
            _merge(base[key], value, here)
        elif here in GROWING and isinstance(value, list) and isinstance(base.get(key), list):
            base[key] += value
        else:
            base[key] = value
