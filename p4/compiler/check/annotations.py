"""Rules for annotations (specification 1.2.5, section 20)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from weft.p4.compiler import ast

if TYPE_CHECKING:
    from weft.p4.compiler.check.checker import Checker


def check(annotations: Sequence[ast.Annotation], checker: Checker) -> None:
    """Structured bodies are constants with distinct keys, one per name; `@name` takes a string."""
    bodies: dict[str, list[bool]] = {}  # per name, whether each is structured
    for annotation in annotations:
        structured = annotation.items is not None or annotation.pairs is not None
        others = bodies.setdefault(annotation.name, [])
        if others and (structured or any(others)):
            checker.error(
                annotation.location,
                f"@{annotation.name}[...] may stand once, and not beside @{annotation.name}(...)",
            )
        others.append(structured)
        if annotation.name in ("name", "deprecated"):
            _one_string(annotation, checker)
        _keys(annotation, checker)
        values = [*(annotation.items or []), *(e for _, e in annotation.pairs or [])]
        for value in values:
            value = checker.expressions.check(value)
            if not value.is_static:
                checker.error(value.location, "a structured annotation holds constants only")


def _keys(annotation: ast.Annotation, checker: Checker) -> None:
    seen: set[str] = set()
    for name, _ in annotation.pairs or []:
        if name in seen:
            checker.error(annotation.location, f"key '{name}' occurs twice in @{annotation.name}")
        seen.add(name)


def _one_string(annotation: ast.Annotation, checker: Checker) -> None:
    tokens = annotation.tokens
    if annotation.items is not None or annotation.pairs is not None:
        return
    if not tokens or not all(token.startswith('"') for token in tokens):
        checker.error(annotation.location, f"@{annotation.name} takes one string")
