"""Arguments to parameters: positions, names, defaults, and which overload takes them.

Specification 1.2.5, sections 6.7 (calling convention), 6.9 (overloading) and 8.20.
"""

from __future__ import annotations

from collections.abc import Sequence

from weft.p4.compiler import ast

Pairs = list[tuple[ast.Parameter, ast.Argument | None]]


def optional(parameter: ast.Parameter) -> bool:
    """May an argument be left out?"""
    marked = any(a.name == "optional" for a in parameter.annotations)
    return parameter.default is not None or marked


def pair(
    parameters: Sequence[ast.Parameter], arguments: Sequence[ast.Argument]
) -> tuple[Pairs, str]:
    """Each parameter with its argument (None: left out), and what is wrong ("" when nothing is)."""
    given: dict[str, ast.Argument] = {}
    named = [a for a in arguments if a.name is not None]
    if named and len(named) != len(arguments):
        return [], "either all arguments are named or none is"
    if len(arguments) > len(parameters):
        return [], f"takes {_count(len(parameters))}, {len(arguments)} given"
    names = [p.name for p in parameters]
    for argument in named:
        assert argument.name is not None
        if argument.name not in names:
            return [], f"has no parameter '{argument.name}'"
        if argument.name in given:
            return [], f"parameter '{argument.name}' is given twice"
        given[argument.name] = argument
    if not named:
        given = dict(zip(names, arguments, strict=False))
    for parameter in parameters:
        if parameter.name not in given and not optional(parameter):
            if named:
                return [], f"parameter '{parameter.name}' is missing"
            return [], f"takes {_count(len(parameters))}, {len(arguments)} given"
    return [(p, given.get(p.name)) for p in parameters], ""


def _count(number: int) -> str:
    return "1 argument" if number == 1 else f"{number or 'no'} arguments"


def choose(
    candidates: Sequence[tuple[Sequence[ast.Parameter], ast.Node]],
    arguments: Sequence[ast.Argument],
) -> tuple[int | None, str]:
    """Index of the one candidate that takes the arguments, or None and the reason."""
    fitting: list[int] = []
    reason = ""
    for index, (parameters, _) in enumerate(candidates):
        _, problem = pair(parameters, arguments)
        reason = reason or problem
        if not problem:
            fitting.append(index)
    exact = [i for i in fitting if len(candidates[i][0]) == len(arguments)]
    chosen = exact if len(exact) == 1 else fitting
    if len(chosen) == 1:
        return chosen[0], ""
    if chosen:
        return None, "is ambiguous: several overloads take these arguments"
    if len(candidates) > 1:
        return None, "has no overload that takes these arguments"
    return None, reason
