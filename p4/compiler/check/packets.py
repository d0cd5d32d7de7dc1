"""What core.p4 demands of the types given to packet_in and packet_out (appendix D).

The signatures there are generic; that `extract` takes headers only, and of fixed size in its
one-argument form, is said in the text of sections 13.8 and 16.
"""

from __future__ import annotations

from weft.p4.compiler import types as t

#: Methods of packet_in that may fail, and so may be called in parsers only.
MOVING = ("extract", "lookahead", "advance")


def flaw(extern: str, method: str, given: t.Type | None, arguments: int) -> str:
    """What is wrong with calling the method with its type argument `given`; "" if nothing is."""
    if given is None or isinstance(given, t.Variable | t.Unknown):
        return ""
    if extern == "packet_in" and method == "extract":
        return _extract(given, arguments)
    if extern == "packet_in" and method == "lookahead" and t.fixed_width(given) is None:
        return f"lookahead needs a type of fixed size, not {given}"
    if extern == "packet_out" and method == "emit" and not _emittable(given):
        return f"emit takes headers, and stacks, unions and structs of them, not {given}"
    return ""


def _extract(given: t.Type, arguments: int) -> str:
    if not t.is_header(given):
        return f"extract needs a header, not {given}"
    assert isinstance(given, t.Struct)
    varbits = sum(isinstance(t.resolve_new(f), t.Varbit) for _, f in given.fields())
    if varbits > 1:
        return f"extract cannot fill {given}: it has {varbits} varbit fields"
    if varbits == 1 and arguments == 1:
        return f"{given} has a varbit field: it needs the two-argument form of extract"
    if varbits == 0 and arguments == 2:
        return f"{given} has no varbit field: it needs the one-argument form of extract"
    return ""


def _emittable(type_: t.Type) -> bool:
    match type_:
        case t.Struct():
            if type_.kind == "header":
                return True
            return all(_emittable(f) for _, f in type_.fields())
        case t.Stack():
            return True
        case t.Tuple(items):
            return all(_emittable(i) for i in items)
    return isinstance(type_, t.Variable | t.Unknown)
